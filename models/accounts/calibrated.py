"""Calibrated probabilities of the cases held out, with the interval of a Venn-Abers predictor.

It is learned from what the inner folds said of the training side. These predictions chose the model's parameters, so
that they flatter a little, and they are of models that saw fewer cases than the one whose margin is calibrated: both
are reasons to take the interval for the least that is not known. First repeat only: the one that a reader is shown.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..venn_abers import merged, venn_abers

COLUMNS = [*KEY, "case_id", "low", "high", "calibrated", "n"]


def account(seen: Seen) -> pd.DataFrame:
    """One row per case held out; ``n`` is how many cases the calibration was learned from."""
    known = seen.fitted.out_of_fold
    if seen.job.repeat or len(np.unique(known.truth)) < 2:
        return pd.DataFrame(columns=COLUMNS)
    low, high = venn_abers(known.margin, known.truth, seen.outcome.margin)
    return pd.DataFrame({
        **seen.key, "case_id": list(seen.new.case_ids), "low": low, "high": high, "calibrated": merged(low, high),
        "n": len(known.truth),
    })[COLUMNS]  # fmt: skip
