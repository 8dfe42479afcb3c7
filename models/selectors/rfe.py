"""Recursive feature elimination: the features with the smallest weight go, again and again.

Guyon et al. 2002, doi 10.1023/A:1012487302797. With `folds`, the number that stays is chosen by cross-validation
(RFECV), persons kept together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..folds import inner_sides
from ..selector import OfSettings
from ..standard import Standard
from .anova import f_test

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """How many stay, and whose weights count."""

    n_features: int = Field(default=10, ge=1, le=1000, description="kept per block; the least, with folds")
    folds: int = Field(default=0, ge=0, le=20, description="0 keeps n_features; else as many as cross-validate best")
    model: Literal["logistic", "xgboost"] = Field(default="logistic", description="whose weights count")
    step: float = Field(default=0.2, gt=0, lt=1, description="share of the features that goes each time")
    n_considered: int = Field(default=500, ge=1, description="features of the largest F that it starts with")
    seed: int = Field(default=2026, ge=0)


class Selector(OfSettings):
    """scikit-learn's ``RFE`` and ``RFECV`` (ROC AUC) on standard scores."""

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, the largest F first."""
        from sklearn.feature_selection import RFE, RFECV

        s = self.settings
        f, _ = f_test(x, y)
        order = np.argsort(-f, kind="stable").astype(np.int64)[: max(s.n_considered, s.n_features)]
        if len(order) <= s.n_features:
            return order
        scores = Standard.fit(x).apply(x)[:, order]
        sides = inner_sides(persons, y, s.folds, s.seed) if s.folds >= 2 else []
        sides = [(fit, held) for fit, held in sides if len(np.unique(y[held])) == 2]  # an AUC needs both
        if sides:
            found = RFECV(
                _model(s), step=s.step, min_features_to_select=s.n_features, cv=sides, scoring="roc_auc", n_jobs=1
            ).fit(scores, y)
        else:
            found = RFE(_model(s), n_features_to_select=s.n_features, step=s.step).fit(scores, y)
        return np.asarray(order[found.support_], dtype=np.int64)


def _model(settings: Settings) -> Any:
    if settings.model == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=0.1, max_iter=2000, random_state=settings.seed % 2**31)
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=60, max_depth=2, learning_rate=0.1, n_jobs=1, random_state=settings.seed % 2**31)
