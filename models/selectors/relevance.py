"""The most relevant features by rank test, without near copies of one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import strongest_first

Array = NDArray[np.float64]

BLOCK = 512
"""Features that are compared with all others at once: thousands of features squared fill a memory."""


class Settings(BaseSettings):
    """How many features a block may keep, and how alike two of them may be."""

    n_features: int = Field(default=20, ge=1, le=1000, description="most features kept per block")
    max_correlation: float = Field(default=0.9, gt=0, le=1, description="|Spearman| above which the less relevant goes")
    max_missing: float = Field(
        default=0.5, ge=0, lt=1, description="share of missing values above which a feature goes"
    )
    max_same: float = Field(default=0.95, gt=0, le=1, description="share of one value above which a feature goes")
    n_considered: int = Field(default=200, ge=1, description="most relevant features that are compared for likeness")


class Selector:
    """Wilcoxon-Mann-Whitney relevance, then greedy removal of near copies.

    Relevance is |z| of the rank-sum test, that is |AUC - 0.5| over its standard error under the
    null hypothesis, so that a feature known for few cases is not preferred for its noise.
    Correlation is Spearman's, a missing value counting as an average rank.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def choose(self, x: Array, y: NDArray[np.int64], persons: Sequence[str] = ()) -> NDArray[np.int64]:
        """Positions of the features to keep, most relevant first."""
        columns = np.ascontiguousarray(x.T)
        ranks, commonest = ranked(columns)
        z = relevance(ranks, y)
        present = ~np.isnan(columns)
        z[present.mean(axis=1) < 1 - self.settings.max_missing] = 0
        z[commonest > self.settings.max_same * present.sum(axis=1)] = 0
        order = np.argsort(-z, kind="stable")[: max(self.settings.n_considered, self.settings.n_features)]
        order = strongest_first(order, z, len(order))
        kept = distinct(unit_ranks(ranks[order]), self.settings.max_correlation, self.settings.n_features)
        return order[kept]


def ranked(columns: Array) -> tuple[Array, NDArray[np.int64]]:
    """Ranks from 1 within each row, ties averaged and NaN left NaN, and how often its commonest value stands there.

    Examples
    --------
    >>> ranked(np.array([[3.0, np.nan, 1.0, 3.0]]))
    (array([[2.5, nan, 1. , 2.5]]), array([2]))
    """
    n_rows, n = columns.shape
    order = np.argsort(columns, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    # NaN sorts last and equals nothing; make the run of NaN one tie so that it stays one run.
    new = np.ones((n_rows, n), dtype=bool)
    new[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]) & ~np.isnan(ordered[:, :-1])
    flat = np.flatnonzero(new.ravel())
    length = np.diff(np.append(flat, n_rows * n))
    average = flat % n + (length + 1) / 2
    ranks_ordered = np.repeat(average, length).reshape(n_rows, n)
    ranks_ordered[np.isnan(ordered)] = np.nan
    ranks = np.empty_like(ranks_ordered)
    np.put_along_axis(ranks, order, ranks_ordered, axis=1)
    counted = np.where(np.isnan(ordered.ravel()[flat]), 0, length)
    commonest = np.zeros(n_rows, dtype=np.int64)
    np.maximum.at(commonest, flat // n, counted)
    return ranks, commonest


def relevance(ranks: Array, y: NDArray[np.int64]) -> Array:
    """|z| of the rank-sum test of each row of ranks; 0 where a class has no value."""
    present = ~np.isnan(ranks)
    n1 = present[:, y == 1].sum(axis=1)
    n0 = present[:, y == 0].sum(axis=1)
    total = np.nansum(ranks[:, y == 1], axis=1)
    pairs = np.maximum(n1 * n0, 1)
    auc = (total - n1 * (n1 + 1) / 2) / pairs
    z = np.abs(auc - 0.5) / np.sqrt((n1 + n0 + 1) / (12 * pairs))
    return np.where((n1 > 0) & (n0 > 0), z, 0.0)


def unit_ranks(ranks: Array) -> Array:
    """Ranks of each feature (a row) centred and of length 1; a constant feature is 0 throughout."""
    centred = np.nan_to_num(ranks - np.nanmean(ranks, axis=1, keepdims=True))
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1.0), dtype=np.float64)


def distinct(unit: Array, limit: float, n_wanted: int) -> NDArray[np.int64]:
    """The first rows, in order, whose |correlation| with every row kept before is at most `limit`."""
    kept: list[int] = []
    for start in range(0, len(unit), BLOCK):
        if len(kept) >= n_wanted:
            break
        block = unit[start : start + BLOCK]
        free: NDArray[np.bool_] = np.all(np.abs(block @ unit[kept].T) <= limit, axis=1)
        among: NDArray[np.bool_] = np.abs(block @ block.T) > limit
        for i in np.flatnonzero(free):
            if free[i]:
                kept.append(start + int(i))
                free[i + 1 :] &= ~among[i, i + 1 :]
    return np.array(kept[:n_wanted], dtype=np.int64)
