"""Intervals: how sure an estimate is, given who the patients are and that models were trained on them.

Under cross-validation every case is predicted by a model that was fitted on most of the others, and
the models of two folds share most of their training cases. An interval that takes the pooled
predictions for those of one fixed model on new patients is too narrow: DeLong's covers the true AUC
of null data in about 80 % of runs instead of 95 %. Nadeau and Bengio (2003, doi
10.1023/A:1024068626366) widen the variance of a cross-validated mean by 1 + n_folds x (held-out
cases) / (training cases), which for K folds is 1 + K / (K - 1): 2.25 for five. Here that factor is
applied to a variance that counts patients, not lesions. ``docs/intervals.md`` has the coverage
that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from .folds import Ints
from .metrics import Array, Truth, average_precision, delong, placements, weighted_mean

LEVEL = 0.95
MIN_PERSONS = 3


class Estimate(NamedTuple):
    """An estimate with its interval; NaN where there is none, and `method` says why."""

    estimate: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Cross-validated predictions of one arm, one row per repeat and unit (lesion, breast or patient).

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
    probability : ndarray, shape (n,)
    called : ndarray of bool, shape (n,)
        Whether the probability reached its fold's threshold.
    repeat, fold : ndarray of int, shape (n,)
    person : ndarray of int, shape (n,)
        Numbered from 0 without gaps.
    """

    truth: Truth
    probability: Array
    called: NDArray[np.bool_]
    repeat: Ints
    fold: Ints
    person: Ints

    @property
    def n_repeats(self) -> int:
        """Repeats of the cross-validation."""
        return len(np.unique(self.repeat))

    @property
    def inflation(self) -> float:
        """Nadeau and Bengio's factor for the variance: 1 + K / (K - 1)."""
        n_folds = len(np.unique(self.fold))
        return 1 + n_folds / (n_folds - 1)

    @property
    def freedom(self) -> int:
        """Degrees of freedom: persons of the rarer class, less one."""
        return min(len(np.unique(self.person[self.truth == value])) for value in (0, 1)) - 1


def heldout_auc(truth: Truth, score: Array) -> Estimate:
    """AUC of one fixed model on patients that it has not seen, one row each, with DeLong's interval.

    For predictions of a bundle on new cases; never for pooled cross-validated ones.
    """
    areas, covariance = delong(truth, score[:, None])
    half = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt(covariance[0, 0]))
    area = float(areas[0])
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), "DeLong, one fixed model on new patients")


def cv_auc(held: HeldOut) -> Estimate:
    """AUC over pairs of one fold, averaged over folds by their pairs and over repeats.

    Scores of two models are never compared with each other. The variance is that of the sum of
    each patient's influence, times Nadeau and Bengio's factor, with a t quantile.
    """
    found = influence(held)
    if found is None:
        return _no_estimate("one class only")
    area, parts = found
    method = "mean of held-out folds; patient-clustered DeLong variance, Nadeau-Bengio factor, t"
    return _around(area, parts, held, method, bounds=(0.0, 1.0))


def cv_auc_difference(held: HeldOut, reference: HeldOut) -> Estimate:
    """Paired difference in AUC of two arms on the same cases and folds, as :func:`cv_auc`."""
    one, other = influence(held), influence(reference)
    if one is None or other is None:
        return _no_estimate("one class only")
    method = "paired by patient; mean of held-out folds; clustered DeLong variance, Nadeau-Bengio factor, t"
    return _around(one[0] - other[0], one[1] - other[1], held, method, bounds=(-1.0, 1.0))


def influence(held: HeldOut) -> tuple[float, Array] | None:
    """The AUC and each person's influence on it; None where no fold holds both classes.

    Clustered structural components after Obuchowski 1997 (doi 10.2307/2533958), summed over folds
    and averaged over repeats.
    """
    areas, terms = [], []
    for repeat in np.unique(held.repeat):
        pairs, parts = 0, []
        for fold in np.unique(held.fold):
            at = np.flatnonzero((held.repeat == repeat) & (held.fold == fold))
            positive, negative = at[held.truth[at] == 1], at[held.truth[at] == 0]
            if len(positive) and len(negative):
                pairs += len(positive) * len(negative)
                parts.append((positive, negative, *placements(held.truth[at], held.probability[at])))
        if not pairs:
            return None
        areas.append(sum(float(above.sum()) * len(negative) for _, negative, above, _ in parts) / pairs)
        terms.append((pairs, parts))
    area = float(np.mean(areas))
    sums = np.zeros(int(held.person.max()) + 1)
    for pairs, parts in terms:
        for positive, negative, above, below in parts:
            np.add.at(sums, held.person[positive], (above - area) * len(negative) / pairs / len(areas))
            np.add.at(sums, held.person[negative], (below - area) * len(positive) / pairs / len(areas))
    return area, sums


def _around(area: float, parts: Array, held: HeldOut, method: str, bounds: tuple[float, float]) -> Estimate:
    n = int((np.bincount(held.person) > 0).sum())
    if held.freedom + 1 < MIN_PERSONS:
        return Estimate(area, np.nan, np.nan, f"no interval: fewer than {MIN_PERSONS} patients of a class")
    variance = float((parts**2).sum()) * n / (n - 1) * held.inflation
    half = float(t.ppf((1 + LEVEL) / 2, held.freedom)) * np.sqrt(variance)
    return Estimate(area, max(bounds[0], area - half), min(bounds[1], area + half), method)


def _no_estimate(why: str) -> Estimate:
    return Estimate(np.nan, np.nan, np.nan, f"not estimable: {why}")
