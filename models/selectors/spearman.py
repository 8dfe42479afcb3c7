"""No two features alike: of each pair whose |Spearman| is above a limit, one goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings
from .relevance import BLOCK, distinct, ranked, relevance, unit_ranks

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """How alike two features may be, and which of two stays."""

    max_correlation: float = Field(default=0.9, gt=0, le=1, description="|Spearman| above which one of two goes")
    keep: Literal["relevant", "distinct"] = Field(
        default="distinct",
        description="of two alike: the more relevant one, or the one less correlated with all others (no outcome used)",
    )


class Selector(OfSettings):
    """Greedy pruning: features come in the order of preference, and each stays if no one before it is alike.

    A missing value counts as an average rank.
    """

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, the preferred first."""
        ranks, _ = ranked(np.ascontiguousarray(x.T))
        unit = unit_ranks(ranks)
        if self.settings.keep == "relevant":
            order = np.argsort(-relevance(ranks, y), kind="stable")
        else:
            order = np.argsort(_summed_likeness(unit), kind="stable")
        return order[distinct(unit[order], self.settings.max_correlation, len(order))]


def _summed_likeness(unit: Array) -> Array:
    """Sum of each feature's |Spearman| with all, a block at a time: thousands of features squared fill a memory."""
    blocks = [np.abs(unit[at : at + BLOCK] @ unit.T).sum(axis=1) for at in range(0, len(unit), BLOCK)]
    return np.concatenate(blocks)
