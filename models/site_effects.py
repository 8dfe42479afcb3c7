"""The model behind ComBat: least squares per column, then shift and scale of each site, shrunken by empirical Bayes.

Johnson 2007, doi 10.1093/biostatistics/kxj037, in the form of R's neuroCombat: population variance over all cases,
sample variance within a site, and its stop rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..features.errors import EvaluationError
from .standard import Array

Bools = NDArray[np.bool_]


class SiteModel:
    """Level, slopes, scale and site effects of each column, NaN left out.

    Parameters
    ----------
    x : ndarray, shape (n, n_columns)
    member : ndarray, shape (n, n_sites)
        1 where a row is of a site, else 0.
    covariates : ndarray, shape (n, n_covariates)
        Centred, none missing.
    reference : int, optional
        Place of the site that stays as it is.

    Raises
    ------
    EvaluationError
        If covariates and sites cannot be told apart.
    """

    def __init__(self, x: Array, member: Array, covariates: Array, reference: int | None) -> None:
        self.reference = reference
        self.member = member
        n_sites, n_columns = member.shape[1], x.shape[1]
        design = np.hstack([member, covariates])
        _require_told_apart(design, covariates)
        present = ~np.isnan(x)
        self.n = member.T @ present
        self.harmonised = (self.n >= 2).all(axis=0) & _varies_in_every_site(x, member)
        self.level, self.scale = np.zeros(n_columns), np.ones(n_columns)
        self.slopes = np.zeros((covariates.shape[1], n_columns))
        self._residual_fit(x, present, design, n_sites)
        self.scores = (x - self.level - covariates @ self.slopes) / self.scale

    def _residual_fit(self, x: Array, present: Bools, design: Array, n_sites: int) -> None:
        """Least squares, one solution for all columns that miss the same rows; population variance of what is left."""
        at = np.flatnonzero(self.harmonised)
        patterns, which = np.unique(present[:, at], axis=1, return_inverse=True)
        full = np.linalg.matrix_rank(design)
        for k, rows in enumerate(patterns.T):
            columns = at[which.ravel() == k]
            here = design[rows]
            if np.linalg.matrix_rank(here) < full:
                self.harmonised[columns] = False  # the rows that are left do not tell sites from covariates
                continue
            values = x[np.ix_(rows, columns)]
            beta = np.linalg.lstsq(here, values, rcond=None)[0]
            squares = (values - here @ beta) ** 2
            weights = here[:, :n_sites].mean(axis=0)
            if self.reference is not None:
                weights = np.eye(n_sites)[self.reference]
                squares = squares[here[:, self.reference] == 1]
            self.level[columns] = weights @ beta[:n_sites]
            self.slopes[:, columns] = beta[n_sites:]
            variance = squares.mean(axis=0)
            # Covariates may explain a column to the last bit: then nothing is left whose scale could be compared.
            exact = variance <= 1e-20 * np.maximum(values.var(axis=0), np.finfo(float).tiny)
            self.harmonised[columns[exact]] = False
            self.scale[columns] = np.where(exact, 1.0, np.sqrt(variance))

    def effects(self, *, mean_only: bool, empirical_bayes: bool) -> tuple[Array, Array]:
        """Shift and relative variance per site and column; 0 and 1 where nothing is taken out."""
        shift = np.zeros((self.member.shape[1], len(self.level)))
        spread = np.ones_like(shift)
        at = np.flatnonzero(self.harmonised)
        for k, member in enumerate(self.member.T == 1):
            if k == self.reference or not len(at):
                continue
            scores = self.scores[np.ix_(member, at)]
            own_shift, own_spread = np.nanmean(scores, axis=0), np.nanvar(scores, axis=0, ddof=1)
            if mean_only:
                shift[k, at] = _shrunken_shift(own_shift) if empirical_bayes and len(at) > 1 else own_shift
            elif empirical_bayes and len(at) > 1:
                shift[k, at], spread[k, at] = _posterior(scores, own_shift, own_spread)
            else:
                shift[k, at], spread[k, at] = own_shift, own_spread
        return shift, spread


def _shrunken_shift(own: Array) -> Array:
    """Posterior mean with one observation of variance 1: neuroCombat's form for shifts alone."""
    prior_mean, prior_variance = own.mean(), own.var(ddof=1)
    return np.asarray((prior_variance * own + prior_mean) / (prior_variance + 1))


def _posterior(scores: Array, own_shift: Array, own_spread: Array) -> tuple[Array, Array]:
    """Johnson's iteration, until no number changes by 1 in 10,000; the stop rule is neuroCombat's."""
    n = (~np.isnan(scores)).sum(axis=0)
    mean, variance = own_shift.mean(), own_shift.var(ddof=1)
    m, s2 = own_spread.mean(), own_spread.var(ddof=1)
    if s2 == 0:  # all columns alike: their common scale is known
        return np.asarray((n * variance * own_shift + m * mean) / (n * variance + m)), np.full(len(n), m)
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    shift, spread, change = own_shift, own_spread, 1.0
    while change > 1e-4:
        new_shift = (n * variance * own_shift + spread * mean) / (n * variance + spread)
        squares = np.nansum((scores - new_shift) ** 2, axis=0)
        new_spread = (0.5 * squares + b) / (n / 2 + a - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.concatenate([np.abs(new_shift - shift) / shift, np.abs(new_spread - spread) / spread])
        change = float(np.nanmax(steps))
        shift, spread = new_shift, new_spread
    return shift, spread


def _require_told_apart(design: Array, covariates: Array) -> None:
    varying = int((np.ptp(covariates, axis=0) > 0).sum()) if len(covariates) else 0
    expected = design.shape[1] - covariates.shape[1] + varying
    if np.linalg.matrix_rank(design) < expected:
        raise EvaluationError(
            "ComBat cannot tell sites and covariates apart: a covariate is the same within every site, "
            "or two covariates are the same; leave it out"
        )


def _varies_in_every_site(x: Array, member: Array) -> Bools:
    with np.errstate(invalid="ignore"):
        ranges = [np.fmax.reduce(x[m], axis=0) - np.fmin.reduce(x[m], axis=0) > 0 for m in member.T == 1]
    return np.asarray(np.all(ranges, axis=0))
