"""Novelty: how far a new case lies from those that a model was trained on, as one distance with limits.

The distance is Mahalanobis' on the model's standardised features, the covariance shrunk after Ledoit and Wolf (2004,
doi 10.1016/S0047-259X(03)00096-4), so that it exists with more features than cases. Each training case gets the
distance that it has from the others, persons kept together; of these the limits are the conformal quantiles (Vovk
2005; Lei 2018, doi 10.1080/01621459.2017.1307116): of new cases that are like the training cases no more than 5 and
1 % are expected beyond. A value that is missing is taken as the training median, and so as usual.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..features.errors import BundleError
from .standard import Array, Standard

MAX_FEATURES = 256
"""With more of them no correlation is learned: the distance is that of the standard scores themselves."""
N_FOLDS = 10
FARTHEST = 1e6
"""Standard scores beyond this are taken as this: a square of 1e300 would be infinite."""
WORDS = ("", "unusual", "far")
"""What a distance is called up to the first limit, beyond it, and beyond the second."""
SHARES = (0.95, 0.99)
"""Shares of the training cases that lie within the limits."""
_FIELDS = ("median", "mean", "scale", "varies")


@dataclass(frozen=True, eq=False)
class Novelty:
    """What a model's training cases look like, without any one of them.

    Parameters
    ----------
    standard : Standard
        Median, mean and scale of each feature.
    varies : ndarray of bool, shape (n_features,)
        Features that take part; one that is the same in all training cases has no scale to measure by.
    precision : ndarray, shape (n_features, n_features), or None
        Inverse of the shrunk covariance of the standard scores; None for the identity.
    limits : tuple of float or None
        Distances within which 95 and 99 % of the training cases lie; None where there are too few cases to
        tell: below 19 and 99.
    n : int
        Training cases.
    """

    standard: Standard
    varies: np.ndarray[Any, np.dtype[np.bool_]]
    precision: Array | None
    limits: tuple[float | None, ...]
    n: int

    @classmethod
    def fit(cls, x: Array, persons: Sequence[str], seed: int) -> Self:
        """Learn from the training cases.

        Parameters
        ----------
        x : ndarray, shape (n, n_features)
            NaN where missing.
        persons : sequence of str
            One per case: nobody is measured against herself.
        seed : int
            Of the parts that are left out in turn; each person is one where there are no more than ten.
        """
        people = np.unique(np.asarray(persons, dtype=object).astype(str), return_inverse=True)[1]
        n_people = int(people.max()) + 1
        part = np.random.default_rng(seed).permutation(n_people) % min(N_FOLDS, n_people)
        distances = np.full(len(x), np.nan)
        for left_out in np.unique(part):
            held = part[people] == left_out
            if not held.all():
                distances[held] = _shape(x[~held])(x[held])
        shape = _shape(x)
        known = np.sort(distances[~np.isnan(distances)])
        return cls(
            shape.standard, shape.varies, shape.precision, tuple(_limit(known, share) for share in SHARES), len(x)
        )

    def distance(self, x: Array) -> Array:
        """Distance of each case from the training cases, shape (n,); `x` is (n, n_features)."""
        return _Shape(self.standard, self.varies, self.precision)(x)

    def call(self, distance: Array) -> np.ndarray[Any, np.dtype[np.object_]]:
        """``""``, ``"unusual"`` or ``"far"`` for each distance; ``""`` where there is none."""
        beyond = np.zeros(len(distance), dtype=np.int64)
        for at, limit in enumerate(self.limits, start=1):
            if limit is not None:
                beyond[distance > limit] = at
        return np.array(WORDS, dtype=object)[beyond]

    def state(self) -> dict[str, Any]:
        """Everything as JSON values, exact to the last bit."""
        values = {name: getattr(self.standard, name).tolist() for name in _FIELDS[:3]}
        precision = None if self.precision is None else self.precision.tolist()
        limits = {f"{share:g}": limit for share, limit in zip(SHARES, self.limits, strict=True)}
        return values | {"varies": self.varies.tolist(), "precision": precision, "limits": limits, "n": self.n}

    @classmethod
    def restore(cls, state: Mapping[str, Any], n_features: int) -> Self:
        """What :meth:`state` gave; raises BundleError where it is not that of so many features."""
        median, mean, scale = (np.array(state[name], dtype=np.float64) for name in _FIELDS[:3])
        varies = np.array(state["varies"], dtype=bool)
        precision = None if state["precision"] is None else np.array(state["precision"], dtype=np.float64)
        limits = tuple(None if (v := state["limits"][f"{share:g}"]) is None else float(v) for share in SHARES)
        wide = {part.shape for part in (median, mean, scale, varies)} == {(n_features,)}
        if not wide or (precision is not None and precision.shape != (n_features, n_features)):
            raise BundleError("the distances of a model do not fit its features; the bundle is damaged")
        return cls(Standard(median, mean, scale), varies, precision, limits, int(state["n"]))


@dataclass(frozen=True, eq=False)
class _Shape:
    """Place and spread of cases, and the distance from them."""

    standard: Standard
    varies: np.ndarray[Any, np.dtype[np.bool_]]
    precision: Array | None

    def __call__(self, x: Array) -> Array:
        z = np.clip(_scores(self.standard, x), -FARTHEST, FARTHEST) * self.varies
        squared = (z * (z if self.precision is None else z @ self.precision)).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float64)


def _shape(x: Array) -> _Shape:
    from sklearn.covariance import LedoitWolf  # seconds to import

    standard = Standard.fit(x)
    z = np.clip(_scores(standard, x), -FARTHEST, FARTHEST)
    varies = np.asarray(z.std(axis=0) > 0)
    if x.shape[1] > MAX_FEATURES or not varies.any() or len(x) < 2:
        return _Shape(standard, varies, None)
    precision = np.zeros((x.shape[1], x.shape[1]))
    covariance = LedoitWolf(assume_centered=True).fit(z[:, varies]).covariance_
    precision[np.ix_(varies, varies)] = np.linalg.pinv(covariance, hermitian=True)
    return _Shape(standard, varies, precision)


def _scores(standard: Standard, x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # beyond all bounds is far, not an error
        return np.asarray(np.nan_to_num(standard.apply(x), nan=0.0), dtype=np.float64)


def _limit(known: Array, share: float) -> float | None:
    """The conformal quantile of sorted distances; None where they are too few for one."""
    rank = math.ceil((len(known) + 1) * share)
    return float(known[rank - 1]) if rank <= len(known) else None
