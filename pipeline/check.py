"""Pre-flight: what a cohort holds and what stands in the way, before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..features.case import Case, Picture, PictureKey
from ..features.clinical import encode_clinical
from ..features.errors import CohortError, ImageError, StudyError
from ..features.failure import COLUMNS as FAILURE_COLUMNS
from ..features.failure import Failure
from ..features.fingerprint import Fingerprint
from ..features.image import Image
from ..features.mask import Mask
from ..features.reading import read_case, require_varied_image, require_varied_region
from ..models.persons import Tie, picture_ties
from ..models.sample_size import SampleSizeSettings
from .cdd_cesm_tables import find_workbook
from .cohort import Cohort
from .duplicates import print_frame, prints_of, tie_lines
from .endpoint_counts import EndpointCount, count_endpoints
from .extract import FeatureSettings
from .labels import LevelCount, count_labels, numbers_in
from .manifest_columns import names_images
from .size_advice import rarer_side, size_advice
from .text_table import SUFFIXES, read_text_table

_SHOWN = 8

_REFUSALS: dict[str, Callable[[Image, Mask], None]] = {
    "radiomics": require_varied_region,
    "deep": lambda image, _: require_varied_image(image.pixels),
}
"""What a family refuses in a picture that was read, for those whose refusals show before anything is computed."""


@dataclass(frozen=True)
class PictureFact:
    """What one picture turned out to be.

    Parameters
    ----------
    case_id, picture : str
    rows, columns : int
        Size in pixels; 0 where the image or its mask could not be read.
    dtype : str
        Number type of its pixels.
    mask_area_px : int, optional
        Pixels of its usable mask; None without one.
    notes : tuple of str
        What was decided while decoding.
    usable : bool
        True if at least one of the families can measure it.
    """

    case_id: str
    picture: str
    rows: int = 0
    columns: int = 0
    dtype: str = ""
    mask_area_px: int | None = None
    notes: tuple[str, ...] = ()
    usable: bool = False


@dataclass(frozen=True)
class CheckReport:
    """Everything that :func:`check` found.

    Parameters
    ----------
    cohort : Cohort
    failures : tuple of Failure
        The cohort's, its table's, those of clinical values, and those of pictures that were opened.
    pictures : tuple of PictureFact
        Those that were opened; empty where nothing was decoded.
    labels : tuple of LevelCount
        Each label over lesions, breasts and patients.
    groups : mapping of str to int
        How cases share breasts and patients.
    pairs : mapping of str to int
        Views that have both images, or only one.
    endpoints : tuple of EndpointCount
        Those that were asked for, and what else the labels allow.
    events : mapping of str to int
        Per label with two sides, how many patients are on its rarer side.
    usable : int
        Cases with at least one picture that a family can measure, or with a row of features.
    ties : tuple of Tie
        Patients who share a picture or near copies of one, among the pictures that were opened.
    advice : tuple of str
        What the numbers of patients bear.
    """

    cohort: Cohort
    failures: tuple[Failure, ...]
    pictures: tuple[PictureFact, ...]
    labels: tuple[LevelCount, ...]
    endpoints: tuple[EndpointCount, ...]
    groups: Mapping[str, int]
    pairs: Mapping[str, int]
    events: Mapping[str, int]
    usable: int
    ties: tuple[Tie, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 4 if no case is left, else 3."""
        if not any(failure.state == "failed" for failure in self.failures):
            return 0
        return 3 if self.usable else 4

    def lines(self) -> list[str]:
        """The report as text for a terminal."""
        return [
            *self._cohort_lines(),
            *self._picture_lines(),
            *tie_lines(self.ties),
            *self._label_lines(),
            *self._failure_lines(),
        ]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with every name that :meth:`lines` cuts short."""
        return {
            "name": self.cohort.name,
            "phantom": self.cohort.phantom,
            "counts": dict(self.cohort.counts),
            "groups": dict(self.groups),
            "pairs": dict(self.pairs),
            "labels": [asdict(level) for level in self.labels],
            "endpoints": [asdict(endpoint) for endpoint in self.endpoints],
            "events": dict(self.events),
            "notes": [asdict(note) | {"items": list(note.items)} for note in self.cohort.notes],
            "failures": [asdict(failure) for failure in self.failures],
            "pictures": [asdict(fact) | {"notes": list(fact.notes)} for fact in self.pictures],
            "usable": self.usable,
            "sample_size": list(self.advice),
            "same_person": [tie._asdict() for tie in self.ties],
            "exit_code": self.exit_code,
        }

    def _cohort_lines(self) -> Iterator[str]:
        yield self.cohort.name + (" (PHANTOM: simulated data)" if self.cohort.phantom else "")
        yield from _table("counts", self.cohort.counts)
        yield from _table("groups", self.groups)
        yield from _table("pairs of views", self.pairs)
        if self.cohort.notes:
            yield "notes"
        for note in self.cohort.notes:
            yield f"  {note.count:>6}  {note.code}: {note.text}"
            if note.items:
                yield f"          {_shortened(note.items)}"

    def _picture_lines(self) -> Iterator[str]:
        read = [fact for fact in self.pictures if fact.rows]
        if not read:
            return
        yield "pictures"
        yield f"  {len(read):>6}  of {len(self.pictures)} read with a usable mask"
        for what, sizes in (
            ("rows", [fact.rows for fact in read]),
            ("columns", [fact.columns for fact in read]),
            ("px of mask", [fact.mask_area_px for fact in read if fact.mask_area_px is not None]),
        ):
            yield f"          {what}: {min(sizes)} to {max(sizes)}, median {int(np.median(sizes))}"
        decided = Counter(note for fact in read for note in (fact.dtype, *fact.notes))
        for note, n in decided.most_common(_SHOWN):
            yield f"  {n:>6}  {note}"

    def _label_lines(self) -> Iterator[str]:
        if self.labels:
            yield "labels"
        for level in self.labels:
            told = _values(level.values)
            shown, more = ", ".join(told[:_SHOWN]), ", ..." if len(told) > _SHOWN else ""
            rest = f"missing {level.missing}, mixed {level.mixed}"
            yield f"  {level.label} by {level.level}: {shown or 'none'}{more}; {rest}"
        if self.endpoints:
            yield "endpoints"
        yield from (f"  {endpoint.line()}" for endpoint in self.endpoints)
        if self.advice:
            yield "sample size (Riley et al. 2020; counts what a selector chooses from)"
            yield from (f"  {line}" for line in self.advice)

    def _failure_lines(self) -> Iterator[str]:
        codes = Counter((failure.state, failure.code) for failure in self.failures)
        yield "failures" if codes else "no failures"
        for (state, code), n in codes.most_common():
            first = next(f for f in self.failures if (f.state, f.code) == (state, code))
            yield f"  {n:>6}  {state} {code}"
            yield f"          first: {' '.join(filter(None, (first.case_id, first.picture)))}: {first.reason}"
        what = "a row of features" if self.cohort.table is not None else "a picture"
        what += " and mask that can be read" if self.pictures else ""
        yield f"{self.usable} of {len(self.cohort.cases)} cases have {what}"


def check(
    cohort: Cohort,
    settings: FeatureSettings | None = None,
    *,
    decode: bool = True,
    endpoints: Sequence[str | Mapping[str, Any]] = (),
    sample_size: SampleSizeSettings | None = None,
) -> CheckReport:
    """Look at a cohort before anything is computed from it.

    Pictures are read as every feature family reads them, so that what fails here is what would fail in
    :func:`~cemrad.pipeline.extract.extract` with the same settings.

    Parameters
    ----------
    cohort : Cohort
    settings : FeatureSettings, optional
        What would be extracted: the families, the rules for masks, clinical values or not. The defaults without it.
    decode : bool
        Also open every image and mask; without it only what the reader found is told.
    endpoints : sequence of str or mapping
        Those of the study, which are counted beside the targets that the labels allow.
    sample_size : SampleSizeSettings, optional
        What is expected of the models.

    Returns
    -------
    CheckReport
    """
    failures = list(cohort.failures)
    if cohort.table is not None:
        rows = cohort.table.failures[FAILURE_COLUMNS].to_dict("records")
        failures += [Failure(**{str(key): value for key, value in row.items()}) for row in rows]
    settings = settings or FeatureSettings()
    facts: list[PictureFact] = []
    prints: dict[str, dict[str, Fingerprint]] = {}
    for case in cohort.cases if decode else ():
        found, problems, prints[case.case_id] = _open(case, settings)
        facts += found
        failures += problems
    failures += _mixed_depths(facts)
    if settings.clinical and cohort.table is None:
        failures += encode_clinical(cohort.cases)[1]
    levels = count_labels(cohort.cases)
    return CheckReport(
        cohort=cohort,
        failures=tuple(failures),
        pictures=tuple(facts),
        labels=tuple(levels),
        endpoints=tuple(count_endpoints(cohort, endpoints)),
        groups=_groups(cohort),
        pairs=_pairs(cohort),
        events={at.label: n for at in levels if at.level == "patient" and (n := rarer_side(at)) is not None},
        usable=_usable(cohort, facts if decode else None),
        advice=tuple(size_advice(levels, 0 if cohort.table is None else cohort.table.values.shape[1], sample_size)),
        ties=picture_ties(cohort.case_frame().join(print_frame(prints), how="right")),
    )


def detect(path: Path) -> tuple[str, dict[str, Any]]:
    """Which reader fits what a user named, and the settings it needs.

    Parameters
    ----------
    path : Path
        A folder with the CDD-CESM workbook in it, or with one table called ``manifest``; or a table:
        a manifest if it has a column of images, else a feature table.

    Returns
    -------
    reader : str
    settings : dict

    Raises
    ------
    StudyError
        If nothing fits.
    """
    if path.is_dir():
        if find_workbook(path) is not None:
            return "cdd_cesm", {"path": str(path)}
        manifests = sorted(file for file in path.glob("manifest.*") if file.name.lower().endswith(SUFFIXES))
        if len(manifests) == 1:
            return "manifest", {"path": str(manifests[0])}
        raise StudyError(f"{path}: neither the CDD-CESM workbook nor one manifest in it; name a manifest or a study")
    if not path.name.lower().endswith(SUFFIXES):
        raise StudyError(f"{path.name}: not a study (.yaml) nor a table ({', '.join(SUFFIXES)})")
    try:
        columns = list(read_text_table(path).columns)
    except CohortError as error:
        raise StudyError(str(error)) from None
    return ("manifest" if names_images(columns) else "table"), {"path": str(path)}


def _pictures(cohort: Cohort) -> Iterator[tuple[Case, PictureKey, Picture]]:
    for case in cohort.cases:
        for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order):
            yield case, key, picture


def _open(case: Case, settings: FeatureSettings) -> tuple[list[PictureFact], list[Failure], dict[str, Fingerprint]]:
    """What the pictures of a case are, what a family would say against them, and their fingerprints."""
    reading = read_case(case, settings.mask_rules)
    facts, problems = [], list(reading.failures)
    for key in sorted(case.pictures, key=lambda key: key.order):
        if key not in reading.usable:
            facts.append(PictureFact(case.case_id, key.name))
            continue
        image, mask = reading.usable[key]
        refused = list(_refused(case.case_id, key, image, mask, settings.families))
        problems += refused
        area, usable = int(np.count_nonzero(mask)), len(refused) < len(settings.families)
        dtype = str(image.pixels.dtype)
        facts.append(PictureFact(case.case_id, key.name, *image.shape, dtype, area, image.notes, usable))
    return facts, problems, prints_of(reading)


def _refused(case_id: str, key: PictureKey, image: Image, mask: Mask, families: Iterable[str]) -> Iterator[Failure]:
    for family in families:
        if family not in _REFUSALS:
            continue
        try:
            _REFUSALS[family](image, mask)
        except ImageError as error:
            yield Failure(case_id, family, error.code, str(error), key.name)


def _mixed_depths(facts: Iterable[PictureFact]) -> Iterator[Failure]:
    """Pictures of 8 bits among deeper ones of their image type, or the reverse, whichever are fewer."""
    kinds: dict[str, dict[bool, list[PictureFact]]] = {}
    for fact in facts:
        if fact.dtype:
            by_depth = kinds.setdefault(PictureKey.parse(fact.picture).image_type, {})
            by_depth.setdefault(fact.dtype in ("uint8", "int8"), []).append(fact)
    for kind, by_depth in kinds.items():
        if len(by_depth) == 2:
            few, many = sorted(by_depth.values(), key=len)
            for fact in few:
                reason = f"stored as {fact.dtype}, but {len(many)} other {kind} pictures as {many[0].dtype}: a window "
                reason += "was burned into those of 8 bits, so grey values do not compare; export all alike"
                yield Failure(fact.case_id, "image", "image.mixed_depth", reason, fact.picture, "warned")


def _groups(cohort: Cohort) -> dict[str, int]:
    per_patient = Counter(case.patient_id for case in cohort.cases)
    return {
        "cases": len(cohort.cases),
        "breasts": len({case.breast_id for case in cohort.cases}),
        "patients": len(per_patient),
        "patients with several cases": sum(n > 1 for n in per_patient.values()),
        "most cases of one patient": max(per_patient.values(), default=0),
        "cases without a picture": sum(not case.pictures for case in cohort.cases),
        "pictures without a mask": sum(picture.mask is None for _, _, picture in _pictures(cohort)),
    }


def _pairs(cohort: Cohort) -> dict[str, int]:
    views = [{(case.case_id, key.view): key for key in case.pictures} for case in cohort.cases]
    kinds: Counter[str] = Counter()
    for case, found in zip(cohort.cases, views, strict=True):
        for _, view in found:
            both = [name for name in ("LE", "RC") if PictureKey(name, view) in case.pictures]
            if both:
                kinds["low energy and recombined" if len(both) == 2 else f"only {both[0]}"] += 1
    return dict(kinds)


def _values(values: Mapping[str, int]) -> list[str]:
    """Each value with its count; of many numbers only how far they reach."""
    numbers = numbers_in(values)
    if len(set(numbers)) <= _SHOWN:
        return [f"{value} {n}" for value, n in values.items()]
    words = [f"{value} {n}" for value, n in values.items() if not numbers_in({value: n})]
    told = f"{len(numbers)} numbers from {min(numbers):g} to {max(numbers):g}, median {float(np.median(numbers)):g}"
    return [told, *words]


def _usable(cohort: Cohort, facts: list[PictureFact] | None) -> int:
    if cohort.table is not None:
        return len(cohort.table.values)
    if facts is None:
        return sum(bool(case.pictures) for case in cohort.cases)
    return len({fact.case_id for fact in facts if fact.usable})


def _table(title: str, values: Mapping[str, int]) -> Iterator[str]:
    if values:
        yield title
        yield from (f"  {n:>6}  {name}" for name, n in values.items())


def _shortened(items: tuple[str, ...]) -> str:
    rest = len(items) - _SHOWN
    more = f" and {rest} more (--json names all)" if rest > 0 else ""
    return "; ".join(items[:_SHOWN]) + more
