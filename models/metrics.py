"""Metrics of binary predictions: areas, rates and scores, without their intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Truth = NDArray[np.int64]

THRESHOLDS = {"sens95": 0.95, "sens100": 1.0}
"""Beside Youden's: thresholds by name, and the sensitivity on the training side that each of them holds."""

_AT = ("sensitivity", "specificity", "biopsies_avoided", "cancers_missed")
METRICS = (
    "auc", "auprc", "sensitivity", "specificity", "brier", "ppv", "npv", "f1", "balanced_accuracy",
    *(f"{metric}_at_{name}" for name in THRESHOLDS for metric in _AT),
)  # fmt: skip
"""What every arm is measured by."""


def placements(truth: Truth, score: Array) -> tuple[Array, Array]:
    """Share of negatives below each positive, and of positives above each negative; a tie counts half.

    These are the structural components of DeLong et al. 1988 (doi 10.2307/2531595); the mean of
    either is the AUC. Both classes must be present.

    Examples
    --------
    >>> placements(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5]))
    (array([1. , 0.5]), array([0.75]))
    """
    from scipy.stats import rankdata  # a second to import; an extraction ranks nothing

    positive, negative = score[truth == 1], score[truth == 0]
    ranks = rankdata(np.concatenate([positive, negative]))
    n = len(positive)
    above = (ranks[:n] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[n:] - rankdata(negative)) / n
    return above, below


def auc(truth: Truth, score: Array) -> float:
    """Area under the ROC curve; NaN where a class is absent."""
    if len(np.unique(truth)) < 2:
        return float("nan")
    return float(placements(truth, score)[0].mean())


def delong(truth: Truth, scores: Array) -> tuple[Array, Array]:
    """AUC of each column of scores and DeLong's covariance between them.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
        0 or 1, at least two of each.
    scores : ndarray, shape (n, n_scores)
        Predictions of one fixed model per column, on patients that none of them has seen.

    Returns
    -------
    aucs : ndarray, shape (n_scores,)
    covariance : ndarray, shape (n_scores, n_scores)
    """
    parts = [placements(truth, column) for column in scores.T]
    above = np.array([part[0] for part in parts])
    below = np.array([part[1] for part in parts])
    covariance = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    return above.mean(axis=1), np.atleast_2d(covariance)


def average_precision(truth: Truth, score: Array, weights: Array) -> Array:
    """Area under the precision-recall curve as average precision, for each row of weights.

    Parameters
    ----------
    truth, score : ndarray, shape (n,)
    weights : ndarray, shape (n_draws, n)
        How often each case counts; a row without positives gives NaN.
    """
    order = np.argsort(-score, kind="stable")
    hits = weights[:, order] * truth[order]
    seen = np.cumsum(weights[:, order], axis=1)
    found = np.cumsum(hits, axis=1)
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    found_at, seen_at = found[:, last], seen[:, last]
    gained = np.diff(found_at, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen_at > 0, found_at / seen_at, 0.0)
        return np.asarray((gained * precision).sum(axis=1) / found_at[:, -1], dtype=np.float64)


def log_loss(truth: Truth, margin: Array) -> Array:
    """Mean log loss of log odds, over the last axis.

    Examples
    --------
    >>> log_loss(np.array([0, 1]), np.array([0.0, 0.0])).round(4)
    np.float64(0.6931)
    """
    return np.asarray(np.logaddexp(0, margin) - truth * margin).mean(axis=-1)  # type: ignore[no-any-return]


def weighted_mean(values: Array, weights: Array) -> Array:
    """Mean of `values` (n,) for each row of weights (n_draws, n); NaN where nothing weighs."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ values / total, dtype=np.float64)


def youden_threshold(truth: Truth, probability: Array) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950).

    Halfway between two neighbouring probabilities; of equally good ones the median. It is meant
    for the training side: a threshold chosen on the cases that it is judged on flatters.

    Examples
    --------
    >>> youden_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9]))
    0.4
    """
    values = np.unique(probability)
    if len(values) == 1:
        return float(values[0])
    cuts = (values[1:] + values[:-1]) / 2
    positive, negative = np.sort(probability[truth == 1]), np.sort(probability[truth == 0])
    sensitivity = 1 - np.searchsorted(positive, cuts, side="left") / len(positive)
    specificity = np.searchsorted(negative, cuts, side="left") / len(negative)
    index = sensitivity + specificity
    best = np.flatnonzero(index >= index.max() - 1e-12)
    return float(cuts[best[len(best) // 2]])


def sensitivity_threshold(truth: Truth, probability: Array, least: float) -> float:
    """The highest threshold that still calls a share `least` of the positives positive.

    Halfway between the last of these and the next lower probability. It is meant for the training
    side: on new cases the sensitivity is another one.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
        At least one 1.
    probability : ndarray, shape (n,)
    least : float
        Between 0, exclusive, and 1.

    Examples
    --------
    >>> sensitivity_threshold(np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.6, 0.1]), 1.0)
    0.4
    """
    positive = np.sort(probability[truth == 1])[::-1]
    last = positive[int(np.ceil(round(least * len(positive), 9))) - 1]
    lower = probability[probability < last]
    return float((last + lower.max()) / 2 if len(lower) else last)


def holm(p: Array) -> Array:
    """P-values adjusted for as many tests as there are, after Holm 1979; NaN is no test.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
