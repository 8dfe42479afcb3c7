"""Credit: how much groups of features moved the predictions, with intervals over patients.

SHAP values add up over features, so that the sum of a group's is the group's credit of a case, exactly; the mean of
its size says how far the group moved the predictions. What its features say against each other cancels in it and does
not cancel in the summed sizes, of which shares are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from .folds import Ints
from .heldout import LEVEL, MIN_PERSONS
from .intervals import bootstrap_weights
from .learner import Array

N_DRAWS = 500


@dataclass(frozen=True)
class GroupCredit:
    """Credit of one group of features, each figure with its interval; NaN where there are too few patients.

    Parameters
    ----------
    group : str
    n_features : int
    moved, moved_low, moved_high : float
        Mean over held-out predictions of |sum of the group's SHAP values|, in log odds.
    share, share_low, share_high : float
        The group's part of the summed |SHAP| of all features.
    """

    group: str
    n_features: int
    moved: float
    moved_low: float
    moved_high: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True, eq=False)
class HeldOutShap:
    """SHAP values of one arm as a matrix.

    Parameters
    ----------
    values : ndarray, shape (n_predictions, n_features)
        0 where the prediction's model was not given the feature.
    features : tuple of str
    models : tuple of (int, int)
        Repeat and fold of each model.
    model : ndarray of int, shape (n_predictions,)
        Which of them predicted.
    person : ndarray of int, shape (n_predictions,)
        Whose case it is, numbered from 0 without gaps.
    seed : int
        Of the bootstrap.
    """

    values: Array
    features: tuple[str, ...]
    models: tuple[tuple[int, int], ...]
    model: Ints
    person: Ints
    seed: int = 0

    @classmethod
    def of(cls, shap: pd.DataFrame, persons: pd.Series[str], seed: int = 0) -> HeldOutShap:
        """From rows of one arm of a Result's SHAP values, and each case's patient."""
        rows = pd.MultiIndex.from_frame(shap[["repeat", "fold", "case_id"]])
        row, keys = rows.factorize()
        column, names = pd.factorize(shap["feature"], sort=True)
        values = np.zeros((len(keys), len(names)))
        values[row, column] = shap["shap"].to_numpy(dtype=np.float64)
        index = pd.MultiIndex.from_tuples(list(keys), names=rows.names)
        model, pairs = index.droplevel("case_id").factorize(sort=True)
        models = tuple((int(repeat), int(fold)) for repeat, fold in pairs)
        person = pd.factorize(persons.reindex(index.get_level_values("case_id")).to_numpy())[0]
        return cls(values, tuple(map(str, names)), models, model.astype(np.int64), person.astype(np.int64), seed)

    @cached_property
    def sizes(self) -> Array:
        """Mean |SHAP| of each feature over every prediction, shape (n_features,)."""
        return np.asarray(np.abs(self.values).mean(axis=0), dtype=np.float64)

    @cached_property
    def by_model(self) -> Array:
        """Mean |SHAP| of each feature over the predictions of each model, shape (n_models, n_features)."""
        return np.stack([np.abs(self.values[self.model == one]).mean(axis=0) for one in range(len(self.models))])

    def credit(self, groups: Sequence[str]) -> list[GroupCredit]:
        """Credit of each group, the most moving first; `groups` has one per feature.

        Intervals are percentiles over draws of patients, models as they are.
        """
        number, names = pd.factorize(np.asarray(groups, dtype=object))
        member = np.eye(len(names))[number]
        moved, size = np.abs(self.values @ member), np.abs(self.values) @ member
        share = size.sum(axis=0) / max(float(size.sum()), np.finfo(float).tiny)
        drawn = self._over_draws(np.hstack([moved, size]))
        sizes = drawn[:, len(names) :]
        bounds = _percentiles(drawn[:, : len(names)])
        shares = _percentiles(sizes / np.maximum(sizes.sum(axis=1, keepdims=True), np.finfo(float).tiny))
        found = [
            GroupCredit(str(names[at]), int((number == at).sum()), *map(float, (
                moved[:, at].mean(), *bounds[:, at], share[at], *shares[:, at]
            )))
            for at in range(len(names))
        ]  # fmt: skip
        return sorted(found, key=lambda one: -one.moved)

    def rank_bounds(self) -> Array:
        """Interval of each feature's place by mean |SHAP| over draws of patients, shape (2, n_features); NaN without.

        Place 1 has the largest; equal ones share the better place.
        """
        return _percentiles(places(self._over_draws(np.abs(self.values))))

    def _over_draws(self, values: Array) -> Array:
        """Means of columns over draws of patients, shape (n_draws, n_columns); no row for too few patients."""
        n = int(self.person.max(initial=-1)) + 1
        if n < MIN_PERSONS:
            return np.empty((0, values.shape[1]))
        sums, counts = np.zeros((n, values.shape[1])), np.bincount(self.person, minlength=n)
        np.add.at(sums, self.person, values)
        weights = bootstrap_weights(np.arange(n), N_DRAWS, self.seed)
        return np.asarray(weights @ sums / (weights @ counts)[:, None], dtype=np.float64)


def places(sizes: Array) -> Array:
    """Place of each column in its row, 1 for the largest; equal ones share the better place.

    Examples
    --------
    >>> places(np.array([[0.1, 0.7, 0.0, 0.0]])).tolist()
    [[2.0, 1.0, 3.0, 3.0]]
    """
    return np.asarray(rankdata(-sizes, method="min", axis=1), dtype=np.float64) if len(sizes) else sizes


def _percentiles(drawn: Array) -> Array:
    """Bounds of the middle :data:`~cemrad.models.heldout.LEVEL` of each column, as values that were drawn."""
    if not len(drawn):
        return np.full((2, drawn.shape[1]), np.nan)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return np.asarray(np.quantile(drawn, ends, axis=0, method="inverted_cdf"), dtype=np.float64)
