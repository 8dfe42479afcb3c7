"""What a fixed threshold does: predictive values, F1, balanced accuracy, biopsies avoided and cancers missed.

Each is a ratio of counts of calls. Their interval is a bootstrap of persons, widened by Nadeau and
Bengio's factor as in :mod:`~cemrad.models.intervals`, on the log-odds scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .heldout import (
    LEVEL,
    MIN_PERSONS,
    NOTHING,
    Estimate,
    HeldOut,
    factor_words,
    no_estimate,
    no_interval,
    on_log_odds,
    quantile,
    wilson,
)
from .metrics import Array


class Calls(NamedTuple):
    """Counts of calls, or weights of them, each of the same shape."""

    true_positive: Array
    false_positive: Array
    false_negative: Array
    true_negative: Array


Within = Callable[[HeldOut], NDArray[np.bool_]]


class Rate(NamedTuple):
    """A ratio of calls.

    Parameters
    ----------
    of : callable
        Calls to the ratio, NaN where it has no value.
    within : callable
        The rows that it is a share of.
    nobody : str
        What is missing where it has no value.
    """

    of: Callable[[Calls], Array]
    within: Within
    nobody: str


def _everyone(held: HeldOut) -> NDArray[np.bool_]:
    return np.ones(len(held.truth), dtype=bool)


def _called(held: HeldOut) -> NDArray[np.bool_]:
    return held.called


def _not_called(held: HeldOut) -> NDArray[np.bool_]:
    return ~held.called


def _positive_or_called(held: HeldOut) -> NDArray[np.bool_]:
    return np.asarray(held.called | (held.truth == 1))


def _ppv(calls: Calls) -> Array:
    return _share(calls.true_positive, calls.true_positive + calls.false_positive)


def _npv(calls: Calls) -> Array:
    return _share(calls.true_negative, calls.true_negative + calls.false_negative)


def _f1(calls: Calls) -> Array:
    return _share(2 * calls.true_positive, 2 * calls.true_positive + calls.false_positive + calls.false_negative)


def _balanced_accuracy(calls: Calls) -> Array:
    sensitivity = _share(calls.true_positive, calls.true_positive + calls.false_negative)
    return (sensitivity + _share(calls.true_negative, calls.true_negative + calls.false_positive)) / 2


def _avoided(calls: Calls) -> Array:
    return _share(calls.true_negative, np.sum(calls, axis=0))


def _missed(calls: Calls) -> Array:
    return _share(calls.false_negative, np.sum(calls, axis=0))


RATES = {
    "ppv": Rate(_ppv, _called, "no case is called positive"),
    "npv": Rate(_npv, _not_called, "no case is called negative"),
    "f1": Rate(_f1, _positive_or_called, "no case is positive or called so"),
    "balanced_accuracy": Rate(_balanced_accuracy, _everyone, "one class only"),
    "biopsies_avoided": Rate(_avoided, _everyone, "no case"),
    "cancers_missed": Rate(_missed, _everyone, "no case"),
}
"""By metric. Of 100 cases, biopsies avoided are negative ones that are called so, if a positive call leads to a
biopsy; cancers missed are positive ones that are called negative."""
PER_100 = ("biopsies_avoided", "cancers_missed")


def cv_ratios(held: HeldOut, metrics: Sequence[str], weights: Array) -> dict[str, Estimate]:
    """Ratios of calls at the thresholds that each fold fixed for itself, all folds and repeats together.

    An interval is never narrower than Wilson's on the persons that the ratio is a share of.

    Parameters
    ----------
    held : HeldOut
    metrics : sequence of str
        Of :data:`RATES`; those of :data:`PER_100` count among 100 cases.
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`.
    """
    calls, drawn = _calls(held, np.ones((1, len(held.truth)))), _calls(held, weights)
    found = {}
    for metric in metrics:
        rate = RATES[metric]
        estimate = float(rate.of(calls)[0])
        if np.isnan(estimate):
            found[metric] = no_estimate(rate.nobody)
            continue
        # A mean of two shares: the smaller of the two classes counts.
        persons = held.freedom + 1 if metric == "balanced_accuracy" else _persons(held, rate)
        spread = float(np.nanstd(rate.of(drawn))) * np.sqrt(held.inflation)
        one = _bounded(estimate, spread, persons, factor_words(held))
        times = 100 if metric in PER_100 else 1
        found[metric] = one._replace(estimate=times * one.estimate, low=times * one.low, high=times * one.high)
    return found


def _persons(held: HeldOut, rate: Rate) -> int:
    return len(np.unique(held.person[rate.within(held)]))


def _bounded(estimate: float, spread: float, persons: int, factor: str) -> Estimate:
    if persons < MIN_PERSONS:
        return no_interval(estimate, f"fewer than {MIN_PERSONS} patients that it is a share of")
    low, high = wilson(estimate, persons, float(ndtri((1 + LEVEL) / 2)))
    if not NOTHING < estimate < 1 - NOTHING:
        return Estimate(estimate, low, high, "Wilson on patients, as the estimate is perfect")
    below, above = on_log_odds(estimate, quantile(persons - 1) * spread)
    method = f"patient bootstrap on the log-odds scale, {factor}t; at least Wilson's"
    return Estimate(estimate, min(low, below), max(high, above), method)


def _calls(held: HeldOut, weights: Array) -> Calls:
    positive = held.truth == 1
    kinds = [held.called & positive, held.called & ~positive, ~held.called & positive, ~held.called & ~positive]
    return Calls(*(weights @ np.stack(kinds, axis=1).astype(np.float64)).T)


def _share(part: Array, whole: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=np.float64)
