"""The extraction stage: every feature family on every case, as one table with its failures."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ..features.case import Case, PictureKey
from ..features.clinical import encode_clinical
from ..features.errors import StudyError, WeightsError
from ..features.failure import Failure, failures_frame
from ..features.families import SHELF
from ..features.family import FamilyRow, FeatureFamily
from ..features.mask import MaskRules
from ..features.settings import Settings, parse_settings
from ..features.table import ColumnName, FeatureTable
from .cohort import Cohort
from .workers import Workers

LOG = logging.getLogger("cemrad")
Progress = Callable[[int, int, str], None]
CHUNK_CASES = 4
"""Cases per task. Fixed, so that batches, and with them the numbers, do not depend on the number of workers."""
_SHARED_STAGES = ("cohort", "image", "mask")


class FeatureSettings(Settings):
    """What is extracted from every case."""

    families: dict[str, dict[str, Any]] = Field(
        default={"radiomics": {}, "deep": {}}, description="family name to its own settings"
    )
    mask_rules: MaskRules = MaskRules()
    clinical: bool = Field(default=True, description="clinical values of the cases as columns")

    @field_validator("families", mode="before")
    @classmethod
    def _checked(cls, families: Any) -> Any:
        """Each family's settings, checked now, and without anything that a file elsewhere holds."""
        if not isinstance(families, Mapping):
            return families
        return {name: _check_family(name, raw) for name, raw in families.items()}


def extract(
    cohort: Cohort, settings: FeatureSettings, *, jobs: int = 1, progress: Progress | None = None
) -> FeatureTable:
    """Compute the feature table of a cohort.

    Columns are those of every family over all pictures that the cohort has, the same for every case. What a
    case does not give is NaN, and a failure says why. The numbers do not depend on `jobs`.

    Parameters
    ----------
    cohort : Cohort
        One that brings a table of features keeps it; clinical values are added.
    settings : FeatureSettings
    jobs : int
        Worker processes; 1 works in this process.
    progress : callable, optional
        Called with cases done, cases in all, and the family's name.

    Raises
    ------
    StudyError, WeightsError
        If a family cannot be made at all. A case never raises.
    """
    started = time.perf_counter()
    clinical, clinical_failures = encode_clinical(cohort.cases if settings.clinical else ())
    if cohort.table is not None:
        return _with_clinical(cohort.table, clinical, clinical_failures)
    recipes = [Recipe(name, json.dumps(raw), settings.mask_rules) for name, raw in settings.families.items()]
    families = {recipe.name: made(recipe) for recipe in recipes}
    provenance = {name: family.provenance() for name, family in families.items()}
    for name, record in provenance.items():
        for note in record.get("notes", []):
            LOG.warning("%s: %s", name, note)
    here = {name for name, record in provenance.items() if jobs == 1 or record.get("device") == "cuda"}
    rows, times = _rows(cohort.cases, recipes, here, jobs, progress)

    columns = {name: family.columns(cohort.picture_keys()) for name, family in families.items()}
    values = _assemble(cohort.cases, columns, rows)
    if settings.clinical:
        values = values.join(clinical)
    failures = [*cohort.failures, *_failures(cohort, columns, rows), *clinical_failures]
    record = {
        "cohort": cohort.name,
        "phantom": cohort.phantom,
        "mask_rules": settings.mask_rules.model_dump(mode="json"),
        "clinical": settings.clinical,
        "clinical_columns": clinical.columns.tolist(),
        "families": provenance,
        "counts": _counts(cohort, failures),
        "times_s": {name: round(value, 2) for name, value in times.items()}
        | {"wall": round(time.perf_counter() - started, 2)},
    }
    return FeatureTable(values, cohort.case_frame(), failures_frame(failures), record)


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to make a family: its name, its settings as JSON, and the rules for masks."""

    name: str
    settings: str
    rules: MaskRules


@dataclass(frozen=True, eq=False)
class Task:
    """A few cases for one family."""

    recipe: Recipe
    cases: tuple[Case, ...]


@lru_cache(maxsize=8)
def made(recipe: Recipe) -> FeatureFamily:
    """The family of a recipe; made once per process."""
    part = SHELF.take(recipe.name)
    where = f"features.families.{recipe.name}"
    family: FeatureFamily = part.Family(
        parse_settings(part.Settings, json.loads(recipe.settings), where=where), recipe.rules
    )
    return family


def work(task: Task) -> tuple[list[FamilyRow], float]:
    """Rows of a task and the seconds they took. A family that raises on some case loses only that one."""
    started = time.perf_counter()
    rows = _extract_each(made(task.recipe), task)
    return rows, time.perf_counter() - started


def _extract_each(family: FeatureFamily, task: Task) -> list[FamilyRow]:
    try:
        return family.extract(task.cases)
    except (StudyError, WeightsError):  # not this case's fault
        raise
    except Exception as error:  # a family's own fault, on data nobody foresaw: the run goes on
        if len(task.cases) > 1:
            return [row for single in _split(task) for row in _extract_each(family, single)]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return [_failed(task, "family.error", f"the family failed on this case: {reason}")]


def _split(task: Task) -> list[Task]:
    return [Task(task.recipe, (case,)) for case in task.cases]


def _failed(task: Task, code: str, reason: str) -> FamilyRow:
    case_id = task.cases[0].case_id
    return FamilyRow(case_id, failures=[Failure(case_id, task.recipe.name, code, reason)])


def _lost(task: Task) -> tuple[list[FamilyRow], float]:
    reason = "the process that worked on this case died, twice; too little memory, or a file that crashes its decoder"
    return [_failed(task, "worker.lost", reason)], 0.0


def _prepare(recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        made(recipe)


Rows = dict[str, dict[str, FamilyRow]]


def _rows(
    cases: Sequence[Case], recipes: Sequence[Recipe], here: set[str], jobs: int, progress: Progress | None
) -> tuple[Rows, dict[str, float]]:
    """Rows by family and case id, and seconds of work by family."""
    chunks = [tuple(cases[i : i + CHUNK_CASES]) for i in range(0, len(cases), CHUNK_CASES)]
    tasks = [Task(recipe, chunk) for chunk in chunks for recipe in recipes]
    remote = [recipe for recipe in recipes if recipe.name not in here]
    workers = Workers(work, jobs, prepare=partial(_prepare, remote), split=_split, lost=_lost)
    rows: Rows = {recipe.name: {} for recipe in recipes}
    times = dict.fromkeys(rows, 0.0)
    away, own = ([t for t in tasks if (t.recipe.name in here) is wanted] for wanted in (False, True))
    for task, (found, seconds) in workers.run(away, own):
        name = task.recipe.name
        rows[name].update({row.case_id: row for row in found})
        times[name] += seconds
        if progress is not None:
            progress(len(rows[name]), len(cases), name)
    return rows, times


def _assemble(cases: Sequence[Case], columns: Mapping[str, list[str]], rows: Rows) -> pd.DataFrame:
    names = [column for family in columns.values() for column in family]
    place = {column: i for i, column in enumerate(names)}
    values = np.full((len(cases), len(names)), np.nan)
    for i, case in enumerate(cases):
        for family in rows.values():
            found = family[case.case_id].values
            values[i, [place[column] for column in found]] = list(found.values())
    return pd.DataFrame(values, index=pd.Index([case.case_id for case in cases], dtype=object), columns=names)


def _failures(cohort: Cohort, columns: Mapping[str, list[str]], rows: Rows) -> Iterable[Failure]:
    """Failures case by case; a fault of a picture or its mask is told once, whoever met it."""
    expected = {name: _by_picture(family) for name, family in columns.items()}
    keys = cohort.picture_keys()
    refused = {(failure.case_id, failure.picture) for failure in cohort.failures if failure.state != "warned"}
    for case in cohort.cases:
        told: set[tuple[str, str, str]] = set()
        found = [f for f in _missing_pictures(case, keys) if (case.case_id, f.picture) not in refused]
        for name, pictures in expected.items():
            row = rows[name][case.case_id]
            found += row.failures
            found += _unexplained(case, keys, name, pictures, row)
        for failure in found:
            key = (failure.stage, failure.code, failure.picture)
            if failure.stage not in _SHARED_STAGES or key not in told:
                yield failure
            told.add(key)


def _by_picture(columns: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for column in columns:
        grouped.setdefault(ColumnName.parse(column).picture, []).append(column)
    return grouped


def _missing_pictures(case: Case, keys: Sequence[PictureKey]) -> Iterable[Failure]:
    for key in keys:
        if key not in case.pictures:
            reason = "other cases of the cohort have this picture, this one does not"
            yield Failure(case.case_id, "cohort", "picture.missing", reason, key.name, "skipped")


def _unexplained(
    case: Case, keys: Sequence[PictureKey], family: str, pictures: Mapping[str, list[str]], row: FamilyRow
) -> Iterable[Failure]:
    """What a family did not give and did not explain: there was nothing to compute, or it is at fault."""
    explained = {failure.picture for failure in row.failures if failure.state != "warned"}
    explained |= {key.name for key in keys if key not in case.pictures}
    taken = {key.name for key in case.pictures}
    for picture, columns in pictures.items():
        n_absent = sum(column not in row.values for column in columns)
        if n_absent == 0 or picture in explained or "" in explained:
            continue
        if picture in taken:
            reason = f"{n_absent} of {len(columns)} features were not given, and the family did not say why"
            yield Failure(case.case_id, family, "feature.missing", reason, picture)
        else:
            reason = "made from several pictures, not all of which this case has"
            yield Failure(case.case_id, family, "pair.missing", reason, picture, "skipped")


def _counts(cohort: Cohort, failures: Sequence[Failure]) -> dict[str, int]:
    ids = {case.case_id for case in cohort.cases}
    failed = {failure.case_id for failure in failures if failure.state == "failed"}
    states = Counter(failure.state for failure in failures)
    return {
        "cases": len(ids),
        "cases_ok": len(ids - failed),
        "cases_failed": len(ids & failed),
        "rows_refused": len({failure.case_id for failure in cohort.failures} - ids),
        **{f"failures_{state}": n for state, n in sorted(states.items())},
    }


def _with_clinical(table: FeatureTable, clinical: pd.DataFrame, failures: Sequence[Failure]) -> FeatureTable:
    """The table that a cohort brought, with the clinical columns that it lacks."""
    new = clinical[[name for name in clinical.columns if name not in table.values.columns]]
    if new.empty:
        return table
    return replace(
        table,
        values=table.values.join(new),
        failures=pd.concat([table.failures, failures_frame(failures)], ignore_index=True),
    )


def _check_family(name: str, raw: Any) -> Any:
    part = SHELF.take(name) if raw or name not in SHELF.names() else None
    if part is None:  # all defaults: nothing to check, and no need to load a network's libraries yet
        return {}
    checked = parse_settings(part.Settings, raw, where=f"features.families.{name}")
    return checked.model_dump(mode="json", exclude_unset=True)
