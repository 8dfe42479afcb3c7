"""Net reclassification: how often one arm moves positive cases up and negative ones down, against another.

Not a proper measure: of a miscalibrated arm the continuous index can be above 0 though it knows nothing
more (Hilden & Gerds 2014, doi 10.1002/sim.5804; Pepe 2015, doi 10.1007/s12561-014-9118-0). It stands beside
the differences in AUC and the decision curves and never alone, and events and non-events are given apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .heldout import MIN_PERSONS, Estimate, HeldOut, factor_words, no_estimate, no_interval, quantile
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

    The interval is that of a bootstrap of persons, widened by Nadeau and Bengio's factor. A categorical index
    also depends on two thresholds that every fold chose anew: its interval is never narrower than their
    corrected t over the folds' own indices, without which it covered in 73 to 82 % of null runs.

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
    cells = held.repeat * (held.fold.max() + 1) + held.fold
    within = (cells == np.unique(cells)[:, None]).astype(np.float64)
    for kind, move in moved.items():
        drawn = _indices(move, held, np.vstack([np.ones(len(move)), weights]))
        folds = _indices(move, held, within) if kind == "categorical" else {}
        for part, values in drawn.items():
            most = 2.0 if part == "total" else 1.0
            yield {"kind": kind, "part": part} | _interval(values, folds.get(part), held, most)._asdict()


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
    half = quantile(held.freedom) * float(np.nanstd(values[1:]) * np.sqrt(held.inflation))
    method = f"paired patient bootstrap, {factor_words(held)}t"
    n_folds = len(np.unique(held.fold))
    known = folds[~np.isnan(folds)] if folds is not None else np.empty(0)
    if n_folds > 1 and len(known) > 1:
        spread = np.sqrt((1 / len(known) + 1 / (n_folds - 1)) * known.var(ddof=1))
        half = max(half, quantile(len(known) - 1) * float(spread))
        method += "; at least the corrected t over folds"
    if half < ALIKE:
        return Estimate(estimate, np.nan, np.nan, "no interval: every case moves alike")
    return Estimate(estimate, max(-most, estimate - half), min(most, estimate + half), method)
