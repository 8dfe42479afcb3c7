"""Decision curves: what acting on a model is worth, against acting on everyone or on no one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..features.errors import EvaluationError
from .heldout import MIN_PERSONS, NOTHING, HeldOut, quantile
from .metrics import Array, Truth

COLUMNS = [
    "endpoint", "level", "arm", "threshold", "net_benefit", "low", "high", "interventions_avoided", "n", "n_positive",
]  # fmt: skip
"""``arm`` is also ``all`` (treat everyone) and ``none``; interventions avoided are net, per 100 cases."""
ALL, NONE = "all", "none"


def net_benefit(truth: Truth, probability: Array, thresholds: Array, weights: Array) -> Array:
    """Net benefit per case of acting where a probability reaches a threshold.

    True positives less false positives weighed by the odds of the threshold, per case (Vickers & Elkin
    2006, doi 10.1177/0272989X06295361). Equal to R's ``dcurves`` for thresholds above 0; at 0 that
    package takes a risk of exactly 0 for a negative call, which here is a positive one, so curves start at 0.01.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
    probability : ndarray, shape (n,)
    thresholds : ndarray, shape (n_thresholds,)
        At least 0 and below 1.
    weights : ndarray, shape (n_draws, n)
        How often each case counts.

    Returns
    -------
    ndarray, shape (n_draws, n_thresholds)

    Raises
    ------
    EvaluationError
        If a value is no probability, or a threshold leaves 0 to 1.

    Examples
    --------
    >>> one = np.ones((1, 4))
    >>> net_benefit(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1]), np.array([0.5]), one).tolist()
    [[0.0]]
    """
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN is neither
        raise EvaluationError(
            "a decision curve needs probabilities between 0 and 1; recalibrate a score or a marker to one first"
        )
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        raise EvaluationError("thresholds of a decision curve lie between 0 and 1, exclusive")
    odds = thresholds / (1 - thresholds)
    value = np.where(truth[:, None] == 1, 1.0, -odds) * (probability[:, None] >= thresholds)
    return np.asarray(weights @ value / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def treat_all(prevalence: float, thresholds: Array) -> Array:
    """Net benefit of acting on everyone: ``prevalence - (1 - prevalence) x odds``.

    Examples
    --------
    >>> treat_all(0.5, np.array([0.5])).tolist()
    [0.0]
    """
    return np.asarray(prevalence - (1 - prevalence) * thresholds / (1 - thresholds), dtype=np.float64)


def interventions_avoided(benefit: Array, prevalence: float, thresholds: Array) -> Array:
    """Interventions avoided per case without a missed positive, net: what is gained on acting on everyone, in odds."""
    return np.asarray((benefit - treat_all(prevalence, thresholds)) * (1 - thresholds) / thresholds, dtype=np.float64)


def reference_rows(held: HeldOut, thresholds: Array, weights: Array) -> Iterator[dict[str, Any]]:
    """Rows of acting on everyone and on no one, without the key columns; no model, so no factor for folds."""
    always = np.ones_like(held.probability)
    yield from _rows(ALL, held, always, thresholds, weights, 1.0)
    prevalence = float(held.truth.mean())
    for t, avoided in zip(thresholds, interventions_avoided(0 * thresholds, prevalence, thresholds), strict=True):
        yield {
            "arm": NONE, "threshold": float(t), "net_benefit": 0.0, "low": 0.0, "high": 0.0,
            "interventions_avoided": 100 * float(avoided),
        }  # fmt: skip


def curve_rows(arm: str, held: HeldOut, thresholds: Array, weights: Array) -> Iterator[dict[str, Any]]:
    """Rows of a model's curve, without the key columns, all folds and repeats together.

    The band is that of a bootstrap of persons at each threshold, widened by half of Nadeau and Bengio's
    correction, with a t quantile. It is NaN below three patients of a class, and where no draw has another
    value, as at a threshold that nobody reaches.
    """
    yield from _rows(arm, held, held.probability, thresholds, weights, held.half_inflation)


def _rows(
    arm: str, held: HeldOut, probability: Array, thresholds: Array, weights: Array, inflation: float
) -> Iterator[dict[str, Any]]:
    benefit = net_benefit(held.truth, probability, thresholds, np.vstack([np.ones(len(held.truth)), weights]))
    known = held.freedom + 1 >= MIN_PERSONS
    half = quantile(held.freedom) * benefit[1:].std(axis=0) * np.sqrt(inflation) if known else np.nan * thresholds
    half = np.where(half < NOTHING, np.nan, half)
    avoided = interventions_avoided(benefit[0], float(held.truth.mean()), thresholds)
    for t, value, width, spared in zip(thresholds, benefit[0], half, avoided, strict=True):
        yield {
            "arm": arm, "threshold": float(t), "net_benefit": float(value), "low": float(value - width),
            "high": float(value + width), "interventions_avoided": 100 * float(spared),
        }  # fmt: skip
