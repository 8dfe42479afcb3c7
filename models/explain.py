"""Explanation: SHAP values of held-out cases by the model that held them out."""

from __future__ import annotations

import numpy as np

from ..features.errors import EvaluationError
from .learner import Array, Fitted

TOLERANCE = 1e-4


def explain(model: Fitted, x: Array) -> tuple[Array, Array]:
    """SHAP values (n, n_features) and base values (n,) on the margin scale, checked to add up.

    Probabilities are not additive; log odds are: base + sum of SHAP = margin.

    Raises
    ------
    EvaluationError
        If they miss the margin by more than 1e-4 anywhere.
    """
    values, base = model.explain(x)
    margin = model.margin(x)
    gap = float(np.abs(base + values.sum(axis=1) - margin).max(initial=0.0))
    if not gap <= TOLERANCE:
        raise EvaluationError(
            f"SHAP values miss the margin by {gap:.2g}, more than {TOLERANCE:g}: the explanation would not be of this "
            "model; check that the installed shap reads this version of the learner's library"
        )
    return values, base
