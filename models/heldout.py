"""What intervals are made of: held-out predictions, an estimate with its bounds, and the parts that methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from .folds import Ints
from .metrics import Array, Truth

LEVEL = 0.95
MIN_PERSONS = 3
NOTHING = 1e-12
"""A width, or a distance from 0 or 1, that is rounding."""


class Estimate(NamedTuple):
    """An estimate with its interval; NaN where there is none, and `method` says why."""

    estimate: float
    low: float
    high: float
    method: str


class Paired(NamedTuple):
    """A difference with its interval, and the p-value of no difference by the same standard error; NaN as above."""

    estimate: float
    low: float
    high: float
    method: str
    p: float


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
    pooled : bool
        Folds are too small to rank cases within them (one person each): they are ranked over all folds of a repeat.
    """

    truth: Truth
    probability: Array
    called: NDArray[np.bool_]
    repeat: Ints
    fold: Ints
    person: Ints
    pooled: bool = False

    @property
    def cell(self) -> Ints:
        """What cases are ranked within, beside the repeat."""
        return np.zeros_like(self.fold) if self.pooled else self.fold

    @property
    def n_repeats(self) -> int:
        """Repeats of the cross-validation."""
        return len(np.unique(self.repeat))

    @property
    def inflation(self) -> float:
        """Nadeau and Bengio's factor for the variance: 1 + K / (K - 1); 1 for one model on persons new to it.

        For what depends on how the models rank cases.
        """
        n_folds = len(np.unique(self.fold))
        return 1 + n_folds / (n_folds - 1) if n_folds > 1 else 1.0

    @property
    def half_inflation(self) -> float:
        """The factor with half of its correction, 1 + K / (2 (K - 1)): for what depends on the models less."""
        return (1 + self.inflation) / 2

    @property
    def folds_apart(self) -> Array:
        """Weights of 1 for the rows of one fold and 0 for the others, one row per fold of each repeat."""
        cells = self.repeat * (self.fold.max() + 1) + self.fold
        return np.asarray(cells == np.unique(cells)[:, None], dtype=np.float64)

    @property
    def freedom(self) -> int:
        """Degrees of freedom: persons of the rarer class, less one."""
        return min(len(np.unique(self.person[self.truth == value])) for value in (0, 1)) - 1


POOLED = (
    "each patient is judged by a model of her own, whose base rate moves against her: without signal cases rank far "
    "below 0.5, which no interval here takes into account"
)
"""Of cases that are ranked over folds of one person each."""


def one_person_each(fold: Ints, person: Ints) -> bool:
    """Whether there are several folds and each holds one person: what :class:`HeldOut` calls pooled."""
    n_folds = len(np.unique(fold))
    return n_folds > 1 and len({*zip(fold.tolist(), person.tolist(), strict=True)}) == n_folds


def judged(held: HeldOut) -> str:
    """What the estimate is of."""
    if held.pooled:
        return "all held-out patients together, each by a model of her own"
    return "mean of held-out folds" if held.inflation > 1 else "one fixed model on new patients"


def factor_words(held: HeldOut, *, half: bool = False) -> str:
    """The factor, in the words of a method; nothing where there is none."""
    if held.inflation == 1:
        return ""
    return "half the Nadeau-Bengio correction, " if half else "Nadeau-Bengio factor, "


def quantile(freedom: int) -> float:
    """Of the t distribution, for an interval of :data:`LEVEL`."""
    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def over_folds(values: Array, held: HeldOut) -> float:
    """Half width of the t interval of a mean over folds, from each fold's own value; 0 where fewer than two have one.

    For what each fold decided anew, as a threshold: folds differ by it almost as if they were independent.
    Repeats of a fold hold the same patients out again: their number does not narrow it.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return 0.0
    return quantile(len(known) - 1) * float(np.sqrt(known.var(ddof=1) / (len(known) / held.n_repeats)))


def normal_quantile() -> float:
    """Of the normal distribution, for an interval of :data:`LEVEL`."""
    return float(ndtri((1 + LEVEL) / 2))


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share of `n`; it holds the share itself, whatever the rounding."""
    square = z**2 / n
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half)))


def wilson_worth(share: float, half: float, persons: int) -> tuple[float, float]:
    """Wilson's interval of a share of as many persons as its half width is worth, and of no more than there are.

    The effective sample size of a clustered survey, as in Korn and Graubard (1998, Survey Methodology 24:193).

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson_worth(0.5, 0.25, 100)]
    [0.276, 0.724]
    >>> wilson_worth(0.0, 0.0, 40) == wilson(0.0, 40, normal_quantile())
    True
    """
    z = normal_quantile()
    certain = not NOTHING < share < 1 - NOTHING or half < NOTHING
    worth = persons if certain else min(persons, z**2 * share * (1 - share) / half**2)
    return wilson(share, worth, z)


def on_log_odds(share: float, half: float) -> tuple[float, float]:
    """Bounds of a share, inside 0 to 1, from its half width on its own scale.

    Examples
    --------
    >>> [round(bound, 3) for bound in on_log_odds(0.5, 0.25)]
    [0.269, 0.731]
    """
    centre, scale = np.log(share / (1 - share)), half / (share * (1 - share))
    low, high = (1 / (1 + np.exp(-(centre + side * scale))) for side in (-1, 1))
    return float(low), float(high)


def no_estimate(why: str) -> Estimate:
    """Nothing can be said, and why."""
    return Estimate(np.nan, np.nan, np.nan, f"not estimable: {why}")


def no_interval(estimate: float, why: str = f"fewer than {MIN_PERSONS} patients of a class") -> Estimate:
    """A number without an interval, and why."""
    return Estimate(estimate, np.nan, np.nan, f"no interval: {why}")
