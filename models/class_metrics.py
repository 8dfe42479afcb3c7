"""Metrics of several classes: areas and rates over all of them, for any weights of the patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from .folds import Ints
from .metrics import Array, weighted_mean


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Held-out probabilities of all classes, one row per repeat and unit.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
        Place of the true class.
    probability : ndarray, shape (n, n_classes)
        Summing to 1.
    repeat, cell, person : ndarray of int, shape (n,)
        As in :class:`~cemrad.models.intervals.HeldOut`; scores are compared within a cell only.
    """

    truth: Ints
    probability: Array
    repeat: Ints
    cell: Ints
    person: Ints

    @property
    def predicted(self) -> Ints:
        """Place of the most probable class."""
        return np.asarray(self.probability.argmax(axis=1), dtype=np.int64)

    @property
    def n_classes(self) -> int:
        """Classes that have a model."""
        return int(self.probability.shape[1])


def auc_macro(held: ClassPredictions, weights: Array) -> Array:
    """Mean over the classes of the AUC of one against the rest, for each row of weights."""
    areas = [
        _area(held, held.probability[:, k], held.truth == k, held.truth != k, weights) for k in range(held.n_classes)
    ]
    return np.asarray(np.mean(areas, axis=0), dtype=np.float64)


def hand_till(held: ClassPredictions, weights: Array) -> Array:
    """M of Hand and Till 2001 (doi 10.1023/A:1010920819831): mean AUC of each class against each other one."""
    areas = [
        _area(held, held.probability[:, one], held.truth == one, held.truth == other, weights)
        for one, other in permutations(range(held.n_classes), 2)
    ]
    return np.asarray(np.mean(areas, axis=0), dtype=np.float64)


def accuracy(held: ClassPredictions, weights: Array) -> Array:
    """Share of units whose most probable class is the true one."""
    return weighted_mean((held.predicted == held.truth).astype(float), weights)


def balanced_accuracy(held: ClassPredictions, weights: Array) -> Array:
    """Mean over the classes of the share of theirs that is found."""
    found = [recall(held, weights, truth=k, predicted=k) for k in range(held.n_classes)]
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def recall(held: ClassPredictions, weights: Array, *, truth: int, predicted: int) -> Array:
    """Share of one true class whose most probable class is `predicted`."""
    at = np.flatnonzero(held.truth == truth)
    return weighted_mean((held.predicted[at] == predicted).astype(float), weights[:, at])


CLASS_METRICS: dict[str, Callable[[ClassPredictions, Array], Array]] = {
    "auc_macro": auc_macro, "hand_till": hand_till, "accuracy": accuracy, "balanced_accuracy": balanced_accuracy,
}  # fmt: skip


def _area(held: ClassPredictions, score: Array, positive: Any, negative: Any, weights: Array) -> Array:
    """AUC over pairs of one cell, by pairs over cells and in the mean over repeats, for each row of weights."""
    areas = []
    for repeat in np.unique(held.repeat):
        won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for cell in np.unique(held.cell[held.repeat == repeat]):
            here = (held.repeat == repeat) & (held.cell == cell)
            up, down = np.flatnonzero(here & positive), np.flatnonzero(here & negative)
            down = down[np.argsort(score[down], kind="stable")]
            below = np.cumsum(np.pad(weights[:, down], ((0, 0), (1, 0))), axis=1)
            left, right = (np.searchsorted(score[down], score[up], side) for side in ("left", "right"))
            won += (weights[:, up] * (below[:, left] + below[:, right]) / 2).sum(axis=1)
            pairs += weights[:, up].sum(axis=1) * below[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(np.where(pairs > 0, won / pairs, np.nan))
    return np.asarray(np.mean(areas, axis=0), dtype=np.float64)


"""What every arm is measured by."""
