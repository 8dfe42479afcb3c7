"""The record of a run: which study an earlier run was of, and what a new one would change."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..features.errors import StudyError
from ..features.whole import UNFINISHED
from .lock import NAME as LOCK
from .study import Study

RECORD = "run.json"


def stored_study(folder: Path) -> dict[str, Any]:
    """The study of an earlier run, as a user would have written it, with that folder as output.

    Raises
    ------
    StudyError
        If the record of the run is damaged.
    """
    try:
        values: dict[str, Any] = read_record(folder)["study"]
        values["cohort"] = {"reader": values["cohort"]["reader"], **values["cohort"]["settings"]}
    except (KeyError, TypeError) as error:
        raise StudyError(f"{folder / RECORD}: not the record of a run: {error!r} is missing") from None
    return values | {"output": str(folder)}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run; raises StudyError where it is damaged."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{folder / RECORD}: damaged ({error}); delete the folder and run again") from None
    return record


def changed_parts(study: Study, stored: Mapping[str, Any]) -> list[str]:
    """Which of cohort and features differ between a study and a stored one."""
    asked = study.model_dump(mode="json")
    cohort = {"reader": study.cohort.reader, **asked["cohort"]["settings"]}
    pairs = {"cohort": (cohort, stored["cohort"]), "set of features": (asked["features"], stored["features"])}
    return [name for name, (now, then) in pairs.items() if now != then]


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock, or what a process that was killed had not finished."""
    return path.name.startswith((LOCK, UNFINISHED))


def command_line() -> str:
    """What the user typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
