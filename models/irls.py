"""Logistic regression of a few columns under many weightings at once, without a penalty, by Newton's steps."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from .metrics import Array, Truth

MAX_STEPS, LARGEST_STEP, CLOSE = 30, 3.0, 1e-5
"""Steps at most, the longest one, and the one that ends them (its square is the error that is left), each in
coefficients per standard deviation of a column."""


def fit_logistic(
    columns: Array, truth: Truth, weights: Array, *, offset: Array | float = 0.0, start: Array | None = None
) -> Array:
    """Coefficients for each row of weights; NaN where they have no finite value, as the columns separate the classes.

    Parameters
    ----------
    columns : ndarray, shape (n, n_columns)
        With a column of ones where an intercept is wanted.
    truth : ndarray of int, shape (n,)
    weights : ndarray, shape (n_draws, n)
        How often each row counts.
    offset : ndarray, shape (n,), or float
        Added to the log odds with a coefficient fixed at 1.
    start : ndarray, shape (n_columns,), optional
        Where the steps begin.

    Returns
    -------
    ndarray, shape (n_draws, n_columns)

    Examples
    --------
    >>> found = fit_logistic(np.ones((4, 1)), np.array([0, 1, 1, 1]), np.ones((1, 4)))
    >>> bool(np.isclose(found[0, 0], np.log(3)))
    True
    """
    varies = np.ptp(columns, axis=0) > 0
    scale = np.where(varies, columns.std(axis=0), 1.0)
    ones = np.flatnonzero((columns == 1).all(axis=0))[:1]
    # Centred where there is an intercept to take it: log odds that hardly vary, far from 0, would be a second one.
    centre = np.where(varies, columns.mean(axis=0), 0.0) if len(ones) else np.zeros(columns.shape[1])
    x = (columns - centre) / scale
    n_columns = x.shape[1]
    products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    found = np.full((len(weights), n_columns), np.nan)
    first = np.zeros(n_columns) if start is None else start * scale
    if start is not None:
        first[ones] += float(start @ centre)
    beta = np.tile(first, (len(weights), 1))
    live, w, reached = np.arange(len(weights)), weights, weights @ (truth[:, None] * x)
    for _ in range(MAX_STEPS):
        chance = expit(beta @ x.T + offset)
        expected = w * chance
        slope = reached - expected @ x
        expected -= expected * chance
        bend = (expected @ products).reshape(-1, n_columns, n_columns)
        bend += 1e-12 * np.eye(n_columns)  # a draw that leaves a column no variation is not solved, but solvable
        step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1)
        beta += step * np.minimum(1.0, LARGEST_STEP / np.maximum(longest, CLOSE))[:, None]
        done = longest < CLOSE
        found[live[done]] = beta[done]
        if done.all():
            break
        if done.any():
            live, beta, w, reached = live[~done], beta[~done], w[~done], reached[~done]
    found /= scale
    found[:, ones] -= (found @ centre)[:, None]
    return found
