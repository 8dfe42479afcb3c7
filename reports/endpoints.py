"""Endpoint facts: metrics of every arm at every level, differences, ROC curves, and the finding in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..models.result import ARMS, Result
from . import explanation, findings
from .explanation import Explanation
from .words import arm_title

LEVELS = ("lesion", "breast", "patient")


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

    @property
    def estimable(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.difference)

    @property
    def reading(self) -> str:
        """Which arm the interval favours, if either: a lower Brier score is the better one."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low <= 0 <= self.high:
            return "no difference shown"
        return f"{arm_title(self.arm if (self.low > 0) != (self.metric == 'brier') else self.reference)} is better"


@dataclass(frozen=True)
class LevelFacts:
    """One endpoint at one level (lesion, breast or patient): each arm's metrics, and the differences between arms."""

    level: str
    n: int
    n_positive: int
    arms: Mapping[str, Mapping[str, Estimate]]
    differences: tuple[Difference, ...]

    @property
    def metrics(self) -> list[str]:
        """Metrics that any arm has, in order of appearance."""
        return list(dict.fromkeys(metric for estimates in self.arms.values() for metric in estimates))

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
class Curve:
    """A ROC curve over held-out predictions.

    Parameters
    ----------
    arm : str
    false_positive_rate, true_positive_rate : tuple of float
        Corners of the step curve, from (0, 0) to (1, 1); ties in probability make a slope.
    """

    arm: str
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class EndpointFacts:
    """Everything that the page says about one endpoint."""

    key: str
    title: str
    level: str
    positive: str
    n: int
    n_positive: int
    n_patients: int
    folds: Mapping[str, Any]
    levels: tuple[LevelFacts, ...]
    summary: tuple[str, ...]
    discriminates: bool
    curves: tuple[Curve, ...]
    exclusions: tuple[tuple[str, int], ...]
    explanation: Explanation | None


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
    level = str(stated.get("level", "lesion"))
    levels = _levels(result, key)
    main = next((item for item in levels if item.level == level), levels[0] if levels else None)
    excluded = result.exclusions[result.exclusions["endpoint"] == key]
    return EndpointFacts(
        key=key,
        title=str(stated.get("title", key)),
        level=level,
        positive=str(stated.get("positive", "positive")),
        n=int(stated["n"]),
        n_positive=int(stated["n_positive"]),
        n_patients=int(stated["n_patients"]),
        folds=result.folds.get(key, {}),
        levels=levels,
        summary=tuple(findings.summarise(stated, main)),
        discriminates=main is not None and findings.discriminates(main),
        curves=tuple(_curves(result.predictions[result.predictions["endpoint"] == key])),
        exclusions=tuple((str(reason), int(n)) for reason, n in excluded["reason"].value_counts().items()),
        explanation=explanation.gather(result, key, wanted, top),
    )


def _levels(result: Result, key: str) -> tuple[LevelFacts, ...]:
    metrics = result.metrics[result.metrics["endpoint"] == key]
    differences = result.differences[result.differences["endpoint"] == key]
    found = []
    for level in in_order(metrics["level"].unique(), LEVELS):
        rows = metrics[metrics["level"] == level]
        arms: dict[str, dict[str, Estimate]] = {arm: {} for arm in in_order(rows["arm"].unique(), ARMS)}
        for row in _records(rows):
            arms[str(row.arm)][str(row.metric)] = Estimate(
                str(row.metric), float(row.estimate), float(row.low), float(row.high), str(row.method)
            )
        paired = tuple(
            Difference(
                str(row.arm), str(row.reference), str(row.metric),
                float(row.difference), float(row.low), float(row.high), str(row.method),
            )
            for row in _records(differences[differences["level"] == level])
        )  # fmt: skip
        found.append(LevelFacts(str(level), int(rows["n"].max()), int(rows["n_positive"].max()), arms, paired))
    return tuple(found)


def _records(frame: pd.DataFrame) -> Iterator[Any]:
    return iter(frame.itertuples(index=False))  # Any: the stubs know nothing of a column's type.


def in_order(names: Any, known: tuple[str, ...]) -> list[str]:
    """Names sorted as in `known`; those that it does not hold come last, as they came."""
    listed = [str(name) for name in names]
    return [name for name in known if name in listed] + [name for name in listed if name not in known]


def _curves(predictions: pd.DataFrame) -> Iterator[Curve]:
    for arm in in_order(predictions["arm"].unique(), ARMS):
        rows = predictions[predictions["arm"] == arm]
        pooled = rows.groupby("case_id", sort=False)[["truth", "probability"]].mean()
        truth = pooled["truth"].to_numpy() > 0.5
        if truth.all() or not truth.any():
            continue  # One class only: there is no curve, and the metrics say so.
        yield Curve(arm, *roc(truth, pooled["probability"].to_numpy(dtype=float)))


def roc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Corners of the ROC curve: false and true positive rates from (0, 0) to (1, 1).

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
        Both classes present.
    score : ndarray of float, shape (n,)
        Higher means more positive; equal scores give one corner.

    Examples
    --------
    >>> roc(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    ((0.0, 0.0, 1.0), (0.0, 0.5, 1.0))
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(truth[order])[last] / truth.sum()
    false = np.cumsum(~truth[order])[last] / (~truth).sum()
    return (0.0, *false.tolist()), (0.0, *true.tolist())
