"""Samples for a segmenter: every picture of a cohort that carries a mask, cut to the network's frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..features.breast import BreastRegion, find_breast
from ..features.case import Case, Picture, PictureKey
from ..features.errors import CaseError, CohortError, MaskError
from ..features.failure import Failure
from ..features.image import Image
from ..features.mask import Mask, MaskSource
from ..features.registration import Shift, align, register
from ..models.parallel import Progress, in_threads
from ..models.segmenter import SegmenterSettings, stack
from ..models.segmenter_frame import Frame, Grey, frame_of, grey
from ..models.segmenter_training import Samples
from .cohort import Cohort

PARTNER = {"LE": "RC", "RC": "LE"}
"""The other picture of a view, by image type."""


@dataclass(frozen=True)
class Subject:
    """One picture on which at least one reader's mask lies.

    Parameters
    ----------
    patient_id, case_id : str
        The first case that shows it.
    key : PictureKey
    """

    patient_id: str
    case_id: str
    key: PictureKey


@dataclass(frozen=True)
class _Work:
    """One picture with all masks of all its lesions."""

    case: Case
    key: PictureKey
    picture: Picture
    masks: tuple[MaskSource, ...] = ()


def gather_samples(
    cohort: Cohort,
    image_types: Sequence[str],
    settings: SegmenterSettings,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[Samples, list[Subject], list[Failure]]:
    """Read and cut every picture that carries a mask; the masks of several lesions on one picture are put together.

    Parameters
    ----------
    cohort : Cohort
    image_types : sequence of str
        ``LE``, ``RC``, ``IMG``: which pictures are taken.
    settings : SegmenterSettings
    jobs : int
        Threads.
    progress : callable, optional

    Returns
    -------
    Samples
    list of Subject
        In the order of the samples.
    list of Failure
        Pictures that could not be used.

    Raises
    ------
    CohortError
        If no picture of these types carries a usable mask.
    """
    work = list(_works(cohort, image_types))
    inputs, targets, subjects, failures = [], [], [], []
    cut = partial(_sample, settings=settings)
    for item, made in zip(work, in_threads(cut, work, jobs, progress, "pictures"), strict=True):
        if isinstance(made, CaseError):
            failures.append(Failure(item.case.case_id, "mask", made.code, str(made), item.key.name))
            continue
        framed, target, subject = made
        inputs.append(framed.astype(np.float16))
        targets.append(target.astype(np.float16))
        subjects.append(subject)
    if not inputs:
        refused = [*failures, *(one for one in cohort.failures if one.state == "failed")]
        there = f"; {len(refused)} could not be used: {refused[0].reason}" if refused else ""
        raise CohortError(f"no picture of type {', '.join(image_types)} carries a mask to learn from{there}")
    samples = Samples(np.stack(inputs), np.stack(targets), tuple(subject.patient_id for subject in subjects))
    return samples, subjects, failures


def own_input(
    image: Image, region: BreastRegion, frame: Frame, partner: Image | None, le_first: bool, settings: SegmenterSettings
) -> tuple[NDArray[np.float32], str]:
    """A network's input for one picture, and what is to be known of its partner; empty where there is nothing.

    A partner that cannot be registered is laid on the picture by the boxes of the two breasts: near enough for a
    network, which sees the breast at a few hundred pixels, and not for carrying a mask.

    Parameters
    ----------
    image : Image
    region, frame
        Of this image.
    partner : Image, optional
        The other picture of the view.
    le_first : bool
        Whether `image` is the low-energy one of the two.
    settings : SegmenterSettings
    """
    own = frame.cut(grey(image, region))
    if settings.channels == "own":
        return stack(own, None, "own"), ""
    if partner is None:
        return stack(own, None, "pair"), "the other picture of the view is missing"
    try:
        beside = find_breast(partner)
    except CaseError as error:
        return stack(own, None, "pair"), f"the other picture of the view was not used: {error}"
    values = grey(partner, beside)
    try:
        other = frame.cut(_on_grid_of(image, partner, values, le_first=le_first))
    except CaseError:
        by_box = frame_of(beside, settings.size_px).cut(values)
        return stack(own, by_box, "pair"), "the pictures of the view were laid on each other by their breasts' boxes"
    return stack(own, other, "pair"), ""


def read_partner(case: Case, key: PictureKey) -> Image | None:
    """The other picture of a view; None where there is none or it cannot be read: the first is then seen alone."""
    partner = case.pictures.get(PictureKey(PARTNER.get(key.image_type, ""), key.view))
    try:
        return None if partner is None else partner.image.read()
    except CaseError:
        return None


def _on_grid_of(image: Image, partner: Image, values: Grey, *, le_first: bool) -> Grey:
    """The partner's values on the image's pixels; raises ImageError where the two cannot be registered."""
    if le_first:
        shift = register(image, partner)
    else:
        found = register(partner, image)
        shift = Shift(-found.rows_px, -found.columns_px, found.method, found.quality)
    return np.asarray(align(image, Image(values), shift).pixels, dtype=np.float32)


def _works(cohort: Cohort, image_types: Sequence[str]) -> Iterator[_Work]:
    found: dict[tuple[str, object], _Work] = {}
    for case in cohort.cases:
        for key, picture in case.pictures.items():
            if picture.mask is None or key.image_type not in image_types:
                continue
            same = (case.patient_id, picture.image)
            work = found.get(same) or _Work(case, key, picture)
            found[same] = replace(work, masks=(*work.masks, picture.mask))
    yield from found.values()


def _sample(
    work: _Work, settings: SegmenterSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], Subject] | CaseError:
    try:
        image = work.picture.image.read()
        mask: Mask = np.zeros(image.shape, dtype=bool)
        for source in work.masks:
            mask = mask | source.read(image)
        region = find_breast(image, work.case.laterality, work.key.view)
        frame = frame_of(region, settings.size_px)
        target = frame.cut(mask)
        if not target.any():
            raise MaskError("mask.off_breast", "no pixel of the mask lies on the breast that was found; look at both")
        partner = read_partner(work.case, work.key) if settings.channels == "pair" else None
        framed, _ = own_input(image, region, frame, partner, work.key.image_type == "LE", settings)
    except CaseError as error:
        return error
    return framed, target, Subject(work.case.patient_id, work.case.case_id, work.key)
