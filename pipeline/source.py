"""A source: whatever a user points a command at, as a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..features.errors import StudyError
from .check import detect
from .record import RECORD, stored_study
from .study import Study, override, parse_study, read_study


def open_source(source: Path, overrides: tuple[str, ...] = (), **shorthand: Any) -> Study:
    """A study from a study file, a run's folder, a manifest, a table or a CDD-CESM folder.

    Parameters
    ----------
    source : Path
        What the user named.
    overrides : tuple of str
        ``key.key=value`` assignments, as in :func:`~cemrad.pipeline.study.override`.
    **shorthand
        Top-level study keys given as options; None means not given.

    Raises
    ------
    StudyError
        If the source does not exist or the settings hold a mistake.
    """
    given = {key: value for key, value in shorthand.items() if value is not None}
    if not source.exists():
        raise StudyError(f"{source}: no such file or folder")
    if source.suffix.lower() in (".yaml", ".yml"):
        values = read_study(source)
    elif (source / RECORD).is_file():
        values = stored_study(source)
    else:
        reader, own = detect(source)
        values = {"schema_version": 1, "name": source.stem, "cohort": {"reader": reader, **own}}
    return parse_study(override(values | given, overrides), where=str(source))


def is_extraction(source: Path) -> bool:
    """Whether the folder holds a feature table of an earlier run."""
    return (source / RECORD).is_file() and (source / "features.parquet").is_file()
