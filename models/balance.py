"""Balance: what is done inside a fold where one class is rare, with probabilities that keep their meaning.

A model that was fitted to balanced classes speaks of a world with as many positive as negative cases. Its log odds are
moved back by those of the training side (King and Zeng 2001, doi 10.1093/oxfordjournals.pan.a004868), so that a
probability is one of the cohort again. What balancing can change is the ranking and the threshold.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .blend import shifted
from .learner import Array, Fitted, Learner, Params

Balance = Literal["none", "weights", "oversample"]
Ints = NDArray[np.int64]


def fit_balanced(learner: Learner, name: str, x: Array, y: Ints, params: Params, seed: int, balance: Balance) -> Fitted:
    """Fit a learner to a training side.

    Parameters
    ----------
    learner : Learner
    name : str
        Of the learner on its shelf.
    x : ndarray, shape (n, n_features)
    y : ndarray of int, shape (n,)
    params : mapping
    seed : int
    balance : {"none", "weights", "oversample"}
        ``weights``: both classes weigh the same in sum; ``oversample``: cases of the rarer class are drawn again, with
        replacement, until there are as many of them. Both within the training side alone.
    """
    if balance == "none":
        return learner.fit(x, y, params, seed)
    n_positive = int(y.sum())
    n_negative = len(y) - n_positive
    if balance == "weights":
        weights = np.where(y == 1, len(y) / (2 * n_positive), len(y) / (2 * n_negative))
        fitted = learner.fit(x, y, params, seed, weights)
    else:
        rows = oversampled(y, seed)
        fitted = learner.fit(x[rows], y[rows], params, seed)
    return shifted(fitted, name, x.shape[1], float(np.log(n_positive / n_negative)))


def oversampled(y: Ints, seed: int) -> Ints:
    """Every row, then rows of the rarer class drawn with replacement until both classes are as large.

    Examples
    --------
    >>> rows = oversampled(np.array([0, 0, 0, 1]), seed=1)
    >>> rows.tolist()
    [0, 1, 2, 3, 3, 3]
    """
    classes = [np.flatnonzero(y == value) for value in (0, 1)]
    rare = min(classes, key=len)
    missing = abs(len(classes[0]) - len(classes[1]))
    drawn = np.random.default_rng(seed).choice(rare, size=missing)
    return np.concatenate([np.arange(len(y)), drawn]).astype(np.int64)
