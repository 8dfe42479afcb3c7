"""Error facts: the cases that were called wrongly and lie farthest from the threshold, and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from ..models.result import Result, explained_arm
from .characteristics import Variable
from .choice import mean_predictions
from .facts import ReportSettings, shown_cases

MOST_SHOWN = 6
LEAST_FOR_SHARED, LEAST_EXCESS, MOST_SHARED = 3, 0.1, 4
"""Errors of a kind from which what they share is counted, the excess from which it is told, and rows at most."""


@dataclass(frozen=True)
class Mistake:
    """One case that was called wrongly; probability and threshold are means over the repeats."""

    case_id: str
    probability: float
    threshold: float


@dataclass(frozen=True)
class Shared:
    """How often errors have a characteristic, and how often all cases of their class have it."""

    variable: str
    level: str
    n: int
    of: int
    n_class: int
    of_class: int

    @property
    def excess(self) -> float:
        """Share among the errors less that in the class."""
        return self.n / self.of - self.n_class / self.of_class


@dataclass(frozen=True)
class Mistakes:
    """All errors of a kind at one endpoint.

    Parameters
    ----------
    kind : {"false positive", "false negative"}
    n, n_class : int
        Errors, and cases of the class in which they can happen.
    worst : tuple of Mistake
        Farthest from the threshold first.
    shared : tuple of Shared
        Characteristics that are more frequent among the errors than in the class by at least ten percentage points, the
        largest excess first; counts that nobody tested.
    """

    kind: str
    n: int
    n_class: int
    worst: tuple[Mistake, ...]
    shared: tuple[Shared, ...]


@dataclass(frozen=True)
class EndpointErrors:
    """The errors of the explained arm at one endpoint, by lesion."""

    key: str
    title: str
    positive: str
    arm: str
    kinds: tuple[Mistakes, ...]


def pictured_cases(result: Result, settings: ReportSettings | None = None) -> list[str]:
    """Ids of the cases whose pictures a report shows: those with a part of their own, and the worst errors."""
    settings = settings or ReportSettings()
    found = [gather(result, key, settings.arm, ()) for key in result.endpoints]
    kinds = [kind for item in found if item is not None for kind in item.kinds]
    return list(dict.fromkeys([*shown_cases(result, settings), *(one.case_id for kind in kinds for one in kind.worst)]))


def gather(result: Result, key: str, wanted: str, known: Sequence[Variable]) -> EndpointErrors | None:
    """The errors of one endpoint; None where it has no predictions.

    Parameters
    ----------
    result : Result
    key : str
        The endpoint's name.
    wanted : str
        The arm to look at, or the nearest.
    known : sequence of Variable
        What may be shared.
    """
    rows = result.predictions[result.predictions["endpoint"] == key]
    arm = explained_arm(list(rows["arm"].unique()), wanted)
    if arm is None:
        return None
    mean = mean_predictions(result, key, wanted)
    stated = result.endpoints[key]
    return EndpointErrors(
        key,
        str(stated.get("title", key)),
        str(stated.get("positive", "positive")),
        arm,
        tuple(_kind(mean, kind, positive, known) for kind, positive in _KINDS),
    )


_KINDS = (("false positive", False), ("false negative", True))


def _kind(mean: pd.DataFrame, kind: str, positive: bool, known: Sequence[Variable]) -> Mistakes:
    of_class = mean[mean["positive"] == positive]
    wrong = of_class[of_class["called"] != positive]
    apart = (wrong["probability"] - wrong["threshold"]).abs().sort_values(ascending=False, kind="stable")
    worst = tuple(
        Mistake(str(case_id), float(wrong["probability"][case_id]), float(wrong["threshold"][case_id]))
        for case_id in apart.index[:MOST_SHOWN]
    )
    shared: list[Shared] = []
    if len(wrong) >= LEAST_FOR_SHARED:
        shared = sorted(_shared(known, wrong.index, of_class.index), key=lambda item: -item.excess)
    return Mistakes(kind, len(wrong), len(of_class), worst, tuple(shared[:MOST_SHARED]))


def _shared(known: Sequence[Variable], wrong: pd.Index[str], of_class: pd.Index[str]) -> Iterator[Shared]:
    for item in known:
        if item.numeric:
            continue
        here, there = item.values.reindex(wrong), item.values.reindex(of_class)
        of, of_all = int((here != "").sum()), int((there != "").sum())
        for level in item.levels:
            counted = Shared(item.title, level, int((here == level).sum()), of, int((there == level).sum()), of_all)
            if counted.n >= 2 and counted.excess >= LEAST_EXCESS:
                yield counted
