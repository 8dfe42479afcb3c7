"""Agreement of repeated measurements: intraclass correlations with their intervals, for many features at once.

Shrout and Fleiss 1979, doi 10.1037/0033-2909.86.2.420; the interval of absolute agreement is that of McGraw and Wong
1996, doi 10.1037/1082-989X.1.1.30, with Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .folds import Ints
from .standard import Array

Form = Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]
_CHUNK = 256
"""Features at a time: what fits a processor's cache is several times as fast."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Intraclass correlation of each feature.

    Parameters
    ----------
    icc, low, high : ndarray, shape (n_features,)
        Estimate and confidence interval; NaN where there is none: fewer than two complete subjects, or the same
        value everywhere. Where all raters agree exactly, all three are 1.
    n : ndarray of int, shape (n_features,)
        Subjects that every rater measured.
    """

    icc: Array
    low: Array
    high: Array
    n: Ints


class MeanSquares(NamedTuple):
    """Mean squares of the analysis of variance, each of shape (n_features,).

    ``between`` subjects, ``within`` subjects, between ``raters``, and of the residual ``error``; `n` complete subjects.
    """

    between: Array
    within: Array
    raters: Array
    error: Array
    n: Ints


def intraclass(ratings: Array, form: Form = "2,1", *, confidence: float = 0.95) -> Agreement:
    """Intraclass correlation of each feature.

    Parameters
    ----------
    ratings : ndarray, shape (n_subjects, k_raters, n_features)
        NaN where missing: a subject that one rater lacks is left out of that feature.
    form : {"1,1", "2,1", "3,1", "1,k", "2,k", "3,k"}
        Shrout and Fleiss: raters differ from subject to subject (1); the same random raters, absolute agreement (2);
        the same fixed raters, consistency (3). Of one rater, or of the mean of all k.
    confidence : float

    Raises
    ------
    ValueError
        For fewer than two raters.

    Examples
    --------
    >>> ratings = np.array([[9.0, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    >>> found = intraclass(ratings[:, :, None], "2,1")
    >>> [round(float(part[0]), 2) for part in (found.icc, found.low, found.high)]
    [0.29, 0.02, 0.76]
    """
    if ratings.shape[1] < 2:
        raise ValueError(f"agreement needs two raters, there are {ratings.shape[1]}")
    n_features = ratings.shape[2]
    parts = [
        np.stack(_intraclass(mean_squares(ratings[:, :, at : at + _CHUNK]), ratings.shape[1], form, confidence))
        for at in range(0, n_features, _CHUNK)
    ]
    icc, low, high, n = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0))
    return Agreement(icc, low, high, n.astype(np.int64))


def mean_squares(ratings: Array) -> MeanSquares:
    """Mean squares of each feature over its complete subjects; NaN where there are fewer than two of them."""
    k = ratings.shape[1]
    complete = np.asarray(~np.isnan(ratings).any(axis=1))
    n = complete.sum(axis=0)
    first = np.where(complete, ratings[:, 0], 0.0)
    # Differences from the first rater: what agrees exactly leaves exactly nothing, whatever its size.
    apart = np.where(complete[:, None], ratings - ratings[:, :1], 0.0)
    own = apart.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_rater = apart.sum(axis=0) / n
        centre = of_rater.mean(axis=0)
        level = first + own
        spread = np.where(complete, level - level.sum(axis=0) / n, 0.0)
        within = np.where(complete[:, None], apart - own[:, None], 0.0)
        error = np.where(complete[:, None], within - (of_rater - centre), 0.0)
        found = (
            k * (spread**2).sum(axis=0) / (n - 1),
            (within**2).sum(axis=(0, 1)) / (n * (k - 1)),
            n * ((of_rater - centre) ** 2).sum(axis=0) / (k - 1),
            (error**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1)),
        )
    between, within_, raters, error_ = (np.where(n >= 2, values, np.nan) for values in found)
    return MeanSquares(between, within_, raters, error_, n)


def _intraclass(ms: MeanSquares, k: int, form: Form, confidence: float) -> tuple[Array, Array, Array, Ints]:
    with np.errstate(invalid="ignore", divide="ignore"):
        if form[0] == "2":
            single = _absolute(ms, k, confidence)
        else:
            noise, df = (ms.within, ms.n * (k - 1)) if form[0] == "1" else (ms.error, (ms.n - 1) * (k - 1))
            single = _ratio(ms, noise, df, k, confidence)
        if form[2] == "k":
            single = [value * k / (1 + value * (k - 1)) for value in single]
    exact = (ms.within == 0) & (ms.between > 0)
    if form[0] == "3":
        exact = (ms.error == 0) & (ms.between > 0)
    icc, low, high = (np.where(exact, 1.0, value) for value in single)
    return icc, low, high, ms.n


def _ratio(ms: MeanSquares, noise: Array, df: Ints, k: int, confidence: float) -> list[Array]:
    """Forms 1 and 3: exact intervals, as the ratio of the mean squares has an F distribution."""
    f = ms.between / noise
    tail = (1 - confidence) / 2
    ratios = (f, f / _quantile(1 - tail, ms.n - 1, df), f * _quantile(1 - tail, df, ms.n - 1))
    return [(ratio - 1) / (ratio + k - 1) for ratio in ratios]


def _absolute(ms: MeanSquares, k: int, confidence: float) -> list[Array]:
    """Form 2: raters' means count as disagreement, so that the degrees of freedom are approximate."""
    n, b, j, e = ms.n, ms.between, ms.raters, ms.error
    icc = (b - e) / (b + (k - 1) * e + k * (j - e) / n)
    of_raters, of_error = k * icc * j, (n * (1 - icc) + k * icc * (n - 1)) * e
    df = (of_raters + of_error) ** 2 / (of_raters**2 / (k - 1) + of_error**2 / ((n - 1) * (k - 1)))
    tail = (1 - confidence) / 2
    upper, lower = _quantile(1 - tail, n - 1, df), _quantile(1 - tail, df, n - 1)
    noise = k * j + (k * n - k - n) * e
    low = n * (b - upper * e) / (upper * noise + n * b)
    high = n * (lower * b - e) / (noise + n * lower * b)
    return [icc, low, high]


def _quantile(level: float, df: Array | Ints, df_below: Array | Ints) -> Array:
    """Quantile of the F distribution; NaN for degrees of freedom that are not positive."""
    from scipy.special import fdtri

    usable = (np.asarray(df) > 0) & (np.asarray(df_below) > 0)
    return np.asarray(np.where(usable, fdtri(np.where(usable, df, 1), np.where(usable, df_below, 1), level), np.nan))
