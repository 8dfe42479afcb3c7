"""Calibration: whether a predicted probability is the share of cases that turn out positive.

"Intercept" in papers means one of two numbers. Here it is calibration in the large: the intercept of a
logistic regression of the truth on the log odds with the slope fixed at 1. The intercept of the
two-parameter model, of which the slope comes, is another number and is not given. The smooth curve is a
logistic regression on a natural cubic spline of the log odds with three knots (Harrell 2015, doi
10.1007/978-3-319-19425-7), and the integrated calibration index (ICI) the mean distance of the
predictions from it (Austin & Steyerberg 2019, doi 10.1002/sim.8281). Noise adds to that distance, so
that of a calibrated model it is above 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit

from .heldout import (
    MIN_PERSONS,
    Estimate,
    HeldOut,
    factor_words,
    no_estimate,
    no_interval,
    normal_quantile,
    quantile,
    wilson,
)
from .intervals import STATISTICS, cv_statistic
from .irls import fit_logistic
from .metrics import Array

METRICS = ("oe", "calibration_in_the_large", "calibration_slope", "ici", "brier")
CURVE_COLUMNS = [
    "endpoint", "level", "arm", "kind", "predicted", "observed", "low", "high", "n", "n_positive",
]  # fmt: skip
"""Of the curve: ``kind`` is ``group`` (quantiles of the prediction, with Wilson's interval on patients) or
``smooth`` (a point of the spline, with its band; ``n`` is 0)."""
KNOTS = (0.1, 0.5, 0.9)
LEAST_PER_GROUP, N_POINTS = 10, 41
LOST_DRAWS = 0.05
"""Of the draws of a bootstrap, the share that may be without a value."""
_EDGE, _ALIKE = 1e-12, 1e-9
SEPARATED = "no finite solution, as where the probabilities separate the classes"


class Calibration(NamedTuple):
    """Calibration of one arm: its metrics by name, and the rows of its curve, without the key columns."""

    metrics: dict[str, Estimate]
    curve: list[dict[str, Any]]


def calibrate(held: HeldOut, weights: Array, n_groups: int = 10) -> Calibration:
    """Calibration of cross-validated probabilities, all folds and repeats together.

    Intervals are those of a bootstrap of persons with a t quantile: of O:E and ICI the wider of that and its
    like on the log scale. Those of slope and ICI are widened by Nadeau and Bengio's factor. O:E and calibration
    in the large compare a base rate that the models learned with the same one: theirs are of these models on
    new patients, without the factor.

    Parameters
    ----------
    held : HeldOut
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`.
    n_groups : int
        Points of the curve, fewer where a group would hold less than ten cases.

    Returns
    -------
    Calibration
        ``oe`` is observed over expected positives, ``calibration_in_the_large`` and
        ``calibration_slope`` are 0 and 1 where calibration is perfect.
    """
    if len(np.unique(held.truth)) < 2:
        return Calibration(dict.fromkeys(METRICS, no_estimate("one class only")), [])
    chance = np.clip(held.probability, _EDGE, 1 - _EDGE)
    margin, ones = logit(chance), np.ones((len(chance), 1))
    spline = _spline(margin)
    every = np.vstack([np.ones(len(chance)), weights])  # the estimate first, then the draws
    line = np.column_stack([ones, margin])
    oe = every @ held.truth / (every @ chance)
    alike = np.ptp(margin) < _ALIKE
    smooth = np.full((len(every), spline.shape[1]), np.nan) if alike else _fits(spline, held, every)
    apart = np.abs(expit(smooth @ spline.T) - chance)
    metrics = {
        "oe": _interval(oe, held, base_rate=True, log=True),
        "calibration_in_the_large": _interval(_fits(ones, held, every, margin)[:, 0], held, base_rate=True),
        "calibration_slope": _interval(_fits(line, held, every)[:, 1], held),
        "ici": _interval((apart * every).sum(axis=1) / every.sum(axis=1), held, log=True),
        "brier": cv_statistic(held, STATISTICS["brier"], weights),
    }
    if alike:
        metrics |= dict.fromkeys(("calibration_slope", "ici"), no_estimate("all probabilities are alike"))
    return Calibration(metrics, [*_groups(held, n_groups), *_curve(held, margin, smooth)])


def _fits(columns: Array, held: HeldOut, every: Array, offset: Array | float = 0.0) -> Array:
    """Coefficients of the cases as they are, then of each draw, whose steps begin there."""
    first = fit_logistic(columns, held.truth, every[:1], offset=offset)
    if np.isnan(first).any():
        return np.full((len(every), columns.shape[1]), np.nan)
    drawn = fit_logistic(columns, held.truth, every[1:], offset=offset, start=first[0])
    return np.vstack([first, drawn])


def _interval(values: Array, held: HeldOut, *, base_rate: bool = False, log: bool = False) -> Estimate:
    """Of the first value, by the spread of the others."""
    estimate, draws = float(values[0]), np.where(values[1:] > 0, values[1:], np.nan) if log else values[1:]
    if np.isnan(estimate):
        return no_estimate(SEPARATED)
    if held.freedom + 1 < MIN_PERSONS:
        return no_interval(estimate)
    if np.isnan(draws).mean() > LOST_DRAWS:
        return Estimate(
            estimate, np.nan, np.nan, f"no interval: {np.isnan(draws).mean():.0%} of the bootstrap have no value"
        )
    t = quantile(held.freedom) * (1.0 if base_rate else float(np.sqrt(held.inflation)))
    half = t * float(np.nanstd(draws))
    low, high, scale = estimate - half, estimate + half, "patient bootstrap"
    if log:  # of a small estimate either scale alone is too sure
        times = float(np.exp(t * np.nanstd(np.log(draws))))
        low, high = min(estimate / times, max(0.0, low)), max(estimate * times, high)
        scale = "patient bootstrap, the wider of the log scale and its own"
    return Estimate(estimate, low, high, f"{scale}, {'' if base_rate else factor_words(held)}t")


def _spline(margin: Array, at: Array | None = None) -> Array:
    """Columns 1, m and a natural cubic spline's third, of `at` with the knots of `margin`; two where knots coincide."""
    first, second, third = np.quantile(margin, KNOTS)
    x = margin if at is None else at
    if min(second - first, third - second) < 1e-6 * max(third - first, _EDGE):
        return np.column_stack([np.ones(len(x)), x])

    def cube(knot: float) -> Array:
        return np.asarray(np.maximum(x - knot, 0) ** 3)

    share = (third - first) / (third - second)
    bent = cube(first) - share * cube(second) + (share - 1) * cube(third)
    return np.column_stack([np.ones(len(x)), x, bent / (third - first) ** 2])


def _groups(held: HeldOut, n_groups: int) -> Iterator[dict[str, Any]]:
    n = max(1, min(n_groups, len(held.truth) // held.n_repeats // LEAST_PER_GROUP))
    edges = np.unique(np.quantile(held.probability, np.arange(1, n) / n))
    group = np.searchsorted(edges, held.probability, side="right")
    for number in np.unique(group):
        at = group == number
        share, persons = float(held.truth[at].mean()), len(np.unique(held.person[at]))
        low, high = wilson(share, persons, normal_quantile())
        yield {
            "kind": "group", "predicted": float(held.probability[at].mean()), "observed": share,
            "low": low, "high": high, "n": int(at.sum()), "n_positive": int(held.truth[at].sum()),
        }  # fmt: skip


def _curve(held: HeldOut, margin: Array, smooth: Array) -> Iterator[dict[str, Any]]:
    """Points of the smooth curve between the 2.5th and 97.5th percentile of the predictions."""
    if np.isnan(smooth[0]).any() or held.freedom + 1 < MIN_PERSONS or np.isnan(smooth[:, 0]).mean() > LOST_DRAWS:
        return
    first, last = np.quantile(margin, [0.025, 0.975])
    at = np.linspace(first, last, N_POINTS)
    lines = smooth @ _spline(margin, at).T
    half = quantile(held.freedom) * np.nanstd(lines[1:], axis=0) * np.sqrt(held.inflation)
    columns = (expit(x) for x in (at, lines[0], lines[0] - half, lines[0] + half))
    for predicted, observed, low, high in zip(*columns, strict=True):
        yield {
            "kind": "smooth", "predicted": float(predicted), "observed": float(observed),
            "low": float(low), "high": float(high), "n": 0, "n_positive": 0,
        }  # fmt: skip
