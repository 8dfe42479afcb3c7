"""Permutation importance: how much worse the cases held out are predicted when one feature's values change hands."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..metrics import log_loss

COLUMNS = [*KEY, "feature", "loss", "permuted"]
N_TIMES, MOST = 5, 500


def account(seen: Seen) -> pd.DataFrame:
    """Log loss of the fold as it is and with each feature permuted, in the mean of 5 permutations.

    A feature that gave the model nothing loses nothing. Of more than 500 that gave something, those that gave most.
    """
    rng = np.random.default_rng(seen.seed)
    y, x, model = seen.new.y, seen.outcome.values, seen.fitted.model
    own = float(log_loss(y, seen.outcome.margin))
    gains = np.abs(model.gains())
    permuted = np.where(gains > 0, np.nan, own)
    other = np.tile(x, (N_TIMES, 1, 1))
    for place in np.argsort(-gains, kind="stable")[: min(MOST, int((gains > 0).sum()))]:
        for one in other:
            one[:, place] = rng.permutation(x[:, place])
        margin = model.margin(other.reshape(-1, x.shape[1])).reshape(N_TIMES, -1)
        permuted[place] = float(log_loss(y, margin).mean())
        other[:, :, place] = x[:, place]
    found = pd.DataFrame({"feature": seen.fitted.features, "loss": own, "permuted": permuted})
    return found.dropna().assign(**seen.key)[COLUMNS]
