"""Standard scores of a training side: the median where a value is missing, then mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standard:
    """What was learned from a training side, per column.

    Parameters
    ----------
    median, mean, scale : ndarray, shape (n_columns,)
        The scale is 1 for a column that does not vary; the median is 0 for one without any value.

    Examples
    --------
    >>> x = np.array([[0.0, 5.0], [2.0, np.nan]])
    >>> Standard.fit(x).apply(x).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    median: Array
    mean: Array
    scale: Array

    @classmethod
    def fit(cls, x: Array) -> Self:
        """Learn from `x`, shape (n, n_columns), NaN where missing."""
        # A column without any value carries nothing: 0 is as good as any constant.
        seen = ~np.isnan(x).all(axis=0)
        median = np.zeros(x.shape[1])
        median[seen] = np.nanmedian(x[:, seen], axis=0)
        filled = np.where(np.isnan(x), median, x)
        mean, scale = filled.mean(axis=0), filled.std(axis=0)
        return cls(median, mean, np.where(scale > 0, scale, 1.0))

    def apply(self, x: Array) -> Array:
        """Standard scores, shape (n, n_columns), none missing."""
        return np.asarray((np.where(np.isnan(x), self.median, x) - self.mean) / self.scale, dtype=np.float64)
