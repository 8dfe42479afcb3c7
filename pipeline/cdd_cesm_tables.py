"""Tables of CDD-CESM: the radiologists' workbook and the contours, as they are found on users' disks.

Khaled et al., Sci Data 2022, doi 10.1038/s41597-022-01238-0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..features.case import PictureKey
from ..features.errors import CaseError, CohortError
from ..features.failure import Failure
from .labels import plain_name
from .manifest_columns import parse_image_type, parse_laterality, parse_view
from .masks.via import ViaImage, read_via
from .text_table import read_text_table

FINDINGS = ("normal", "benign", "malignant")
"""Values of the pathology column, from mild to severe."""

_COLUMNS = {
    "image_name": "image_name",
    "patient_id": "patient",
    "side": "side",
    "type": "type",
    "age": "age",
    "breast_density_acr": "density",
    "birads": "birads",
    "findings": "findings",
    "view": "view",
    "tags": "tags",
    "machine": "machine",
    "pathology_classification_follow_up": "finding",
}
_NAME = re.compile(r"P(?P<patient>\d+)_(?P<side>[LR])_(?P<type>DM|CM)_(?P<view>CC|MLO)_?(?P<number>\d?)")
_WORKBOOK = re.compile(r"radiology[ _-]manual[ _-]annotations.*\.(xlsx|csv)", re.IGNORECASE)
_CONTOURS = re.compile(r"radiology[ _-]hand[ _-]drawn[ _-]segmentations.*\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Annotation:
    """One row of the workbook: what the radiologists say of one image.

    Parameters
    ----------
    name : str
        Stem of the image's file name, without the blanks that five cells end in.
    patient : str
        Number of the patient, as text.
    side : {"L", "R"}
    image_type : {"LE", "RC"}
    view : {"CC", "MLO", "MLO2"}
    finding : {"normal", "benign", "malignant"}
        Pathology, or follow-up.
    density : str
        ACR density A to D, empty where the cell holds ``_``.
    birads : str
        As written; ``3$2`` grades two findings.
    padded : bool
        Whether the cell of the name has outer blanks.
    agrees : bool
        Whether patient, side, type and view of the row are those of the name.
    """

    name: str
    patient: str
    side: str
    image_type: str
    view: str
    finding: str
    age: str
    density: str
    birads: str
    findings: str
    tags: str
    machine: str
    padded: bool
    agrees: bool

    @property
    def breast(self) -> str:
        """``P40_L``."""
        return f"P{self.patient}_{self.side}"

    @property
    def key(self) -> PictureKey:
        """Image type and view."""
        return PictureKey(self.image_type, self.view)

    @property
    def birads_max(self) -> int | None:
        """The highest of the grades, None where none is stated."""
        return max((int(grade) for grade in re.findall(r"\d", self.birads)), default=None)


@dataclass(frozen=True)
class Tables:
    """What the tables hold.

    Parameters
    ----------
    annotations : tuple of Annotation
        In the order of the workbook.
    contours : mapping of str to ViaImage
        By image name without ending and blanks; only images with regions.
    has_contours : bool
        False where the contour file is not there.
    failures : tuple of Failure
        Rows of the workbook that cannot be used.
    """

    annotations: tuple[Annotation, ...]
    contours: Mapping[str, ViaImage]
    has_contours: bool
    failures: tuple[Failure, ...] = ()


def find_workbook(folder: Path) -> Path | None:
    """The annotation workbook (or its CSV export) below a folder, whatever its spelling; None without one."""
    found = sorted(_named(folder, _WORKBOOK), key=lambda path: (path.suffix.lower() != ".xlsx", path))
    return found[0] if found else None


def read_tables(folder: Path) -> Tables:
    """The workbook's sheet ``all`` and the contours.

    Raises
    ------
    CohortError
        If there is no workbook below `folder`, or a table lacks a column or names an image twice.
    """
    workbook = find_workbook(folder)
    if workbook is None:
        raise CohortError(
            f"{folder}: no CDD-CESM workbook; expected a file such as 'Radiology-manual-annotations.xlsx' in it"
        )
    annotations, failures = _annotations(workbook)
    path = max(_named(folder, _CONTOURS), key=lambda path: ("v2" in path.stem.lower(), path.as_posix()), default=None)
    drawn = {} if path is None else read_via(path)
    contours = {image_stem(name): image for name, image in drawn.items() if image.regions}
    return Tables(tuple(annotations), contours, path is not None, tuple(failures))


def image_stem(file_name: str) -> str:
    """A file name without its ending and without outer blanks.

    Examples
    --------
    >>> image_stem("P3_L_CM_CC .jpg")
    'P3_L_CM_CC'
    """
    return Path(file_name.strip()).stem.strip()


def _named(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if pattern.fullmatch(path.name) and path.is_file():
            yield path


def _annotations(path: Path) -> tuple[list[Annotation], list[Failure]]:
    frame = read_text_table(path, sheet="all" if path.suffix.lower() == ".xlsx" else None)
    frame = frame.rename(columns={name: _COLUMNS.get(plain_name(name), name) for name in frame.columns})
    absent = [name for name, own in _COLUMNS.items() if own not in frame]
    if absent:
        raise CohortError(f"{path.name}: not the CDD-CESM workbook; no column {absent[0]!r}")
    annotations: dict[str, Annotation] = {}
    failures = []
    for line, cells in zip(frame.index, frame.to_numpy().tolist(), strict=True):
        row = dict(zip(frame.columns, cells, strict=True))
        try:
            annotation = _annotation(row)
        except CaseError as error:
            name = row["image_name"].strip() or f"row {line}"
            failures.append(Failure(name, "cohort", error.code, f"row {line}: {error}"))
            continue
        if annotation.name in annotations:
            raise CohortError(f"{path.name}: row {line} names {annotation.name} again; one row per image")
        annotations[annotation.name] = annotation
    return list(annotations.values()), failures


def _annotation(row: Mapping[str, str]) -> Annotation:
    name = image_stem(row["image_name"] + ".jpg")
    match = _NAME.fullmatch(name)
    if match is None:
        raise CaseError("image_name.unknown", f"{row['image_name']!r} is no CDD-CESM name such as P40_L_DM_MLO")
    finding = row["finding"].strip().lower()
    if finding not in FINDINGS:
        raise CaseError("label.unknown", f"{row['finding']!r} is not one of {', '.join(FINDINGS)}")
    image_type, view = parse_image_type(match["type"]), match["view"] + match["number"]
    stated = (
        row["patient"].strip(),
        parse_laterality(row["side"]),
        parse_image_type(row["type"]),
        parse_view(row["view"]),
    )
    density = row["density"].strip().upper()
    return Annotation(
        name=name,
        patient=match["patient"],
        side=match["side"],
        image_type=image_type,
        view=view,
        finding=finding,
        age=row["age"].strip(),
        density="" if density == "_" else density,
        birads=row["birads"].strip(),
        findings=" $ ".join(part.strip() for part in row["findings"].split("$") if part.strip()),
        tags=row["tags"].strip(),
        machine=row["machine"].strip(),
        padded=row["image_name"] != name,
        agrees=stated == (match["patient"], match["side"], image_type, match["view"]),
    )


def by_breast(annotations: tuple[Annotation, ...]) -> dict[str, list[Annotation]]:
    """Annotations of each breast, in the order of the workbook."""
    groups: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.breast, []).append(annotation)
    return groups


def pairs(annotations: tuple[Annotation, ...]) -> list[tuple[Annotation, Annotation]]:
    """Low-energy and recombined image of each view that has both."""
    recombined = {(a.breast, a.view): a for a in annotations if a.image_type == "RC"}
    return [
        (a, recombined[a.breast, a.view])
        for a in annotations
        if a.image_type == "LE" and (a.breast, a.view) in recombined
    ]
