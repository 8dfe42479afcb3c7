"""ROC curves of cross-validated predictions, averaged so that their area is the AUC of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..models.intervals import HeldOut
from ..models.units import Aggregate, held_out

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A ROC curve over held-out predictions.

    Parameters
    ----------
    arm : str
    false_positive_rate, true_positive_rate : tuple of float
        Corners of the curve, from (0, 0) to (1, 1); ties in probability make a slope.
    """

    arm: str
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


def gather(predictions: pd.DataFrame, level: str, arms: Sequence[str], aggregate: Aggregate = "max") -> Iterator[Curve]:
    """The curve of each arm that has one.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``PREDICTION_COLUMNS``, of one endpoint.
    level : {"lesion", "breast", "patient"}
    arms : sequence of str
    aggregate : {"max", "mean", "vote"}
        As the metrics were made with.
    """
    for arm in arms:
        rows = predictions[predictions["arm"] == arm]
        found = None if rows.empty else average_roc(held_out(rows, level, None, aggregate))
        if found is not None:
            yield Curve(arm, *found)


def average_roc(held: HeldOut) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean of the folds' own ROC curves; None where a repeat has no fold with both classes.

    Sensitivities are averaged at each false positive rate at which any fold's curve turns
    (vertical averaging, Fawcett 2006, doi 10.1016/j.patrec.2005.10.010), each fold weighted by its
    pairs and each repeat alike. Scores of two models are never compared, and the area is exactly
    the AUC of :func:`~cemrad.models.intervals.cv_auc`.

    Parameters
    ----------
    held : HeldOut
    """
    folds: list[tuple[Array, Array]] = []
    weights: list[float] = []
    for repeat in np.unique(held.repeat):
        cells = [(held.repeat == repeat) & (held.cell == cell) for cell in np.unique(held.cell)]
        pairs = [float((held.truth[cell] == 1).sum() * (held.truth[cell] == 0).sum()) for cell in cells]
        if not any(pairs):
            return None
        weights += [n / sum(pairs) for n in pairs if n]
        folds += [roc(held.truth[cell] == 1, held.probability[cell]) for cell, n in zip(cells, pairs, strict=True) if n]
    x = np.unique(np.concatenate([false for false, _ in folds]))
    y = np.average([_sides(x, *fold) for fold in folds], axis=0, weights=weights)
    return tuple(np.repeat(x, 2).tolist()), tuple(y.T.ravel().tolist())


def roc(truth: NDArray[np.bool_], score: Array) -> tuple[Array, Array]:
    """Corners of one model's ROC curve: false and true positive rates from (0, 0) to (1, 1).

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
        Both classes present.
    score : ndarray of float, shape (n,)
        Higher means more positive; equal scores give one corner.

    Examples
    --------
    >>> false, true = roc(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 1.0])
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(truth[order])[last] / truth.sum()
    false = np.cumsum(~truth[order])[last] / (~truth).sum()
    return np.append(0.0, false), np.append(0.0, true)


def _sides(x: Array, false: Array, true: Array) -> Array:
    """Sensitivity just left and just right of each rate: a curve jumps where it is upright."""
    first, last = np.searchsorted(false, x, "left"), np.searchsorted(false, x, "right") - 1
    corner = first <= last
    between = np.interp(x, false, true)
    return np.array([np.where(corner, true[first], between), np.where(corner, true[last], between)])
