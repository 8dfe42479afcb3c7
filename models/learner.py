"""What a learner is: chosen features in, a log-odds margin out, with its own explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers that a search may propose: from `low` to `high`, whole ones only or evenly in their logarithm if said."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    """Values of which a search may propose one."""

    options: tuple[Any, ...]


class Fitted(Protocol):
    """A fitted model. Features are positions; whoever holds it knows their names."""

    def margin(self, x: Array) -> Array:
        """Log odds of the positive class, shape (n,); `x` is (n, n_features), NaN where missing."""
        ...

    def gains(self) -> Array:
        """How much each feature gave while the model was fitted, shape (n_features,); 0 where unused."""
        ...

    def explain(self, x: Array) -> tuple[Array, Array]:
        """SHAP values (n, n_features) and base values (n,) on the margin scale."""
        ...

    def state(self) -> bytes:
        """Everything that `restore` needs, as UBJ or JSON: never a pickle."""
        ...


class Learner(Protocol):
    """The contract of ``models/learners/NAME.py``.

    The module holds ``Settings``, ``Learner`` (made as ``Learner(settings)``), ``SUFFIX`` (of the
    file that holds a state) and ``restore(state)``, which gives back a :class:`Fitted` whose
    predictions are bit-identical.
    """

    def candidates(self) -> list[dict[str, Any]]:
        """Parameters to choose from inside a fold, the usual one first."""
        ...

    def space(self) -> dict[str, Range | Choice]:
        """Where a search looks for parameters, by name."""
        ...

    def fit(self, x: Array, y: NDArray[np.int64], params: Params, seed: int, weights: Array | None = None) -> Fitted:
        """Fit to features (n, n_features) and truth (n,) of 0 and 1, both present; a case weighs 1 without weights."""
        ...


def probability(margin: Array) -> Array:
    """Probability of a log-odds margin.

    Examples
    --------
    >>> probability(np.array([0.0])).tolist()
    [0.5]
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(margin, -700, 700))), dtype=np.float64)
