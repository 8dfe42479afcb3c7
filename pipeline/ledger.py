"""The ledger of a bundle: how often which cohort was opened for it.

A test set tells the truth once. Who judges a bundle on the same cohort again and again, and changes the bundle or
the cohort in between, will see a better figure in the end whatever the model is worth; so each time is written down
beside the bundle, and the report prints the count. The ledger is a plain file: it reminds, it does not prevent.
"""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..features.errors import StudyError
from ..features.whole import write_whole

SUFFIX = ".evaluations.json"
_FIELDS = ("bundle_sha256", "cohort_sha256")


def count_opening(bundle: Path, folder: Path, bundle_sha256: str, cohort_sha256: str, n_cases: int) -> dict[str, Any]:
    """Write down that a cohort was opened for a bundle, and count how often it was.

    Parameters
    ----------
    bundle : Path
        The bundle's file; the ledger stands beside it.
    folder : Path
        Of the results; the ledger stands there where the bundle's folder may not be written.
    bundle_sha256, cohort_sha256 : str
    n_cases : int

    Returns
    -------
    dict
        ``times_opened`` for this very bundle and cohort, this time included, ``times_opened_any_bundle`` in this
        ledger, and ``ledger``, the file's name.

    Raises
    ------
    StudyError
        If the ledger is damaged.
    """
    entry = {
        "bundle_sha256": bundle_sha256,
        "cohort_sha256": cohort_sha256,
        "n_cases": n_cases,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = bundle.with_name(bundle.name + SUFFIX)
    try:
        entries = _append(path, entry)
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno != errno.EROFS:
            raise
        path = folder / f"bundle{SUFFIX}"
        entries = _append(path, entry)
    same = [item for item in entries if item["cohort_sha256"] == cohort_sha256]
    return {
        "times_opened": sum(item["bundle_sha256"] == bundle_sha256 for item in same),
        "times_opened_any_bundle": len(same),
        "ledger": path.name,
    }


def _append(path: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    entries = [*_read(path), entry]
    text = json.dumps({"schema_version": 1, "evaluations": entries}, indent=1) + "\n"
    write_whole(path.parent, {path.name: lambda part: part.write_text(text, encoding="utf-8")})
    return entries


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["evaluations"]
        if all(isinstance(item[name], str) for item in entries for name in _FIELDS):
            return entries
    except (ValueError, KeyError, TypeError):
        pass
    raise StudyError(f"{path}: not a ledger of evaluations; move it away, and say in your paper that it was lost")
