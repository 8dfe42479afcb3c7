"""Both kinds of SHAP values beside each other: path-dependent, and interventional against the fold's training side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..explain import background_of, explain, has_both, n_nodes

COLUMNS = [*KEY, "feature", "path_dependent", "interventional", "difference", "n_cases", "n_background"]
_MOST_STEPS = 5e7
"""Cases x background cases x nodes: about 0.3 s."""


def account(seen: Seen) -> pd.DataFrame:
    """Mean |SHAP| of each feature over the fold's cases by either kind, and the largest |difference| of a case.

    Of forests, whose many trees are slow to explain, over some of the cases (``n_cases``). Nothing for learners that
    have one kind only.
    """
    model = seen.fitted.model
    if not has_both(model):
        return pd.DataFrame(columns=COLUMNS)
    background = background_of(seen.fitted.inputs(seen.train), seen.seed)
    x = seen.outcome.values[seen.drawn(_MOST_STEPS / len(background) / n_nodes(model))]
    one, other = explain(model, x)[0], explain(model, x, background)[0]
    counts = {"n_cases": len(x), "n_background": len(background)}
    return pd.DataFrame(
        seen.key
        | {
            "feature": list(seen.fitted.features),
            "path_dependent": np.abs(one).mean(axis=0),
            "interventional": np.abs(other).mean(axis=0),
            "difference": np.abs(one - other).max(axis=0, initial=0.0),
        }
        | counts,
        columns=COLUMNS,
    )
