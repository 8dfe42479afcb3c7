"""Prediction: a bundle, new images, and one row per case and endpoint."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.cells import write_csv
from ..features.errors import StudyError
from ..features.failure import Failure, failures_frame
from ..features.settings import parse_settings
from ..features.table import ColumnName, FeatureTable, write_parquet
from ..features.whole import UNFINISHED, Writer, write_whole
from ..models.bundle import Bundle
from ..models.multiclass import class_table
from ..models.units import VOTE, Aggregate, lesion_scores
from .cohort import Cohort
from .extract import FeatureSettings, extract
from .folder import STORE
from .lock import NAME as LOCK
from .lock import hold, require_held
from .mask_study import DRAWN
from .means import Means
from .progress import shown_progress
from .store import Store
from .workers import Limits


def predict(
    bundle: Bundle,
    cohort: Cohort,
    folder: Path,
    *,
    jobs: int = 0,
    limits: Limits | None = None,
    weights: str | None = None,
) -> tuple[pd.DataFrame, FeatureTable]:
    """Extract what the bundle was trained on from new cases, and apply it.

    Parameters
    ----------
    bundle : Bundle
        Its own extraction settings are used, whatever the study of the new cases says.
    cohort : Cohort
        The new cases; labels are neither needed nor read.
    folder : Path
        Receives ``predictions.csv`` (a row per endpoint and case), ``predictions_by_unit.csv`` (the same by
        breast and by patient), ``predictions_by_class.csv`` (of each endpoint of several classes the class of a
        case), ``shap.parquet`` (what spoke for each prediction) and the feature table with
        its failures.
    jobs : int
        Worker processes; 0 works in this process.
    limits : Limits, optional
        What a case may cost a worker.
    weights : str, optional
        Where the network's weights are on this machine, if not where they were in training; they must be the
        same tensors.

    Returns
    -------
    DataFrame, FeatureTable
        Predictions as written, and the table they were made from.

    Raises
    ------
    StudyError
        If the folder holds anything but earlier predictions.
    BundleError
        If the weights are not those of the training.
    """
    require_own(folder)
    if cohort.table is None and "families" not in bundle.record.get("table", {}):
        raise StudyError("the bundle was trained on a table of features; name such a table here, not images")
    settings = parse_settings(FeatureSettings, extraction_of(bundle, weights), where="bundle: extraction")
    hold(folder)
    with shown_progress() as progress:
        store = Store(folder / STORE)
        store.require_writable()
        means = Means(jobs, limits or Limits(), store=store, progress=progress)
        table = extract(cohort, settings, means)
    needed = [name for model in bundle.models for name in model.features]
    known = bundle.record.get("table", {}).get("clinical_columns", table.columns_of("clinical"))
    table = with_clinical_columns(table, needed, known)
    predictions = bundle.predict(table)
    units = by_unit(predictions, bundle.aggregate)
    writers: dict[str, Writer] = {
        "predictions_by_unit.csv": partial(write_csv, units),
        "shap.parquet": partial(write_parquet, bundle.explain(table), index=False),
        "predictions.csv": partial(write_csv, predictions),
    }
    by_class = class_table(predictions, bundle.record.get("classes", {}))
    if len(by_class):
        writers["predictions_by_class.csv"] = partial(write_csv, by_class)
    require_held(folder)
    table.save(folder)
    (folder / "predictions_by_class.csv").unlink(missing_ok=True)  # of an earlier bundle
    write_whole(folder, writers)
    return predictions, table


def require_own(folder: Path) -> None:
    """Refuse, with StudyError, a folder that holds anything but earlier predictions, or the masks drawn for them."""
    found = {path.name for path in folder.iterdir()} - {STORE, DRAWN} if folder.is_dir() else set()
    others = {name for name in found if not name.startswith((LOCK, UNFINISHED))}
    if others and "predictions.csv" not in others:
        raise StudyError(f"{folder}: not empty and not of earlier predictions; choose another output folder")


def by_unit(predictions: pd.DataFrame, aggregate: Aggregate = "max") -> pd.DataFrame:
    """Predictions by breast and by patient, as in the evaluation.

    Parameters
    ----------
    predictions : DataFrame
        As :meth:`cemrad.models.bundle.Bundle.predict` gives them.
    aggregate : {"max", "mean", "vote"}
        As in :func:`cemrad.models.units.held_out`; cases without a probability are passed over.

    Returns
    -------
    DataFrame
        One row per endpoint, level and unit: ``endpoint``, ``level``, ``unit_id``, ``probability`` (NaN where no
        case has one), ``threshold``, ``positive``, ``n_cases``, ``n_without_probability``.
    """
    parts, reduce = [], "max" if aggregate == "max" else "mean"
    scored = predictions.assign(probability=lesion_scores(predictions, aggregate))
    if aggregate == "vote":
        scored["threshold"] = VOTE
    for level, unit in (("breast", "breast_id"), ("patient", "patient_id")):
        grouped = scored.groupby(["endpoint", unit], sort=False)
        part = grouped.agg(
            probability=("probability", reduce), threshold=("threshold", "first"), n_cases=("case_id", "size"),
            n_without_probability=("probability", lambda values: int(values.isna().sum())),
        )  # fmt: skip
        reached = (part["probability"] >= part["threshold"]).astype("boolean").where(part["probability"].notna())
        part.insert(2, "positive", reached)
        parts.append(part.rename_axis(["endpoint", "unit_id"]).reset_index().assign(level=level))
    order = ["endpoint", "level", "unit_id", "probability", "threshold", "positive", "n_cases", "n_without_probability"]
    return pd.concat(parts, ignore_index=True)[order]


def with_clinical_columns(table: FeatureTable, needed: Sequence[str], known: Sequence[str]) -> FeatureTable:
    """The table with the clinical columns that a model needs, whatever the new cases gave rise to.

    A category that none of the new cases has (``density=A``) is 0 where the case states another that was
    known in training. A value that is not stated, or that training did not know, is missing, with a failure
    for each case: never zero.

    Parameters
    ----------
    table : FeatureTable
    needed : sequence of str
        Columns that the models take.
    known : sequence of str
        Clinical columns of the table that the models were trained on.

    Examples
    --------
    >>> ids = pd.Index(["a", "b"], dtype=object)
    >>> cases = pd.DataFrame("", index=ids, columns=["patient_id", "laterality", "lesion_id", "breast_id"])
    >>> columns = [f"clinical:case:density={level}" for level in "ACX"]
    >>> table = FeatureTable(pd.DataFrame({columns[1]: [1.0, 0.0], columns[2]: [0.0, 1.0]}, index=ids), cases)
    >>> with_clinical_columns(table, columns[:1], columns[:2]).values[columns[0]].tolist()
    [0.0, nan]
    """
    values = table.values.copy()
    failures: list[Failure] = []
    for name in dict.fromkeys(needed):
        family, picture, feature = ColumnName.parse(name)
        if family != "clinical":
            continue
        key, equals, _ = feature.partition("=")
        levels = [c for c in table.columns_of(family) if equals and c.startswith(f"{family}:{picture}:{key}=")]
        unknown = [c for c in levels if c not in known]
        if name not in values:
            values[name] = table.values[levels].notna().any(axis=1).map({True: 0.0, False: np.nan}).astype(float)
            if not levels:
                reason = f"{key} is not stated; the model takes it as missing"
                failures += [Failure(i, family, "clinical.missing", reason, picture, "skipped") for i in values.index]
        strange = (table.values[unknown] == 1).any(axis=1)
        values.loc[strange, name] = np.nan
        reason = f"{key} has a value that the model was not trained on; it is taken as missing"
        failures += [
            Failure(i, family, "clinical.unknown_category", reason, picture, "warned") for i in values.index[strange]
        ]
    told = failures_frame(dict.fromkeys(failures))
    return replace(table, values=values, failures=pd.concat([table.failures, told], ignore_index=True))


def extraction_of(bundle: Bundle, weights: str | None) -> dict[str, Any]:
    """The bundle's extraction settings, with the weights from where they are here."""
    settings: dict[str, Any] = copy.deepcopy(dict(bundle.extraction))
    if weights is not None:
        deep = settings.get("families", {}).get("deep")
        if deep is None:
            raise StudyError("weights were named, and the bundle uses no network; leave them out")
        deep["weights"] = weights
    return settings
