"""Correlation-based feature selection (CFS): a subset that goes with the outcome, and whose members differ.

Hall 1999 (thesis, University of Waikato): merit = k rc / sqrt(k + k (k - 1) rf), with rc the mean correlation of the
k features with the outcome and rf that among themselves. Correlations are of ranks, |Spearman|; the search is Hall's
best-first search forward, which ends when five expansions in a row bring nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings
from .relevance import ranked, unit_ranks

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """How far the search goes."""

    n_features: int = Field(default=50, ge=1, le=1000, description="most features kept per block")
    n_considered: int = Field(default=150, ge=1, description="features most correlated with the outcome")
    patience: int = Field(default=5, ge=1, description="expansions without gain after which the search ends")


class Selector(OfSettings):
    """Best-first search by merit."""

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, most correlated with the outcome first."""
        unit = unit_ranks(ranked(np.ascontiguousarray(x.T))[0])
        outcome = unit_ranks(ranked(y[None, :].astype(np.float64))[0])[0]
        with_class = np.abs(unit @ outcome)
        order = np.argsort(-with_class, kind="stable")[: self.settings.n_considered]
        among = np.abs(unit[order] @ unit[order].T)
        kept = _search(with_class[order], among, self.settings.n_features, self.settings.patience)
        return order[kept].astype(np.int64)


def _search(with_class: Array, among: Array, most: int, patience: int) -> list[int]:
    """The subset of the largest merit that the search meets, in order."""
    best: tuple[int, ...] = (0,)
    best_merit = float(with_class[0])
    waiting = {best: best_merit}
    seen = {best}
    idle = 0
    while waiting and idle < patience:
        subset = max(waiting, key=lambda one: (waiting[one], -len(one), one))
        waiting.pop(subset)
        idle += 1
        if len(subset) == most:
            continue
        members = np.array(subset)
        total, shared = with_class[members].sum(), among[np.ix_(members, members)].sum()
        # With a candidate j: k + k (k - 1) rf is the sum of the whole square of correlations, its diagonal included.
        merits = (total + with_class) / np.sqrt(shared + 2 * among[members].sum(axis=0) + 1)
        for j in np.argsort(-merits, kind="stable")[: patience + len(members)]:
            larger = tuple(sorted((*subset, int(j))))
            if j in members or larger in seen:
                continue
            seen.add(larger)
            waiting[larger] = float(merits[j])
            if merits[j] > best_merit + 1e-12:
                best, best_merit, idle = larger, float(merits[j]), 0
    return list(best)
