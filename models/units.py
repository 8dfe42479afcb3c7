"""Units: breasts and patients from the predictions of their lesions, and what chance gives them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from .folds import Ints
from .heldout import Estimate, HeldOut, one_person_each
from .metrics import Array

LEVELS = ("lesion", "breast", "patient")
UNIT = {"lesion": "case_id", "breast": "breast_id", "patient": "patient_id"}
N_PERMUTATIONS = 200

Aggregate = Literal["max", "mean", "vote"]
VOTE = 0.5
"""Share of its lesions called positive from which a breast or patient is, with ``vote``."""


def held_out(
    predictions: pd.DataFrame, level: str, severest: pd.Series[int] | None = None, aggregate: Aggregate = "max"
) -> HeldOut:
    """Predictions of one arm, one row per repeat and unit of the level.

    A mean is that of probabilities, not of log odds: one very sure lesion then cannot outweigh all others, and the
    fold's threshold, a probability, holds for it as for a lesion. Of a vote the share of lesions called positive stands
    in the probability's place, and half of them make the unit positive.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``PREDICTION_COLUMNS``, of one endpoint and one arm.
    level : {"lesion", "breast", "patient"}
    severest : Series of int, optional
        Truth of each unit by its id; without it that of the unit's most severe predicted lesion.
    aggregate : {"max", "mean", "vote"}
        How the lesions of a breast or patient come to one number; a lesion is its own.
    """
    keys = ["repeat", "fold", UNIT[level]]
    how: Aggregate = "max" if level == "lesion" else aggregate
    scored = predictions.assign(probability=lesion_scores(predictions, how))
    columns = {
        "truth": "max",
        "probability": "max" if how == "max" else "mean",
        "threshold": "max",
        "patient_id": "first",
    }
    units = scored.groupby(keys, sort=True)[list(columns)].agg(columns)
    called = units["probability"] >= (VOTE if how == "vote" else units["threshold"])
    at = units.index
    fold = at.get_level_values("fold").to_numpy(dtype=np.int64)
    person = np.unique(units["patient_id"].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    if severest is not None:
        units["truth"] = severest.reindex(at.get_level_values(UNIT[level])).to_numpy()
    return HeldOut(
        truth=units["truth"].to_numpy(dtype=np.int64),
        probability=units["probability"].to_numpy(dtype=np.float64),
        called=called.to_numpy(dtype=bool),
        repeat=at.get_level_values("repeat").to_numpy(dtype=np.int64),
        fold=fold,
        person=person,
        pooled=one_person_each(fold, person),
    )


def lesion_scores(predictions: pd.DataFrame, how: Aggregate) -> pd.Series[float]:
    """What a breast or patient takes the highest or the mean of; NaN where a lesion has no probability."""
    if how == "vote":
        called = (predictions["probability"] >= predictions["threshold"]).astype(float)
        return called.where(predictions["probability"].notna())
    return predictions["probability"]


def chance_auc(
    predictions: pd.DataFrame, level: str, held: HeldOut, seed: int, aggregate: Aggregate = "max"
) -> Estimate:
    """AUC of probabilities that know nothing: those of the lesions, dealt among the lesions of a fold anew.

    Above the level of lesions it exceeds 0.5 where units differ in their number of lesions: with
    more of them both the highest probability and the chance of a positive one rise. A mean or a vote does not rise
    with their number, and chance stays near 0.5.

    Parameters
    ----------
    predictions : DataFrame
        As :func:`held_out` takes them.
    level : {"lesion", "breast", "patient"}
    held : HeldOut
        What :func:`held_out` made of them.
    seed : int
    aggregate : {"max", "mean", "vote"}
        As in :func:`held_out`.

    Returns
    -------
    Estimate
        Without an interval: it is a reference, not a finding.
    """
    from scipy.stats import rankdata  # a second to import; an extraction ranks nothing

    if level == "lesion":
        return Estimate(0.5, np.nan, np.nan, "one probability per lesion")
    rng = np.random.default_rng(seed)
    above, pairs = np.zeros(N_PERMUTATIONS), 0
    # `held` has the units fold by fold in the order of their ids.
    cell = np.zeros(len(predictions), dtype=np.int64) if held.pooled else predictions["fold"].to_numpy(dtype=np.int64)
    for (repeat, fold), rows in predictions.groupby(["repeat", cell], sort=True):
        truth = held.truth[(held.repeat == repeat) & (held.cell == fold)]
        n_positive = int(truth.sum())
        if n_positive in (0, len(truth)):
            continue
        rows = rows.sort_values(["fold", UNIT[level]], kind="stable")
        first = np.flatnonzero(~rows[UNIT[level]].duplicated().to_numpy())
        scores = lesion_scores(rows, aggregate).to_numpy(dtype=np.float64)
        dealt = rng.permuted(np.tile(scores, (N_PERMUTATIONS, 1)), axis=1)
        ranks = rankdata(_reduced(dealt, first, aggregate), axis=1)
        above += ranks[:, truth == 1].sum(axis=1) - n_positive * (n_positive + 1) / 2
        pairs += n_positive * (len(truth) - n_positive)
    if not pairs:
        return Estimate(np.nan, np.nan, np.nan, "not estimable: one class only")
    return Estimate(float((above / pairs).mean()), np.nan, np.nan, "mean AUC of permuted predictions")


def _reduced(scores: Array, first: Ints, aggregate: Aggregate) -> Array:
    """Scores of units from those of their lesions, which stand together and begin at `first`, in each row."""
    if aggregate == "max":
        return np.asarray(np.maximum.reduceat(scores, first, axis=1))
    return np.asarray(np.add.reduceat(scores, first, axis=1) / np.diff(np.append(first, scores.shape[1])))
