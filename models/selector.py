"""What a selector is: the features of one block in, the positions of those to keep out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Selector(Protocol):
    """The contract of ``models/selectors/NAME.py``.

    The module holds ``Settings`` and ``Selector``, made as ``Selector(settings)``. It sees the
    training side of a fold only, one block of features at a time.
    """

    def choose(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the features to keep, best first.

        Parameters
        ----------
        x : ndarray, shape (n, n_features)
            NaN where missing; no column is constant.
        y : ndarray of int, shape (n,)
            0 or 1, both present.
        """
        ...
