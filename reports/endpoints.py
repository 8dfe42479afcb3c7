"""Endpoint facts: metrics of every arm at every level, differences, and the finding in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..models.result import ARMS, Result
from ..models.units import Aggregate
from . import curves, explanation, findings
from .curves import Curve
from .explanation import Explanation
from .words import arm_title

LEVELS = ("lesion", "breast", "patient")
PREDICTIVE = ("ppv", "npv", "f1", "balanced_accuracy")
METRIC_GROUPS = {
    "": "",
    "Predictive values": "",
    "Threshold fixed in training for 95 % sensitivity": "_at_sens95",
    "Threshold fixed in training for 100 % sensitivity": "_at_sens100",
}
"""Headings of a table's parts, each with what the names of its metrics hold."""
MOST_P = 0.05
NO_DISCRIMINATION = 0.5
"""AUC that chance gives where each patient has one unit."""


@dataclass(frozen=True)
class Estimate:
    """One metric of one arm: what was found, between which bounds, by which method."""

    metric: str
    estimate: float
    low: float
    high: float
    method: str

    @property
    def estimable(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.estimate)


@dataclass(frozen=True)
class Difference:
    """A paired difference between two arms, `arm` minus `reference`."""

    arm: str
    reference: str
    metric: str
    difference: float
    low: float
    high: float
    method: str
    p: float = math.nan
    p_holm: float = math.nan

    @property
    def estimable(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.difference)

    @property
    def reading(self) -> str:
        """Which arm the interval favours, if either, and whether that holds among all comparisons."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low <= 0 <= self.high:
            return "no difference shown"
        better = f"{arm_title(self.arm if (self.low > 0) != (self.metric == 'brier') else self.reference)} is better"
        return f"{better}, not after Holm" if self.p_holm >= MOST_P else better


@dataclass(frozen=True)
class LevelFacts:
    """One endpoint at one level (lesion, breast or patient): each arm's metrics, and the differences between arms.

    Parameters
    ----------
    level : str
    n, n_positive : int
        Units of the level that were predicted, and the positive ones among them.
    arms : mapping
        Arm to metric to estimate.
    differences : tuple of Difference
    chance : mapping of str to float
        Arm to the AUC of permuted predictions, where the result holds one. A breast or a patient
        with more lesions has both a higher highest probability and more chances to be positive.
    """

    level: str
    n: int
    n_positive: int
    arms: Mapping[str, Mapping[str, Estimate]]
    differences: tuple[Difference, ...]
    chance: Mapping[str, float]

    def chance_of(self, arm: str) -> float:
        """The AUC that chance gives an arm: what was measured, else 0.5."""
        return self.chance.get(arm, NO_DISCRIMINATION)

    @property
    def shows_chance(self) -> bool:
        """Whether chance is worth a word: among lesions it is 0.5."""
        return bool(self.chance) and self.level != "lesion"

    @property
    def prevalence(self) -> float | None:
        """The AUPRC of chance; None where nothing was predicted."""
        return self.n_positive / self.n if self.n else None

    @property
    def metrics(self) -> list[str]:
        """Metrics that any arm has, in order of appearance."""
        return list(dict.fromkeys(metric for estimates in self.arms.values() for metric in estimates))

    @property
    def metric_groups(self) -> list[tuple[str, list[str]]]:
        """Metrics by what they are read for, each with a heading; the first stands open."""
        found: dict[str, list[str]] = {title: [] for title in METRIC_GROUPS}
        for metric in self.metrics:
            at = next((title for title, known in METRIC_GROUPS.items() if known in metric and known), "")
            found["Predictive values" if metric in PREDICTIVE else at].append(metric)
        return [(title, metrics) for title, metrics in found.items() if metrics]

    @property
    def methods(self) -> list[tuple[str, list[str]]]:
        """Interval methods, each with the metrics it was used for."""
        uses: dict[str, list[str]] = {}
        for estimates in self.arms.values():
            for item in estimates.values():
                metrics = uses.setdefault(item.method, [])
                if item.estimable and item.metric not in metrics:
                    metrics.append(item.metric)
        return [(method, metrics) for method, metrics in uses.items() if metrics]


@dataclass(frozen=True)
class EndpointFacts:
    """Everything that the page says about one endpoint.

    Parameters
    ----------
    key, title, positive : str
        Its name, its heading, and its positive class in words.
    level : str
        The level at which it is read first.
    n_cases, n_patients : int
        Cases (lesions) with a label, and their patients.
    folds : mapping
    main : LevelFacts or None
        The main level's facts; None where nothing was evaluated.
    others : tuple of LevelFacts
        The other levels.
    aggregate : {"max", "mean", "vote"}
        How lesions came to breasts and patients.
    summary : tuple of str
    discriminates : bool
    curves : tuple of Curve
        At the main level.
    exclusions : tuple of (str, int)
        Reason and number of cases.
    explanation : Explanation or None
    """

    key: str
    title: str
    level: str
    positive: str
    n_cases: int
    n_patients: int
    folds: Mapping[str, Any]
    main: LevelFacts | None
    others: tuple[LevelFacts, ...]
    aggregate: Aggregate
    summary: tuple[str, ...]
    discriminates: bool
    curves: tuple[Curve, ...]
    exclusions: tuple[tuple[str, int], ...]
    explanation: Explanation | None

    @property
    def folded(self) -> bool:
        """Whether its models come of several folds, which share training cases."""
        return self.folds.get("by") != "external" and self.folds.get("n_folds", 1) > 1


def gather(result: Result, key: str, wanted: str, top: int) -> EndpointFacts:
    """The facts of one endpoint.

    Parameters
    ----------
    result : Result
    key : str
        The endpoint's name.
    wanted : str
        The arm to explain.
    top : int
        Features in its ranking.
    """
    stated = result.endpoints[key]
    aggregate = aggregate_of(result)
    level = str(stated.get("level", "lesion"))
    levels = _levels(result, key)
    main = next((item for item in levels if item.level == level), levels[0] if levels else None)
    predictions = result.predictions[result.predictions["endpoint"] == key]
    excluded = result.exclusions[result.exclusions["endpoint"] == key]
    return EndpointFacts(
        key=key,
        title=str(stated.get("title", key)),
        level=main.level if main else level,
        positive=str(stated.get("positive", "positive")),
        n_cases=int(stated["n"]),
        n_patients=int(stated["n_patients"]),
        folds=result.folds.get(key, {}),
        main=main,
        others=tuple(item for item in levels if item is not main),
        aggregate=aggregate,
        summary=tuple(findings.summarise(stated, main)),
        discriminates=main is not None and findings.discriminates(main),
        curves=tuple(curves.gather(predictions, main.level, list(main.arms), aggregate)) if main else (),
        exclusions=tuple((str(reason), int(n)) for reason, n in excluded["reason"].value_counts().items()),
        explanation=explanation.gather(result, key, wanted, top),
    )


def aggregate_of(result: Result) -> Aggregate:
    """How the lesions of a breast or patient came to one number in that evaluation."""
    stated: Aggregate = result.provenance.get("evaluation", {}).get("scoring", {}).get("aggregate", "max")
    return stated


def _levels(result: Result, key: str) -> tuple[LevelFacts, ...]:
    metrics = result.metrics[result.metrics["endpoint"] == key]
    differences = result.differences[result.differences["endpoint"] == key]
    found = []
    for level in in_order(metrics["level"].unique(), LEVELS):
        rows = metrics[metrics["level"] == level]
        arms: dict[str, dict[str, Estimate]] = {arm: {} for arm in in_order(rows["arm"].unique(), ARMS)}
        permuted = (rows["metric"] == "auc_chance") & rows["estimate"].notna()
        chance = {str(row.arm): float(row.estimate) for row in _records(rows[permuted])}
        for row in _records(rows[rows["metric"] != "auc_chance"]):
            arms[str(row.arm)][str(row.metric)] = Estimate(
                str(row.metric), float(row.estimate), float(row.low), float(row.high), str(row.method)
            )
        paired = tuple(
            Difference(
                str(row.arm), str(row.reference), str(row.metric),
                float(row.difference), float(row.low), float(row.high), str(row.method),
                float(row.p), float(row.p_holm),
            )
            for row in _records(differences[differences["level"] == level])
        )  # fmt: skip
        counts = int(rows["n"].max()), int(rows["n_positive"].max())
        found.append(LevelFacts(str(level), *counts, arms, paired, chance))
    return tuple(found)


def _records(frame: pd.DataFrame) -> Iterator[Any]:
    return iter(frame.itertuples(index=False))  # Any: the stubs know nothing of a column's type.


def in_order(names: Any, known: tuple[str, ...]) -> list[str]:
    """Names sorted as in `known`; those that it does not hold come last, as they came."""
    listed = [str(name) for name in names]
    return [name for name in known if name in listed] + [name for name in listed if name not in known]
