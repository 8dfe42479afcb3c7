"""The features that an L1-penalised logistic regression keeps, its penalty chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..folds import Ints, inner_sides
from ..metrics import log_loss
from ..selector import OfSettings
from ..standard import Standard
from .anova import f_test

Array = NDArray[np.float64]
Truth = NDArray[np.int64]


class Settings(BaseSettings):
    """How the penalty is chosen."""

    n_folds: int = Field(default=5, ge=2, le=20, description="of persons, inside the training side")
    n_penalties: int = Field(default=12, ge=2, le=100, description="from the first that keeps a feature on")
    weakest: float = Field(default=100.0, gt=1, description="the first penalty divided by the last")
    rule: Literal["min", "1se"] = Field(
        default="min", description="penalty of the least log loss, or the strongest within one standard error of it"
    )
    n_features: int = Field(default=1000, ge=1, le=1000, description="most features kept per block")
    seed: int = Field(default=2026, ge=0)


class Selector(OfSettings):
    """LASSO (Tibshirani 1996) on standard scores, features with a coefficient kept, the largest first.

    Where no penalty keeps a feature, or there are too few persons to cross-validate, the one of the largest F stays.
    """

    settings: Settings

    def _chosen(self, x: Array, y: Truth, persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, the largest coefficient first."""
        size = np.zeros(x.shape[1])
        sides = inner_sides(persons, y, self.settings.n_folds, self.settings.seed)
        if sides:
            chosen = self._penalty(x, y, sides)
            size = np.abs(fit_lasso(Standard.fit(x).apply(x), y, chosen, self.settings.seed)[0])
        if not size.any():
            return np.array([int(f_test(x, y)[0].argmax())])
        order = np.argsort(-size, kind="stable")[: self.settings.n_features]
        return order[size[order] > 0].astype(np.int64)

    def _penalty(self, x: Array, y: Truth, sides: Sequence[tuple[Ints, Ints]]) -> float:
        """Inverse strength of the penalty."""
        s = self.settings
        grid = penalties(Standard.fit(x).apply(x), y, s.n_penalties, s.weakest)
        losses = np.zeros((len(sides), len(grid)))
        for row, (fit, held) in zip(losses, sides, strict=True):
            standard = Standard.fit(x[fit])
            known, new = standard.apply(x[fit]), standard.apply(x[held])
            for k, inverse in enumerate(grid):
                coefficients, intercept = fit_lasso(known, y[fit], inverse, s.seed)
                row[k] = log_loss(y[held], new @ coefficients + intercept)
        mean = losses.mean(axis=0)
        best = int(mean.argmin())
        if s.rule == "1se":
            allowed = mean[best] + losses[:, best].std(ddof=1) / np.sqrt(len(sides))
            best = int(np.flatnonzero(mean <= allowed)[0])
        return float(grid[best])


def penalties(x: Array, y: Truth, n: int, weakest: float) -> Array:
    """Inverse strengths, from the one at which the first feature enters on."""
    from sklearn.svm import l1_min_c

    return np.asarray(l1_min_c(x, y, loss="log") * np.geomspace(1.0, weakest, n + 1)[1:], dtype=np.float64)


def fit_lasso(x: Array, y: Truth, inverse: float, seed: int) -> tuple[Array, float]:
    """Coefficients and intercept on standard scores."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        l1_ratio=1.0, C=inverse, solver="liblinear", intercept_scaling=10.0, tol=1e-4, max_iter=500,
        random_state=seed % 2**31,
    ).fit(x, y)  # fmt: skip
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])
