"""Rankings of features: how alike those of several models are, and how steadily features are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from .heldout import quantile
from .learner import Array
from .result import ARM_FAMILIES
from .rows import Rows

SELECTION_COLUMNS = ["endpoint", "arm", "n_models", "n_candidates", "n_chosen", "stability", "low", "high"]


class Steadiness(NamedTuple):
    """Stability of feature selection with its interval; NaN where it cannot be told."""

    stability: float
    low: float
    high: float


def selection_stability(chosen: Array) -> Steadiness:
    """How alike the sets of features are that several models were given, corrected for chance.

    1 where all are the same, about 0 where each is drawn at random; between sets of one size it is Kuncheva's index.
    Nogueira, Sechidis and Brown 2018, J Mach Learn Res 18(174): definition 4, and the standard error of their interval
    (corollary 9) with n - 1 for n in it and a t quantile for the normal one: of few models theirs is far too narrow.
    It takes the models for independent; those of one cross-validation share training cases, so that it is still too
    narrow for what other patients would do.

    Parameters
    ----------
    chosen : ndarray of 0 and 1, shape (n_models, n_candidates)

    Examples
    --------
    >>> round(selection_stability(np.array([[1.0, 1, 0], [0, 1, 1], [1, 0, 1]])).stability, 6)
    -0.5
    """
    n_models, n = chosen.shape
    share = float(chosen.sum()) / max(chosen.size, 1)
    if n_models < 2 or not 0 < share < 1:
        return Steadiness(np.nan, np.nan, np.nan)
    often, own = chosen.mean(axis=0), chosen.mean(axis=1)
    spread = share * (1 - share)
    stability = 1 - n_models / (n_models - 1) * float((often * (1 - often)).mean()) / spread
    parts = chosen @ often / n - own * share + stability / 2 * (2 * share * own - own - share + 1)
    half = quantile(n_models - 1) * 2 * float((parts / spread).std(ddof=1)) / n_models**0.5
    return Steadiness(stability, stability - half, min(1.0, stability + half))


def selection_table(chosen: pd.DataFrame, rows: Iterable[tuple[str, Rows]]) -> pd.DataFrame:
    """Stability of the features of every endpoint and arm, over the models of its folds and repeats.

    Parameters
    ----------
    chosen : DataFrame
        As in a Result.
    rows : iterable of (endpoint, Rows)
        Their columns of an arm's families are what could have been chosen.

    Returns
    -------
    DataFrame
        Columns :data:`SELECTION_COLUMNS`; ``n_chosen`` is the mean over models.
    """
    columns = dict(rows)
    found = []
    for key, part in chosen.groupby(["endpoint", "arm"], sort=False):
        endpoint, arm = map(str, key)
        n = sum(len(columns[endpoint].block(family)) for family in ARM_FAMILIES[arm])
        models, features = (part.groupby(keys).ngroup() for keys in (["repeat", "fold"], "feature"))
        matrix = np.zeros((int(models.max()) + 1, n))
        matrix[models, features] = 1
        numbers = (len(matrix), n, matrix.sum(axis=1).mean())
        found.append((endpoint, arm, *numbers, *selection_stability(matrix)))
    return pd.DataFrame(found, columns=SELECTION_COLUMNS)


def rank_correlations(sizes: Array) -> Array:
    """Spearman's correlation of each two rows' rankings, shape (n_pairs,); NaN for one value, or under 3 features."""
    n_rows, n_features = sizes.shape
    if n_features < 3:
        return np.full(n_rows * (n_rows - 1) // 2, np.nan)
    ranks = rankdata(sizes, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.atleast_2d(np.corrcoef(ranks)) if len(ranks) > 1 else np.ones((1, 1))
    return np.asarray(whole[np.triu_indices(len(whole), k=1)], dtype=np.float64)


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's correlation of two rankings; NaN for fewer than 3 features, or where all of one are equal.

    Examples
    --------
    >>> rank_correlation(np.array([3.0, 2, 1]), np.array([30.0, 20, 25]))
    0.5
    """
    return float(rank_correlations(np.stack([one, other]))[0])


def mean_over_folds(values: Array, n_repeats: int) -> tuple[float, float, float]:
    """Mean of what each fold found with a t interval; repeats of a fold do not narrow it. NaN where nothing is known.

    Examples
    --------
    >>> [round(value, 3) for value in mean_over_folds(np.array([0.2, 0.4, 0.6]), 1)]
    [0.4, -0.097, 0.897]
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan, np.nan
    mean = float(known.mean())
    if len(known) < 2:
        return mean, np.nan, np.nan
    half = quantile(len(known) - 1) * float(np.sqrt(known.var(ddof=1) * n_repeats / len(known)))
    return mean, mean - half, mean + half
