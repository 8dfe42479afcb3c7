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

    Parameters
    ----------
    held, reference : HeldOut
        The new arm and the one it is compared with, on the same cases and folds.
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`; its spread over persons, widened by
        Nadeau and Bengio's factor, and a t quantile make the interval.
    """
    moved = {
        "categorical": held.called.astype(np.float64) - reference.called,
        "continuous": np.sign(
            np.where(np.isclose(held.probability, reference.probability, rtol=0, atol=ALIKE), 0.0,
                     held.probability - reference.probability)
        ),
    }  # fmt: skip
    every = np.vstack([np.ones(len(held.truth)), weights])
    events = held.truth == 1
    for kind, move in moved.items():
        up = weighted_mean(move[events], every[:, events])
        down = weighted_mean(-move[~events], every[:, ~events])
        for part, values, most in (("events", up, 1.0), ("nonevents", down, 1.0), ("total", up + down, 2.0)):
            yield {"kind": kind, "part": part} | _interval(values, held, most)._asdict()


def _interval(values: Array, held: HeldOut, most: float) -> Estimate:
    """Of the first value, by the spread of the others, no further than `most` from 0."""
    estimate = float(values[0])
    if np.isnan(estimate):
        return no_estimate("no case of the class")
    if held.freedom + 1 < MIN_PERSONS:
        return no_interval(estimate)
    spread = float(np.nanstd(values[1:]))
    if spread < ALIKE:
        return Estimate(estimate, np.nan, np.nan, "no interval: every case moves alike")
    half = quantile(held.freedom) * spread * float(np.sqrt(held.inflation))
    method = f"paired patient bootstrap, {factor_words(held)}t"
    return Estimate(estimate, max(-most, estimate - half), min(most, estimate + half), method)
