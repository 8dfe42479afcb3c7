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

import numpy as np
from scipy.special import stdtr

from .folds import Ints
from .heldout import (
    MIN_PERSONS,
    NOTHING,
    POOLED,
    Paired,
    factor_words,
    judged,
    no_estimate,
    no_interval,
    normal_quantile,
    on_log_odds,
    quantile,
    wilson,
)
from .heldout import Estimate as Estimate
from .heldout import HeldOut as HeldOut
from .metrics import Array, Truth, average_precision, delong, placements, weighted_mean

WILSON = "Wilson on patients of the rarer class, as the estimate is perfect"


def heldout_auc(truth: Truth, score: Array) -> Estimate:
    """AUC of one fixed model on patients that it has not seen, one row each, with DeLong's interval.

    For predictions of a bundle on new cases; never for pooled cross-validated ones. A perfect AUC
    leaves no variance and has no interval.
    """
    areas, covariance = delong(truth, score[:, None])
    half = normal_quantile() * float(np.sqrt(covariance[0, 0]))
    area = float(areas[0])
    if covariance[0, 0] < NOTHING**2:
        return Estimate(area, np.nan, np.nan, "no interval: the estimate is perfect, DeLong's variance is 0")
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), "DeLong, one fixed model on new patients")


def cv_auc(held: HeldOut) -> Estimate:
    """AUC over pairs of one fold, averaged over folds by their pairs and over repeats.

    Scores of two models are never compared with each other. The variance is that of the sum of
    each patient's influence, times Nadeau and Bengio's factor, with a t quantile. Of a perfect AUC, and where
    the predictions of a fold are all alike, which leaves no variance, it is Wilson's interval on the patients of the
    rarer class; that of another never ends short of a perfect one's, as an error cannot make an AUC surer.
    """
    found = influence(held)
    if found is None:
        return no_estimate("one class only")
    area, parts = found
    if held.pooled:
        return no_interval(area, POOLED)
    if held.freedom + 1 < MIN_PERSONS:
        return no_interval(area)
    perfect = not NOTHING < area < 1 - NOTHING  # no pair contradicts another: no variance
    persons, t = held.freedom + 1, quantile(held.freedom)
    half = _half_width(parts, held, held.inflation)
    if perfect or half < NOTHING:  # or each fold's predictions are all alike
        area = float(round(area)) if perfect else area
        return Estimate(area, *wilson(area, persons, t), WILSON)
    low, high = min(area - half, wilson(1.0, persons, t)[0]), max(area + half, wilson(0.0, persons, t)[1])
    method = f"{judged(held)}; patient-clustered DeLong variance, {factor_words(held)}t; to the end of a perfect one"
    return Estimate(area, max(0.0, low), min(1.0, high), method)


def cv_auc_difference(held: HeldOut, reference: HeldOut) -> Paired:
    """Paired difference in AUC of two arms on the same cases and folds, as :func:`cv_auc`.

    What the training sides do to both arms alike is not in it: half of the factor's correction is enough.
    """
    one, other = influence(held), influence(reference)
    if one is None or other is None:
        return Paired(*no_estimate("one class only"), np.nan)
    difference = one[0] - other[0]
    if held.pooled:
        return Paired(*no_interval(difference, POOLED), np.nan)
    if held.freedom + 1 < MIN_PERSONS:
        return Paired(*no_interval(difference), np.nan)
    half = _half_width(one[1] - other[1], held, held.half_inflation)
    if half < NOTHING:
        same = abs(difference) < NOTHING
        alike = "the two arms rank every pair alike" if same else "within each arm all pairs are alike"
        return Paired(*no_interval(difference, alike), np.nan)
    p = float(2 * stdtr(held.freedom, -abs(difference) * quantile(held.freedom) / half))
    method = f"paired by patient; {judged(held)}; clustered DeLong variance, {factor_words(held, half=True)}t"
    return Paired(difference, max(-1.0, difference - half), min(1.0, difference + half), method, p)


def influence(held: HeldOut) -> tuple[float, Array] | None:
    """The AUC and each person's influence on it; None where a repeat has no fold with both classes.

    Clustered structural components after Obuchowski 1997 (doi 10.2307/2533958), summed over folds
    and averaged over repeats.
    """
    cells = []
    pairs: dict[int, int] = {}
    for repeat, fold in _pairs(held.repeat, held.cell):
        at = np.flatnonzero((held.repeat == repeat) & (held.cell == fold))
        positive, negative = at[held.truth[at] == 1], at[held.truth[at] == 0]
        n_pairs = len(positive) * len(negative)
        pairs[repeat] = pairs.get(repeat, 0) + n_pairs
        if n_pairs:
            cells.append((repeat, positive, negative, *placements(held.truth[at], held.probability[at])))
    if not all(pairs.values()):
        return None
    share = {repeat: 1 / (n * len(pairs)) for repeat, n in pairs.items()}
    area = sum(float(above.sum()) * len(negative) * share[r] for r, _, negative, above, _ in cells)
    parts = np.zeros(int(held.person.max()) + 1)
    for repeat, positive, negative, above, below in cells:
        np.add.at(parts, held.person[positive], (above - area) * len(negative) * share[repeat])
        np.add.at(parts, held.person[negative], (below - area) * len(positive) * share[repeat])
    return area, parts


def _half_width(parts: Array, held: HeldOut, inflation: float) -> float:
    n = int((np.bincount(held.person) > 0).sum())
    variance = float((parts**2).sum()) * n / (n - 1) * inflation
    return quantile(held.freedom) * float(np.sqrt(variance))


def bootstrap_weights(person: Ints, n_draws: int, seed: int) -> Array:
    """How often each row counts in each draw of persons with replacement, shape (n_draws, n_rows)."""
    n = int(person.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_draws)
    return np.asarray(drawn[:, person], dtype=np.float64)


Statistic = Callable[[HeldOut, Array], Array]
"""A metric of predictions for each row of weights, NaN where a draw has no value for it."""


def auprc(held: HeldOut, weights: Array) -> Array:
    """Average precision over all folds together, averaged over repeats."""
    rows = [np.flatnonzero(held.repeat == repeat) for repeat in np.unique(held.repeat)]
    parts = [average_precision(held.truth[at], held.probability[at], weights[:, at]) for at in rows]
    return np.asarray(np.mean(parts, axis=0), dtype=np.float64)


def brier(held: HeldOut, weights: Array) -> Array:
    """Mean squared difference of probability and truth."""
    return weighted_mean((held.probability - held.truth) ** 2, weights)


STATISTICS: dict[str, Statistic] = {"auprc": auprc, "brier": brier}
"""Metrics of the probabilities other than the AUC."""


def cv_statistic(
    held: HeldOut, statistic: Statistic, weights: Array, *, nothing: str = "no positive case", ranks: bool = False
) -> Estimate:
    """A metric of cross-validated probabilities with an interval on the log-odds scale, so that it stays in 0 to 1.

    The standard error is that of a bootstrap of persons, widened by Nadeau and Bengio's factor. Of
    a perfect estimate the bootstrap has nothing to vary: Wilson's interval for as many cases as the
    rarer class has persons stands in.

    Parameters
    ----------
    held : HeldOut
    statistic : callable
        One of :data:`STATISTICS`.
    weights : ndarray, shape (n_draws, n)
        From :func:`bootstrap_weights`.
    nothing : str
        Why there is no number, where there is none.
    ranks : bool
        Whether cases are ranked, over all folds: of folds of one person each there is no interval then.
    """
    estimate = float(statistic(held, np.ones((1, len(held.truth))))[0])
    if np.isnan(estimate):
        return no_estimate(nothing)
    if ranks and held.pooled:
        return no_interval(estimate, POOLED)
    if held.freedom + 1 < MIN_PERSONS:
        return no_interval(estimate)
    t = quantile(held.freedom)
    if not NOTHING < estimate < 1 - NOTHING:
        low, high = wilson(estimate, held.freedom + 1, t)
        return Estimate(estimate, low, high, WILSON)
    spread = float(np.nanstd(statistic(held, weights))) * np.sqrt(held.inflation)
    low, high = on_log_odds(estimate, t * spread)
    return Estimate(estimate, low, high, f"patient bootstrap on the log-odds scale, {factor_words(held)}t")


def cv_rate(held: HeldOut, of: int) -> Estimate:
    """Sensitivity (`of` 1) or specificity (`of` 0) at the thresholds that each fold fixed for itself.

    The interval is Nadeau and Bengio's corrected t over the folds' own rates, which also sees how
    unsteady the choice of the threshold was, and never narrower than Wilson's on patients.
    """
    right = held.called == (held.truth == 1)
    cells = [(held.repeat == r) & (held.fold == f) & (held.truth == of) for r, f in _pairs(held.repeat, held.fold)]
    rates = np.array([right[cell].mean() for cell in cells if cell.any()])
    if not len(rates):
        return no_estimate("no case of the class")
    estimate = float(right[held.truth == of].mean())
    persons = len(np.unique(held.person[held.truth == of]))
    if persons < MIN_PERSONS:
        return no_interval(estimate)
    low, high = wilson(estimate, persons, normal_quantile())
    if len(rates) == 1:
        return Estimate(estimate, low, high, f"Wilson on patients, {judged(held)}")
    n_folds = len(np.unique(held.fold))
    spread = np.sqrt((1 / len(rates) + 1 / (n_folds - 1)) * rates.var(ddof=1))
    half = quantile(len(rates) - 1) * float(spread)
    low, high = min(low, max(0.0, estimate - half)), max(high, min(1.0, estimate + half))
    return Estimate(estimate, low, high, "Nadeau-Bengio corrected t over folds, threshold choice included")


def _pairs(repeat: Ints, fold: Ints) -> list[tuple[int, int]]:
    return sorted({(int(r), int(f)) for r, f in zip(repeat, fold, strict=True)})
