"""Further tables of a result: curves, calibration, net benefit, reclassification, subgroups of the same predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import calibration, decision, operating_curves, reclassification, subgroups
from .folds import seed_of
from .heldout import HeldOut
from .intervals import bootstrap_weights
from .metrics import Array, holm
from .result import METRIC_COLUMNS
from .scoring import PAIRS, ScoringSettings, Severest, counts
from .units import LEVELS, UNIT, held_out

Rows = Iterator[dict[str, Any]]
COLUMNS = {
    "calibration": METRIC_COLUMNS,
    "calibration_curve": calibration.CURVE_COLUMNS,
    "decision_curve": decision.COLUMNS,
    "reclassification": reclassification.COLUMNS,
    "subgroups": subgroups.COLUMNS,
    "roc_curve": operating_curves.ROC_COLUMNS,
    "precision_recall_curve": operating_curves.PRECISION_RECALL_COLUMNS,
}
"""Of each table."""


@dataclass(frozen=True, eq=False)
class _Level:
    """One endpoint at one level: its predictions by arm, the same as units, and draws of persons that arms share."""

    endpoint: str
    level: str
    parts: Mapping[str, pd.DataFrame]
    held: Mapping[str, HeldOut]
    weights: Array

    @property
    def key(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "level": self.level}


def further_tables(
    predictions: pd.DataFrame,
    settings: ScoringSettings,
    seed: int,
    severest: Mapping[str, Severest],
    levels: Mapping[str, str],
    groups: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Tables by name, with the columns of :data:`COLUMNS`; those that the settings leave out are absent.

    Calibration and decision curves are made at every level where there are probabilities, the others at the level at
    which an endpoint is read first.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``PREDICTION_COLUMNS``.
    settings : ScoringSettings
    seed : int
    severest : mapping of str to mapping
        As :func:`~cemrad.models.scoring.score` takes them.
    levels : mapping of str to str
        Per endpoint, the level at which it is read first.
    groups : DataFrame
        As :func:`~cemrad.models.subgroups.groups_of` makes them.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS if name in settings.further}
    if "calibration" in rows:
        rows["calibration_curve"] = []
    if "curves" in settings.further:
        rows |= {"roc_curve": [], "precision_recall_curve": []}
    for name, part in predictions.groupby("endpoint", sort=False):
        endpoint = str(name)
        for level in LEVELS:
            found = _lay_out(part, endpoint, level, severest[endpoint], settings, seed)
            main = level == levels[endpoint]
            chance = level == "lesion" or settings.aggregate != "vote"  # a share of votes is no probability
            if "calibration" in rows and chance:
                _calibrate(found, settings, rows["calibration"], rows["calibration_curve"])
            if "decision_curve" in rows and chance:
                rows["decision_curve"] += _decide(found, settings)
            if "reclassification" in rows and main:
                rows["reclassification"] += _reclassify(found)
            if "curves" in settings.further and main:
                _draw(found, rows["roc_curve"], rows["precision_recall_curve"])
            if "subgroups" in rows and main:
                rows["subgroups"] += _adjusted(list(_divide(found, groups, settings.subgroup_patients)))
    return {name: pd.DataFrame(rows[name], columns=COLUMNS[name]) for name in COLUMNS if name in rows}


def _lay_out(
    predictions: pd.DataFrame, endpoint: str, level: str, truths: Severest, settings: ScoringSettings, seed: int
) -> _Level:
    parts = {str(arm): part for arm, part in predictions.groupby("arm", sort=False)}
    held = {arm: held_out(part, level, truths.get(level), settings.aggregate) for arm, part in parts.items()}
    person = next(iter(held.values())).person
    weights = bootstrap_weights(person, settings.n_bootstrap, seed_of(seed, endpoint, level, "bootstrap"))
    return _Level(endpoint, level, parts, held, weights)


def _calibrate(
    found: _Level, settings: ScoringSettings, metrics: list[dict[str, Any]], curve: list[dict[str, Any]]
) -> None:
    for arm, held in found.held.items():
        made = calibration.calibrate(held, found.weights, settings.calibration_groups)
        key = found.key | {"arm": arm}
        metrics += [key | {"metric": name} | item._asdict() | counts(held) for name, item in made.metrics.items()]
        curve += [key | row for row in made.curve]


def _decide(found: _Level, settings: ScoringSettings) -> Rows:
    first, last = (round(100 * end) for end in settings.decision_thresholds)
    thresholds = np.arange(first, last + 1) / 100
    anyone = next(iter(found.held.values()))
    for row in decision.reference_rows(anyone, thresholds, found.weights):
        yield found.key | row | counts(anyone)
    for arm, held in found.held.items():
        for row in decision.curve_rows(arm, held, thresholds, found.weights):
            yield found.key | row | counts(held)


def _draw(found: _Level, roc: list[dict[str, Any]], precision_recall: list[dict[str, Any]]) -> None:
    for arm, held in found.held.items():
        key = found.key | {"arm": arm} | counts(held)
        roc += [key | row for row in operating_curves.roc_rows(held, found.weights)]
        precision_recall += [key | row for row in operating_curves.precision_recall_rows(held, found.weights)]


def _reclassify(found: _Level) -> Rows:
    for arm, reference in PAIRS:
        if arm in found.held and reference in found.held:
            held = found.held[arm]
            for row in reclassification.reclassify(held, found.held[reference], found.weights):
                yield found.key | {"arm": arm, "reference": reference} | row | counts(held)


def _divide(found: _Level, groups: pd.DataFrame, min_patients: int) -> Rows:
    for arm, part in found.parts.items():
        keys = ["repeat", "fold", UNIT[found.level]]  # the order in which units are held out
        units = part[keys].drop_duplicates().sort_values(keys)[UNIT[found.level]].tolist()
        for column in groups:
            named = subgroups.unit_groups(groups[column].loc[part["case_id"]], units, part[UNIT[found.level]].tolist())
            for row in subgroups.compare_groups(found.held[arm], named, min_patients):
                yield found.key | {"arm": arm, "column": column} | row


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with Holm's p-value over all tests of the endpoint: one per arm and column."""
    tests = {(r["arm"], r["column"]): r["p_interaction"] for r in rows if not np.isnan(r["p_interaction"])}
    adjusted = dict(zip(tests, holm(np.array(list(tests.values()))), strict=True))
    for row in rows:
        tested = not np.isnan(row["p_interaction"])
        row |= {"p_holm": float(adjusted[row["arm"], row["column"]]) if tested else np.nan, "n_tests": len(tests)}
    return rows
