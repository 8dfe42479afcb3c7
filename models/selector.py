"""What a selector is: the features of one block in, the positions of those to keep out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Selector(Protocol):
    """The contract of ``models/selectors/NAME.py``.

    The module holds ``Settings`` and ``Selector``, made as ``Selector(settings)``. It sees the
    training side of a fold only, one block of features at a time.
    """

    def choose(self, x: NDArray[np.float64], y: NDArray[np.int64], persons: Sequence[str] = ()) -> NDArray[np.int64]:
        """Positions of the features to keep, best first.

        Parameters
        ----------
        x : ndarray, shape (n, n_features)
            NaN where missing; no column is constant.
        y : ndarray of int, shape (n,)
            0 or 1, both present.
        persons : sequence of str, shape (n,)
            Whose each row is: a selector that cross-validates or draws subsamples keeps a person together.
            Without it, each row is a person of its own.
        """
        ...


class OfSettings:
    """A selector with settings, which is asked only where a block has columns."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def choose(self, x: NDArray[np.float64], y: NDArray[np.int64], persons: Sequence[str] = ()) -> NDArray[np.int64]:
        """Positions of the features to keep, as :meth:`Selector.choose`."""
        return self._chosen(x, y, persons) if x.shape[1] else np.empty(0, dtype=np.int64)

    def _chosen(self, x: NDArray[np.float64], y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        raise NotImplementedError


def strongest_first(order: NDArray[np.int64], strength: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """The first `n` of the positions with any strength; of a block that has columns, at least one.

    Examples
    --------
    >>> strongest_first(np.array([2, 0, 1]), np.array([0.5, 0.0, 0.9]), 5).tolist()
    [2, 0]
    """
    found = order[strength[order] > 0][:n]
    return found if len(found) else order[:1]
