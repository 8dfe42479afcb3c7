"""What a worker does: read the pictures of a few cases once, and let every family measure them."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.case import Case
from ..features.errors import StudyError, WeightsError
from ..features.failure import Failure
from ..features.families import SHELF
from ..features.family import FeatureFamily, Unit
from ..features.fingerprint import Fingerprint
from ..features.mask import MaskRules
from ..features.reading import Reading, read_case
from ..features.reread import is_out_of_memory
from ..features.settings import parse_settings
from .duplicates import prints_of
from .store import contents

NO_MEMORY = "memory.exceeded"


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to make a family: its name, its settings as JSON, and the rules for masks."""

    name: str
    settings: str
    rules: MaskRules


@dataclass(frozen=True, eq=False)
class Task:
    """A few cases, and the units of each that are wanted, by family."""

    recipes: tuple[Recipe, ...]
    cases: tuple[Case, ...]
    wanted: tuple[Mapping[str, tuple[Unit, ...]], ...]

    def split(self) -> list[Task]:
        """The same as tasks of one case each."""
        return [Task(self.recipes, (case,), (w,)) for case, w in zip(self.cases, self.wanted, strict=True)]


@dataclass(eq=False)
class Found:
    """What was found in one case.

    Parameters
    ----------
    case_id : str
    values : dict
        Family and unit's picture to an array of its features; NaN where a feature was not given.
    failures : list of Failure
    content : mapping
        What the files of the case held once they had been read, as :func:`~.store.contents` gives it.
    prints : mapping of str to Fingerprint
        Of the pictures that were read, by name, where there is one.
    """

    case_id: str
    values: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    content: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    prints: Mapping[str, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Done:
    """A finished task: what was found, the seconds it took by stage, and the memory of its process in MiB."""

    found: list[Found]
    seconds: dict[str, float] = field(default_factory=dict)
    memory_mib: float = 0.0


@lru_cache(maxsize=8)
def made(recipe: Recipe) -> FeatureFamily:
    """The family of a recipe; made once per process."""
    part = SHELF.take(recipe.name)
    where = f"features.families.{recipe.name}"
    family: FeatureFamily = part.Family(
        parse_settings(part.Settings, json.loads(recipe.settings), where=where), recipe.rules
    )
    return family


def identities(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """What the numbers of each family depend on in this process: versions, engine, weights."""
    return {
        recipe.name: {"settings": made(recipe).identity(), "rules": recipe.rules.model_dump(mode="json")}
        for recipe in recipes
    }


def work(task: Task) -> Done:
    """Measure a task. A case that fails in any way is a row with its reason; it never raises for it."""
    seconds: dict[str, float] = {}
    found = _cases(task, seconds)
    return Done(found, seconds, peak_memory_mib())


def _cases(task: Task, seconds: dict[str, float]) -> list[Found]:
    try:
        return _together(task, seconds)
    except (StudyError, WeightsError):  # not this case's fault
        raise
    except Exception as error:  # a fault on data that nobody foresaw, or no memory left: the run goes on
        if len(task.cases) > 1:
            return [found for single in task.split() for found in _cases(single, seconds)]
        return [_failed(task, "", *_reason(error))]


def _together(task: Task, seconds: dict[str, float]) -> list[Found]:
    started = time.perf_counter()
    readings = [_read(task, i) for i in range(len(task.cases))]
    found = [
        Found(reading.case_id, {}, list(reading.failures), contents(case), prints_of(reading))
        for case, reading in zip(task.cases, readings, strict=True)
    ]
    seconds["read"] = seconds.get("read", 0.0) + time.perf_counter() - started
    for recipe in task.recipes:
        started = time.perf_counter()
        _measure(task, recipe, readings, found)
        seconds[recipe.name] = seconds.get(recipe.name, 0.0) + time.perf_counter() - started
    return found


def _read(task: Task, i: int) -> Reading:
    needed = {key for units in task.wanted[i].values() for unit in units for key in unit.keys}
    return read_case(task.cases[i], task.recipes[0].rules, needed)


def _measure(task: Task, recipe: Recipe, readings: Sequence[Reading], found: Sequence[Found]) -> None:
    """Let one family add to what was found; if it raises on several cases, they are tried one by one."""
    family = made(recipe)
    units = [wanted.get(recipe.name, ()) for wanted in task.wanted]
    places = [i for i, wanted in enumerate(units) if wanted]
    try:
        rows = family.measure([readings[i] for i in places], [[u.picture for u in units[i]] for i in places])
    except (StudyError, WeightsError, MemoryError):
        raise
    except Exception as error:
        if len(task.cases) > 1:
            raise
        found[0].failures.append(Failure(found[0].case_id, recipe.name, *_reason(error)))
        return
    for i, row in zip(places, rows, strict=True):
        found[i].failures += row.failures
        for unit in units[i]:
            values = [row.values.get(column, np.nan) for column in family.columns_of(unit)]
            found[i].values[recipe.name, unit.picture] = np.array(values, dtype=np.float64)


def _reason(error: Exception) -> tuple[str, str]:
    if is_out_of_memory(error):
        return NO_MEMORY, "the memory limit of a worker was reached on this case; raise limits.memory_gib"
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return "family.error", f"the family failed on this case: {text}"


def _failed(task: Task, stage: str, code: str, reason: str) -> Found:
    """A task of one case of which nothing is left but the reason, told for every family that was to measure it."""
    case_id = task.cases[0].case_id
    stages = [stage] if stage else [name for name, units in task.wanted[0].items() if units]
    return Found(case_id, {}, [Failure(case_id, one, code, reason) for one in stages])


def lost(task: Task, code: str, reason: str) -> Done:
    """The result of a task of one case whose worker did not give one, twice."""
    return Done([_failed(task, "", code, reason)])


def prepare(recipes: Sequence[Recipe], memory_gib: float | None) -> dict[str, Any]:
    """Load what tasks share, then limit the memory of this process; returns :func:`identities`."""
    found = identities(recipes)
    if memory_gib is not None and sys.platform == "linux":
        limit = _status("VmData") + int(memory_gib * 2**30)  # VmData: what RLIMIT_DATA counts
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    return found


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far."""
    try:  # not ru_maxrss, which a process inherits from the one that started it
        return _status("VmHWM") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _status(name: str) -> int:
    """A figure of this process as Linux states it, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
