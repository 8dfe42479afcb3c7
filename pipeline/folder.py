"""The folder of a run: which files are in it, what its record says, and what a new run finds and leaves there."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.errors import StudyError
from ..features.settings import parse_settings
from ..features.whole import UNFINISHED
from ..models.design import resolve_endpoints
from ..models.result import TABLE, Result
from ..reports.facts import ReportSettings
from .audit import AUDIT_FILE
from .doctor import versions
from .inputs import file_sha256
from .lock import NAME as LOCK
from .mask_study import DRAWN, spread_choice
from .study import Study

RECORD = "run.json"
OUTPUTS = (
    "features.parquet", "features.csv", "cases.csv", "labels.csv", "failures.csv", "table.json", "predictions.parquet",
    "metrics.json", "shap.parquet", "shap_base.parquet", "chosen.parquet", "clinical.parquet",
    "exclusions.csv", "crops.npz", "frames.npz", "result.json", AUDIT_FILE, "report.html", "report.json",
    "guidelines.csv", "guidelines.md", "model_card.md", "model/model.cemrad",
)  # fmt: skip
"""Files of a run, other than its record: a new run in the folder begins without them."""
PATTERNS = (f"{TABLE}*.parquet", "model/nomogram_*.csv", "report_tables/*.csv", "report_cases/*.html")
"""The same, where their number is not known."""
EVALUATED = ("features.parquet", "labels.csv", "cases.csv", "inputs.csv")
"""Of these an evaluation is made; their hashes stand in its report."""
STORE, SHARDS, INPUTS = "store", "shards", "inputs.csv"
KEPT = {"masks", "stability", DRAWN, STORE, SHARDS, INPUTS}
"""What a new run in the folder finds and leaves there."""


def require_claimable(study: Study, *, replace: bool = False) -> list[str]:
    """What an earlier run in the study's folder was made from otherwise: its sets of masks and features.

    Raises
    ------
    StudyError
        If the folder holds something that is not a run, or, without `replace`, the run of another cohort.
    """
    folder = study.output
    found = folder.iterdir() if folder.is_dir() else ()
    others = {path.name for path in found if not is_left_over(path)} - KEPT
    if others and not (folder / RECORD).is_file():
        raise StudyError(f"{folder}: not empty and not a run of cemrad; choose another output folder")
    changed = changed_from(study, stored_study(folder)) if others and not replace else []
    if "cohort" in changed:
        raise StudyError(
            f"{folder}: holds a run with another {' and '.join(changed)}; choose another output folder, "
            "or delete this one"
        )
    return changed


def stored_result(folder: Path, study: Study, stored: Mapping[str, Any], labels: pd.DataFrame) -> Result | None:
    """The result in a run's folder, where it is that of every endpoint and setting that a study asks for."""
    same = stored["evaluation"] == study.model_dump(mode="json")["evaluation"]
    if not same or not (folder / "metrics.json").is_file():
        return None
    result = Result.load(folder)
    try:
        asked = resolve_endpoints(study.endpoints, labels)
    except StudyError:
        return None
    told = {name: (facts["positive"], facts["label_columns"]) for name, facts in result.endpoints.items()}
    return result if all(told.get(one.name) == (one.positive, list(one.columns)) for one in asked) else None


def clear(folder: Path) -> None:
    """Remove what an earlier run made, whole or not; its store, shards and masks stay."""
    made = [path.relative_to(folder) for pattern in PATTERNS for path in folder.glob(pattern)]
    for name in (*map(Path, OUTPUTS), *made):
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_name(f"{UNFINISHED}{name.name}").unlink(missing_ok=True)


def hashes(folder: Path) -> dict[str, str]:
    """The hash of every file that a run made, by its path in the folder."""
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != RECORD
        and not is_left_over(path)
        and path.relative_to(folder).parts[0] not in (STORE, SHARDS)
    }


def made_by(folder: Path, commands: Sequence[str], extraction: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says of the run that made it: versions, the extraction, commands, and hashes of what was read."""
    read = [folder / name for name in EVALUATED if (folder / name).is_file()]
    return {
        "versions": versions(),
        "extraction": extraction,
        "run": {
            "commands": [without_folders(command) for command in commands],
            "platform": platform.platform(),
            "record": RECORD,
            "sha256": {path.name: file_sha256(path) for path in read},
        },
    }


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
        values["masks"] = spread_choice(values["masks"]) if values.get("masks") else None
        arms = values.get("mask_arms") or {}
        values["mask_arms"] = {name: arm and spread_choice(arm) for name, arm in arms.items()}
    except (KeyError, TypeError) as error:
        raise StudyError(f"{folder / RECORD}: not the record of a run: {error!r} is missing") from None
    return values | {"output": str(folder)}


def report_settings(folder: Path) -> ReportSettings | None:
    """What the study of a run's folder says of its report; None where the folder has no record of a run."""
    if not (folder / RECORD).is_file():
        return None
    return parse_settings(ReportSettings, stored_study(folder).get("report", {}), where=f"{folder / RECORD}: report")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run; raises StudyError where it is damaged."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{folder / RECORD}: damaged ({error}); delete the folder and run again") from None
    return record


def changed_from(study: Study, stored: Mapping[str, Any]) -> list[str]:
    """Which of cohort, masks and features differ between a study and a stored one."""
    asked = study.model_dump(mode="json")
    cohort = {"reader": study.cohort.reader, **asked["cohort"]["settings"]}
    masks = None if asked["masks"] is None else spread_choice(asked["masks"])
    pairs = {
        "cohort": (cohort, stored["cohort"]),
        "set of masks": (masks, stored.get("masks")),
        "set of features": (asked["features"], stored["features"]),
    }
    return [name for name, (now, then) in pairs.items() if now != then]


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock, or what a process that was killed had not finished."""
    return path.name.startswith((LOCK, UNFINISHED))


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def without_folders(command: str) -> str:
    """A command for others' eyes: of an absolute path only its name, which is no one's home.

    Examples
    --------
    >>> without_folders("cemrad run /home/me/study.yaml -s cohort.path=/data/cases.csv -o runs/mine")
    'cemrad run study.yaml -s cohort.path=cases.csv -o runs/mine'
    """
    try:
        words = shlex.split(command)
    except ValueError:  # of an earlier version, which did not quote
        words = command.split()
    told = []
    for word in words:
        key, is_set, value = word.rpartition("=")
        told.append(f"{key}{is_set}{Path(value).name}" if Path(value).is_absolute() else word)
    return shlex.join(told)
