"""Cells of CSV files: text that a spreadsheet would run as a formula is written so that it stays text."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pandas.api.types import is_numeric_dtype

# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV injection"), after any apostrophes.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]").match
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?").fullmatch


def guard(cell: str) -> str:
    """A cell as it is written: with an apostrophe before it where it would be a formula; plain numbers stay themselves.

    Examples
    --------
    >>> guard("=1+1"), guard("-0.5"), guard("case 7"), guard("'=1+1")
    ("'=1+1", '-0.5', 'case 7', "''=1+1")
    """
    return f"'{cell}" if _FORMULA(cell) and not _NUMBER(cell) else cell


def unguard(cell: str) -> str:
    """What :func:`guard` was given.

    Examples
    --------
    >>> [unguard(guard(cell)) for cell in ("=1+1", "-0.5", "it's", "'=1+1", "''")]
    ['=1+1', '-0.5', "it's", "'=1+1", "''"]
    """
    rest = cell[1:]
    return rest if cell[:1] == "'" and _FORMULA(rest) and not _NUMBER(rest) else cell


def write_csv(frame: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Write a table as CSV in which no cell is a formula; numbers read back as the same floats.

    Parameters
    ----------
    frame : DataFrame
    path : Path
    index : bool
        Whether the index is written too, under its name.
    """
    text = frame.copy(deep=False)
    words = [at for at, kind in enumerate(frame.dtypes) if not is_numeric_dtype(kind)]  # yes and no are numbers too
    for at in words:
        text.isetitem(at, frame.iloc[:, at].astype(object).map(_guarded).to_numpy())
    text.columns, text.index = text.columns.map(_guarded), text.index.map(_guarded)
    cells = chain(text.columns, text.index, *(text.iloc[:, at] for at in words))
    text.to_csv(path, index=index, quoting=quoting(cells), lineterminator="\n")


def quoting(cells: Iterable[object]) -> Literal[0, 2]:
    """How the cells of a file are quoted: where one holds a carriage return all text is, or it would end its line.

    Examples
    --------
    >>> quoting(["a", 1.5]) == csv.QUOTE_MINIMAL, quoting(["a\\r"]) == csv.QUOTE_NONNUMERIC
    (True, True)
    """
    held = any(isinstance(cell, str) and "\r" in cell for cell in cells)
    return csv.QUOTE_NONNUMERIC if held else csv.QUOTE_MINIMAL


def _guarded(cell: Any) -> Any:
    return guard(cell) if isinstance(cell, str) else cell
