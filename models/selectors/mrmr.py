"""Minimum redundancy, maximum relevance (mRMR): each feature that joins tells much of the outcome, little of the rest.

Peng, Long and Ding 2005, doi 10.1109/TPAMI.2005.159. Features are cut into three levels at mean - w SD and
mean + w SD; a feature of few distinct values is taken as it is. Mutual information is the plug-in estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings
from ..standard import Standard

Array = NDArray[np.float64]
Levels = NDArray[np.int64]

_LEAST = 1e-12


class Settings(BaseSettings):
    """How many stay, and how relevance and redundancy are weighed."""

    n_features: int = Field(default=20, ge=1, le=1000, description="most features kept per block")
    criterion: Literal["difference", "quotient"] = Field(
        default="difference", description="relevance minus redundancy (MID), or divided by it (MIQ)"
    )
    width: float = Field(default=0.5, gt=0, description="half width of the middle level, in standard deviations")
    n_considered: int = Field(default=500, ge=1, description="most relevant features that may join")


class Selector(OfSettings):
    """Greedy forward selection by MID or MIQ."""

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, in the order in which they joined."""
        levels = levels_of(x, self.settings.width)
        told = information(levels, y)
        order = np.argsort(-told, kind="stable")[: max(self.settings.n_considered, self.settings.n_features)]
        levels, told = levels[:, order], told[order]
        n = min(self.settings.n_features, len(order))
        kept, redundancy = [0], np.zeros(len(order))
        while len(kept) < n:
            redundancy += information(levels, levels[:, kept[-1]])
            mean = redundancy / len(kept)
            difference = self.settings.criterion == "difference"
            merit = told - mean if difference else told / np.maximum(mean, _LEAST)
            merit[kept] = -np.inf
            kept.append(int(merit.argmax()))
        return order[kept].astype(np.int64)


def levels_of(x: Array, width: float) -> Levels:
    """Each column as whole numbers from 0: its distinct values if there are up to three, else three levels."""
    scores = Standard.fit(x).apply(x)
    levels = (scores > width).astype(np.int64) + (scores >= -width)
    for j in range(x.shape[1]):
        distinct, place = np.unique(scores[:, j], return_inverse=True)
        if len(distinct) <= 3:
            levels[:, j] = place
    return levels


def information(levels: Levels, other: Levels) -> Array:
    """Mutual information in bits of each column with another one; both are whole numbers from 0.

    Examples
    --------
    >>> information(np.array([[0, 0], [1, 1], [0, 1], [1, 0]]), np.array([0, 1, 0, 1])).tolist()
    [1.0, 0.0]
    """
    n = len(levels)
    states = int(levels.max(initial=0)) + 1
    joint = np.zeros((states, int(other.max(initial=0)) + 1, levels.shape[1]))
    for a in range(joint.shape[0]):
        for b in range(joint.shape[1]):
            joint[a, b] = ((levels == a) & (other == b)[:, None]).sum(axis=0) / n
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0, joint * np.log2(joint / apart), 0.0)
    return np.asarray(terms.sum(axis=(0, 1)), dtype=np.float64)
