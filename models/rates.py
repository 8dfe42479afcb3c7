"""What a fixed threshold does: predictive values, F1, balanced accuracy, biopsies avoided and cancers missed.

Each is a ratio of counts of calls. Its interval is Wilson's, of as many persons as a bootstrap of them,
widened for folds that share training cases, says that the ratio is worth. ``docs/intervals.md`` has the
coverage that was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .heldout import (
    MIN_PERSONS,
    NOTHING,
    Estimate,
    HeldOut,
    factor_words,
    no_estimate,
    no_interval,
    over_folds,
    quantile,
    wilson_worth,
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
    ranks : bool
        Whether it depends on how the models rank cases: the whole factor is for it, else half of its correction.
    moves : bool
        Whether it moves with the threshold that each fold chose: its interval sees how folds differ.
    """

    of: Callable[[Calls], Array]
    within: Within
    nobody: str
    ranks: bool = False
    moves: bool = False


def _everyone(held: HeldOut) -> NDArray[np.bool_]:
    return np.ones(len(held.truth), dtype=bool)


def _positive(held: HeldOut) -> NDArray[np.bool_]:
    return np.asarray(held.truth == 1)


def _negative(held: HeldOut) -> NDArray[np.bool_]:
    return np.asarray(held.truth == 0)


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


def _sensitivity(calls: Calls) -> Array:
    return _share(calls.true_positive, calls.true_positive + calls.false_negative)


def _specificity(calls: Calls) -> Array:
    return _share(calls.true_negative, calls.true_negative + calls.false_positive)


def _balanced_accuracy(calls: Calls) -> Array:
    return (_sensitivity(calls) + _specificity(calls)) / 2


def _avoided(calls: Calls) -> Array:
    return _share(calls.true_negative, np.sum(calls, axis=0))


def _missed(calls: Calls) -> Array:
    return _share(calls.false_negative, np.sum(calls, axis=0))


RATES = {
    "ppv": Rate(_ppv, _called, "no case is called positive"),
    "npv": Rate(_npv, _not_called, "no case is called negative"),
    "f1": Rate(_f1, _positive_or_called, "no case is positive or called so", moves=True),
    "balanced_accuracy": Rate(_balanced_accuracy, _everyone, "one class only"),
}
"""By metric, at the threshold that each fold chose."""
RATES_AT = {
    "sensitivity": Rate(_sensitivity, _positive, "no case of the class"),
    "specificity": Rate(_specificity, _negative, "no case of the class", ranks=True, moves=True),
    "biopsies_avoided": Rate(_avoided, _everyone, "no case", ranks=True, moves=True),
    "cancers_missed": Rate(_missed, _everyone, "no case"),
}
"""By metric, at the thresholds of a high sensitivity, which hold it whatever the models know. Of 100 cases, biopsies
avoided are negative ones that are called so, if a positive call leads to a biopsy; cancers missed are positive ones
that are called negative."""
PER_100 = ("biopsies_avoided", "cancers_missed")


def cv_ratios(held: HeldOut, rates: Mapping[str, Rate], weights: Array) -> dict[str, Estimate]:
    """Ratios of calls at the thresholds that each fold fixed for itself, all folds and repeats together.

    The interval is Wilson's on no more persons than the ratio is a share of, and on fewer where the
    bootstrap's standard error, with its factor and a t quantile, is that of fewer. Of what moves with the
    threshold the wider of that and of the t interval over the folds' own ratios counts.

    Parameters
    ----------
    held : HeldOut
    rates : mapping of str to Rate
        :data:`RATES` or :data:`RATES_AT`, or some of them; those of :data:`PER_100` count among 100 cases.
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`.
    """
    calls, drawn = _calls(held, np.ones((1, len(held.truth)))), _calls(held, weights)
    found = {}
    for metric, rate in rates.items():
        estimate = float(rate.of(calls)[0])
        if np.isnan(estimate):
            found[metric] = no_estimate(rate.nobody)
            continue
        one = _interval(estimate, rate, held, rate.of(drawn))
        times = 100 if metric in PER_100 else 1
        found[metric] = one._replace(estimate=times * one.estimate, low=times * one.low, high=times * one.high)
    return found


def _interval(estimate: float, rate: Rate, held: HeldOut, drawn: Array) -> Estimate:
    # A mean of two shares is worth twice the smaller class.
    both = rate.of is _balanced_accuracy
    persons = 2 * (held.freedom + 1) if both else len(np.unique(held.person[rate.within(held)]))
    if persons < MIN_PERSONS:
        return no_interval(estimate, f"fewer than {MIN_PERSONS} patients that it is a share of")
    if not NOTHING < estimate < 1 - NOTHING:
        low, high = wilson_worth(estimate, 0.0, persons)
        return Estimate(estimate, low, high, "Wilson on patients, as the estimate is perfect")
    inflation = held.inflation if rate.ranks else held.half_inflation
    half = quantile(persons - 1) * float(np.nanstd(drawn)) * np.sqrt(inflation)
    method = f"Wilson on as many patients as a patient bootstrap, {factor_words(held, half=not rate.ranks)}t, is worth"
    if rate.moves and held.inflation > 1:
        half = max(half, over_folds(rate.of(_calls(held, held.folds_apart)), held))
        method += "; at least the t over folds"
    return Estimate(estimate, *wilson_worth(estimate, half, persons), method)


def _calls(held: HeldOut, weights: Array) -> Calls:
    positive = held.truth == 1
    kinds = [held.called & positive, held.called & ~positive, ~held.called & positive, ~held.called & ~positive]
    return Calls(*(weights @ np.stack(kinds, axis=1).astype(np.float64)).T)


def _share(part: Array, whole: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=np.float64)
