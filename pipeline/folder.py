"""The folder of a run: which files are in it, what its record says, and what a new run finds and leaves there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..features.errors import StudyError
from ..features.whole import UNFINISHED
from ..models.result import TABLE
from .audit import AUDIT_FILE
from .inputs import file_sha256
from .lock import NAME as LOCK
from .study import Study

RECORD = "run.json"
OUTPUTS = (
    "features.parquet", "features.csv", "cases.csv", "labels.csv", "failures.csv", "table.json", "predictions.parquet",
    "metrics.json", "shap.parquet", "shap_base.parquet", "chosen.parquet", "clinical.parquet",
    "exclusions.csv", "crops.npz", "result.json", AUDIT_FILE, "report.html", "model_card.md", "model/model.cemrad",
)  # fmt: skip
"""Files of a run, other than its record: a new run in the folder begins without them."""
PATTERNS = (f"{TABLE}*.parquet", "model/nomogram_*.csv")
"""The same, where their number is not known."""
STORE, SHARDS, INPUTS = "store", "shards", "inputs.csv"
KEPT = {"masks", "stability", STORE, SHARDS, INPUTS}
"""What a new run in the folder finds and leaves there."""


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


def changed_from(study: Study, stored: Mapping[str, Any]) -> list[str]:
    """Which of cohort and features differ between a study and a stored one."""
    asked = study.model_dump(mode="json")
    cohort = {"reader": study.cohort.reader, **asked["cohort"]["settings"]}
    pairs = {"cohort": (cohort, stored["cohort"]), "set of features": (asked["features"], stored["features"])}
    return [name for name, (now, then) in pairs.items() if now != then]


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock, or what a process that was killed had not finished."""
    return path.name.startswith((LOCK, UNFINISHED))
