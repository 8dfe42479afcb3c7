"""A result: what an evaluation found, complete enough that every page can be made from it alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.cells import write_csv
from ..features.crop import Crop
from ..features.errors import TableError
from ..features.failure import COLUMNS as FAILURE_COLUMNS
from ..features.settings import nearest
from ..features.table import read_parquet, read_text_csv, write_parquet
from ..features.whole import Writer, write_whole
from .stored_crops import StoredCrops, save_crops

TABLE = "table_"
"""What the file name of a further table begins with."""

ARMS = ("clinical", "radiomics", "deep", "fused", "fused+clinical")
"""The arms of an evaluation, by the families of features that each may use."""

ARM_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "clinical": ("clinical",),
    "radiomics": ("radiomics",),
    "deep": ("deep",),
    "fused": ("radiomics", "deep"),
    "fused+clinical": ("radiomics", "deep", "clinical"),
}


def known_arm(arm: str) -> str:
    """The arm, for validators of settings; raises ValueError, with the nearest one, where there is none of that name.

    Examples
    --------
    >>> known_arm("fused")
    'fused'
    """
    if arm in ARMS:
        return arm
    guess = nearest(arm, ARMS)
    raise ValueError(f"no arm {arm!r}; {f'did you mean {guess!r}? ' if guess else ''}There are: {', '.join(ARMS)}")


def richest_arm(arms: Iterable[str]) -> str:
    """The arm that uses the most families of features.

    Examples
    --------
    >>> richest_arm(["radiomics", "fused", "clinical"])
    'fused'
    """
    return max(arms, key=lambda arm: (len(ARM_FAMILIES[arm]), ARMS.index(arm)))


_PREFERENCE = ("fused", "fused+clinical", "radiomics", "deep", "clinical")


def explained_arm(arms: Collection[str], wanted: str) -> str | None:
    """The wanted arm if it is there, else the nearest one that is, else None.

    Examples
    --------
    >>> explained_arm(["clinical", "radiomics"], "fused")
    'radiomics'
    """
    for arm in (wanted, *_PREFERENCE, *arms):
        if arm in arms:
            return arm
    return None


PREDICTION_COLUMNS = [
    "endpoint", "arm", "repeat", "fold", "case_id", "patient_id", "breast_id", "truth",
    "probability", "margin", "threshold", "threshold_sens95", "threshold_sens100",
]  # fmt: skip
METRIC_COLUMNS = ["endpoint", "level", "arm", "metric", "estimate", "low", "high", "method", "n", "n_positive"]
DIFFERENCE_COLUMNS = [
    "endpoint", "level", "arm", "reference", "metric", "difference", "low", "high", "p", "p_holm", "method",
]  # fmt: skip
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
        its truth (0 or 1), the probability, the margin (log odds) and the thresholds that were fixed
        on the training side of that fold: Youden's, and those of 95 % and 100 % sensitivity there (NaN in a
        result that was stored before there were any). Columns ``PREDICTION_COLUMNS``.
    metrics : DataFrame
        Columns ``METRIC_COLUMNS``; ``level`` is ``lesion``, ``breast`` or ``patient``. An estimate
        that cannot be made is NaN, and its ``method`` says ``not estimable: ...``. Beside the metrics
        proper ``auc_chance`` is the AUC of no knowledge at that level; it has no interval.
    differences : DataFrame
        Paired differences between arms, with the p-value of each and Holm's for all of an endpoint and
        level. Columns ``DIFFERENCE_COLUMNS``.
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
        Per endpoint: title, level, positive class in words, n, n_positive, n_patients; of one class of several
        ``class_of``, the name of the endpoint of all.
    folds : dict
        Per endpoint: the split's sha256, number of folds and repeats.
    crops : mapping of case_id to mapping of picture name to Crop
        What the reader's page shows; may be empty (a table has no pixels) or hold only some cases.
    frames : mapping of case_id to mapping of picture name to Crop
        The squares on which maps of the shown cases lie (:mod:`cemrad.models.attribution`); empty without maps.
    provenance : dict
        Versions, settings, seeds, weights, times; JSON values only.
    tables : mapping of str to DataFrame
        Further findings, each under a name and with columns that stand beside what makes it: a calibration
        curve, an audit. A result without one of them is whole.
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
    frames: Mapping[str, Mapping[str, Crop]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the result beside the other files of a run.

        Numbers go to Parquet, who and why to CSV, metrics and differences to ``metrics.json``,
        crops to ``crops.npz`` and ``frames.npz``, each further table to ``table_NAME.parquet``, the rest to
        ``result.json``.
        Further tables that an earlier result left in the folder go.
        """
        metrics = {name: _records(getattr(self, name)) for name in _JSON_TABLES}
        others = {name: getattr(self, name) for name in _JSON_FIELDS}
        clinical, cases = (frame.rename_axis("case_id") for frame in (self.clinical, self.cases))
        writers: dict[str, Writer] = {
            **{f"{name}.parquet": partial(write_parquet, getattr(self, name), index=False) for name in _PARQUET},
            "clinical.parquet": partial(write_parquet, clinical),
            "exclusions.csv": partial(write_csv, self.exclusions),
            "cases.csv": partial(write_csv, cases, index=True),
            "failures.csv": partial(write_csv, self.failures),
            "metrics.json": partial(_write_json, values=metrics),
            "result.json": partial(_write_json, values=others),
            "crops.npz": partial(save_crops, crops=self.crops),
            "frames.npz": partial(save_crops, crops=self.frames),
            **{f"{TABLE}{name}.parquet": partial(write_parquet, t, index=False) for name, t in self.tables.items()},
        }
        write_whole(folder, writers)
        for path in folder.glob(f"{TABLE}*.parquet"):
            if path.name not in writers:
                path.unlink()

    @classmethod
    def load(cls, folder: Path) -> Result:
        """Read what :meth:`save` wrote.

        Raises
        ------
        TableError
            If a file is missing or is not what it should be.
        """
        tables = [f"{name}.parquet" for name in (*_PARQUET, "clinical")]
        needed = [*tables, "exclusions.csv", "cases.csv", "failures.csv", "metrics.json", "result.json", "crops.npz"]
        absent = [name for name in needed if not (folder / name).is_file()]
        if absent:
            raise TableError(f"{folder} holds no {', '.join(absent)}; it is not the folder of an evaluation")
        try:
            measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            stated = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            values: dict[str, Any] = {name: stated[name] for name in _JSON_FIELDS}
            for name, columns in _PARQUET.items():
                frame = read_parquet(folder / f"{name}.parquet")
                later = [column for column in _LATER_COLUMNS if column in columns and column not in frame]
                values[name] = frame.assign(**dict.fromkeys(later, np.nan))[columns]
            for name, columns in _JSON_TABLES.items():
                values[name] = _from_records(measured[name], columns)
            clinical = read_parquet(folder / "clinical.parquet").rename_axis(None)
            return cls(
                **values,
                clinical=clinical.set_axis(clinical.index.astype(str).astype(object)),
                exclusions=read_text_csv(folder / "exclusions.csv")[EXCLUSION_COLUMNS],
                cases=read_text_csv(folder / "cases.csv").set_index("case_id").rename_axis(None),
                failures=read_text_csv(folder / "failures.csv").reindex(columns=FAILURE_COLUMNS),
                crops=StoredCrops(folder / "crops.npz"),
                frames=StoredCrops(folder / "frames.npz") if (folder / "frames.npz").is_file() else {},
                tables={
                    path.stem.removeprefix(TABLE): read_parquet(path)
                    for path in sorted(folder.glob(f"{TABLE}*.parquet"))
                },
            )
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise TableError(f"{folder}: the stored evaluation cannot be read: {error}") from None


_PARQUET = {
    "predictions": PREDICTION_COLUMNS,
    "chosen": CHOSEN_COLUMNS,
    "shap": SHAP_COLUMNS,
    "shap_base": SHAP_BASE_COLUMNS,
}
_LATER_COLUMNS = ("threshold_sens95", "threshold_sens100")
"""Columns that results stored earlier lack; they are read all the same."""
_JSON_TABLES = {"metrics": METRIC_COLUMNS, "differences": DIFFERENCE_COLUMNS}
_JSON_FIELDS = ("name", "phantom", "endpoints", "folds", "cohort", "provenance")
_TEXT_COLUMNS = ("endpoint", "level", "arm", "reference", "metric", "method")
_COUNT_COLUMNS = ("n", "n_positive")


def _write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; NaN, which JSON lacks, as null."""
    return [
        {str(key): None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _from_records(records: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    kinds = {
        name: object if name in _TEXT_COLUMNS else "int64" if name in _COUNT_COLUMNS else float for name in columns
    }
    return pd.DataFrame(records, columns=columns).astype(kinds)
