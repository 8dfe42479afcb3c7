"""The features whose means differ most between the classes: the F test of a one-way analysis of variance."""

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
    """How many stay, and how sure a difference must be."""

    n_features: int = Field(default=20, ge=1, le=1000, description="most features kept per block")
    max_p: float = Field(default=1.0, gt=0, le=1, description="p value above which a feature goes; 1 for no test")


class Selector(OfSettings):
    """Largest F first (scikit-learn's ``f_classif``), the median in place of missing values."""

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, largest F first."""
        f, p = f_test(x, y)
        order = np.argsort(-f, kind="stable").astype(np.int64)
        return strongest_first(order, np.where(p <= self.settings.max_p, f, 0.0), self.settings.n_features)


def f_test(x: Array, y: NDArray[np.int64]) -> tuple[Array, Array]:
    """F and p of each column; 0 and 1 where a column does not vary."""
    from sklearn.feature_selection import f_classif

    filled = Standard.fit(x).apply(x)
    varied = filled.std(axis=0) > 0
    f, p = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if varied.any():
        with np.errstate(divide="ignore"):  # classes that are apart without any spread: F is infinite
            f[varied], p[varied] = f_classif(filled[:, varied], y)
    return np.nan_to_num(f, posinf=np.finfo(float).max), p
