"""Characteristics: what the lesions of a cohort are like, in all and by group, with standardised differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import TableError
from ..features.fingerprint import COLUMNS as PRINTS
from ..features.fingerprint import PIXELS
from ..features.table import CASE_COLUMNS, ColumnName
from ..models.result import Result

MOST_VARIABLES, MOST_LEVELS = 14, 8
"""Of a table; a column of text with more levels is left out and named."""
MOST_NUMBERS = 5
"""A column of numbers with more different values is told by its median."""
NOT_STATED = "not stated"
_ACRONYMS = {"bpe": "BPE", "birads": "BI-RADS", "er": "ER", "pr": "PR", "her2": "HER2", "ki67": "Ki-67"}


@dataclass(frozen=True, eq=False)
class Variable:
    """One characteristic of each lesion: numbers, or text; missing is NaN or an empty text."""

    title: str
    values: pd.Series[Any]
    numeric: bool

    @property
    def levels(self) -> list[str]:
        """Values of text, grades and sides in order, others with the most frequent first; none of numbers."""
        if self.numeric:
            return []
        found = [str(level) for level in self.values[self.values != ""].value_counts().index]
        return sorted(found) if all(len(level) <= 2 for level in found) else found


@dataclass(frozen=True)
class Cell:
    """What a group says of a row: a count of so many stated ones, or a median with quartiles (NaN without any)."""

    n: int
    of: int
    median: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Row:
    """A row of a table of characteristics.

    `level` is empty for numbers. `difference` is the standardised one of the last two groups, NaN where there is none.
    """

    variable: str
    level: str
    cells: tuple[Cell, ...]
    difference: float


def variables(result: Result) -> tuple[list[Variable], list[str]]:
    """Characteristics that a result knows of its cases, and titles of columns that are left out.

    Side and views, clinical values, and the cohort's own columns with few levels; a category that stands as columns
    of 0 and 1 is put together again.

    Parameters
    ----------
    result : Result
    """
    cases, found = result.cases, []
    found.append(Variable("Side", _text(cases["laterality"]), False))
    if PIXELS in cases:
        found.append(Variable("Views", _text(cases[PIXELS].map(_views)), False))
    clinical = _clinical(result.clinical.reindex(cases.index))
    found += [_variable(title_of(name), values) for name, values in clinical.items()]
    stated = {title_of(name).casefold() for name in clinical}
    others = [str(name) for name in cases if name not in (*CASE_COLUMNS, *PRINTS)]
    found += [_variable(title_of(n), cases[n]) for n in others if title_of(n).casefold() not in stated]
    filled = [item for item in found if item.numeric or item.levels]
    kept = [item for item in filled if item.numeric or len(item.levels) <= MOST_LEVELS]
    left_out = [item.title for item in filled if item not in kept] + [item.title for item in kept[MOST_VARIABLES:]]
    return kept[:MOST_VARIABLES], left_out


def title_of(name: str) -> str:
    """A column's name as a heading.

    Examples
    --------
    >>> title_of("family_history"), title_of("bpe")
    ('Family history', 'BPE')
    """
    words = name.replace("_", " ").strip() or name
    if words.casefold() in _ACRONYMS:
        return _ACRONYMS[words.casefold()]
    return words[:1].upper() + words[1:]


def rows_of(known: Sequence[Variable], groups: Sequence[Sequence[str]]) -> Iterator[Row]:
    """Rows of a table: a cell for each group of case ids, and the difference between the last two.

    Parameters
    ----------
    known : sequence of Variable
    groups : sequence of sequence of str
        Case ids of each.
    """
    for item in known:
        parts = [item.values.reindex(list(ids)) for ids in groups]
        stated = [part[part.notna() & (part != "")] for part in parts]
        if item.numeric:
            numbers = [part.astype(float).to_numpy() for part in stated]
            yield Row(item.title, "", tuple(map(_median, numbers)), difference_of_means(*numbers[-2:]))
        for level in item.levels:
            counts = [int((part == level).sum()) for part in stated]
            shares = [n / len(part) if len(part) else math.nan for n, part in zip(counts, stated, strict=True)]
            cells = tuple(Cell(n, len(part)) for n, part in zip(counts, stated, strict=True))
            yield Row(item.title, level, cells, difference_of_shares(*shares[-2:]))
        missing = [len(part) - len(has) for part, has in zip(parts, stated, strict=True)]
        if any(missing):
            cells = tuple(Cell(n, len(part)) for n, part in zip(missing, parts, strict=True))
            yield Row(item.title, NOT_STATED, cells, math.nan)


def difference_of_means(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Standardised difference of two means, `other` less `one` (Austin 2009, doi 10.1002/sim.3697).

    Examples
    --------
    >>> difference_of_means(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
    1.0
    """
    if len(one) < 2 or len(other) < 2:
        return math.nan
    return _standardised(float(one.mean()), float(other.mean()), float(one.var(ddof=1)), float(other.var(ddof=1)))


def difference_of_shares(one: float, other: float) -> float:
    """Standardised difference of two shares, `other` less `one` (Austin 2009, doi 10.1002/sim.3697).

    Examples
    --------
    >>> round(difference_of_shares(0.5, 0.6), 3)
    0.202
    """
    return _standardised(one, other, one * (1 - one), other * (1 - other))


def _standardised(one: float, other: float, variance: float, other_variance: float) -> float:
    spread = math.sqrt((variance + other_variance) / 2) if variance + other_variance > 0 else 0.0
    if not spread:
        return 0.0 if one == other else math.nan
    return (other - one) / spread


def _median(numbers: np.ndarray[Any, Any]) -> Cell:
    if not len(numbers):
        return Cell(0, 0)
    low, median, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    return Cell(len(numbers), len(numbers), float(median), float(low), float(high))


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()


def _variable(title: str, values: pd.Series[Any]) -> Variable:
    text = _text(values)
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
    if bool((text != "").any()) and bool(numbers[text != ""].notna().all()):
        if numbers.nunique() > MOST_NUMBERS:
            return Variable(title, numbers, True)
        text = numbers.map(lambda number: f"{number:g}").where(text != "", "")  # 3.0 beside 3 is one level
    return Variable(title, text, False)


def _clinical(values: pd.DataFrame) -> Mapping[str, pd.Series[Any]]:
    """Clinical values by name, categories put together from their columns of 0 and 1."""
    found: dict[str, pd.Series[Any]] = {}
    for column in values:
        name, equals, level = _feature(str(column)).partition("=")
        if not equals:
            found[name] = values[column]
            continue
        known = found.get(name, pd.Series("", index=values.index, dtype=object))
        found[name] = known.mask(values[column] == 1, level)
    return found


def _feature(column: str) -> str:
    try:
        return ColumnName.parse(column).feature
    except TableError:
        return column


def _views(cell: object) -> str:
    """Views of a case from the fingerprints of its pictures, such as ``LE_CC:1f RC_CC:a0``."""
    names = [part.partition(":")[0].partition("_")[2] for part in str(cell).split()]
    return " + ".join(sorted({name for name in names if name}))
