"""A small neural network (multilayer perceptron) on standard scores, the median in place of missing values."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.errors import BundleError
from ...features.settings import Settings as BaseSettings
from ..learner import Array, Choice, Params, Range
from ..standard import Standard

SUFFIX = "json"
_STANDARD = ("median", "mean", "scale")
_N_ORDERS = 16
_FAR = 10.0
"""Standard scores beyond this are taken as this: a network says nothing about values so far from all it has seen."""


class Settings(BaseSettings):
    """What is tried in the inner folds (tuples), and what is fixed."""

    hidden: tuple[tuple[int, ...], ...] = Field(default=((16,), (32, 16)), min_length=1, description="units by layer")
    penalty: tuple[float, ...] = Field(default=(1.0, 10.0), min_length=1, description="L2 (alpha)")
    activation: Literal["relu", "tanh"] = "tanh"
    max_iterations: int = Field(default=300, ge=10)


class Learner:
    """scikit-learn's ``MLPClassifier``, fitted by L-BFGS."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def candidates(self) -> list[dict[str, Any]]:
        """Every combination of the tuples in the settings."""
        return [
            {"hidden": list(hidden), "penalty": penalty}
            for hidden, penalty in product(self.settings.hidden, self.settings.penalty)
        ]

    def space(self) -> dict[str, Range | Choice]:
        """The layers of the settings and the penalty."""
        return {"hidden": Choice(tuple(map(list, self.settings.hidden))), "penalty": Range(0.1, 100.0, log=True)}

    def fit(
        self, x: Array, y: NDArray[np.int64], params: Params, seed: int, weights: Array | None = None
    ) -> FittedNetwork:
        """Impute, standardise and fit, all from `x`."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        s = self.settings
        standard = Standard.fit(x)
        model = MLPClassifier(
            hidden_layer_sizes=tuple(params["hidden"]), activation=s.activation, solver="lbfgs",
            alpha=params["penalty"], max_iter=s.max_iterations, random_state=seed % 2**31,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early is one more way to be modest
            model.fit(_near(standard.apply(x)), y, sample_weight=weights)
        layers = tuple(np.asarray(layer, dtype=np.float64) for layer in model.coefs_)
        offsets = tuple(np.asarray(layer, dtype=np.float64) for layer in model.intercepts_)
        return FittedNetwork(standard, layers, offsets, s.activation)


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """Layers of weights (inputs, units) and offsets (units,); the last has one unit, the log odds."""

    standard: Standard
    weights: tuple[Array, ...]
    offsets: tuple[Array, ...]
    activation: str

    def margin(self, x: Array) -> Array:
        """Log odds."""
        return self._forward(_near(self.standard.apply(x)))

    def gains(self) -> Array:
        """Length of the weights that leave each feature."""
        return np.asarray(np.linalg.norm(self.weights[0], axis=1), dtype=np.float64)

    def explain(self, x: Array) -> tuple[Array, Array]:
        """SHAP values against the training mean, by drawing orders in which features join.

        Each order and its reverse is walked once for all cases (Strumbelj and Kononenko 2014,
        doi 10.1007/s10115-013-0679-x); whatever the draw, values and base add up to the margin.
        """
        scores = _near(self.standard.apply(x))
        n, n_features = scores.shape
        values = np.zeros((n, n_features))
        rng = np.random.default_rng(0)
        base = float(self._forward(np.zeros((1, n_features)))[0])
        for _ in range(_N_ORDERS):
            order = rng.permutation(n_features)
            for walk in (order, order[::-1]):
                known = np.zeros((n, n_features))
                before = np.full(n, base)
                for j in walk:
                    known[:, j] = scores[:, j]
                    after = self._forward(known)
                    values[:, j] += after - before
                    before = after
        return values / (2 * _N_ORDERS), np.full(n, base)

    def state(self) -> bytes:
        """All numbers as JSON, exact to the last bit."""
        standard = {name: getattr(self.standard, name).tolist() for name in _STANDARD}
        layers = [[w.tolist(), b.tolist()] for w, b in zip(self.weights, self.offsets, strict=True)]
        return json.dumps({"standard": standard, "layers": layers, "activation": self.activation}).encode()

    def _forward(self, scores: Array) -> Array:
        value = scores
        last = len(self.weights) - 1
        for at, (weight, offset) in enumerate(zip(self.weights, self.offsets, strict=True)):
            # Not a matrix product: its rounding depends on how many cases come together.
            value = np.einsum("ij,jk->ik", value, weight) + offset
            if at < last:
                value = np.tanh(value) if self.activation == "tanh" else np.maximum(value, 0.0)
        return np.asarray(value[:, 0], dtype=np.float64)


def _near(scores: Array) -> Array:
    return np.clip(scores, -_FAR, _FAR)


def restore(state: bytes) -> FittedNetwork:
    """The network of :meth:`FittedNetwork.state`.

    Raises
    ------
    BundleError
        If the bytes are not such a network.
    """
    try:
        values = json.loads(state)
        standard = Standard(*(np.array(values["standard"][name], dtype=np.float64) for name in _STANDARD))
        weights, offsets = (tuple(np.array(layer[at], dtype=np.float64) for layer in values["layers"]) for at in (0, 1))
        activation = str(values["activation"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise BundleError("a model is not a neural network of this package; the bundle is damaged") from None
    size = standard.median.shape
    sound = len(size) == 1 and standard.mean.shape == standard.scale.shape == size and activation in ("tanh", "relu")
    for weight, offset in zip(weights, offsets, strict=True):
        sound = sound and weight.ndim == 2 and weight.shape[:1] == size and offset.shape == weight.shape[1:]
        size = offset.shape
    if not (sound and weights and size == (1,)):
        raise BundleError("the layers of a neural network do not fit together; the bundle is damaged")
    return FittedNetwork(standard, weights, offsets, activation)
