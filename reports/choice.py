"""Which cases a report shows: the worst errors first, then the most certain, then typical ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import NamedTuple

import pandas as pd

from ..models.result import Result, explained_arm


class Reason(NamedTuple):
    """Why a case is shown: the endpoint's name, the role (``error``, ``certain``, ``typical``) and words."""

    endpoint: str
    role: str
    words: str


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
        mean = mean_predictions(result, endpoint, wanted)
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


def mean_predictions(result: Result, endpoint: str, wanted: str) -> pd.DataFrame:
    """Truth, probability and threshold of each case at an endpoint, means over the repeats, and the call.

    Parameters
    ----------
    result : Result
    endpoint : str
    wanted : str
        The arm; the nearest one where it has no predictions.
    """
    rows = result.predictions[result.predictions["endpoint"] == endpoint]
    arm = explained_arm(list(rows["arm"].unique()), wanted)
    mean = rows[rows["arm"] == arm].groupby("case_id", sort=True)[["truth", "probability", "threshold"]].mean()
    mean["positive"] = mean["truth"] > 0.5
    mean["called"] = mean["probability"] >= mean["threshold"]
    return mean


def outcome(called: bool, truth: bool) -> str:
    """The cell of the 2 x 2 table in words.

    Examples
    --------
    >>> outcome(called=True, truth=False)
    'false positive'
    """
    return f"{'true' if called == truth else 'false'} {'positive' if called else 'negative'}"


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
    if role in ("error", "certain"):
        return outcome(called, positive)
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
