"""The nearest training cases of each case held out, by what its model goes by.

The distance is the root mean square difference of standard scores over the model's features, each weighed by its share
of the model's gain: 1 is one standard deviation of the training side. A missing value counts as the training median.
First repeat only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..learner import Array, probability
from ..standard import Standard

COLUMNS = [*KEY, "case_id", "rank", "neighbour", "distance", "usual", "truth", "probability"]
N_NEAREST = 5


def account(seen: Seen) -> pd.DataFrame:
    """Up to five rows per case held out.

    ``usual`` is the median over the training side of the distance to the nearest case of another person;
    ``probability`` is what the inner folds said of the neighbour while it was held out there, NaN where none did.
    """
    if seen.job.repeat:
        return pd.DataFrame(columns=COLUMNS)
    train = seen.fitted.inputs(seen.train)
    standard, weights = Standard.fit(train), _weights(seen.fitted.model.gains())
    ours, theirs = (standard.apply(x) * np.sqrt(weights) for x in (train, seen.outcome.values))
    persons = np.array(seen.train.persons, dtype=object)
    among = _distances(ours, ours)
    among[persons[:, None] == persons[None, :]] = np.inf
    nearest = among.min(axis=1)
    usual = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else np.nan
    known = seen.fitted.out_of_fold
    said = dict(zip(known.case_ids, probability(known.margin), strict=True))
    rows = []
    for case_id, person, distances in zip(seen.new.case_ids, seen.new.persons, _distances(theirs, ours), strict=True):
        distances = np.where(persons == person, np.inf, distances)
        order = np.argsort(distances, kind="stable")[:N_NEAREST]
        for rank, at in enumerate(order[np.isfinite(distances[order])], start=1):
            other = seen.train.case_ids[at]
            near = {"rank": rank, "neighbour": other, "distance": float(distances[at]), "usual": usual}
            said_there = {"truth": int(seen.train.y[at]), "probability": said.get(other, np.nan)}
            rows.append({**seen.key, "case_id": case_id, **near, **said_there})
    return pd.DataFrame(rows, columns=COLUMNS)


def _weights(gains: Array) -> Array:
    total = float(gains.sum())
    return gains / total if total > 0 else np.full(len(gains), 1 / max(len(gains), 1))


def _distances(a: Array, b: Array) -> Array:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b), dtype=np.float64)
