"""A blend: one log odds from several models, each of a block of its own (late fusion).

Kittler et al. 1998 (doi 10.1109/34.667881) compare the rules; Wolpert 1992 (doi 10.1016/S0893-6080(05)80023-1) is
stacking, and Breiman 1996 (doi 10.1007/BF00117832) why its weights are held at 0 or above.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..features.errors import BundleError, UnknownPartError
from .explain import against, interactions
from .learner import Array, Fitted, probability
from .learners import SHELF as LEARNERS
from .metrics import youden_threshold

NAME, SUFFIX = "blend", "json"
Kind = Literal["linear", "average", "vote"]
_NEVER, _RIDGE = 1e-9, 1.0
_CANCELLED = 1e-3
"""Share of a part's SHAP values below which their sum is too small to be scaled."""


@dataclass(frozen=True, eq=False)
class Blend:
    """Models of neighbouring columns, and how their log odds become one.

    Parameters
    ----------
    kind : {"linear", "average", "vote"}
        ``linear``: intercept + sum of weight x log odds; ``average``: log odds of the mean probability;
        ``vote``: log odds of the share of models that call positive, half a vote added to either side.
    learner : str
        Part of the shelf that fitted the models.
    parts : tuple of Fitted
    sizes : tuple of int
        How many columns each takes, in order.
    weights : ndarray, shape (n_parts,)
        For ``linear``; 1 otherwise.
    intercept : float
    cuts : ndarray, shape (n_parts,)
        For ``vote``, the log odds from which a model calls positive; 0 otherwise.
    """

    kind: Kind
    learner: str
    parts: tuple[Fitted, ...]
    sizes: tuple[int, ...]
    weights: Array
    intercept: float
    cuts: Array

    def margin(self, x: Array) -> Array:
        """Log odds."""
        return self.join(np.column_stack([part.margin(block) for part, block in self._each(x)]))

    def gains(self) -> Array:
        """Each model's own gains, one after the other; their units may differ between models."""
        return np.concatenate([part.gains() for part in self.parts])

    def explain(self, x: Array) -> tuple[Array, Array]:
        """SHAP values: Shapley's of the models within the blend, spread over each model's own.

        Where log odds are added up, these are each model's own times its weight, and exact. Else a model's share of
        the blend is exact, over all orders in which models join; it is spread in proportion to the SHAP values of the
        model's features (the rescale rule of Chen et al. 2022, doi 10.1038/s41467-022-31384-3).
        """
        return self._shared([part.explain(block) for part, block in self._each(x)])

    def explain_against(self, x: Array, background: Array) -> tuple[Array, Array]:
        """As :meth:`explain`, from interventional values of each model that has such."""
        known = zip(self._each(x), self._each(background), strict=True)
        return self._shared([against(part, block, behind) for (part, block), (_, behind) in known])

    def interactions(self, x: Array) -> Array | None:
        """Each model's own, times its weight, and 0 between models; None unless log odds are added up."""
        if self.kind != "linear":
            return None
        own = [interactions(part, block) for part, block in self._each(x)]
        whole, ends = np.zeros((len(x), x.shape[1], x.shape[1])), np.cumsum(self.sizes)
        for values, size, end, weight in zip(own, self.sizes, ends, self.weights, strict=True):
            if values is None:
                return None
            whole[:, end - size : end, end - size : end] = weight * values
        return whole

    def _shared(self, own: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
        base = np.column_stack([start for _, start in own])
        if self.kind == "linear":
            return np.hstack([w * values for w, (values, _) in zip(self.weights, own, strict=True)]), self.join(base)
        reached = base + np.column_stack([values.sum(axis=1) for values, _ in own])
        shares = self._shares(base, reached)
        spread = [
            _spread(values, reached[:, at] - base[:, at], shares[:, at]) for at, (values, _) in enumerate(own)
        ]  # fmt: skip
        return np.hstack(spread), self.join(base)

    def state(self) -> bytes:
        """All numbers and the states of the models as JSON."""
        kinds = [NAME if isinstance(part, Blend) else self.learner for part in self.parts]
        states = [base64.b64encode(part.state()).decode() for part in self.parts]
        numbers = {"weights": self.weights.tolist(), "intercept": self.intercept, "cuts": self.cuts.tolist()}
        parts = list(zip(kinds, states, strict=True))
        stated = {"kind": self.kind, "learner": self.learner, "sizes": self.sizes, "parts": parts}
        return json.dumps(stated | numbers, sort_keys=True).encode()

    def _each(self, x: Array) -> list[tuple[Fitted, Array]]:
        return list(zip(self.parts, np.split(x, np.cumsum(self.sizes)[:-1], axis=1), strict=True))

    def join(self, margins: Array) -> Array:
        """One log odds of those of the models, shape (n, n_parts)."""
        if self.kind == "linear":
            return np.asarray(np.einsum("ij,j->i", margins, self.weights) + self.intercept, dtype=np.float64)
        if self.kind == "average":
            mean = np.clip(probability(margins).mean(axis=1), _NEVER, 1 - _NEVER)
        else:
            mean = ((margins >= self.cuts).sum(axis=1) + 0.5) / (len(self.parts) + 1)
        return np.asarray(np.log(mean / (1 - mean)), dtype=np.float64)

    def _shares(self, base: Array, reached: Array) -> Array:
        """Shapley value of each model, shape (n, n_parts), over all orders in which they join."""
        orders = list(permutations(range(len(self.parts))))
        shares = np.zeros_like(base)
        for order in orders:
            known, before = base.copy(), self.join(base)
            for at in order:
                known[:, at] = reached[:, at]
                after = self.join(known)
                shares[:, at] += after - before
                before = after
        return shares / len(orders)


def _spread(values: Array, total: Array, share: Array) -> Array:
    """`share` (n,) over features in proportion to `values` (n, n_features), whose sum is `total`; by their size where
    they cancel each other."""
    size = np.abs(values).sum(axis=1)
    steady = np.abs(total) > _CANCELLED * size
    weight = np.where(steady[:, None], values, np.abs(values))
    whole = np.where(steady, total, size)
    return np.asarray(weight * np.where(whole != 0, share / np.where(whole != 0, whole, 1.0), 0.0)[:, None])


def shifted(model: Fitted, learner: str, n_features: int, by: float) -> Blend:
    """A model whose log odds are moved by a constant."""
    return Blend("linear", learner, (model,), (n_features,), np.ones(1), by, np.zeros(1))


def join(
    rule: str, learner: str, parts: Sequence[Fitted], sizes: Sequence[int], margins: Array, truth: NDArray[np.int64]
) -> Blend:
    """Blend models by a rule.

    Parameters
    ----------
    rule : {"mean", "average", "vote", "stacked"}
        Mean of the log odds, mean of the probabilities, votes at each model's own threshold, or a logistic regression
        on the log odds.
    learner : str
    parts : sequence of Fitted
    sizes : sequence of int
    margins : ndarray, shape (n, n_parts)
        Log odds of cases that the models' folds held out: what ``stacked`` and ``vote`` learn from.
    truth : ndarray of int, shape (n,)
    """
    n = len(parts)
    kind, weights, intercept, cuts = "linear", np.ones(n), 0.0, np.zeros(n)
    if rule == "mean":
        weights = np.full(n, 1 / n)
    elif rule == "stacked":
        weights, intercept = _stacked(margins, truth)
    elif rule == "vote":
        kind = "vote"
        thresholds = np.array([youden_threshold(truth, probability(column)) for column in margins.T])
        cuts = np.log(thresholds / (1 - thresholds))
    else:
        kind = "average"
    return Blend(cast(Kind, kind), learner, tuple(parts), tuple(sizes), weights, intercept, cuts)


def _stacked(margins: Array, truth: NDArray[np.int64]) -> tuple[Array, float]:
    """Weights of 0 or more and intercept of a logistic regression with a light ridge."""
    from scipy.optimize import minimize

    n, n_parts = margins.shape
    design = np.column_stack([margins, np.ones(n)])
    ridge = np.append(np.full(n_parts, _RIDGE / n), 0.0)

    def loss(beta: Array) -> tuple[float, Array]:
        z = design @ beta
        gap = probability(z) - truth
        value = float(np.mean(np.logaddexp(0, z) - truth * z)) + 0.5 * float(ridge @ beta**2)
        return value, design.T @ gap / n + ridge * beta

    start = np.append(np.full(n_parts, 1 / n_parts), 0.0)
    bounds = [(0.0, None)] * n_parts + [(None, None)]
    found = np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x, dtype=np.float64)
    return found[:-1], float(found[-1])


def restorer(learner: str) -> Any:
    """What reads the state of a model, and says which suffix it has: a part of the shelf, or this module.

    Parameters
    ----------
    learner : str
        A learner's name, or ``blend``.
    """
    return sys.modules[__name__] if learner == NAME else LEARNERS.take(learner)


def restore(state: bytes) -> Blend:
    """The blend of :meth:`Blend.state`.

    Raises
    ------
    BundleError
        If the bytes are not such a blend.
    """
    try:
        values: dict[str, Any] = json.loads(state)
        parts = tuple(
            restorer(str(kind)).restore(base64.b64decode(part, validate=True)) for kind, part in values["parts"]
        )
        weights, cuts = (np.array(values[name], dtype=np.float64) for name in ("weights", "cuts"))
        blend = Blend(values["kind"], str(values["learner"]), parts, tuple(map(int, values["sizes"])), weights,
                      float(values["intercept"]), cuts)  # fmt: skip
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError, UnknownPartError):
        raise BundleError("a model is not a blend of this package; the bundle is damaged") from None
    fits = [len(part.gains()) for part in parts] == list(blend.sizes)
    if not (parts and fits and weights.shape == cuts.shape == (len(parts),)
            and blend.kind in ("linear", "average", "vote")):  # fmt: skip
        raise BundleError("the parts of a blend do not fit together; the bundle is damaged")
    return blend
