"""Net reclassification: how often one arm moves positive cases up and negative ones down, against another.

Not a proper measure: of a miscalibrated arm the continuous index can be above 0 though it knows nothing
more (Hilden & Gerds 2014, doi 10.1002/sim.5804; Pepe 2015, doi 10.1007/s12561-014-9118-0). It stands beside
the differences in AUC and the decision curves and never alone, and events and non-events are given apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .heldout import MIN_PERSONS, Estimate, HeldOut, factor_words, no_estimate, no_interval, over_folds, quantile
from .metrics import Array, weighted_mean

COLUMNS = [
    "endpoint", "level", "arm", "reference", "kind", "part", "estimate", "low", "high", "method", "n", "n_positive",
]  # fmt: skip
"""``kind`` is ``categorical`` (across each fold's fixed threshold) or ``continuous`` (any rise or fall); ``part``
is ``events`` (positive cases moved up less down), ``nonevents`` (negative ones moved down less up) or ``total``,
their sum."""
ALIKE = 1e-12


def reclassify(held: HeldOut, reference: HeldOut, weights: Array) -> Iterator[dict[str, Any]]:
    """Rows of both kinds and all parts, without the key columns.

    The interval is that of a bootstrap of persons, widened by half of Nadeau and Bengio's correction. A
    categorical index of one class also depends on two thresholds that every fold chose anew: its interval is
    never narrower than the t interval over the folds' own indices. In the sum of both classes the thresholds cancel.

    Parameters
    ----------
    held, reference : HeldOut
        The new arm and the one it is compared with, on the same cases and folds.
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`.
    """
    apart = held.probability - reference.probability
    moved = {
        "categorical": held.called.astype(np.float64) - reference.called,
        "continuous": np.sign(np.where(np.abs(apart) < ALIKE, 0.0, apart)),
    }
    for kind, move in moved.items():
        drawn = _indices(move, held, np.vstack([np.ones(len(move)), weights]))
        folds = _indices(move, held, held.folds_apart) if kind == "categorical" else {}
        for part, values in drawn.items():
            of = None if part == "total" else folds.get(part)
            most = 2.0 if part == "total" else 1.0
            yield {"kind": kind, "part": part} | _interval(values, of, held, most)._asdict()


def _indices(move: Array, held: HeldOut, weights: Array) -> dict[str, Array]:
    """Every part of an index for each row of weights; NaN where a class has none."""
    events = held.truth == 1
    up = weighted_mean(move[events], weights[:, events])
    down = weighted_mean(-move[~events], weights[:, ~events])
    return {"events": up, "nonevents": down, "total": up + down}


def _interval(values: Array, folds: Array | None, held: HeldOut, most: float) -> Estimate:
    """Of the first value, by the spread of the others and of the folds, no further than `most` from 0."""
    estimate = float(values[0])
    if np.isnan(estimate):
        return no_estimate("no case of the class")
    if held.freedom + 1 < MIN_PERSONS:
        return no_interval(estimate)
    half = quantile(held.freedom) * float(np.nanstd(values[1:]) * np.sqrt(held.half_inflation))
    method = f"paired patient bootstrap, {factor_words(held, half=True)}t"
    if folds is not None and held.inflation > 1:
        half = max(half, over_folds(folds, held))
        method += "; at least the t over folds"
    if half < ALIKE:
        return Estimate(estimate, np.nan, np.nan, "no interval: every case moves alike")
    return Estimate(estimate, max(-most, estimate - half), min(most, estimate + half), method)
