"""Manifests: a table of images and masks, as pyradiomics reads it or with patient, lesion, view and image type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import pandas as pd

from ...features.case import Case, Laterality, Picture, PictureKey, Value
from ...features.errors import CaseError, CohortError, MaskError
from ...features.failure import Failure
from ...features.imagefile import ImageFile
from ...features.mask import MaskSource
from ...features.settings import Settings as BaseSettings
from ..cohort import Cohort, Note
from ..file_hints import RowFiles, Said, doubts
from ..identity import contradictions, image_names, refuse_ambiguous, refuse_repeated
from ..labels import PROBLEM_TEXT, settle_all, statement_of, value_of
from ..manifest_columns import (
    ManifestColumns,
    find_columns,
    implausible,
    parse_image_type,
    parse_laterality,
    parse_view,
    person_columns,
    unreadable_number,
)
from ..masks.label_image import LabelImage
from ..masks.via import ViaImage, ViaMask, read_via
from ..roots import Roots
from ..text_table import read_text_table


class Settings(BaseSettings):
    """Where a manifest is and how to read it."""

    path: Path
    one_row_per: Literal["lesion", "image"] | None = None
    """What becomes a case. Without it: lesion where the manifest states image types, else image."""
    clinical: tuple[str, ...] | None = None
    """Columns of clinical values; age and density where they are there, without it."""
    labels: tuple[str, ...] = ()
    """Columns of labels beside those whose names are known."""
    mask_threshold: float | None = None
    """Grey value above which a mask's pixel is lesion; JPEG masks take 127 without it."""
    root: Path | None = None
    """A folder besides the manifest's own in which files may lie."""


@dataclass(frozen=True)
class _Row:
    line: int
    cells: Mapping[str, str]
    case_id: str
    patient_id: str
    laterality: Laterality
    lesion_id: str
    key: PictureKey | None
    picture: Picture | None


def read(settings: Settings) -> Cohort:
    """Cases of a manifest; files are looked for and not decoded.

    With one row per lesion, rows that agree in patient, laterality and lesion are pictures of one
    case. With one row per image every row is a case whose one picture is ``IMG``.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    Cohort
        A row that cannot be used is a failure and leaves the others as they are.

    Raises
    ------
    CohortError
        If the table cannot be read, lacks a column, or states a case or picture twice.
    """
    frame = read_text_table(settings.path)
    where = settings.path.name
    if frame.empty:
        raise CohortError(f"{where}: no rows below the header")
    columns = find_columns(list(frame.columns), settings.labels, settings.clinical, where=where)
    reader = _Reader(settings, columns, _by_image(settings, columns, where))
    rows = reader.rows(frame)
    refuse_ambiguous((row.patient_id for row in rows), what="patient id", where=where)
    if reader.by_image and "case_id" in columns.roles:
        refuse_ambiguous((row.case_id for row in rows), what="case id", where=where)
    rows = reader.consistent(rows)
    reader.doubt(rows)
    names = (f"{row.case_id} {row.key.name}" for row in rows if row.key is not None)
    refuse_repeated(names, what="a picture", where=where, advice="keep one row of each, or add case_id")
    cases = tuple(reader.cases(rows))
    counts = {
        "rows": len(frame),
        "cases": len(cases),
        "patients": len({case.patient_id for case in cases}),
        "breasts": len({case.breast_id for case in cases}),
        "images": len({picture.image for case in cases for picture in case.pictures.values()}),
    }
    return Cohort(settings.path.stem, cases, tuple(reader.failures), tuple(reader.notes(rows, cases)), counts)


def _by_image(settings: Settings, columns: ManifestColumns, where: str) -> bool:
    if settings.one_row_per == "image":
        return True
    if settings.one_row_per is None and "image_type" not in columns.roles:
        return True
    for role in ("patient_id", "image_type"):
        if role not in columns.roles:
            raise CohortError(f"{where}: no column {role!r}, which one row per lesion needs; or set one_row_per: image")
    return False


class _Reader:
    """Turns rows into cases and keeps account of what it could not use."""

    def __init__(self, settings: Settings, columns: ManifestColumns, by_image: bool) -> None:
        self.settings = settings
        self.columns = columns
        self.by_image = by_image
        self.roots = Roots(settings.path.resolve().parent, settings.root)
        self.failures: list[Failure] = []
        self.graded: list[str] = []
        self.unmasked: list[str] = []
        self.via_files: dict[Path, dict[str, ViaImage]] = {}

    def cell(self, cells: Mapping[str, str], role: str) -> str:
        return cells[self.columns.roles[role]] if role in self.columns.roles else ""

    def rows(self, frame: pd.DataFrame) -> list[_Row]:
        records = [dict(zip(frame.columns, row, strict=True)) for row in frame.to_numpy().tolist()]
        stems = self._image_case_ids(records) if self.by_image else [""] * len(records)
        found = []
        for line, cells, stem in zip(frame.index.tolist(), records, stems, strict=True):
            try:
                found.append(self._row(line, cells, stem))
            except CaseError as error:
                self.failures.append(Failure(stem or f"row {line}", "cohort", error.code, f"row {line}: {error}"))
        return found

    def consistent(self, rows: list[_Row]) -> list[_Row]:
        """Rows without those of two persons who share an id; what no person's row says is warned of."""
        if not rows:
            return rows
        facts, today = person_columns(list(rows[0].cells)), date.today()
        said = ((row.patient_id, {fact: row.cells[column] for fact, column in facts.items()}) for row in rows)
        clashing = contradictions(said)
        for row in rows:
            if row.patient_id in clashing:
                several = " and ".join(
                    f"more than one {fact}" for fact in clashing[row.patient_id]
                )  # not which: private
                reason = f"row {row.line}: patient id {row.patient_id!r} is stated with {several}"
                advice = "give two persons two ids, or correct the table"
                self.failures.append(Failure(row.case_id, "cohort", "id.conflict", f"{reason}; {advice}"))
                continue
            for oddity in implausible(row.cells, today):
                reason = f"row {row.line}: {oddity}; it is used as it stands: correct the table"
                self.failures.append(Failure(row.case_id, "cohort", "row.implausible", reason, state="warned"))
        return [row for row in rows if row.patient_id not in clashing]

    def doubt(self, rows: list[_Row]) -> None:
        """Warn of rows whose files, by their names or bytes, may be those of another picture."""
        files = {row.line: self._files(row, row.picture) for row in rows if row.picture is not None}
        found = doubts(list(files.values()))
        for row in rows:
            for code, reason in found.get(row.line, ()):
                picture = row.key.name if row.key is not None else ""
                stage = code.partition(".")[0]
                self.failures.append(Failure(row.case_id, stage, code, f"row {row.line}: {reason}", picture, "warned"))

    def _files(self, row: _Row, picture: Picture) -> RowFiles:
        assert isinstance(picture.image, ImageFile)
        try:
            image_type = parse_image_type(self.cell(row.cells, "image_type"))
        except CaseError:  # not used with one row per image
            image_type = ""
        stated = Said(row.laterality, parse_view(self.cell(row.cells, "view")), image_type)
        patient = self.cell(row.cells, "patient_id")
        mask = picture.mask if isinstance(picture.mask, LabelImage) else None
        mask_path, label = (None, None) if mask is None else (mask.path, mask.label)
        return RowFiles(row.line, stated, patient, picture.image.path, mask_path, label)

    def _image_case_ids(self, records: list[dict[str, str]]) -> list[str]:
        """The column of case ids; else names of the files, with the mask's label where an image has several."""
        if "case_id" in self.columns.roles:
            return [self.cell(cells, "case_id") for cells in records]
        paths = [self.cell(cells, "image_path").strip().replace("\\", "/") for cells in records]
        names = image_names(dict(zip(paths, (self.cell(cells, "patient_id") for cells in records), strict=True)))
        labels = [self.cell(cells, "mask_label") for cells in records]
        several = {path for path in paths if paths.count(path) > 1}
        return [
            f"{names[path]}_{label}" if path in several and label else names[path]
            for path, label in zip(paths, labels, strict=True)
        ]

    def _row(self, line: int, cells: Mapping[str, str], stem: str) -> _Row:
        patient = self.cell(cells, "patient_id")
        if self.by_image and "patient_id" not in self.columns.roles:
            patient = stem
        if not patient.strip() or (self.by_image and not stem):
            raise CaseError("id.missing", "no id in this row; state whose picture it is")
        if "\0" in patient + stem + self.cell(cells, "lesion_id"):
            raise CaseError("id.invalid", "an id holds a NUL character, at which some readers of a table end it")
        laterality = parse_laterality(self.cell(cells, "laterality"))
        lesion = self.cell(cells, "lesion_id") or "1"
        case_id = stem if self.by_image else "_".join(part for part in (patient, laterality, lesion) if part)
        key, picture = self._picture(line, cells, case_id)
        return _Row(line, cells, case_id, patient, laterality, lesion, key, picture)

    def _picture(self, line: int, cells: Mapping[str, str], case_id: str) -> tuple[PictureKey | None, Picture | None]:
        """Key and picture of a row; None, with a failure, for what is not to be had."""
        key = None
        stage = "cohort"
        try:
            view = parse_view(self.cell(cells, "view"))
            key = PictureKey("IMG") if self.by_image else self._key(cells, view)
            stage = "image"
            path = self.roots.file(self.cell(cells, "image_path"))
            stage = "mask"
            mask = self._mask(cells, path.name)
        except CaseError as error:
            picture = key.name if key is not None else ""
            self.failures.append(Failure(case_id, stage, error.code, f"row {line}: {error}", picture))
            return key, None
        if mask is None:
            self.unmasked.append(f"{case_id} {key.name}")
        return key, Picture(ImageFile(path, self.cell(cells, "image_sha256") or None), mask)

    def _key(self, cells: Mapping[str, str], view: str) -> PictureKey:
        return PictureKey(parse_image_type(self.cell(cells, "image_type")), view)

    def _mask(self, cells: Mapping[str, str], image_name: str) -> MaskSource | None:
        text = self.cell(cells, "mask_path")
        if not text.strip():
            return None
        path = self.roots.file(text)
        if path.suffix.lower() in (".json", ".csv"):
            drawn = self._via(path).get(image_name)
            if drawn is None or not drawn.regions:
                raise MaskError("mask.missing", f"{path.name}: holds no region of {image_name}")
            return ViaMask(drawn.regions)
        label = value_of(self.cell(cells, "mask_label"))
        if label is not None and not isinstance(label, int):
            raise MaskError("mask.label_invalid", f"mask label {label!r} is not a whole number")
        return LabelImage(path, label, self.settings.mask_threshold, self.cell(cells, "mask_sha256") or None)

    def cases(self, rows: list[_Row]) -> Iterable[Case]:
        groups: dict[str, list[_Row]] = {}
        for row in rows:
            groups.setdefault(row.case_id, []).append(row)
        for case_id, group in groups.items():
            pictures = {row.key: row.picture for row in group if row.key is not None and row.picture is not None}
            if pictures:  # without any, the failures of its rows say why
                yield self._case(case_id, group, pictures)

    def _case(self, case_id: str, group: list[_Row], pictures: Mapping[PictureKey, Picture]) -> Case:
        first = group[0]
        if len({(row.patient_id, row.laterality, row.lesion_id) for row in group}) > 1:
            raise CohortError(f"{self.settings.path.name}: rows of different lesions make one case id {case_id!r}")
        statements = {
            name: [statement_of(row.cells[column]) for row in group] for name, column in self.columns.labels.items()
        }
        labels, problems, graded = settle_all(statements)
        for name, code in problems.items():
            reason = PROBLEM_TEXT[code].format(name=name)
            self.failures.append(Failure(case_id, "label", code, reason, state="warned"))
        self.graded += [case_id] if graded else []
        return Case(
            case_id=case_id,
            patient_id=first.patient_id,
            laterality=first.laterality,
            lesion_id="" if self.by_image else first.lesion_id,
            pictures=pictures,
            clinical=self._clinical(case_id, group),
            labels=labels,
            info=self._info(group),
        )

    def _clinical(self, case_id: str, group: list[_Row]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, column in self.columns.clinical.items():
            unread = [(row, problem) for row in group if (problem := unreadable_number(name, row.cells[column]))]
            if unread:
                reason = (
                    f"row {unread[0][0].line}: {name} {unread[0][0].cells[column]!r} {unread[0][1]}; it is left out"
                )
                self.failures.append(Failure(case_id, "cohort", "clinical.not_number", reason))
                values[name] = None
                continue
            stated = list(dict.fromkeys(v for row in group if (v := value_of(row.cells[column])) is not None))
            values[name] = stated[0] if len(stated) == 1 else None
            if len(stated) > 1:
                reason = f"rows of one lesion contradict each other in {name}; it is left out: correct the table"
                self.failures.append(Failure(case_id, "cohort", "clinical.conflict", reason, state="warned"))
        return values

    def _info(self, group: list[_Row]) -> dict[str, str]:
        columns = {name: name for name in self.columns.info}
        # Lesions are named by patient, side and lesion; `case_id` itself is what those names are called.
        unused = {"image_type": "", "view": ""} if self.by_image else {"case_id": "manifest_case_id"}
        for role, own in unused.items():
            if role in self.columns.roles:
                columns[own or self.columns.roles[role]] = self.columns.roles[role]
        return {
            name: "; ".join(dict.fromkeys(row.cells[column] for row in group if row.cells[column]))
            for name, column in columns.items()
        }

    def notes(self, rows: list[_Row], cases: tuple[Case, ...]) -> Iterable[Note]:
        if "patient_id" not in self.columns.roles:
            text = "no column of patients: every row is taken as a patient of its own; if not, add patient_id"
            yield Note("manifest.patient_per_row", text, len(rows), tuple(row.case_id for row in rows))
        half_sided = _half_sided(cases) if not self.by_image else ()
        if half_sided:
            text = "lesions that some rows state with a side and others without: two cases each; state the side in all"
            yield Note("manifest.laterality_blank", text, len(half_sided), half_sided)
        if self.unmasked:
            absent = "" if "mask_path" in self.columns.roles else ", as the table has no column mask_path"
            yield Note("manifest.no_mask", f"pictures without a mask{absent}", len(self.unmasked), tuple(self.unmasked))
        if self.graded:
            text = "lesions whose rows state different findings; the most severe wins"
            yield Note("label.severity", text, len(self.graded), tuple(self.graded))

    def _via(self, path: Path) -> dict[str, ViaImage]:
        if path not in self.via_files:
            try:
                self.via_files[path] = read_via(path)
            except CohortError as error:
                raise MaskError("mask.malformed", str(error)) from None
        return self.via_files[path]


def _half_sided(cases: Iterable[Case]) -> tuple[str, ...]:
    """Case ids without a side whose patient has a lesion of the same id with one."""
    listed = list(cases)
    sided = {(case.patient_id, case.lesion_id) for case in listed if case.laterality}
    return tuple(c.case_id for c in listed if not c.laterality and (c.patient_id, c.lesion_id) in sided)
