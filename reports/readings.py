"""Case facts: which cases a report shows, and what each endpoint's model said about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import pandas as pd

from ..features.fingerprint import COLUMNS as PRINTS
from ..features.table import CASE_COLUMNS
from ..models.result import ARMS, Result
from .explanation import explained_arm

SIDES = {"L": "left", "R": "right", "": "side not stated"}


class Reason(NamedTuple):
    """Why a case is shown: the endpoint's name, the role (``error``, ``certain``, ``typical``) and words."""

    endpoint: str
    role: str
    words: str


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall: a feature, its value in this case, and how far it moves the margin.

    `value` is NaN where the feature was missing. `name` is empty for the sum of the others.
    """

    name: str
    value: float
    shap: float


@dataclass(frozen=True)
class Waterfall:
    """From the base value to the margin: base + the steps' SHAP values = margin (log odds).

    Parameters
    ----------
    base, margin : float
        Log odds.
    steps : tuple of Step
        Largest first; where features were left out, the last is their sum.
    n_summed : int
        Features in that sum.
    gap : float
        |base + sum of all SHAP values - margin|.
    """

    base: float
    margin: float
    steps: tuple[Step, ...]
    n_summed: int
    gap: float


@dataclass(frozen=True)
class Reading:
    """What one endpoint's models said about one case while it was held out.

    Parameters
    ----------
    endpoint, title, positive : str
        The endpoint, its name, and its positive class in words.
    arm : str
        The arm whose prediction is shown and explained.
    truth : bool
    probability, threshold : float
        Means over the repeats; each threshold was fixed on the training side of its fold.
    n_repeats : int
    low, high : float
        Smallest and largest probability over the repeats.
    other_arms : tuple of (str, float)
        The other arms' mean probabilities.
    fold, repeat : int
        The model that the waterfall explains: that of the first repeat.
    explained : float
        That model's probability.
    waterfall : Waterfall or None
        None where the arm has no SHAP values for this case.
    """

    endpoint: str
    title: str
    positive: str
    arm: str
    truth: bool
    probability: float
    threshold: float
    n_repeats: int
    low: float
    high: float
    other_arms: tuple[tuple[str, float], ...]
    fold: int
    repeat: int
    explained: float
    waterfall: Waterfall | None

    @property
    def called(self) -> bool:
        """Whether the mean probability reaches the mean threshold."""
        return self.probability >= self.threshold

    @property
    def correct(self) -> bool:
        """Whether the call agrees with the truth."""
        return self.called == self.truth

    @property
    def outcome(self) -> str:
        """The cell of the 2 x 2 table: true positive, false positive, true negative or false negative."""
        return f"{'true' if self.correct else 'false'} {'positive' if self.called else 'negative'}"


@dataclass(frozen=True)
class CaseFacts:
    """One case of the reader's pages; `unread` has the title and the reason of each endpoint without a prediction."""

    case_id: str
    patient_id: str
    side: str
    lesion_id: str
    reasons: tuple[Reason, ...]
    pictures: tuple[str, ...]
    clinical: tuple[tuple[str, Any], ...]
    info: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str, str, str], ...]
    readings: tuple[Reading, ...]
    unread: tuple[tuple[str, str], ...]


def choose(result: Result, wanted: str, limit: int) -> dict[str, tuple[Reason, ...]]:
    """Cases to show, with the reasons why: worst errors first, then most certain, then typical.

    Parameters
    ----------
    result : Result
    wanted : str
        The arm whose predictions count.
    limit : int
        Most cases to show; half of them errors where there are so many, a quarter each of the others.

    Returns
    -------
    dict of str to tuple of Reason
        Case id to reasons, in the order in which they are shown.
    """
    queues: dict[str, list[Iterator[tuple[str, Reason]]]] = {"error": [], "certain": [], "typical": []}
    for endpoint in result.endpoints:
        mean = _mean_predictions(result, endpoint, wanted)
        for role, queue in queues.items():
            queue.append(_queue(role, mean, endpoint))
    shown: dict[str, tuple[Reason, ...]] = {}
    certain, typical = limit // 4, limit // 4
    quotas = {"error": limit - certain - typical, "certain": certain, "typical": typical}
    left = {role: _turns(queue) for role, queue in queues.items()}
    for role, quota in quotas.items():
        _take(left[role], shown, min(limit, len(shown) + quota))
    for role in quotas:  # What one role could not fill, the others may.
        _take(left[role], shown, limit)
    return shown


def gather(
    result: Result, chosen: Mapping[str, tuple[Reason, ...]], wanted: str, n_steps: int
) -> tuple[CaseFacts, ...]:
    """Facts of the chosen cases, in their order.

    Parameters
    ----------
    result : Result
    chosen : mapping of str to tuple of Reason
        Case id to reasons, as :func:`choose` gives them.
    wanted : str
        The arm that is explained.
    n_steps : int
        Features in a waterfall; the rest is summed.
    """
    tables = (result.predictions, result.shap, result.shap_base, result.exclusions)
    of_case = _ByCase(*(_split(frame, chosen) for frame in tables))
    failures = _split(result.failures, chosen)
    facts = []
    for case_id, reasons in chosen.items():
        who = {str(key): str(value) for key, value in result.cases.loc[case_id].items()}
        known = result.clinical.loc[case_id].items() if case_id in result.clinical.index else ()
        facts.append(
            CaseFacts(
                case_id=case_id,
                patient_id=who["patient_id"],
                side=SIDES.get(who["laterality"], who["laterality"]),
                lesion_id=who["lesion_id"],
                reasons=reasons,
                pictures=tuple(result.crops.get(case_id, {})),
                clinical=tuple((str(key), value) for key, value in known),
                info=tuple((key, value) for key, value in who.items() if key not in (*CASE_COLUMNS, *PRINTS) and value),
                failures=_failure_rows(failures[case_id]),
                readings=tuple(_readings(result, case_id, of_case, wanted, n_steps)),
                unread=tuple(_unread(result, of_case.predictions[case_id], of_case.exclusions[case_id])),
            )
        )
    return tuple(facts)


class _ByCase(NamedTuple):
    """The long tables of a result, split by case."""

    predictions: dict[str, pd.DataFrame]
    shap: dict[str, pd.DataFrame]
    base: dict[str, pd.DataFrame]
    exclusions: dict[str, pd.DataFrame]


def _split(frame: pd.DataFrame, ids: Iterable[str]) -> dict[str, pd.DataFrame]:
    wanted = list(ids)
    groups = {str(key): rows for key, rows in frame[frame["case_id"].isin(wanted)].groupby("case_id", sort=False)}
    return {case_id: groups.get(case_id, frame.iloc[:0]) for case_id in wanted}


def _failure_rows(rows: pd.DataFrame) -> tuple[tuple[str, str, str, str], ...]:
    # Families repeat what is wrong with a picture; a reader needs it once.
    columns = rows[["state", "picture", "code", "reason"]].drop_duplicates()
    return tuple(
        (str(state), str(picture), str(code), str(reason))
        for state, picture, code, reason in columns.itertuples(index=False)
    )


def _readings(result: Result, case_id: str, of_case: _ByCase, wanted: str, n_steps: int) -> Iterator[Reading]:
    mine = of_case.predictions[case_id]
    for endpoint, stated in result.endpoints.items():
        rows = mine[mine["endpoint"] == endpoint]
        arm = explained_arm(list(rows["arm"].unique()), wanted)
        if arm is None:
            continue  # It is among the unread, with the reason.
        own = rows[rows["arm"] == arm].sort_values("repeat")
        row = own.iloc[0]
        others = rows[rows["arm"] != arm].groupby("arm")["probability"].mean()
        yield Reading(
            endpoint=endpoint,
            title=str(stated.get("title", endpoint)),
            positive=str(stated.get("positive", "positive")),
            arm=arm,
            truth=bool(row["truth"] > 0.5),
            probability=float(own["probability"].mean()),
            threshold=float(own["threshold"].mean()),
            n_repeats=len(own),
            low=float(own["probability"].min()),
            high=float(own["probability"].max()),
            other_arms=tuple((name, float(others[name])) for name in ARMS if name in others.index),
            fold=int(row["fold"]),
            repeat=int(row["repeat"]),
            explained=float(row["probability"]),
            waterfall=_waterfall(row, of_case.shap[case_id], of_case.base[case_id], n_steps),
        )


def _unread(result: Result, predictions: pd.DataFrame, exclusions: pd.DataFrame) -> Iterator[tuple[str, str]]:
    reasons = dict(zip(exclusions["endpoint"], exclusions["reason"], strict=True))
    for endpoint, stated in result.endpoints.items():
        if not (predictions["endpoint"] == endpoint).any():
            yield str(stated.get("title", endpoint)), str(reasons.get(endpoint, "the endpoint was not evaluated"))


def _waterfall(row: pd.Series[Any], shap: pd.DataFrame, base: pd.DataFrame, n_steps: int) -> Waterfall | None:
    keys = ["endpoint", "arm", "repeat", "fold"]
    start = base[(base[keys] == row[keys]).all(axis=1)]
    if start.empty:
        return None
    mine = shap[(shap[keys] == row[keys]).all(axis=1)]
    mine = mine.loc[mine["shap"].abs().sort_values(ascending=False, kind="stable").index]
    steps = [
        Step(str(name), float(value), float(move))
        for name, value, move in mine[["feature", "value", "shap"]].head(n_steps).itertuples(index=False)
    ]
    summed = mine["shap"].iloc[n_steps:]
    if len(summed):
        steps.append(Step("", float("nan"), float(summed.sum())))
    first, margin = float(start["base"].iloc[0]), float(start["margin"].iloc[0])
    gap = abs(first + float(mine["shap"].sum()) - margin)
    return Waterfall(first, margin, tuple(steps), len(summed), gap)


def _mean_predictions(result: Result, endpoint: str, wanted: str) -> pd.DataFrame:
    rows = result.predictions[result.predictions["endpoint"] == endpoint]
    arm = explained_arm(list(rows["arm"].unique()), wanted)
    mean = rows[rows["arm"] == arm].groupby("case_id", sort=True)[["truth", "probability", "threshold"]].mean()
    mean["positive"] = mean["truth"] > 0.5
    mean["called"] = mean["probability"] >= mean["threshold"]
    return mean


def _queue(role: str, mean: pd.DataFrame, endpoint: str) -> Iterator[tuple[str, Reason]]:
    wrong = mean["called"] != mean["positive"]
    if role == "error":
        rows, key = mean[wrong], -(mean["probability"] - mean["truth"]).abs()
    elif role == "certain":
        rows, key = mean[~wrong], (mean["probability"] - mean["truth"]).abs()
    else:
        middle = mean.groupby("positive")["probability"].transform("median")
        rows, key = mean, (mean["probability"] - middle).abs()
    for case_id in key.loc[rows.index].sort_values(kind="stable").index:
        words = _words(role, bool(mean.loc[case_id, "called"]), bool(mean.loc[case_id, "positive"]))
        yield str(case_id), Reason(endpoint, role, words)


def _words(role: str, called: bool, positive: bool) -> str:
    if role == "error":
        return f"false {'positive' if called else 'negative'}"
    if role == "certain":
        return f"true {'positive' if called else 'negative'}"
    return f"typical {'positive' if positive else 'negative'}"


def _turns(queues: list[Iterator[tuple[str, Reason]]]) -> Iterator[tuple[str, Reason]]:
    # One case of each endpoint in turn, so that the first endpoint does not take every place.
    return (item for item in chain.from_iterable(zip_longest(*queues)) if item is not None)


def _take(turns: Iterator[tuple[str, Reason]], shown: dict[str, tuple[Reason, ...]], limit: int) -> None:
    while len(shown) < limit:
        item = next(turns, None)
        if item is None:
            return
        case_id, reason = item
        if case_id not in shown or reason.role == "error":  # One reason is enough, but no error is passed over.
            shown[case_id] = (*shown.get(case_id, ()), reason)
