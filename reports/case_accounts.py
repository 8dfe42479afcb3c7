"""What is told of a prediction: thresholds, calibration, likeness to the training side, neighbours, other calls.

All but the thresholds are of the model that a reading explains: the first repeat's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from .readings import CaseFacts

ACCOUNTS = {
    "calibrated": "calibrated probability",
    "likeness": "likeness to the training cases",
    "counterfactuals": "what would change the call",
    "neighbours": "nearest training cases",
}
"""Tables of a result that are told case by case, and what each of them is."""


THRESHOLDS = ("threshold", "threshold_sens95", "threshold_sens100")
"""Columns of the predictions that hold thresholds."""
_CUTS = (
    (THRESHOLDS[0], "", "Youden's index"),
    (THRESHOLDS[1], "_at_sens95", "95 % sensitivity"),
    (THRESHOLDS[2], "_at_sens100", "100 % sensitivity"),
)


@dataclass(frozen=True)
class Cut:
    """A threshold, how it was chosen, and what it gave on all cases held out; NaN where that is not known."""

    words: str
    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Calibrated:
    """A calibrated probability with both ends of its interval, and the number of cases it was learned from."""

    probability: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Unlikeness:
    """How unlike the training side a case is.

    Parameters
    ----------
    called : str
        ``""``, ``unusual`` or ``far``.
    distance, unusual, far : float
        The case's distance, and the limits within which 95 and 99 % of the training cases lie; NaN where there were too
        few of them to tell.
    features : tuple of (str, float, float)
        The most unusual features with their value and standard score.
    """

    called: str
    distance: float
    unusual: float
    far: float
    features: tuple[tuple[str, float, float], ...]

    @property
    def known(self) -> bool:
        """Whether there is a limit to compare with."""
        return math.isfinite(self.unusual)


@dataclass(frozen=True)
class Neighbour:
    """A training case: distance, truth, and what the inner folds said of it, NaN where they did not."""

    case_id: str
    distance: float
    truth: bool
    probability: float


@dataclass(frozen=True)
class Changed:
    """One feature of a set of changes; `value` is NaN where it was missing, `change` in standard deviations."""

    feature: str
    value: float
    to: float
    change: float


@dataclass(frozen=True)
class Changes:
    """A set of changes that changes the call, and the probability then; without steps, the nearest that was reached."""

    steps: tuple[Changed, ...]
    probability: float


@dataclass(frozen=True)
class Accounts:
    """What is told of one case by one model; None or empty where the result does not hold it.

    Parameters
    ----------
    calibrated : Calibrated or None
    unlikeness : Unlikeness or None
    changes : tuple of Changes
        The smallest first.
    neighbours : tuple of Neighbour
        Nearest first.
    usual : float
        The distance within which half of the training cases have their nearest one; NaN where not known.
    missing : tuple of str
        What the result does not hold, in words.
    """

    calibrated: Calibrated | None
    unlikeness: Unlikeness | None
    changes: tuple[Changes, ...]
    neighbours: tuple[Neighbour, ...]
    usual: float
    missing: tuple[str, ...]


def tell(rows: Mapping[str, pd.DataFrame]) -> Accounts:
    """Accounts of one case by one model.

    Parameters
    ----------
    rows : mapping of str to DataFrame
        Rows of the tables ``ACCOUNTS`` of this case and model; one that is absent counts as empty.
    """
    found = {name: rows[name] for name in ACCOUNTS if name in rows and len(rows[name])}
    near = found.get("neighbours")
    return Accounts(
        calibrated=_calibrated(found["calibrated"]) if "calibrated" in found else None,
        unlikeness=_unlikeness(found["likeness"]) if "likeness" in found else None,
        changes=tuple(_changes(found["counterfactuals"])) if "counterfactuals" in found else (),
        neighbours=() if near is None else tuple(_neighbours(near)),
        usual=float("nan") if near is None else float(near["usual"].iloc[0]),
        missing=tuple(words for name, words in ACCOUNTS.items() if name not in found),
    )


def rates_of(metrics: pd.DataFrame, endpoint: str, arm: str) -> dict[str, float]:
    """What an arm gave on all lesions held out, by the name of the metric."""
    here = metrics[(metrics["endpoint"] == endpoint) & (metrics["arm"] == arm) & (metrics["level"] == "lesion")]
    return dict(zip(here["metric"], here["estimate"].astype(float), strict=True))


def cuts_of(rates: Mapping[str, float], thresholds: Mapping[str, float]) -> Iterator[Cut]:
    """Thresholds of an arm at one case, by their column of the predictions, with what they gave (:func:`rates_of`)."""
    for column, suffix, words in _CUTS:
        threshold = float(thresholds[column])
        if not math.isnan(threshold):
            found = (rates.get(f"{rate}{suffix}", math.nan) for rate in ("sensitivity", "specificity"))
            yield Cut(words, threshold, *found)


def named_features(cases: Iterable[CaseFacts]) -> list[str]:
    """Columns that the shown cases name, each once."""
    names: dict[str, None] = {}
    for reading in (reading for case in cases for reading in case.readings):
        steps = reading.waterfall.steps if reading.waterfall else ()
        told = reading.accounts
        unlike = told.unlikeness.features if told.unlikeness else ()
        names |= dict.fromkeys(step.name for step in steps if step.name)
        names |= dict.fromkeys(name for name, _, _ in unlike)
        names |= dict.fromkeys(step.feature for change in told.changes for step in change.steps)
    return list(names)


def _calibrated(rows: pd.DataFrame) -> Calibrated:
    row = rows.iloc[0]
    return Calibrated(float(row["calibrated"]), float(row["low"]), float(row["high"]), int(row["n"]))


def _unlikeness(rows: pd.DataFrame) -> Unlikeness:
    rows = rows.sort_values("rank")
    row = rows.iloc[0]
    features = zip(rows["feature"], rows["value"], rows["score"], strict=True)
    return Unlikeness(
        str(row["called"]), float(row["distance"]), float(row["limit_unusual"]), float(row["limit_far"]),
        tuple((str(name), float(value), float(score)) for name, value, score in features),
    )  # fmt: skip


def _changes(rows: pd.DataFrame) -> Iterator[Changes]:
    for _, group in rows.sort_values(["set", "step"]).groupby("set"):
        steps = tuple(
            Changed(str(name), float(value), float(to), float(change))
            for name, value, to, change in group[["feature", "value", "to", "change"]].itertuples(index=False)
            if name
        )
        yield Changes(steps, float(group["probability"].iloc[-1]))


def _neighbours(rows: pd.DataFrame) -> Iterator[Neighbour]:
    columns = rows.sort_values("rank")[["neighbour", "distance", "truth", "probability"]]
    for name, distance, truth, chance in columns.itertuples(index=False):
        yield Neighbour(str(name), float(distance), bool(truth), float(chance))
