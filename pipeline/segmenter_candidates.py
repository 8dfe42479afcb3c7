"""Candidates: what a segmenter draws on one picture, described, and compared with the reader's mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..features.breast import BreastRegion, find_breast
from ..features.case import Picture
from ..features.image import Image
from ..features.mask import Mask
from ..features.overlap import MIN_IOU
from ..models.segmenter import Segmenter
from ..models.segmenter_frame import Grey, frame_of
from ..models.segmenter_regions import describe_candidates, find_candidates
from .cohort import Cohort
from .mask_samples import Subject, own_input, read_partner


def draw_map(
    networks: Sequence[Segmenter],
    image: Image,
    region: BreastRegion,
    partner: Image | None,
    *,
    le_first: bool,
    flips: bool = True,
) -> tuple[Grey, tuple[str, ...]]:
    """The mean of several networks' maps on the picture's own pixels, and notes on how it was made.

    Parameters
    ----------
    networks : sequence of Segmenter
        At least one; all of one training.
    image : Image
    region : BreastRegion
        Of this image.
    partner : Image, optional
        The other picture of the view.
    le_first : bool
        Whether `image` is the low-energy one.
    flips : bool
        As in :meth:`~cemrad.models.segmenter.Segmenter.probability`.
    """
    settings = networks[0].settings
    frame = frame_of(region, settings.size_px)
    framed, note = own_input(image, region, frame, partner, le_first, settings)
    maps = [network.probability(framed, flips=flips) for network in networks]
    mean = np.asarray(np.mean(maps, axis=0, dtype=np.float64), dtype=np.float32)
    return frame.paste(mean), (note,) if note else ()


def candidates_of(
    made: Segmenter, cohort: Cohort, subjects: Sequence[Subject]
) -> Iterator[tuple[list[dict[str, float]], list[bool]]]:
    """Candidates of one network on pictures of a cohort: their features, and which of them a reader drew as well.

    A lesion is what a reader's masks of the picture overlap with an IoU of at least
    :data:`~cemrad.features.overlap.MIN_IOU`, or what lies in them by half: a part of a lesion is no false positive.
    """
    cases = {case.case_id: case for case in cohort.cases}
    for subject in subjects:
        case = cases[subject.case_id]
        picture = case.pictures[subject.key]
        image = picture.image.read()
        reader = _reader_mask(cohort, subject.patient_id, picture, image)
        region = find_breast(image, case.laterality, subject.key.view)
        partner = read_partner(case, subject.key) if made.settings.channels == "pair" else None
        found, _ = draw_map([made], image, region, partner, le_first=subject.key.image_type == "LE")
        labels = find_candidates(found, region, made.settings.threshold, made.settings.min_share)
        rows = describe_candidates(image, region, found, labels)
        yield rows, [_is_hit(labels == n + 1, reader) for n in range(len(rows))]


def _reader_mask(cohort: Cohort, patient_id: str, shown: Picture, image: Image) -> Mask:
    """All lesions that a reader drew on this picture."""
    mask = np.zeros(image.shape, dtype=bool)
    for case in cohort.cases:
        if case.patient_id != patient_id:
            continue
        for picture in case.pictures.values():
            if picture.mask is not None and picture.image == shown.image:
                mask |= picture.mask.read(image)
    return mask


def _is_hit(candidate: Mask, reader: Mask) -> bool:
    both = int(np.count_nonzero(candidate & reader))
    return both >= MIN_IOU * int(np.count_nonzero(candidate | reader)) or both >= 0.5 * int(np.count_nonzero(candidate))
