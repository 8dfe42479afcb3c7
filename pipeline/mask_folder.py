"""The folder of drawn masks: what a drawer made of every picture, as files that people and later runs read.

::

    masks.json      who drew: settings, versions, hashes of weights, whom it was trained on
    masks.csv       a row per case and picture: what was found, or why nothing was
    regions.csv     a row per candidate region, accepted or not
    masks/          0 and 255: the accepted regions together
    regions/        the numbers of the candidates
    review.csv      what a reader says of them (see verdicts)

Every file appears whole or not at all; a mask carries its hash, and one that was altered is refused.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..features.cells import guard, quoting
from ..features.decoded import file_content
from ..features.errors import CaseError, CohortError, StudyError, TableError
from ..features.training_ids import TrainingIds
from ..features.whole import write_whole
from .roots import Roots
from .text_table import read_text_table

SCHEMA = 1
RECORD_FILE, MASKS_FILE, REGIONS_FILE = "masks.json", "masks.csv", "regions.csv"
MASKS, REGIONS = "masks", "regions"

Place = tuple[str, str]
"""A case's id and the name of its picture."""
R = TypeVar("R", "MaskRow", "RegionRow")


@dataclass(frozen=True)
class MaskRow:
    """What was made of one picture of one case.

    Parameters
    ----------
    case_id, patient_id, picture : str
    state : {"ok", "none", "failed", "skipped"}
        ``none``: no region was accepted. ``failed``: `code` and `reason` say why. ``skipped``: a reader's mask was
        there.
    code, reason : str
        As in a :class:`~cemrad.features.failure.Failure`.
    file, sha256 : str
        The mask, relative to the folder, and its hash; empty without one.
    regions_file, regions_sha256 : str
        The same of the candidates' numbers.
    rows, columns, area_px, n_regions, n_accepted : int, optional
    score : float, optional
        The highest of an accepted region.
    drawn_on : str
        Image type from which it was carried over; else empty.
    rows_px, columns_px : float, optional
        How far it was carried.
    shift_method : str
    shift_quality : float, optional
    source : str
        ``automatic``.
    model : str
        Which of the folder's training records is that of the model that drew it; empty where none learned.
    notes : str
        The drawer's, one sentence after another.
    hint : str
        Points and boxes that the user gave, as JSON; empty without any.
    key : str
        Hash of what it was drawn from and by what; empty where the pictures' content is not known.
    """

    case_id: str
    patient_id: str
    picture: str
    state: Literal["ok", "none", "failed", "skipped"]
    code: str = ""
    reason: str = ""
    file: str = ""
    sha256: str = ""
    regions_file: str = ""
    regions_sha256: str = ""
    rows: int | None = None
    columns: int | None = None
    area_px: int | None = None
    n_regions: int | None = None
    n_accepted: int | None = None
    score: float | None = None
    drawn_on: str = ""
    rows_px: float | None = None
    columns_px: float | None = None
    shift_method: str = ""
    shift_quality: float | None = None
    source: str = "automatic"
    model: str = ""
    notes: str = ""
    hint: str = ""
    key: str = ""

    @property
    def place(self) -> Place:
        """Case and picture."""
        return self.case_id, self.picture

    @property
    def drawing(self) -> str:
        """Which drawing a verdict was about; empty where there is nothing to see."""
        if not self.regions_sha256:
            return ""
        return hashlib.sha256(f"{self.sha256} {self.regions_sha256}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RegionRow:
    """One candidate of one picture; its box is half-open."""

    case_id: str
    picture: str
    region: int
    area_px: int
    score: float
    accepted: bool
    top: int
    bottom: int
    left: int
    right: int
    reason: str = ""


class MaskFolder:
    """What a folder of drawn masks holds.

    Parameters
    ----------
    path : Path
    drawer : mapping
        Provenance of what drew.
    phantom : bool
        True where the pictures are simulated.
    """

    def __init__(self, path: Path, drawer: Mapping[str, Any], *, phantom: bool = False) -> None:
        self.path = path
        self.drawer = plain(drawer)
        self.phantom = phantom
        self.models: dict[str, TrainingIds] = {}
        self.rows: dict[Place, MaskRow] = {}
        self.regions: dict[Place, tuple[RegionRow, ...]] = {}

    @property
    def name(self) -> str:
        """What drew, for people: ``name`` of its provenance, else its ``source``."""
        return str(self.drawer.get("name") or self.drawer.get("source") or "a drawer without a name")

    @classmethod
    def open(cls, path: Path) -> MaskFolder:
        """Read a folder.

        Raises
        ------
        StudyError
            If it is none, of another version, or damaged; masks themselves are checked when they are read.
        """
        record = _read_record(path)
        folder = cls(path, record["drawer"], phantom=bool(record.get("phantom", False)))
        try:
            folder.models = {str(key): TrainingIds.from_record(ids) for key, ids in record["models"].items()}
        except (AttributeError, KeyError, TableError) as error:
            raise StudyError(f"{path / RECORD_FILE}: {error}; draw the masks again") from None
        for row in _read_rows(path / MASKS_FILE, MaskRow):
            folder.rows[row.place] = row
        found: dict[Place, list[RegionRow]] = {}
        for region in _read_rows(path / REGIONS_FILE, RegionRow):
            found.setdefault((region.case_id, region.picture), []).append(region)
        folder.regions = {place: tuple(rows) for place, rows in found.items()}
        return folder

    def put(
        self,
        row: MaskRow,
        regions: tuple[RegionRow, ...] = (),
        files: Mapping[str, bytes] | None = None,
        model: TrainingIds | None = None,
    ) -> MaskRow:
        """Take up what was made of a picture; its files are on the disk when this returns.

        Parameters
        ----------
        row : MaskRow
            With the names of its files.
        regions : tuple of RegionRow
        files : mapping of str to bytes
            Content of `row.file` and `row.regions_file`.
        model : TrainingIds, optional
            Whom the model that drew it had seen.
        """
        before = self.rows.get(row.place)
        for name, content in (files or {}).items():
            place = self.path / name
            write_whole(place.parent, {place.name: partial(_write, content)})
        made = row
        if model is not None:
            made = replace(row, model=fingerprint_of(model.as_record())[:12])
            self.models[made.model] = model
        if before is not None and before.file and not made.file:
            (self.path / MASKS / Path(before.file).name).unlink(missing_ok=True)  # or people would take it for a mask
        self.rows[made.place] = made
        if regions:
            self.regions[made.place] = regions
        else:
            self.regions.pop(made.place, None)
        return made

    def forget(self) -> None:
        """Remove every mask from the disk; tables and record stay until others are saved."""
        for row in self.rows.values():
            for name in filter(None, (row.file, row.regions_file)):
                with suppress(CaseError):  # it is gone already, or not ours
                    self.file(name).unlink()

    def save(self) -> None:
        """Write the tables and the record; raises OSError if the disk is full, and changes nothing then."""
        rows = [self.rows[place] for place in sorted(self.rows)]
        regions = [region for row in rows for region in self.regions.get(row.place, ())]
        record = {
            "schema": SCHEMA,
            "phantom": self.phantom,
            "drawer": self.drawer,
            "models": {key: ids.as_record() for key, ids in sorted(self.models.items())},
        }
        texts = {
            MASKS_FILE: csv_text(map(asdict, rows), [field.name for field in fields(MaskRow)]),
            REGIONS_FILE: csv_text(map(asdict, regions), [field.name for field in fields(RegionRow)]),
            RECORD_FILE: json.dumps(record, indent=1, sort_keys=True) + "\n",
        }
        write_whole(self.path, {name: partial(_write, text.encode()) for name, text in texts.items()})

    def is_whole(self, row: MaskRow) -> bool:
        """Whether the files of a row are there and hold what was written."""
        stated = ((row.file, row.sha256), (row.regions_file, row.regions_sha256))
        try:
            for name, sha256 in stated:
                if name:
                    file_content(self.file(name), sha256)
        except CaseError:
            return False
        return True

    def file(self, name: str) -> Path:
        """A file of this folder; raises CaseError where the name leads elsewhere or nowhere."""
        return Roots(self.path).file(name)


def _write(content: bytes, path: Path) -> int:
    return path.write_bytes(content)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance as JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


def fingerprint_of(values: Any) -> str:
    """SHA-256 of JSON values, whatever the order of their keys.

    Examples
    --------
    >>> fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def csv_text(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> str:
    """Rows as a CSV file's text; None is an empty cell, True and False are ``yes`` and ``no``; no cell is a formula."""
    stream = StringIO()
    lines = [list(map(guard, columns)), *([_cell(row.get(name)) for name in columns] for row in rows)]
    csv.writer(stream, lineterminator="\n", quoting=quoting(chain.from_iterable(lines))).writerows(lines)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, float) else guard(str(value))


def _read_record(path: Path) -> dict[str, Any]:
    file = path / RECORD_FILE
    if not file.is_file():
        raise StudyError(f"{path}: no folder of drawn masks ({RECORD_FILE} is not there); draw masks first")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        schema = record["schema"]
        if schema == SCHEMA and isinstance(record["drawer"], dict):
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise StudyError(f"{file}: not a record of drawn masks; draw them again in a new folder") from None
    raise StudyError(f"{file}: of schema {schema!r}, and this version reads {SCHEMA}; draw the masks again")


def _read_rows(path: Path, kind: type[R]) -> list[R]:
    try:
        frame = read_text_table(path)
    except CohortError as error:
        raise StudyError(f"{error}; draw the masks again") from None
    names = [field.name for field in fields(kind)]
    absent = [name for name in names if name not in frame]
    if absent:
        raise StudyError(f"{path}: no column {absent[0]!r}; the file was altered: draw the masks again")
    read = TypeAdapter(kind).validate_python
    rows = []
    for line, cells in zip(frame.index, frame[names].to_numpy().tolist(), strict=True):
        try:
            rows.append(read({name: text for name, text in zip(names, cells, strict=True) if text != ""}))
        except ValidationError:
            raise StudyError(f"{path}: line {line} is damaged; restore the file or draw the masks again") from None
    return rows
