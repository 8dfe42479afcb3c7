"""Interactions: how much two features say together beyond what each says alone, as SHAP interaction values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...features.table import ColumnName
from ..account import KEY, Seen
from ..explain import interactions, n_nodes
from ..learner import Array

COLUMNS = [*KEY, "kind", "one", "other", "strength", "n_pairs", "n_cases"]
MOST_FEATURES, MOST_PAIRS = 200, 200
_MOST_STEPS = 5e6
"""Cases x features x nodes: about 0.3 s."""


def account(seen: Seen) -> pd.DataFrame:
    """Mean over cases of |main effect| per feature and of |interaction| per pair, on the margin scale.

    ``kind`` is ``main`` (``one`` and ``other`` are the feature), ``pair`` for the 200 strongest pairs, both halves of
    the interaction added, and ``rest`` for the sum of the ``n_pairs`` others by the families that they join. Of models
    that are slow to explain, over some of the fold's cases (``n_cases``). Nothing where a model has no interactions, or
    takes more than 200 features.
    """
    names, x = seen.fitted.features, seen.outcome.values
    if not 0 < len(names) <= MOST_FEATURES:
        return pd.DataFrame(columns=COLUMNS)
    model = seen.fitted.model
    drawn = seen.drawn(_MOST_STEPS / len(names) / n_nodes(model))
    found = interactions(model, x[drawn])
    if found is None:
        return pd.DataFrame(columns=COLUMNS)
    strength = np.abs(found).mean(axis=0)
    main = pd.DataFrame({"kind": "main", "one": names, "other": names, "strength": np.diag(strength), "n_pairs": 1})
    parts = [part for part in (main, *_pairs(names, 2 * strength)) if len(part)]
    return pd.concat(parts, ignore_index=True).assign(**seen.key, n_cases=len(drawn))[COLUMNS]


def _pairs(names: tuple[str, ...], strength: Array) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The strongest pairs that act together at all, and the others in sum."""
    one, other = np.triu_indices(len(names), k=1)
    own = np.asarray(names, dtype=object)
    pairs = pd.DataFrame({"one": own[one], "other": own[other], "strength": strength[one, other], "n_pairs": 1})
    pairs = pairs[pairs["strength"] > 0].sort_values("strength", ascending=False, kind="stable")
    rest = pairs[MOST_PAIRS:]
    families = rest.assign(
        **{side: [ColumnName.parse(name).family for name in rest[side]] for side in ("one", "other")}
    )
    summed = families.groupby(["one", "other"], sort=False, as_index=False)[["strength", "n_pairs"]].sum()
    return pairs[:MOST_PAIRS].assign(kind="pair"), summed.assign(kind="rest")
