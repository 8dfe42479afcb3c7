"""How unlike the training side each case held out is, by the model's own features, and in which of them most.

Distance, limits and words are those of :mod:`~cemrad.models.novelty`. First repeat only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..novelty import FARTHEST, Novelty

COLUMNS = [*KEY, "case_id", "distance", "limit_unusual", "limit_far", "called", "rank", "feature", "value", "score"]
N_FEATURES = 3


def account(seen: Seen) -> pd.DataFrame:
    """Three rows per case held out: its distance, and one of its most unusual features.

    ``called`` is ``""``, ``unusual`` or ``far``; a limit is NaN where there were too few training cases to set it.
    ``score`` is the feature's standard score, the training side's mean 0 and standard deviation 1.
    """
    if seen.job.repeat:
        return pd.DataFrame(columns=COLUMNS)
    x = seen.outcome.values
    made = Novelty.fit(seen.fitted.inputs(seen.train), seen.train.persons, seen.seed)
    distance = made.distance(x)
    limits = dict(zip(("limit_unusual", "limit_far"), (np.nan if v is None else v for v in made.limits), strict=True))
    scores = np.clip(np.nan_to_num(made.standard.apply(x)), -FARTHEST, FARTHEST) * made.varies
    rows = []
    for at, (case_id, called) in enumerate(zip(seen.new.case_ids, made.call(distance), strict=True)):
        of_case = {**seen.key, "case_id": case_id, "distance": float(distance[at]), **limits, "called": called}
        for rank, place in enumerate(np.argsort(-np.abs(scores[at]), kind="stable")[:N_FEATURES], start=1):
            feature = {"feature": seen.fitted.features[place], "value": x[at, place], "score": scores[at, place]}
            rows.append({**of_case, "rank": rank, **feature})
    return pd.DataFrame(rows, columns=COLUMNS)
