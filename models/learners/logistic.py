"""Logistic regression with an L2 penalty on standardised features, the median in place of missing values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from ...features.errors import BundleError
from ...features.settings import Settings as BaseSettings
from ..learner import Array, Choice, Params, Range
from ..standard import Standard

SUFFIX = "json"
_FIELDS = ("median", "mean", "scale", "coefficients")


class Settings(BaseSettings):
    """What is tried in the inner folds."""

    inverse_penalty: tuple[float, ...] = Field(default=(0.01, 0.001, 0.1, 1.0), min_length=1, description="C")
    max_iterations: int = Field(default=2000, ge=10)


class Learner:
    """A linear model: what the boosted trees have to beat."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def candidates(self) -> list[dict[str, Any]]:
        """One per penalty."""
        return [{"inverse_penalty": value} for value in self.settings.inverse_penalty]

    def space(self) -> dict[str, Range | Choice]:
        """The penalty."""
        return {"inverse_penalty": Range(1e-4, 10.0, log=True)}

    def fit(
        self, x: Array, y: NDArray[np.int64], params: Params, seed: int, weights: Array | None = None
    ) -> FittedLine:
        """Impute, standardise and fit, all from `x`."""
        standard = Standard.fit(x)
        model = LogisticRegression(
            C=params["inverse_penalty"], max_iter=self.settings.max_iterations, random_state=seed % 2**31
        ).fit(standard.apply(x), y, weights)
        return FittedLine(standard, model.coef_[0].astype(float), float(model.intercept_[0]))


@dataclass(frozen=True, eq=False)
class FittedLine:
    """``intercept + sum of coefficient * (value - mean) / scale``, the median where a value is missing."""

    standard: Standard
    coefficients: Array
    intercept: float

    def margin(self, x: Array) -> Array:
        """Log odds."""
        return np.asarray(self._terms(x).sum(axis=1) + self.intercept, dtype=np.float64)

    def gains(self) -> Array:
        """Absolute standardised coefficients."""
        return np.abs(self.coefficients)

    def explain(self, x: Array) -> tuple[Array, Array]:
        """Exact SHAP values of a linear model with independent features: each term minus its training mean, 0."""
        return self._terms(x), np.full(len(x), self.intercept)

    def state(self) -> bytes:
        """All numbers as JSON, exact to the last bit."""
        arrays = {**vars(self.standard), "coefficients": self.coefficients}
        values = {name: value.tolist() for name, value in arrays.items()}
        return json.dumps(values | {"intercept": self.intercept}, sort_keys=True).encode()

    def _terms(self, x: Array) -> Array:
        return np.asarray(self.standard.apply(x) * self.coefficients, dtype=np.float64)


def restore(state: bytes) -> FittedLine:
    """The model of :meth:`FittedLine.state`.

    Raises
    ------
    BundleError
        If the bytes are not such a model.
    """
    try:
        values = json.loads(state)
        median, mean, scale, coefficients = (np.array(values[name], dtype=np.float64) for name in _FIELDS)
        intercept = float(values["intercept"])
    except (ValueError, KeyError, TypeError):
        raise BundleError("a model is not a logistic regression of this package; the bundle is damaged") from None
    if not median.shape == mean.shape == scale.shape == coefficients.shape == (median.size,):
        raise BundleError("a logistic regression's parts differ in length; the bundle is damaged")
    return FittedLine(Standard(median, mean, scale), coefficients, intercept)
