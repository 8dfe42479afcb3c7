"""Prediction: a bundle, new images, and one row per case and endpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..features.failure import Failure, failures_frame
from ..features.settings import parse_settings
from ..features.table import ColumnName, FeatureTable
from ..models.bundle import Bundle
from .cohort import Cohort
from .extract import FeatureSettings, extract
from .progress import shown_progress


def predict(bundle: Bundle, cohort: Cohort, folder: Path, *, jobs: int = 1) -> tuple[pd.DataFrame, FeatureTable]:
    """Extract what the bundle was trained on from new cases, and apply it.

    Parameters
    ----------
    bundle : Bundle
        Its own extraction settings are used, whatever the study of the new cases says.
    cohort : Cohort
        The new cases; labels are neither needed nor read.
    folder : Path
        Receives ``predictions.csv`` (a row per endpoint and case), ``predictions_by_unit.csv`` (the same by
        breast and by patient), ``shap.parquet`` (what spoke for each prediction) and the feature table with
        its failures.
    jobs : int
        Worker processes.

    Returns
    -------
    DataFrame, FeatureTable
        Predictions as written, and the table they were made from.
    """
    settings = parse_settings(FeatureSettings, dict(bundle.extraction), where="bundle: extraction")
    with shown_progress() as progress:
        table = extract(cohort, settings, jobs=jobs, progress=progress)
    table = with_clinical_columns(table, [name for model in bundle.models for name in model.features])
    predictions = bundle.predict(table)
    table.save(folder)
    predictions.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    by_unit(predictions).to_csv(folder / "predictions_by_unit.csv", index=False, lineterminator="\n")
    bundle.explain(table).to_parquet(folder / "shap.parquet", index=False)
    return predictions, table


def by_unit(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions by breast and by patient: the highest of their cases, as in the evaluation.

    Parameters
    ----------
    predictions : DataFrame
        As :meth:`cemrad.models.bundle.Bundle.predict` gives them.

    Returns
    -------
    DataFrame
        One row per endpoint, level and unit: ``endpoint``, ``level``, ``unit_id``, ``probability`` (NaN where no
        case has one), ``threshold``, ``positive``, ``n_cases``, ``n_without_probability``.
    """
    parts = []
    for level, unit in (("breast", "breast_id"), ("patient", "patient_id")):
        grouped = predictions.groupby(["endpoint", unit], sort=False)
        part = grouped.agg(
            probability=("probability", "max"), threshold=("threshold", "first"), n_cases=("case_id", "size"),
            n_without_probability=("probability", lambda values: int(values.isna().sum())),
        )  # fmt: skip
        reached = (part["probability"] >= part["threshold"]).astype("boolean").where(part["probability"].notna())
        part.insert(2, "positive", reached)
        parts.append(part.rename_axis(["endpoint", "unit_id"]).reset_index().assign(level=level))
    order = ["endpoint", "level", "unit_id", "probability", "threshold", "positive", "n_cases", "n_without_probability"]
    return pd.concat(parts, ignore_index=True)[order]


def with_clinical_columns(table: FeatureTable, needed: list[str]) -> FeatureTable:
    """The table with the clinical columns that a model needs and that the new cases did not give rise to.

    A category that none of the new cases has (``density=A``) is 0 where the case states another.
    A value that no case states at all is missing, with a failure for each case: never zero.

    Examples
    --------
    >>> ids = pd.Index(["a", "b"], dtype=object)
    >>> cases = pd.DataFrame("", index=ids, columns=["patient_id", "laterality", "lesion_id", "breast_id"])
    >>> table = FeatureTable(pd.DataFrame({"clinical:case:density=C": [1.0, np.nan]}, index=ids), cases)
    >>> with_clinical_columns(table, ["clinical:case:density=A"]).values["clinical:case:density=A"].tolist()
    [0.0, nan]
    """
    columns: dict[str, pd.Series[float]] = {}
    failures = []
    for name in dict.fromkeys(needed):
        family, picture, feature = ColumnName.parse(name)
        if family != "clinical" or name in table.values:
            continue
        key, equals, _ = feature.partition("=")
        others = [c for c in table.columns_of(family) if equals and c.startswith(f"{family}:{picture}:{key}=")]
        columns[name] = table.values[others].notna().any(axis=1).map({True: 0.0, False: np.nan}).astype(float)
        if not others:
            reason = f"{key} is not stated; the model takes it as missing"
            failures += [Failure(i, family, "clinical.missing", reason, picture, "skipped") for i in table.values.index]
    if not columns:
        return table
    return replace(
        table,
        values=table.values.join(pd.DataFrame(columns)),
        failures=pd.concat([table.failures, failures_frame(dict.fromkeys(failures))], ignore_index=True),
    )
