"""A result: what an evaluation found, complete enough that every page can be made from it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..features.crop import Crop

ARMS = ("clinical", "radiomics", "deep", "fused", "fused+clinical")
"""The arms of an evaluation, by the families of features that each may use."""

ARM_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "clinical": ("clinical",),
    "radiomics": ("radiomics",),
    "deep": ("deep",),
    "fused": ("radiomics", "deep"),
    "fused+clinical": ("radiomics", "deep", "clinical"),
}

PREDICTION_COLUMNS = [
    "endpoint", "arm", "repeat", "fold", "case_id", "patient_id", "breast_id", "truth",
    "probability", "margin", "threshold",
]  # fmt: skip
METRIC_COLUMNS = ["endpoint", "level", "arm", "metric", "estimate", "low", "high", "method", "n", "n_positive"]
DIFFERENCE_COLUMNS = ["endpoint", "level", "arm", "reference", "metric", "difference", "low", "high", "method"]
CHOSEN_COLUMNS = ["endpoint", "arm", "repeat", "fold", "feature", "gain"]
SHAP_COLUMNS = ["endpoint", "arm", "repeat", "fold", "case_id", "feature", "value", "shap"]
SHAP_BASE_COLUMNS = ["endpoint", "arm", "repeat", "fold", "case_id", "base", "margin"]
EXCLUSION_COLUMNS = ["endpoint", "case_id", "reason"]


@dataclass(frozen=True, eq=False)
class Result:
    """One evaluation.

    Parameters
    ----------
    name : str
        The study's name.
    phantom : bool
        True where the cohort was simulated; every page says so.
    predictions : DataFrame
        One row per endpoint, arm, repeat and case: the outer fold in which the case was held out,
        its truth (0 or 1), the probability, the margin (log odds) and the threshold that was fixed
        on the training side of that fold. Columns ``PREDICTION_COLUMNS``.
    metrics : DataFrame
        Columns ``METRIC_COLUMNS``; ``level`` is ``lesion``, ``breast`` or ``patient``. An estimate
        that cannot be made is NaN, and its ``method`` says ``not estimable: ...``.
    differences : DataFrame
        Paired differences between arms. Columns ``DIFFERENCE_COLUMNS``.
    chosen : DataFrame
        Features that entered each fold's model with their gain. Columns ``CHOSEN_COLUMNS``.
    shap : DataFrame
        SHAP values on the margin scale of each held-out case by its own fold's model, long form.
        Columns ``SHAP_COLUMNS``. Only features that the model was given have rows.
    shap_base : DataFrame
        Base value and margin beside them: base + sum of shap = margin within 1e-4.
        Columns ``SHAP_BASE_COLUMNS``.
    exclusions : DataFrame
        Cases that an endpoint left out, with the reason. Columns ``EXCLUSION_COLUMNS``.
    cases : DataFrame
        Who each case is, as in a FeatureTable.
    clinical : DataFrame
        Clinical feature values by case, for the reader's page.
    failures : DataFrame
        Failures of the extraction, as in a FeatureTable.
    cohort : dict
        Counts and notes of the cohort: ``{"counts": {...}, "notes": [{code, text, count}], "name": ...}``.
    endpoints : dict
        Per endpoint: title, level, positive class in words, n, n_positive, n_patients.
    folds : dict
        Per endpoint: the split's sha256, number of folds and repeats.
    crops : mapping of case_id to mapping of picture name to Crop
        What the reader's page shows; may be empty (a table has no pixels) or hold only some cases.
    provenance : dict
        Versions, settings, seeds, weights, times; JSON values only.
    """

    name: str
    phantom: bool
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    differences: pd.DataFrame
    chosen: pd.DataFrame
    shap: pd.DataFrame
    shap_base: pd.DataFrame
    exclusions: pd.DataFrame
    cases: pd.DataFrame
    clinical: pd.DataFrame
    failures: pd.DataFrame
    endpoints: dict[str, dict[str, Any]]
    folds: dict[str, dict[str, Any]]
    cohort: dict[str, Any] = field(default_factory=dict)
    crops: Mapping[str, Mapping[str, Crop]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
