"""A random forest on the logistic loss: many deep trees on draws of cases and features, averaged (xgboost's).

Breiman 2001, doi 10.1023/A:1010933404324. Trees are averaged in log odds, not in votes, so that SHAP values add up to
the margin as they do for the boosted trees.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..learner import Array, Choice, Params, Range
from .xgboost import SUFFIX, FittedTrees, grow, restore

__all__ = ["SUFFIX", "Learner", "Settings", "restore"]


class Settings(BaseSettings):
    """What is tried in the inner folds (tuples), and what is fixed."""

    max_depth: tuple[int, ...] = Field(default=(6, 3), min_length=1)
    min_child_weight: tuple[float, ...] = Field(
        default=(1.0, 3.0), min_length=1, description="sum of p (1 - p) in a leaf"
    )
    n_trees: int = Field(default=300, ge=1)
    subsample: float = Field(default=0.632, gt=0, le=1, description="share of the cases of each tree")
    max_features: float | None = Field(
        default=None, gt=0, le=1, description="share of the features at each split; the root of their number without"
    )
    reg_lambda: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=64, ge=2)


class Learner:
    """Bagged trees; missing values handled by the trees, classes not reweighted."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def candidates(self) -> list[dict[str, Any]]:
        """Every combination of the tuples in the settings."""
        grid = product(self.settings.max_depth, self.settings.min_child_weight)
        return [{"max_depth": depth, "min_child_weight": weight} for depth, weight in grid]

    def space(self) -> dict[str, Range | Choice]:
        """Depth of the trees and their smallest leaf."""
        return {"max_depth": Range(2, 12, whole=True), "min_child_weight": Range(0.5, 10, log=True)}

    def fit(
        self, x: Array, y: NDArray[np.int64], params: Params, seed: int, weights: Array | None = None
    ) -> FittedTrees:
        """Fit one forest, single-threaded, so that any number of workers gives the same trees."""
        s = self.settings
        options = {
            "eta": 1.0,
            "num_parallel_tree": s.n_trees,
            "max_depth": params["max_depth"],
            "min_child_weight": params["min_child_weight"],
            "lambda": s.reg_lambda,
            "subsample": s.subsample,
            "colsample_bynode": s.max_features or min(1.0, 1 / np.sqrt(max(x.shape[1], 1))),
            "max_bin": s.max_bin,
        }
        return grow(x, y, options, 1, seed, weights)
