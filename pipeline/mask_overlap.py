"""Masks against masks: what the arms of an experiment have on each picture, read once, picture by picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..features.case import Case, Picture, PictureKey
from ..features.errors import CaseError, MaskError
from ..features.failure import Failure
from ..features.image import Image
from ..features.mask import Mask
from ..features.overlap import Detections, compare_masks, detections
from ..features.training_ids import KEY
from ..models.mask_comparison import MANUAL, OVERLAP_COLUMNS, FoundLesions
from ..models.parallel import Progress, in_threads
from .cohort import Cohort
from .drawer import Drawing
from .progress import LOG

Candidates = Callable[[str, str], Drawing | None]
"""What a drawer made of a case's picture, by case id and picture name; None where it made nothing. It may raise
:class:`~cemrad.features.errors.CaseError`."""
NONE_FOUND = "mask.none_found"
"""The code of a picture on which a drawer found no lesion."""


def overlap_table(
    manual: Cohort, arms: Mapping[str, Cohort], *, jobs: int = 1, progress: Progress | None = None
) -> pd.DataFrame:
    """Every mask of every arm against the manual mask of the same picture.

    Cases that are lesions of one breast share its pictures. Each picture is compared once, all its lesions together, as
    a drawer does not know them apart. A mask counts as it was drawn, whatever the study's rules for measuring it.

    Parameters
    ----------
    manual : Cohort
    arms : mapping of str to Cohort
        The same case ids with other masks; a case or picture that one lacks is a row that says so.
    jobs : int
        Threads.
    progress : callable, optional

    Returns
    -------
    DataFrame
        Columns ``OVERLAP_COLUMNS``, arm by arm in the cohort's order.
    """
    found = {name: _Masks.of(cohort) for name, cohort in arms.items()}

    def compare(shown: _Shown) -> list[dict[str, Any]]:
        image, reference = shown.reference()
        return [shown.who() | {"masks": name} | _compared(shown, image, reference, of) for name, of in found.items()]

    parts = in_threads(compare, _shown(manual), jobs, progress, "compare masks")
    table = pd.DataFrame([row for part in parts for row in part], columns=OVERLAP_COLUMNS)
    order = {name: at for at, name in enumerate(arms)}
    return table.sort_values("masks", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def found_lesions(
    manual: Cohort, candidates: Candidates, *, jobs: int = 1, progress: Progress | None = None
) -> list[FoundLesions]:
    """Which lesions a drawer's candidates hit, picture by picture.

    The lesions of a picture are those of all its cases, the candidates those that were drawn for the first of them. A
    picture without a manual mask is left out; one for which nothing was drawn has no candidates.

    Parameters
    ----------
    manual : Cohort
    candidates : callable
    jobs : int
        Threads.
    progress : callable, optional
    """

    def find(shown: _Shown) -> FoundLesions | None:
        _, reference = shown.reference()
        if reference.mask is None or reference.state != "ok":
            return None
        hits = _hits(reference.mask, _drawing(shown, candidates, reference.mask))
        return FoundLesions(shown.cases[0].patient_id, shown.key.image_type, *hits)

    found = in_threads(find, _shown(manual), jobs, progress, "find lesions")
    return [part for part in found if part is not None]


@dataclass(frozen=True, eq=False)
class _Read:
    """A mask, or why there is none."""

    mask: Mask | None
    state: str = "ok"
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Shown:
    """One picture, and the cases that are lesions in it."""

    key: PictureKey
    cases: tuple[Case, ...]

    def who(self) -> dict[str, Any]:
        first = self.cases[0]
        return {
            "case_id": first.case_id, "patient_id": first.patient_id, "n_cases": len(self.cases),
            "picture": self.key.name, "image_type": self.key.image_type, "view": self.key.view,
        }  # fmt: skip

    def reference(self) -> tuple[Image | None, _Read]:
        """The image, and the manual masks of all its lesions together."""
        pictures = [case.pictures[self.key] for case in self.cases]
        try:
            image = pictures[0].image.read()
        except CaseError as error:
            return None, _Read(None, "failed", error.code, str(error))
        return image, _together([_read(picture, image, None) for picture in pictures])


@dataclass(frozen=True, eq=False)
class _Masks:
    """The cases of an arm, and why it has no mask of a picture, where it says so."""

    cases: Mapping[str, Case]
    reasons: Mapping[tuple[str, str], Failure]

    @classmethod
    def of(cls, cohort: Cohort) -> _Masks:
        failures = {(one.case_id, one.picture): one for one in cohort.failures if one.state != "warned"}
        return cls({case.case_id: case for case in cohort.cases}, failures)

    def picture(self, case_id: str, key: PictureKey) -> Picture | None:
        return self.cases[case_id].pictures.get(key) if case_id in self.cases else None


def _shown(cohort: Cohort) -> list[_Shown]:
    """Every picture once; only what knows its own content can be known to be shared."""
    groups: dict[tuple[str, PictureKey, str], list[Case]] = {}
    for case in cohort.cases:
        for key in sorted(case.pictures, key=lambda key: key.order):
            try:
                identity = str(case.pictures[key].image.content())  # type: ignore[attr-defined]
            except (AttributeError, CaseError):
                identity = case.case_id
            groups.setdefault((case.breast_id, key, identity), []).append(case)
    return [_Shown(key, tuple(cases)) for (_, key, _), cases in groups.items()]


def _read(picture: Picture | None, image: Image, why: Failure | None) -> _Read:
    if picture is None or picture.mask is None:
        if why is None:
            return _Read(None, "missing", "mask.missing", "no mask was drawn on this picture")
        return _Read(None, "none" if why.code == NONE_FOUND else "missing", why.code, why.reason)
    try:
        mask = picture.mask.read(image)
    except CaseError as error:
        return _Read(None, "failed", error.code, str(error))
    return _Read(mask) if mask.any() else _Read(mask, "none", "mask.empty", "no pixel of the mask is set")


def _together(parts: Sequence[_Read]) -> _Read:
    """The masks of all lesions of a picture as one; where there is none, why the first has none."""
    masks = [part.mask for part in parts if part.mask is not None and part.state == "ok"]
    return _Read(np.logical_or.reduce(masks)) if masks else parts[0]


def _compared(shown: _Shown, image: Image | None, reference: _Read, of: _Masks) -> dict[str, Any]:
    pictures = {case.case_id: of.picture(case.case_id, shown.key) for case in shown.cases}
    learned = [getattr(picture.mask, KEY, None) for picture in pictures.values() if picture is not None]
    row = {"seen": any(ids is not None and ids.knows(shown.cases[0].patient_id) for ids in learned)}
    if image is None or reference.mask is None or reference.state != "ok":
        reason = f"no manual mask to compare with: {reference.reason}"
        return row | {"state": "no_reference", "code": reference.code, "reason": reason}
    names = [(case_id, shown.key.name) for case_id in pictures]
    found = _together(
        [_read(one, image, of.reasons.get(name)) for one, name in zip(pictures.values(), names, strict=True)]
    )
    overlap = asdict(compare_masks(reference.mask, np.zeros(image.shape, bool) if found.mask is None else found.mask))
    overlap.pop("intersection_px")
    return row | {"state": found.state, "code": found.code, "reason": found.reason} | overlap


def _drawing(shown: _Shown, candidates: Candidates, reference: Mask) -> Drawing | None:
    for case in shown.cases:
        try:
            drawing = candidates(case.case_id, shown.key.name)
            if drawing is not None and drawing.labels.shape != reference.shape:
                raise MaskError("geometry.size", "they were drawn on a picture of another size; draw again")
        except CaseError as error:
            LOG.warning("find lesions: %s %s: counted as without candidates: %s", case.case_id, shown.key.name, error)
            continue
        if drawing is not None:
            return drawing
    return None


def _hits(reference: Mask, drawing: Drawing | None) -> tuple[Detections, Detections]:
    """What all candidates hit, and what those that were accepted hit."""
    if drawing is None:
        nothing = detections(reference, np.zeros(reference.shape, dtype=np.int32), [])
        return nothing, nothing
    regions = sorted(drawing.regions, key=lambda region: region.number)
    most = max([int(drawing.labels.max(initial=0)), *(region.number for region in regions)])
    place = np.zeros(most + 1, dtype=np.int32)
    parts = []
    for kept in (regions, [region for region in regions if region.accepted]):
        place[:] = 0
        place[[region.number for region in kept]] = np.arange(1, len(kept) + 1)
        parts.append(detections(reference, place[drawing.labels], [region.score for region in kept]))
    return parts[0], parts[1]


def mask_facts(cohort: Cohort, drawer: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Who drew the masks of a cohort, as a report tells it; JSON values.

    Parameters
    ----------
    cohort : Cohort
        A mask that was not drawn by hand says so in the attribute ``source`` of its source: ``automatic``.
    drawer : mapping, optional
        Provenance of what drew the automatic ones. A report prints ``name``, ``weights`` and ``weights_sha256``, and of
        ``validation`` the figures ``dice_mean``, ``n_pictures``, ``n_patients`` and the words ``how``.

    Returns
    -------
    dict
        ``n_pictures``; ``sources``, how many of each, ``none`` for pictures without a mask; ``n_seen``, masks of
        patients from whom their drawer had learned; ``drawer``.

    Examples
    --------
    >>> mask_facts(Cohort("nobody", ()))
    {'n_pictures': 0, 'sources': {}, 'n_seen': 0, 'drawer': {}}
    """
    sources: Counter[str] = Counter()
    n_seen = 0
    for case in cohort.cases:
        for picture in case.pictures.values():
            source = getattr(picture.mask, "source", MANUAL)  # of a mask made from another one, that other mask
            sources["none" if picture.mask is None else source if isinstance(source, str) else MANUAL] += 1
            learned = getattr(picture.mask, KEY, None)
            n_seen += learned is not None and learned.knows(case.patient_id)
    return {
        "n_pictures": sources.total(),
        "sources": dict(sorted(sources.items())),
        "n_seen": n_seen,
        "drawer": {name: value for name, value in (drawer or {}).items() if name != KEY},
    }
