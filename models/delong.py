"""DeLong's test of two AUCs: paired on the same cases, or unpaired on two sets of them.

For fixed models on patients that none of them has seen, one row each; never for pooled cross-validated
predictions, whose arms :func:`~cemrad.models.intervals.cv_auc_difference` compares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from .heldout import LEVEL, NOTHING
from .metrics import Array, Truth, delong


class Comparison(NamedTuple):
    """The difference of two AUCs, its interval, the statistic (Z, or t of `freedom`), and the two-sided p-value.

    All but the difference are NaN where it has no variance.
    """

    difference: float
    low: float
    high: float
    statistic: float
    freedom: float
    p: float


def paired_test(truth: Truth, score: Array, other: Array) -> Comparison:
    """Two scores of the same cases (DeLong 1988, doi 10.2307/2531595); the statistic is normal.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
        0 or 1, at least two of each.
    score, other : ndarray, shape (n,)
        Higher means more positive, of both.
    """
    areas, covariance = delong(truth, np.column_stack([score, other]))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return _compare(float(areas[0] - areas[1]), variance, np.inf)


def unpaired_test(truth: Truth, score: Array, other_truth: Truth, other: Array) -> Comparison:
    """Two scores of different cases; t with the Welch-type degrees of freedom of R's pROC."""
    (area, variance), (other_area, other_variance) = (
        (float(a[0]), float(c[0, 0])) for a, c in (delong(truth, score[:, None]), delong(other_truth, other[:, None]))
    )
    both = variance + other_variance
    parts = variance**2 / (len(truth) - 1) + other_variance**2 / (len(other_truth) - 1)
    return _compare(area - other_area, both, both**2 / parts if parts else np.inf)


def _compare(difference: float, variance: float, freedom: float) -> Comparison:
    if variance < NOTHING**2:
        return Comparison(difference, *[np.nan] * 5)
    error = float(np.sqrt(variance))
    statistic, normal = difference / error, np.isinf(freedom)
    tail = ndtr(-abs(statistic)) if normal else stdtr(freedom, -abs(statistic))
    half = error * float(ndtri((1 + LEVEL) / 2) if normal else stdtrit(freedom, (1 + LEVEL) / 2))
    return Comparison(difference, difference - half, difference + half, statistic, freedom, float(2 * tail))
