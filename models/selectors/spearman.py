"""No two features alike: of each pair whose |Spearman| is above a limit, one goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from .relevance import ranked, relevance

Array = NDArray[np.float64]

_BLOCK = 512


class Settings(BaseSettings):
    """How alike two features may be, and which of two stays."""

    max_correlation: float = Field(default=0.9, gt=0, le=1, description="|Spearman| above which one of two goes")
    keep: Literal["relevant", "distinct"] = Field(
        default="distinct",
        description="of two alike: the more relevant one, or the one less correlated with all others (no outcome used)",
    )


class Selector:
    """Greedy pruning: features come in the order of preference, and each stays if no one before it is alike.

    A missing value counts as an average rank.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def choose(self, x: Array, y: NDArray[np.int64], persons: Sequence[str] = ()) -> NDArray[np.int64]:
        """Positions of the features to keep, the preferred first."""
        if not x.shape[1]:
            return np.empty(0, dtype=np.int64)
        ranks, _ = ranked(np.ascontiguousarray(x.T))
        unit = unit_ranks(ranks)
        if self.settings.keep == "relevant":
            order = np.argsort(-relevance(ranks, y), kind="stable")
        else:
            order = np.argsort(_summed_likeness(unit), kind="stable")
        return order[_greedy(unit[order], self.settings.max_correlation)]


def unit_ranks(ranks: Array) -> Array:
    """Ranks of each feature (a row) centred and of length 1; a constant feature is 0 throughout."""
    centred = np.nan_to_num(ranks - np.nanmean(ranks, axis=1, keepdims=True))
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1.0), dtype=np.float64)


def _summed_likeness(unit: Array) -> Array:
    """Sum of each feature's |Spearman| with all, a block at a time: thousands of features squared fill a memory."""
    blocks = [np.abs(unit[at : at + _BLOCK] @ unit.T).sum(axis=1) for at in range(0, len(unit), _BLOCK)]
    return np.concatenate(blocks)


def _greedy(unit: Array, limit: float) -> NDArray[np.int64]:
    """Rows, in order, whose |correlation| with every row kept before is at most `limit`."""
    kept: list[int] = []
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK]
        free: NDArray[np.bool_] = np.all(np.abs(block @ unit[kept].T) <= limit, axis=1)
        among: NDArray[np.bool_] = np.abs(block @ block.T) > limit
        for i in np.flatnonzero(free):
            if free[i]:
                kept.append(start + int(i))
                free[i + 1 :] &= ~among[i, i + 1 :]
    return np.array(kept, dtype=np.int64)
