"""Stability selection: the features that enter a LASSO early in most halves of the persons.

Meinshausen and Buehlmann 2010 (doi 10.1111/j.1467-9868.2010.00740.x), with the complementary pairs of halves of Shah
and Samworth 2013 (doi 10.1111/j.1467-9868.2011.01034.x). At most ``q^2 / ((2 share - 1) p)`` of `p` features are
expected to be kept by chance, `q` of them entering in each half.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings
from ..standard import Standard
from .anova import f_test

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """How often the persons are halved, and how often a feature must enter."""

    n_pairs: int = Field(default=25, ge=1, le=1000, description="pairs of halves")
    n_entering: int = Field(default=10, ge=1, description="features that enter the path of each half (q)")
    share: float = Field(default=0.6, gt=0.5, le=1, description="share of halves in which a feature must enter")
    n_features: int = Field(default=20, ge=1, le=1000, description="most features kept per block")
    seed: int = Field(default=2026, ge=0)


class Selector(OfSettings):
    """The first features of the LASSO path (least-angle regression on the outcome) of each half of the persons.

    Where none is stable enough, the most stable one stays.
    """

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, the most stable first."""
        share = self.shares(x, y, persons)
        strength = f_test(x, y)[0]
        order = np.lexsort((-strength, -share))
        kept = order[share[order] >= self.settings.share][: self.settings.n_features]
        return (kept if len(kept) else order[:1]).astype(np.int64)

    def shares(self, x: Array, y: NDArray[np.int64], persons: Sequence[str] = ()) -> Array:
        """Share of the halves in which each feature entered, shape (n_features,)."""
        s = self.settings
        owners = np.asarray(list(persons) or range(len(y)))
        distinct = np.unique(owners)
        rng = np.random.default_rng(s.seed)
        entered, n_halves = np.zeros(x.shape[1]), 0
        for _ in range(s.n_pairs):
            first = rng.permutation(distinct)[: len(distinct) // 2]
            inside = np.isin(owners, first)
            for half in (np.flatnonzero(inside), np.flatnonzero(~inside)):
                if len(np.unique(y[half])) == 2:
                    entered[_first_in(x[half], y[half], s.n_entering)] += 1
                    n_halves += 1
        return entered / max(n_halves, 1)


def _first_in(x: Array, y: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The first `n` features of the LASSO path."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    scores = Standard.fit(x).apply(x)
    varied = np.flatnonzero(scores.std(axis=0) > 0)
    with warnings.catch_warnings():
        # Of equal columns the path drops all but one, or ends early: the order until there is what is wanted.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        _, active, _ = lars_path(scores[:, varied], y - y.mean(), method="lasso", max_iter=n, return_path=False)
    return varied[np.asarray(active[:n], dtype=np.int64)]
