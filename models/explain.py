"""Explanation: SHAP values of held-out cases by the model that held them out, and what they add up to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..features.errors import EvaluationError
from ..features.table import ColumnName
from .learner import Array, Fitted
from .result import Result

TOLERANCE = 1e-4
NO_PICTURE = "no picture"


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


def ranking(result: Result, endpoint: str, arm: str) -> pd.DataFrame:
    """Features by mean |SHAP| over every held-out prediction.

    Parameters
    ----------
    result : Result
    endpoint, arm : str

    Returns
    -------
    DataFrame
        ``feature``, ``mean_abs`` (log odds; a prediction whose model did not use the feature
        counts as 0), ``n_models`` (models that were given it); strongest first.
    """
    shap = _of(result.shap, endpoint, arm)
    n = len(_of(result.shap_base, endpoint, arm))
    grouped = shap.assign(size=shap["shap"].abs()).groupby("feature", sort=True)
    models = shap[["repeat", "fold", "feature"]].drop_duplicates()["feature"].value_counts()
    frame = pd.DataFrame({"mean_abs": grouped["size"].sum() / max(n, 1)})
    frame["n_models"] = models.reindex(frame.index).astype(int)
    return frame.sort_values("mean_abs", ascending=False, kind="stable").reset_index()


def shares(result: Result, endpoint: str, arm: str) -> pd.DataFrame:
    """Share of the summed mean |SHAP| that each block and each picture has.

    Returns
    -------
    DataFrame
        ``by`` (``block`` or ``picture``), ``name``, ``mean_abs``, ``share``, ``n_features``; the
        shares of blocks add to 1, and so do those of pictures. Clinical values belong to no picture.
    """
    ranked = ranking(result, endpoint, arm)
    names = [ColumnName.parse(name) for name in ranked["feature"]]
    keys = {
        "block": [name.family for name in names],
        "picture": [NO_PICTURE if name.family == "clinical" else name.picture for name in names],
    }
    total = ranked["mean_abs"].sum()
    parts = []
    for by, key in keys.items():
        sums = ranked.groupby(pd.Series(key, index=ranked.index, dtype=object))["mean_abs"].agg(["sum", "size"])
        share = sums["sum"] / total if total > 0 else sums["sum"] * 0.0
        parts.append(
            pd.DataFrame(
                {
                    "by": by,
                    "name": sums.index,
                    "mean_abs": sums["sum"].to_numpy(),
                    "share": share.to_numpy(),
                    "n_features": sums["size"].to_numpy(),
                }
            ).sort_values("share", ascending=False, kind="stable")
        )
    return pd.concat(parts, ignore_index=True)


def _of(frame: pd.DataFrame, endpoint: str, arm: str) -> pd.DataFrame:
    return frame[(frame["endpoint"] == endpoint) & (frame["arm"] == arm)]
