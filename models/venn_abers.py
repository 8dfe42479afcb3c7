"""Venn-Abers predictors: a calibrated probability with the two ends that it cannot be told from.

Isotonic regression of the truth on the margin is fitted twice for each new case, once as if it were negative and once
as if it were positive. The two values at the new case are the ends of its interval: whatever the model, one of them is
calibrated where the new case is exchangeable with those that the calibration was learned from (Vovk & Petej 2012,
arXiv:1211.0025, the inductive form).
"""

from __future__ import annotations

import numpy as np

from .metrics import Array, Truth


def venn_abers(margin: Array, truth: Truth, new: Array) -> tuple[Array, Array]:
    """Both ends of each new case's calibrated probability.

    Parameters
    ----------
    margin : ndarray, shape (n,)
        Log odds, or any score that rises with the probability, of cases that the model had not seen.
    truth : ndarray of int, shape (n,)
        0 or 1.
    new : ndarray, shape (m,)
        Of the new cases.

    Returns
    -------
    low, high : ndarray, shape (m,)
        Taken as negative, and as positive. They lie the further apart, the fewer cases there are like the new one.

    Examples
    --------
    >>> low, high = venn_abers(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0, 0, 1, 1]), np.array([3.0]))
    >>> low.round(3).tolist(), high.tolist()
    ([0.667], [1.0])
    """
    from sklearn.isotonic import isotonic_regression  # seconds to import

    # Cases of one margin are one point.
    scores, group = np.unique(margin, return_inverse=True)
    weight = np.bincount(group).astype(np.float64)
    positive = np.bincount(group, weights=truth)
    ends = np.empty((2, len(new)))
    for row, score in enumerate(new):
        at = int(np.searchsorted(scores, score))
        if at == len(scores) or scores[at] != score:
            weights, ones = np.insert(weight, at, 0.0), np.insert(positive, at, 0.0)
        else:
            weights, ones = weight.copy(), positive.copy()
        weights[at] += 1
        for label in (0, 1):
            ones[at] += label
            ends[label, row] = isotonic_regression(ones / weights, sample_weight=weights)[at]
    return ends[0], ends[1]


def merged(low: Array, high: Array) -> Array:
    """One probability for both ends, the least regretted under log loss: p1 / (1 - p0 + p1).

    Examples
    --------
    >>> merged(np.array([0.2]), np.array([0.4])).round(4).tolist()
    [0.3333]
    """
    return np.asarray(high / (1 - low + high), dtype=np.float64)
