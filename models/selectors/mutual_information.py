"""The features that tell most about the outcome: mutual information by nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings, strongest_first
from ..standard import Standard

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """How many stay, and how the information is estimated."""

    n_features: int = Field(default=20, ge=1, le=1000, description="most features kept per block")
    n_neighbours: int = Field(default=3, ge=1, description="of the estimator")
    seed: int = Field(default=2026, ge=0, description="of the noise that tells equal values apart")


class Selector(OfSettings):
    """Largest mutual information first: scikit-learn's ``mutual_info_classif`` (Ross 2014,
    doi 10.1371/journal.pone.0087357), the median in place of missing values."""

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, the most telling first."""
        from sklearn.feature_selection import mutual_info_classif

        s = self.settings
        least = int(min((y == 0).sum(), (y == 1).sum()))
        told = mutual_info_classif(
            Standard.fit(x).apply(x), y, n_neighbors=max(1, min(s.n_neighbours, least - 1)), random_state=s.seed
        )
        return strongest_first(np.argsort(-told, kind="stable").astype(np.int64), told, s.n_features)
