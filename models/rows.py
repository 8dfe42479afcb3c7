"""Rows: cases that may be learned from or predicted, as numbers with names, truth and owners."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..features.table import ColumnName
from .folds import Ints
from .learner import Array
from .replicates import Replicates

LOG = logging.getLogger("cemrad")
MOST = 1e30
"""Largest value that is taken as it is; what is larger measures nothing."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Cases that may be learned from, or be predicted: numbers, truth and whose they are.

    Parameters
    ----------
    x : ndarray, shape (n_cases, n_columns)
        NaN where missing.
    y : ndarray of int, shape (n_cases,)
    case_ids, persons : tuple of str
    columns : tuple of str
        ``family:picture:feature``.
    sites : tuple of str
        Where each case comes from, if features are harmonised for it; else empty.
    replicates : Replicates, optional
        The same cases under other masks: columns that are not stable over *these* rows are never selected.
    """

    x: Array
    y: Ints
    case_ids: tuple[str, ...]
    persons: tuple[str, ...]
    columns: tuple[str, ...]
    sites: tuple[str, ...] = ()
    replicates: Replicates | None = None

    def take(self, at: Ints) -> Rows:
        """The cases at these positions."""
        ids, persons = (tuple(names[i] for i in at) for names in (self.case_ids, self.persons))
        sites = tuple(self.sites[i] for i in at) if self.sites else ()
        return replace(self, x=self.x[at], y=self.y[at], case_ids=ids, persons=persons, sites=sites)

    def features(self, names: Sequence[str]) -> Array:
        """The columns of these names, in this order."""
        return self.x[:, self.places(names)]

    def places(self, names: Sequence[str]) -> list[int]:
        """Places of the columns of these names, in this order."""
        places = _places(self.columns)
        return [places[name] for name in names]

    def block(self, family: str) -> Ints:
        """Places of the columns of one family."""
        return _blocks(self.columns).get(family, np.empty(0, dtype=np.int64))


@lru_cache(maxsize=8)
def _places(columns: tuple[str, ...]) -> Mapping[str, int]:
    return {name: at for at, name in enumerate(columns)}


@lru_cache(maxsize=8)
def _blocks(columns: tuple[str, ...]) -> Mapping[str, Ints]:
    families = np.array([ColumnName.parse(name).family for name in columns])
    return {str(family): np.flatnonzero(families == family) for family in dict.fromkeys(families.tolist())}


def bounded(x: Array) -> Array:
    """Values with those beyond :data:`MOST` taken as that: squares of larger ones are infinite.

    Examples
    --------
    >>> bounded(np.array([1e300, -2.0, np.nan])).tolist()
    [1e+30, -2.0, nan]
    """
    return np.asarray(np.clip(x, -MOST, MOST), dtype=np.float64)


def out_of_bounds(values: pd.DataFrame) -> dict[str, int]:
    """How many values of each column :func:`bounded` moves; columns without any are absent."""
    beyond = (np.abs(values.to_numpy(dtype=np.float64)) > MOST).sum(axis=0)
    counts = {str(name): int(n) for name, n in zip(values.columns, beyond, strict=True) if n}
    if counts:
        LOG.warning(
            "%d values of %d columns lie beyond %g and are taken as that", sum(counts.values()), len(counts), MOST
        )
    return counts


def rows_of(values: pd.DataFrame, y: Ints, persons: Sequence[str]) -> Rows:
    """Rows of a feature table's values."""
    x = np.ascontiguousarray(bounded(values.to_numpy(dtype=np.float64)))
    return Rows(x, y, tuple(map(str, values.index)), tuple(persons), tuple(map(str, values.columns)))


def varies(x: Array) -> NDArray[np.bool_]:
    """Which columns hold two different values, or a value and a gap.

    Examples
    --------
    >>> varies(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, np.nan]])).tolist()
    [False, True, True]
    """
    gaps = np.isnan(x)
    first = np.take_along_axis(x, gaps.argmin(axis=0)[None, :], axis=0)
    same = ((x == first) | gaps).all(axis=0)
    return np.asarray(~same | (gaps.any(axis=0) & ~gaps.all(axis=0)))
