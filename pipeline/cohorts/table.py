"""Feature tables that a user already has: straight to modelling, without images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import field_validator

from ...features.case import Case
from ...features.errors import CohortError
from ...features.failure import Failure, State, failures_frame
from ...features.settings import Settings as BaseSettings
from ...features.settings import nearest
from ...features.table import CASE_COLUMNS, FeatureTable
from ..cohort import Cohort, Note
from ..identity import refuse_ambiguous, refuse_repeated
from ..labels import MISSING, canonical_label, plain_name, statement_of, value_of
from ..manifest_columns import known_clinical, unreadable_number
from ..text_table import read_text_table

FAMILIES = ("radiomics", "deep", "clinical")
PICTURE = "table"
"""Picture name of columns that do not state one."""

_INDEX_NAMES = ("", "unnamed_0", "index_level_0")  # how CSV and Parquet store an index without a name
_ID_NAMES = ("case_id", "caseid", "case", "id", *_INDEX_NAMES, "index")
_PATIENT_NAMES = ("patient_id", "patientid", "patient", "pid", "subject_id", "subject")
_NEVER_FEATURES = {*_ID_NAMES, *_PATIENT_NAMES}
_OUTCOME_NAMES = ("label", "target", "outcome", "class", "y", "event")


class Settings(BaseSettings):
    """Where a feature table is and what its columns are."""

    path: Path
    id: str | None = None
    """Column of the case ids. Without it: case_id, ID, or the column without a name; else the row's number."""
    patient: str | None = None
    """Column that says which rows are one person; every row is one, without such a column."""
    label: str | None = None
    """Column of the outcome."""
    labels: tuple[str, ...] = ()
    """More columns of outcomes, never features."""
    clinical: tuple[str, ...] | None = None
    """Columns of clinical values, kept apart from image features; age and density where they are there, without it."""
    info: tuple[str, ...] = ()
    """Columns kept beside the case, never features: an exam's id, the site, the vendor."""
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    family: str = "radiomics"
    """Family of columns that are not named family:picture:feature."""
    deep: str | None = None
    """Regular expression of the names of deep features, such as ``^resnet``."""

    @field_validator("info")
    @classmethod
    def _free_names(cls, info: tuple[str, ...]) -> tuple[str, ...]:
        if taken := sorted({*info} & {*CASE_COLUMNS}):
            raise ValueError(f"every case has {', '.join(taken)} of its own; rename the column")
        return info


@dataclass(frozen=True)
class _Columns:
    id: str | None
    patient: str | None
    labels: Mapping[str, str]
    info: tuple[str, ...]
    guessed: tuple[str, ...]
    clinical: Mapping[str, str]
    known: tuple[str, ...]
    indices: tuple[str, ...]
    diagnostics: tuple[str, ...]
    features: tuple[str, ...]


def read(settings: Settings) -> Cohort:
    """A cohort whose feature table is given.

    Columns named ``family:picture:feature`` keep their name; any other becomes
    ``radiomics:table:<name>``, or of another family as the settings say. Columns with the name of a
    label are labels, columns of age and density clinical values, and more columns of ids and the
    ``diagnostics_*`` of pyradiomics are left out: none is a feature. A missing cell stays missing
    and is a row of the failures.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    Cohort
        Cases without pictures; ``table`` holds the features.

    Raises
    ------
    CohortError
        If a named column is absent, a feature is not numeric, or a case id occurs twice.
    """
    frame = read_text_table(settings.path)
    where = settings.path.name
    if frame.empty:
        raise CohortError(f"{where}: no rows below the header")
    columns = _place(list(frame.columns), settings, where)
    cases = _cases(frame, columns, where)
    names = _feature_names(columns.features, settings, where)
    numbers, wrong = _numbers(frame, columns.features, where)
    index = pd.Index([case.case_id for case in cases], dtype=object)
    failures = _value_failures(index.tolist(), columns.features, numbers, wrong)
    values = pd.DataFrame(np.where(np.isfinite(numbers), numbers, np.nan), index=index, columns=names)
    cohort = Cohort(settings.path.name.split(".")[0], cases)
    table = FeatureTable(values, cohort.case_frame(), failures_frame(failures), {"source": where})
    counts = {
        "rows": len(frame),
        "cases": len(cases),
        "patients": len({case.patient_id for case in cases}),
        "features": len(names),
    }
    notes = tuple(_notes(columns, cases, numbers))
    return Cohort(cohort.name, cases, notes=notes, counts=counts, table=table)


def _place(columns: Sequence[str], settings: Settings, where: str) -> _Columns:
    further = (*settings.labels, *(settings.clinical or ()), *settings.info, *settings.drop)
    named = [settings.id, settings.patient, settings.label, *further]
    for name in named:
        if name is not None and name not in columns:
            guess = nearest(name, columns)
            raise CohortError(f"{where}: no column {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    given = {name for name in named if name is not None}
    free = [name for name in columns if name not in given]
    id_column = settings.id if settings.id is not None else _first(_ID_NAMES, free)
    patient = settings.patient if settings.patient is not None else _first(_PATIENT_NAMES, free)
    stated = [name for name in (settings.label, *settings.labels) if name is not None]
    guessed = [
        name
        for name in free
        if name not in (id_column, patient) and (canonical_label(name) or plain_name(name) in _OUTCOME_NAMES)
    ]
    labels: dict[str, str] = {}
    for name in (*stated, *guessed):
        own = canonical_label(name) or name
        if own in labels:
            raise CohortError(f"{where}: columns {labels[own]!r} and {name!r} both state {own}; drop one of them")
        labels[own] = name
    used = {*given, *labels.values(), id_column, patient}
    rest = [name for name in columns if name not in used]
    known = known_clinical(rest) if settings.clinical is None else {}
    clinical = known if settings.clinical is None else {name: name for name in settings.clinical}
    indices = tuple(name for name in rest if plain_name(name) in _NEVER_FEATURES)
    diagnostics = tuple(name for name in rest if name.startswith("diagnostics_"))
    left = {*known.values(), *indices, *diagnostics}
    features = tuple(name for name in rest if name not in left)
    return _Columns(
        id_column, patient, labels, settings.info, tuple(guessed), clinical, tuple(known.values()), indices,
        diagnostics, features,
    )  # fmt: skip


def _first(names: Sequence[str], columns: Sequence[str]) -> str | None:
    by_plain = {plain_name(column): column for column in reversed(columns)}
    return next((by_plain[name] for name in names if name in by_plain), None)


def _cases(frame: pd.DataFrame, columns: _Columns, where: str) -> tuple[Case, ...]:
    numbers = [str(number) for number in range(1, len(frame) + 1)]
    ids = numbers if columns.id is None else frame[columns.id].tolist()
    if columns.id is None and columns.patient is not None and frame[columns.patient].is_unique:
        ids = frame[columns.patient].tolist()
    patients = ids if columns.patient is None else frame[columns.patient].tolist()
    for what, found in (("case id", ids), ("patient id", patients)):
        empty = [line for line, name in zip(frame.index, found, strict=True) if not name.strip()]
        if empty:
            raise CohortError(f"{where}: no {what} in line {', '.join(map(str, empty))}")
        refuse_ambiguous(found, what=what, where=where)
    refuse_repeated(ids, what="a case id", where=where, advice="one row per case; name the id column as id")
    for name, column in columns.clinical.items():
        for line, cell in zip(frame.index, frame[column].tolist(), strict=True):
            problem = unreadable_number(name, cell)
            if problem:
                raise CohortError(f"{where}: line {line}: {column} {cell!r} {problem}")
    records = frame.to_dict("records")
    return tuple(
        Case(
            case_id=case_id,
            patient_id=patient,
            clinical={name: value_of(row[column]) for name, column in columns.clinical.items()},
            labels={own: statement_of(row[column]) for own, column in columns.labels.items()},
            info={name: "" if (text := row[name].strip()).lower() in MISSING else text for name in columns.info},
        )
        for case_id, patient, row in zip(ids, patients, records, strict=True)
    )


def _feature_names(features: Sequence[str], settings: Settings, where: str) -> list[str]:
    if not features:
        raise CohortError(f"{where}: no column is left for features")
    try:
        deep = re.compile(settings.deep) if settings.deep else None
    except re.error as error:
        raise CohortError(f"deep: not a regular expression ({error})") from None
    names = []
    for name in features:
        parts = name.split(":", 2)
        if len(parts) == 3 and parts[0] in FAMILIES and all(parts):
            names.append(name)
        else:
            family = "deep" if deep and deep.search(name) else settings.family
            names.append(f"{family}:{PICTURE}:{name}")
    return names


def _numbers(frame: pd.DataFrame, features: Sequence[str], where: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values (rows, features), NaN where a cell is missing; and where a cell states infinity."""
    numbers = np.empty((len(frame), len(features)))
    words: dict[str, str] = {}
    for position, name in enumerate(features):
        cells = frame[name].tolist()
        try:
            numbers[:, position] = [np.nan if cell.strip().lower() in MISSING else float(cell) for cell in cells]
        except ValueError as error:
            cell = str(error).rpartition(": ")[2]
            line = next(line for line, text in zip(frame.index, cells, strict=True) if repr(text) == cell)
            words[name] = f"{cell} in line {line}"
    if words:
        shown = ", ".join(f"{name} (holds {cell})" for name, cell in words.items())
        raise CohortError(
            f"{where}: not numeric, so not features: {shown}; name them under id, patient, labels, clinical or drop"
        )
    return numbers, np.isinf(numbers)


def _value_failures(
    ids: list[str], features: Sequence[str], numbers: NDArray[np.float64], infinite: NDArray[np.bool_]
) -> list[Failure]:
    kinds: tuple[tuple[str, State, str, NDArray[np.bool_]], ...] = (
        ("feature.missing", "skipped", "no value in", np.isnan(numbers)),
        ("feature.infinite", "failed", "infinite in", infinite),
    )
    failures = []
    for code, state, what, bad in kinds:
        for row in np.flatnonzero(bad.any(axis=1)).tolist():
            named = [name for name, hit in zip(features, bad[row].tolist(), strict=True) if hit]
            reason = f"{what} {len(named)} columns: {', '.join(named[:5])}" + (", ..." if len(named) > 5 else "")
            failures.append(Failure(ids[row], "cohort", code, reason, state=state))
    return failures


def _notes(columns: _Columns, cases: Sequence[Case], numbers: NDArray[np.float64]) -> list[Note]:
    notes = []
    if columns.id is None and columns.patient is None:
        notes.append(Note("table.row_ids", "no column of ids: rows are numbered from 1", len(cases)))
    if columns.patient is None:
        text = "no column of patients: every row is taken as a patient of its own; if not, name the column as patient"
        notes.append(Note("table.patient_per_row", text, len(cases)))
    for code, text, names in (
        ("table.labels", "columns taken as labels because of their names; they are not features", columns.guessed),
        ("table.clinical", "columns taken as clinical values because of their names", columns.known),
        ("table.indices", "further columns of ids or row numbers, left out: they are not features", columns.indices),
        ("table.diagnostics", "columns in which pyradiomics describes its own run, left out", columns.diagnostics),
    ):
        if names:
            notes.append(Note(code, text, len(names), names))
    missing = np.isnan(numbers)
    if missing.any():
        hit = tuple(columns.features[k] for k in np.flatnonzero(missing.any(axis=0)).tolist())
        text = f"missing values in {int(missing.any(axis=1).sum())} rows and {len(hit)} columns"
        notes.append(Note("table.missing", text, int(missing.sum()), hit))
    return notes
