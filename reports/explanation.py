"""Explanation facts: which features carried a model, and how steadily."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..models.credit import HeldOutShap
from ..models.explain import Perturbation
from ..models.result import Result, explained_arm
from . import shap_facts
from .shap_facts import ShapFacts

MAX_POINTS = 600


@dataclass(frozen=True)
class RankedFeature:
    """One feature of the global ranking.

    Parameters
    ----------
    name : str
        Its column.
    mean_abs : float
        Mean of |SHAP| over every held-out prediction, on the margin scale (log odds); a prediction
        whose fold did not choose the feature counts as 0.
    n_chosen, n_models : int
        Models (repeat and fold) that chose it, and models in all.
    shap : tuple of float
        SHAP values of the points that are drawn.
    rank : tuple of float
        The feature's value at each point as its rank between 0 and 1; NaN where it was missing.
    """

    name: str
    mean_abs: float
    n_chosen: int
    n_models: int
    shap: tuple[float, ...]
    rank: tuple[float, ...]


@dataclass(frozen=True)
class Explanation:
    """How one arm of one endpoint was explained.

    Parameters
    ----------
    arm : str
        The arm explained.
    n_predictions : int
        Held-out predictions with SHAP values.
    n_features : int
        Features that any model of the arm was given.
    ranking : tuple of RankedFeature
        The first features by `mean_abs`.
    rest : float
        Sum of the `mean_abs` of all the others.
    additivity_gap : float
        Largest |base + sum of SHAP - margin|, NaN where there are no base values.
    n_dropped_points : int
        Points left out of each feature's row of the drawing.
    perturbation : {"path_dependent", "interventional"}
        Kind of the SHAP values, of learners that have both.
    further : ShapFacts
        Credit of groups and clusters, steadiness, and what stands beside.
    """

    arm: str
    n_predictions: int
    n_features: int
    ranking: tuple[RankedFeature, ...]
    rest: float
    additivity_gap: float
    n_dropped_points: int
    perturbation: Perturbation
    further: ShapFacts


def gather(result: Result, endpoint: str, wanted: str, top: int) -> Explanation | None:
    """The explanation of an endpoint; None where no arm has SHAP values.

    Parameters
    ----------
    result : Result
    endpoint : str
    wanted : str
        The arm to explain.
    top : int
        Features in the ranking.
    """
    shap = result.shap[result.shap["endpoint"] == endpoint]
    arm = explained_arm(list(shap["arm"].unique()), wanted)
    if arm is None:
        return None
    shap = shap[shap["arm"] == arm]
    base = result.shap_base[(result.shap_base["endpoint"] == endpoint) & (result.shap_base["arm"] == arm)]
    chosen = result.chosen[(result.chosen["endpoint"] == endpoint) & (result.chosen["arm"] == arm)]
    n_predictions = len(shap[["repeat", "case_id"]].drop_duplicates())
    strength = (shap["shap"].abs().groupby(shap["feature"], sort=True).sum() / n_predictions).sort_values(
        ascending=False, kind="stable"
    )
    first = strength.head(top)
    models = chosen[["repeat", "fold", "feature"]].drop_duplicates()
    n_models = len(shap[["repeat", "fold"]].drop_duplicates())
    n_chosen = models["feature"].value_counts()
    by_feature = {str(name): rows for name, rows in shap[shap["feature"].isin(first.index)].groupby("feature")}
    ranking = tuple(
        RankedFeature(str(name), float(mean), int(n_chosen.get(name, 0)), n_models, *_points(by_feature[str(name)]))
        for name, mean in first.items()
    )
    return Explanation(
        arm=arm,
        n_predictions=n_predictions,
        n_features=len(strength),
        ranking=ranking,
        rest=float(strength.iloc[top:].sum()),
        additivity_gap=additivity_gap(shap, base),
        n_dropped_points=max(0, n_predictions - MAX_POINTS),
        perturbation=result.provenance.get("evaluation", {}).get("shap", "path_dependent"),
        further=shap_facts.gather(result, endpoint, arm, _held_out(result, shap), chosen, top),
    )


def _held_out(result: Result, shap: pd.DataFrame) -> HeldOutShap:
    return HeldOutShap.of(shap, result.cases["patient_id"], int(result.provenance.get("seed", 0)))


def additivity_gap(shap: pd.DataFrame, base: pd.DataFrame) -> float:
    """Largest |base + sum of SHAP - margin| over the predictions of one arm; NaN where there are none."""
    keys = ["repeat", "fold", "case_id"]
    rows = base.set_index(keys)
    sums = shap.groupby(keys)["shap"].sum().reindex(rows.index, fill_value=0.0)
    gaps = (rows["base"] + sums - rows["margin"]).abs()
    return float(gaps.max()) if len(gaps) else float("nan")


def _points(rows: pd.DataFrame) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # Ranks before thinning, so that a colour means the same in a large cohort as in a small one.
    values = rows["value"].astype(float)
    if values.min() < values.max():
        rank = (values.rank() - 1) / (values.notna().sum() - 1)
    else:
        rank = (0 * values + 0.5).where(values.notna())
    keep = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_POINTS)).round().astype(int))
    kept = rows["shap"].to_numpy(dtype=float)[keep], rank.to_numpy(dtype=float)[keep]
    return tuple(kept[0].tolist()), tuple(kept[1].tolist())
