"""The extraction stage: every feature family on every case, as one table with its failures."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ..features.case import Case, PictureKey
from ..features.clinical import encode_clinical
from ..features.failure import Failure, failures_frame
from ..features.families import SHELF
from ..features.family import FeatureFamily, Unit
from ..features.fingerprint import Fingerprint
from ..features.mask import MaskRules
from ..features.settings import Settings, parse_settings
from ..features.table import FeatureTable
from .cohort import Cohort
from .duplicates import mask_training, print_frame
from .means import Means
from .store import Entry, contents, unit_key
from .work import Done, Found, Recipe, Task, identities, made, peak_memory_mib, work
from .workers import Workers

LOG = logging.getLogger("cemrad")
_MOST_BATCHES = 3
"""Batches of a network per task: six units a case fill three of eight."""
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
    cohort: Cohort, settings: FeatureSettings, means: Means | None = None, *, rows: slice = slice(None)
) -> FeatureTable:
    """Compute the feature table of a cohort.

    Columns are those of every family over all pictures that the cohort has, the same for every case. What a
    case does not give is NaN, and a failure says why. Neither numbers nor failures depend on `means`.

    Parameters
    ----------
    cohort : Cohort
        One that brings a table of features keeps it; clinical values are added.
    settings : FeatureSettings
    means : Means, optional
        Without it, everything is computed in this process.
    rows : slice
        Only these cases, with the columns of the whole cohort, and without the failures of rows that never
        became a case: the part of one of many machines.

    Raises
    ------
    StudyError, WeightsError
        If a family cannot be made at all. A case never raises.
    """
    means = means or Means()
    started = time.perf_counter()
    clinical, clinical_failures = encode_clinical(cohort.cases if settings.clinical else ())
    if cohort.table is not None:
        return _with_clinical(cohort.table, clinical, clinical_failures)
    recipes = tuple(Recipe(name, json.dumps(raw), settings.mask_rules) for name, raw in settings.families.items())
    families = {recipe.name: made(recipe) for recipe in recipes}
    provenance = {name: family.provenance() for name, family in families.items()}
    for name, record in provenance.items():
        for note in record.get("notes", []):
            LOG.warning("%s: %s", name, note)
    work_of = _Extraction(cohort, recipes, families, means, cohort.cases[rows])
    work_of.run()
    values = work_of.frame()
    if settings.clinical:
        values = values.join(clinical)
    failures = [] if rows != slice(None) else list(cohort.failures)
    failures += work_of.failures(clinical_failures)
    means.effort.seconds["wall"] = time.perf_counter() - started
    means.effort.memory_mib = peak_memory_mib()
    record = {
        "cohort": cohort.name,
        "phantom": cohort.phantom,
        "mask_rules": settings.mask_rules.model_dump(mode="json"),
        "clinical": settings.clinical,
        "clinical_columns": clinical.columns.tolist(),
        "families": provenance,
        "counts": count(cohort.cases[rows], failures),
    }
    who = cohort.case_frame().iloc[rows].join(print_frame(work_of.prints))
    if learned := mask_training(cohort.cases[rows], who):
        record["masks"] = learned
    return FeatureTable(values, who, failures_frame(failures), record)


class _Extraction:
    """The cases of one extraction on their way: what is wanted of each, and what is there."""

    def __init__(
        self,
        cohort: Cohort,
        recipes: tuple[Recipe, ...],
        families: Mapping[str, FeatureFamily],
        means: Means,
        cases: Sequence[Case],
    ) -> None:
        self.cohort = cohort
        self.recipes = recipes
        self.families = families
        self.means = means
        self.cases = cases
        self.keys = cohort.picture_keys()
        self.identities = identities(recipes)
        self.units = {name: family.units(self.keys) for name, family in families.items()}
        self.columns: list[str] = []
        self.places: dict[tuple[str, str], slice] = {}
        for name, units in self.units.items():
            for unit in units:
                start = len(self.columns)
                self.columns += families[name].columns_of(unit)
                self.places[name, unit.picture] = slice(start, len(self.columns))
        self.row = {case.case_id: i for i, case in enumerate(cases)}
        self.values = np.full((len(cases), len(self.columns)), np.nan)
        self.found: dict[str, list[Failure]] = {case.case_id: [] for case in cases}
        self.prints: dict[str, dict[str, Fingerprint]] = {case.case_id: {} for case in cases}
        self.stored_under: dict[str, dict[tuple[str, str], str]] = {}
        self.content: dict[str, Mapping[str, tuple[str, str] | None]] = {}
        self.n_done = 0

    def run(self) -> None:
        with closing(self._results(self._tasks())) as results:  # whatever is raised here, the workers end with it
            for task, done in results:
                self.means.effort.add(done)
                for case, wanted, found in zip(task.cases, task.wanted, done.found, strict=True):
                    self._take(case, wanted, found)
                self._tell(len(task.cases))

    def _results(self, tasks: Iterator[Task]) -> Generator[tuple[Task, Done]]:
        if self.means.engine is not None:
            yield from self.means.engine.run(tasks)
        elif self.means.jobs == 0:
            yield from ((task, work(task)) for task in tasks)
        else:
            with Workers(self.means.jobs, self.recipes, self.means.limits) as workers:
                yield from workers.run(tasks)

    def _tell(self, n_cases: int) -> None:
        self.n_done += n_cases
        if self.means.progress is not None and n_cases:
            self.means.progress(self.n_done, len(self.cases), "extract")

    # --- before the work ------------------------------------------------------------------------------

    def _tasks(self) -> Iterator[Task]:
        """Tasks of what the store does not hold: one case each, or as many as fill batches."""
        batch = max((family.batch for family in self.families.values()), default=1)
        cases: list[Case] = []
        wanted: list[Mapping[str, tuple[Unit, ...]]] = []
        for case in self.cases:
            units = self._wanted(case)
            if not any(units.values()):
                self._tell(1)
                continue
            cases.append(case)
            wanted.append(units)
            n = max(sum(len(one.get(name, ())) for one in wanted) for name in self.families)
            if n % batch == 0 or n >= _MOST_BATCHES * batch:
                yield Task(self.recipes, tuple(cases), tuple(wanted))
                cases, wanted = [], []
        if cases:
            yield Task(self.recipes, tuple(cases), tuple(wanted))

    def _wanted(self, case: Case) -> dict[str, tuple[Unit, ...]]:
        """The units of a case that must be measured; what the store holds is taken."""
        pictures = sorted(case.pictures, key=lambda key: key.order)
        units = {name: tuple(family.units(pictures)) for name, family in self.families.items()}
        if self.means.store is None:
            return units
        content = contents(case)
        wanted = {
            name: tuple(u for u in of if not self._is_stored(case, name, u, content)) for name, of in units.items()
        }
        self.content[case.case_id] = content
        if not any(wanted.values()):
            self._note(case)
        return wanted

    def _note(self, case: Case) -> None:
        """Remember what a case was computed from, now that it is done: a run that is killed before tells it again."""
        content = self.content.pop(case.case_id, None)
        if content is not None and self.means.inputs is not None:
            self.means.effort.inputs_changed += self.means.inputs.note(case.case_id, content)

    def _is_stored(self, case: Case, name: str, unit: Unit, content: Mapping[str, tuple[str, str] | None]) -> bool:
        """Whether a unit's result was there, and is taken; if not, where it will be kept."""
        assert self.means.store is not None
        known = [of_picture for key in unit.keys if (of_picture := content[key.name]) is not None]
        if len(known) < len(unit.keys):
            return False
        key = unit_key(name, self.identities[name], unit, known)
        entry = None if self.means.force else self.means.store.get(key)
        place = self.places[name, unit.picture]
        if entry is None or len(entry.values) != place.stop - place.start:
            self.stored_under.setdefault(case.case_id, {})[name, unit.picture] = key
            return False
        self.values[self.row[case.case_id], place] = entry.values
        self.found[case.case_id] += [replace(warning, case_id=case.case_id) for warning in entry.warnings]
        self.prints[case.case_id].update(entry.prints)
        self.means.effort.units_stored += 1
        return True

    # --- after the work -------------------------------------------------------------------------------

    def _take(self, case: Case, wanted: Mapping[str, tuple[Unit, ...]], found: Found) -> None:
        changed = self._changed(case, found)
        prints = {name: print_ for name, print_ in found.prints.items() if name not in changed}
        self.prints[case.case_id].update(prints)
        self._note(case)
        self.found[case.case_id] += found.failures
        self.means.effort.units_computed += sum(map(len, wanted.values()))
        keys = self.stored_under.pop(case.case_id, {})
        for name, units in wanted.items():
            for unit in units:
                place = name, unit.picture
                if place not in found.values or changed.intersection(key.name for key in unit.keys):
                    continue
                self.values[self.row[case.case_id], self.places[place]] = found.values[place]
                if place in keys:
                    self._keep(keys[place], unit, found.values[place], found.failures, prints)

    def _changed(self, case: Case, found: Found) -> set[str]:
        """Pictures whose files were others when they were read than when their keys were made: nobody knows which."""
        before = self.content.get(case.case_id)
        if before is None or not found.content:
            return set()
        changed = {name for name, content in before.items() if found.content[name] != content}
        self.content[case.case_id] = {name: None if name in changed else before[name] for name in before}
        reason = "a file of this picture changed while it was being read; run again"
        self.found[case.case_id] += [
            Failure(case.case_id, "image", "file.changed", reason, name) for name in sorted(changed)
        ]
        return changed

    def _keep(
        self,
        key: str,
        unit: Unit,
        values: NDArray[np.float64],
        failures: Sequence[Failure],
        prints: Mapping[str, Fingerprint],
    ) -> None:
        """Store a result if it is complete and nothing failed on its pictures."""
        pictures = {unit.picture, *(one.name for one in unit.keys)}
        about = [failure for failure in failures if failure.picture in pictures]
        if np.isnan(values).any() or any(failure.state != "warned" for failure in about):
            return
        assert self.means.store is not None
        known = {one.name: prints[one.name] for one in unit.keys if one.name in prints}
        self.means.store.put(key, Entry(values, tuple(replace(warning, case_id="") for warning in about), known))

    def frame(self) -> pd.DataFrame:
        index = pd.Index([case.case_id for case in self.cases], dtype=object)
        return pd.DataFrame(self.values, index=index, columns=self.columns)

    def failures(self, more: Sequence[Failure]) -> list[Failure]:
        """Failures case by case in one order, whoever found them when; a fault of a picture is told once."""
        refused = {(failure.case_id, failure.picture) for failure in self.cohort.failures if failure.state != "warned"}
        others: dict[str, list[Failure]] = {}
        for failure in more:
            others.setdefault(failure.case_id, []).append(failure)
        listed = []
        for case in self.cases:
            absent = [f for f in _missing_pictures(case, self.keys) if (case.case_id, f.picture) not in refused]
            found = list(dict.fromkeys([*absent, *self.found[case.case_id]]))
            found += self._unexplained(case, found)
            told = [
                f for f in _told_once(found) if f.code != "mask.missing" or (case.case_id, f.picture) not in refused
            ]
            listed += sorted(told, key=self._order) + others.get(case.case_id, [])
        return listed

    def _order(self, failure: Failure) -> tuple[int, tuple[str, int], str, str]:
        stages = [*_SHARED_STAGES, *self.families]
        stage = stages.index(failure.stage) if failure.stage in stages else len(stages)
        picture = PictureKey.parse(failure.picture).order if failure.picture else ("", -1)
        return stage, picture, failure.code, failure.reason

    def _unexplained(self, case: Case, found: Sequence[Failure]) -> Iterator[Failure]:
        """What a family did not give and did not explain: there was nothing to compute, or it is at fault."""
        absent = {key.name for key in self.keys if key not in case.pictures}
        for name, units in self.units.items():
            explained = {f.picture for f in found if f.stage in (name, *_SHARED_STAGES) and f.state != "warned"}
            if "" in explained:
                continue
            for unit in units:
                values = self.values[self.row[case.case_id], self.places[name, unit.picture]]
                n_absent = int(np.isnan(values).sum())
                if n_absent == 0 or unit.picture in explained | absent:
                    continue
                if all(key in case.pictures for key in unit.keys):
                    reason = f"{n_absent} of {len(values)} features were not given, and the family did not say why"
                    yield Failure(case.case_id, name, "feature.missing", reason, unit.picture)
                else:
                    reason = "made from several pictures, not all of which this case has"
                    yield Failure(case.case_id, name, "pair.missing", reason, unit.picture, "skipped")


def _told_once(failures: Iterable[Failure]) -> Iterator[Failure]:
    told: set[tuple[str, str, str]] = set()
    for failure in failures:
        key = (failure.stage, failure.code, failure.picture)
        if failure.stage not in _SHARED_STAGES or key not in told:
            yield failure
        told.add(key)


def _missing_pictures(case: Case, keys: Sequence[PictureKey]) -> Iterable[Failure]:
    for key in keys:
        if key not in case.pictures:
            reason = "other cases of the cohort have this picture, this one does not"
            yield Failure(case.case_id, "cohort", "picture.missing", reason, key.name, "skipped")


def count(cases: Sequence[Case], failures: Sequence[Failure]) -> dict[str, int]:
    """How many cases and failures there are, by state."""
    ids = {case.case_id for case in cases}
    failed = {failure.case_id for failure in failures if failure.state == "failed"}
    states = Counter(failure.state for failure in failures)
    refused = {failure.case_id for failure in failures} - ids
    return {
        "cases": len(ids),
        "cases_ok": len(ids - failed),
        "cases_failed": len(ids & failed),
        "rows_refused": len(refused),
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
