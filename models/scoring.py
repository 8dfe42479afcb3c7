"""Scoring: every metric of every arm at every level, and the differences between arms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ..features.settings import Settings
from .folds import seed_of
from .heldout import Estimate, HeldOut, no_estimate
from .intervals import STATISTICS, bootstrap_weights, cv_auc, cv_auc_difference, cv_rate, cv_statistic
from .metrics import METRICS, THRESHOLDS, holm
from .rates import RATES, RATES_AT, cv_ratios
from .result import DIFFERENCE_COLUMNS, METRIC_COLUMNS
from .units import LEVELS, Aggregate, chance_auc, held_out

PAIRS = (
    ("fused", "radiomics"),
    ("fused", "deep"),
    ("fused+clinical", "clinical"),
    ("fused+clinical", "fused"),
    ("radiomics", "clinical"),
    ("deep", "clinical"),
    ("deep", "radiomics"),
)
"""Arms that are compared, the second being the reference."""


CHANCE = "auc_chance"
"""Beside the metrics: the AUC that probabilities without any knowledge would have at a level."""
Further = Literal["calibration", "decision_curve", "reclassification", "subgroups", "curves"]

Severest = Mapping[str, "pd.Series[int]"]
"""By level, the truth of each unit by its id, as :class:`~cemrad.models.design.Design` has it."""


class ScoringSettings(Settings):
    """How predictions are measured."""

    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="draws of patients")
    aggregate: Aggregate = Field(
        default="max",
        description="what the lesions of a breast or patient come to: their highest probability, the mean of them, or "
        "the share that is called positive",
    )
    further: tuple[Further, ...] = Field(
        default=("calibration", "decision_curve", "reclassification", "subgroups", "curves"),
        description="what is looked at beside metrics and differences",
    )
    calibration_groups: int = Field(default=10, ge=2, le=100, description="points of a calibration curve, at most")
    decision_thresholds: tuple[float, float] = Field(
        default=(0.01, 0.60), description="first and last threshold of a decision curve, in steps of 0.01"
    )
    subgroups: tuple[str, ...] = Field(
        default=(), description="columns of the cases or clinical values, for example vendor, density, age"
    )
    subgroup_cuts: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="where columns of numbers are cut; at the median unless stated"
    )
    subgroup_patients: int = Field(default=10, ge=3, description="patients of each class that a subgroup needs")

    @field_validator("decision_thresholds")
    @classmethod
    def _in_order(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not 0.01 <= ends[0] < ends[1] <= 0.99:
            raise ValueError("decision_thresholds are two numbers from 0.01 to 0.99, the smaller first")
        return ends


def score(
    predictions: pd.DataFrame,
    arms: Sequence[str],
    settings: ScoringSettings,
    seed: int,
    problems: Mapping[str, str],
    refused: Mapping[str, Mapping[str, str]],
    severest: Mapping[str, Severest],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics and paired differences of cross-validated predictions.

    A breast or a patient is positive if any of its labelled lesions is, predicted or not, and has the
    highest probability of its lesions, or what else :func:`held_out` is told; the threshold is the one of the
    lesions' fold.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``PREDICTION_COLUMNS``.
    arms : sequence of str
    settings : ScoringSettings
    seed : int
    problems : mapping of str to str
        Endpoints that have no predictions, with the reason.
    refused : mapping of str to mapping
        Per endpoint, arms that have none, with the reason.
    severest : mapping of str to mapping
        Per endpoint, the truth of breasts and patients.

    Returns
    -------
    metrics : DataFrame
        Columns ``METRIC_COLUMNS``: every metric of :data:`~cemrad.models.metrics.METRICS`, and
        ``auc_chance``, the level of no knowledge that an AUC is to be read against.
    differences : DataFrame
        Columns ``DIFFERENCE_COLUMNS``; AUC only.
    """
    metrics: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for endpoint, rows in predictions.groupby("endpoint", sort=False):
        truths = severest[str(endpoint)]
        for level in LEVELS:
            parts = {str(arm): part for arm, part in rows.groupby("arm", sort=False)}
            held = {arm: held_out(part, level, truths.get(level), settings.aggregate) for arm, part in parts.items()}
            at = {arm: _at_thresholds(part, level, held[arm], settings.aggregate) for arm, part in parts.items()}
            key = {"endpoint": endpoint, "level": level}
            metrics += _measured(key, held, at, settings, seed_of(seed, str(endpoint), level, "bootstrap"))
            chance_seed = seed_of(seed, str(endpoint), level, "chance")
            for arm, part in parts.items():
                chance = chance_auc(part, level, held[arm], chance_seed, settings.aggregate)
                metrics.append(key | {"arm": arm, "metric": CHANCE} | chance._asdict() | counts(held[arm]))
            metrics += _unmeasured(key, refused.get(str(endpoint), {}))
            differences += _compared(key, held)
    for endpoint, why in problems.items():
        for level in LEVELS:
            metrics += _unmeasured({"endpoint": endpoint, "level": level}, dict.fromkeys(arms, why))
    return pd.DataFrame(metrics, columns=METRIC_COLUMNS), pd.DataFrame(differences, columns=DIFFERENCE_COLUMNS)


def _at_thresholds(predictions: pd.DataFrame, level: str, held: HeldOut, aggregate: Aggregate) -> dict[str, HeldOut]:
    """The same units, called at each of the further thresholds; without those that were not fixed."""
    found = {}
    for name in THRESHOLDS:
        column = f"threshold_{name}"
        if column in predictions and predictions[column].notna().all():
            moved = predictions.assign(threshold=predictions[column])
            found[name] = replace(held, called=held_out(moved, level, None, aggregate).called)
    return found


def _measured(
    key: dict[str, Any],
    held: Mapping[str, HeldOut],
    at: Mapping[str, Mapping[str, HeldOut]],
    settings: ScoringSettings,
    seed: int,
) -> Iterator[dict[str, Any]]:
    votes = settings.aggregate == "vote" and key["level"] != "lesion"
    weights = None
    for arm, rows in held.items():
        if weights is None:  # the arms share their cases, so they share the draws
            weights = bootstrap_weights(rows.person, settings.n_bootstrap, seed)
        ratios = {"": cv_ratios(rows, RATES, weights)}
        ratios |= {name: cv_ratios(called, RATES_AT, weights) for name, called in at[arm].items()}
        for metric in METRICS:
            name, _, threshold = metric.partition("_at_")
            if threshold and threshold not in ratios:
                found = no_estimate("no such threshold was fixed")
            elif name == "brier" and votes:
                found = no_estimate("a share of votes is no probability")
            elif name in ratios[threshold]:
                found = ratios[threshold][name]
            else:
                found = _estimate(name, rows, weights)
            yield key | {"arm": arm, "metric": metric} | found._asdict() | counts(rows)


def counts(held: HeldOut) -> dict[str, int]:
    """Units of one repeat, and the positive ones among them."""
    first = held.repeat == held.repeat.min()
    return {"n": int(first.sum()), "n_positive": int(held.truth[first].sum())}


def _estimate(metric: str, held: HeldOut, weights: np.ndarray[Any, Any]) -> Estimate:
    if metric == "auc":
        return cv_auc(held)
    if metric in STATISTICS:
        return cv_statistic(held, STATISTICS[metric], weights, ranks=metric == "auprc")
    return cv_rate(held, of=1 if metric == "sensitivity" else 0)


def _unmeasured(key: dict[str, Any], reasons: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    nothing = {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": 0, "n_positive": 0}
    for arm, why in reasons.items():
        for metric in (*METRICS, CHANCE):
            yield key | {"arm": arm, "metric": metric, "method": f"not estimable: {why}"} | nothing


def _compared(key: dict[str, Any], held: Mapping[str, HeldOut]) -> Iterator[dict[str, Any]]:
    pairs = [(arm, reference) for arm, reference in PAIRS if arm in held and reference in held]
    found = [cv_auc_difference(held[arm], held[reference]) for arm, reference in pairs]
    adjusted = holm(np.array([item.p for item in found]))
    for (arm, reference), item, p_holm in zip(pairs, found, adjusted, strict=True):
        yield key | {
            "arm": arm, "reference": reference, "metric": "auc", "difference": item.estimate,
            "low": item.low, "high": item.high, "p": item.p, "p_holm": float(p_holm), "method": item.method,
        }  # fmt: skip
