"""Attribution: which part of a prediction came from deep features, model by model, and a linear stand-in for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .account import KEY
from .result import Result, explained_arm
from .standard import Standard

Array = NDArray[np.float64]

MAP_COLUMNS = [
    *KEY, "case_id", "picture", "shap", "n_features", "rows", "columns", "map", "side_px", "frame_px",
    "inside", "area", "cam", "r2",
]  # fmt: skip
"""Table ``attribution``, one row per model, case and unit of the network with a SHAP value other than 0.

``shap`` is the sum of the unit's SHAP values, of which ``n_features`` are not 0.
``map`` holds the cells of the spread SHAP values (log odds), row by row, ``cam`` those of Grad-CAM; they cover the
square of `side_px` in the middle of the frame of `frame_px`. ``inside`` is the share of the absolute map in the
contour (NaN where the map is zero), ``area`` the share of the square that the contour takes. ``r2`` is that of the
stand-in on cases left out one by one (NaN where there is none).
"""
REST_COLUMNS = [*KEY, "case_id", "picture", "shap", "n_features", "reason"]
"""Table ``attribution_rest``: SHAP values of deep features that could not be spread, and why."""
LOCAL_COLUMNS = [
    "case_id", "feature", "picture", "reason", "rows", "columns", "map",
    "top_px", "left_px", "height_px", "width_px", "frame_px",
]  # fmt: skip
"""Table ``local_maps``: a radiomics feature around each pixel of the region, NaN outside, and where in the frame."""

_PENALTIES = tuple(10.0**power for power in range(-2, 5))
_FEWEST = 8


def told(result: Result, wanted: str, case_ids: Iterable[str]) -> pd.DataFrame:
    """The model that a report explains of each case and endpoint: that of the first repeat of the explained arm.

    Returns
    -------
    DataFrame
        Columns ``KEY`` and ``case_id``.
    """
    shown = result.predictions[result.predictions["case_id"].isin(list(case_ids))]
    rows = []
    for (_, _), own in shown.groupby(["endpoint", "case_id"], sort=False):
        arm = explained_arm(list(own["arm"].unique()), wanted)
        rows.append(own[own["arm"] == arm].sort_values("repeat", kind="stable")[[*KEY, "case_id"]].iloc[0])
    return pd.DataFrame(rows, columns=[*KEY, "case_id"]).reset_index(drop=True)


def moves(result: Result, models: pd.DataFrame, family: str) -> pd.DataFrame:
    """SHAP values of one family's features by these models of these cases, with the `picture` of each."""
    columns = [*KEY, "case_id", "feature", "shap", "picture"]
    own = result.shap[result.shap["feature"].str.startswith(f"{family}:")]
    found = own.merge(models, on=[*KEY, "case_id"])
    return found.assign(picture=found["feature"].str.split(":").str[1])[columns]


@dataclass(frozen=True, eq=False)
class StandIn:
    """A linear model that says of a family's features what a model of many blocks said: trees have no gradient.

    Parameters
    ----------
    weights : mapping of str to float
        Log odds per unit of each feature.
    r2 : float
        Share of the margins' variance that it explains in cases left out one by one; NaN without a stand-in.
    """

    weights: dict[str, float]
    r2: float


def stand_in(result: Result, model: pd.Series, family: str) -> StandIn:
    """Ridge regression of the margins of a fold's held-out cases on the features of one family that its model took.

    The penalty is the one of 7 with the least error on cases left out one by one. Under 8 cases there is none.

    Parameters
    ----------
    result : Result
    model : Series
        With the entries ``KEY``.
    family : str
    """
    from sklearn.linear_model import RidgeCV  # slow to import

    same = [(frame[KEY] == model[KEY]).all(axis=1) for frame in (result.shap, result.shap_base)]
    long, margins = result.shap[same[0]], result.shap_base[same[1]].set_index("case_id")["margin"]
    long = long[long["feature"].str.startswith(f"{family}:")]
    values = long.pivot_table(index="case_id", columns="feature", values="value", dropna=False)
    y = margins.loc[values.index].to_numpy(dtype=np.float64)
    if len(values) < _FEWEST or not values.shape[1] or np.ptp(y) == 0:
        return StandIn({}, float("nan"))
    x = values.to_numpy(dtype=np.float64)
    standard = Standard.fit(x)
    ridge = RidgeCV(_PENALTIES, store_cv_results=True).fit(standard.apply(x), y)
    errors: Array = np.asarray(ridge.cv_results_)[:, _PENALTIES.index(float(ridge.alpha_))]
    r2 = 1 - float(errors.mean()) / float(((y - y.mean()) ** 2).mean())
    return StandIn(dict(zip(values.columns, ridge.coef_ / standard.scale, strict=True)), r2)
