"""Permutation importance: how much worse the cases held out are predicted when one feature's values change hands."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..metrics import log_loss

COLUMNS = [*KEY, "feature", "loss", "permuted"]
N_TIMES = 5


def account(seen: Seen) -> pd.DataFrame:
    """Log loss of the fold as it is and with each feature permuted, in the mean of 5 permutations."""
    rng = np.random.default_rng(seen.seed)
    y, x = seen.new.y, seen.outcome.values
    own = float(log_loss(y, seen.outcome.margin))
    rows = []
    for place, name in enumerate(seen.fitted.features):
        other = np.tile(x, (N_TIMES, 1, 1))
        for one in other:
            one[:, place] = rng.permutation(x[:, place])
        margin = seen.fitted.model.margin(other.reshape(-1, x.shape[1])).reshape(N_TIMES, -1)
        rows.append({**seen.key, "feature": name, "loss": own, "permuted": float(log_loss(y, margin).mean())})
    return pd.DataFrame(rows, columns=COLUMNS)
