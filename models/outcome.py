"""Outcomes: what a model said of the cases held out of it, and the tables that a result makes of that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from .arm import FittedArm
from .design import Design
from .folds import Ints, Split
from .learner import Array, probability
from .result import CHOSEN_COLUMNS, PREDICTION_COLUMNS, SHAP_BASE_COLUMNS, SHAP_COLUMNS


class Job(NamedTuple):
    """One fold of one endpoint."""

    design: Design
    split: Split
    repeat: int
    fold: int


@dataclass(frozen=True, eq=False)
class ArmOutcome:
    """What one arm's model of one fold was, and what it said about the cases held out of it."""

    fitted: FittedArm
    held: Ints
    margin: Array
    values: Array
    shap: Array
    base: Array


class LongTables(NamedTuple):
    """The tables of a Result that have rows per case, of the arms that stand."""

    predictions: pd.DataFrame
    chosen: pd.DataFrame
    shap: pd.DataFrame
    shap_base: pd.DataFrame


def long_tables(kept: Sequence[tuple[Job, str, ArmOutcome]]) -> LongTables:
    """What each arm of each fold said and why, as the tables of a Result."""
    return LongTables(
        predictions=_frame(PREDICTION_COLUMNS, (_predictions(*item) for item in kept)),
        chosen=_frame(CHOSEN_COLUMNS, (_chosen(*item) for item in kept)),
        shap=_frame(SHAP_COLUMNS, (_shap(*item) for item in kept)),
        shap_base=_frame(SHAP_BASE_COLUMNS, (_base(*item) for item in kept)),
    )


def _key(job: Job, arm: str) -> dict[str, Any]:
    return {"endpoint": job.design.name, "arm": arm, "repeat": job.repeat, "fold": job.fold}


def _predictions(job: Job, arm: str, part: ArmOutcome) -> pd.DataFrame:
    cases = job.design.cases.iloc[part.held]
    return pd.DataFrame(
        _key(job, arm)
        | {
            "case_id": cases.index.to_numpy(dtype=object),
            "patient_id": cases["patient_id"].to_numpy(dtype=object),
            "breast_id": cases["breast_id"].to_numpy(dtype=object),
            "truth": job.design.rows.y[part.held],
            "probability": probability(part.margin),
            "margin": part.margin,
            "threshold": part.fitted.threshold,
        }
        | {f"threshold_{name}": value for name, value in part.fitted.thresholds.items()}
    )


def _chosen(job: Job, arm: str, part: ArmOutcome) -> pd.DataFrame:
    return pd.DataFrame(_key(job, arm) | {"feature": list(part.fitted.features), "gain": part.fitted.model.gains()})


def _shap(job: Job, arm: str, part: ArmOutcome) -> pd.DataFrame:
    ids = job.design.cases.index.to_numpy(dtype=object)[part.held]
    n_cases, n_features = part.shap.shape
    return pd.DataFrame(
        _key(job, arm)
        | {
            "case_id": ids.repeat(n_features),
            "feature": list(part.fitted.features) * n_cases,
            "value": part.values.ravel(),
            "shap": part.shap.ravel(),
        }
    )


def _base(job: Job, arm: str, part: ArmOutcome) -> pd.DataFrame:
    ids = job.design.cases.index.to_numpy(dtype=object)[part.held]
    return pd.DataFrame(_key(job, arm) | {"case_id": ids, "base": part.base, "margin": part.margin})


def params_row(job: Job, arm: str, part: ArmOutcome) -> dict[str, Any]:
    """Parameters that the inner folds of one fold chose for an arm."""
    return _key(job, arm) | {"params": dict(part.fitted.params), "inner_log_loss": round(part.fitted.inner_loss, 6)}


def _frame(columns: list[str], parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    made = list(parts)
    return pd.concat(made, ignore_index=True)[columns] if made else pd.DataFrame(columns=columns)
