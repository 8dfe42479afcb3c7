"""Case facts: what each endpoint's model said about the cases that a report shows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..features.fingerprint import COLUMNS as PRINTS
from ..features.table import CASE_COLUMNS
from ..models.account import KEY
from ..models.result import ARMS, Result, explained_arm
from .case_accounts import ACCOUNTS, THRESHOLDS, Accounts, Cut, cuts_of, rates_of, tell
from .choice import Reason, outcome
from .picture_facts import PICTURE_COLUMNS, PICTURES, PictureFacts, picture_facts

SIDES = {"L": "left", "R": "right", "": "side not stated"}


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
    explained, cut : float
        That model's probability, and its own threshold.
    waterfall : Waterfall or None
        None where the arm has no SHAP values for this case.
    accounts : Accounts
        What else is told of that model and this case.
    cuts : tuple of Cut
        The threshold, then those of a high sensitivity where the result has them; means over the repeats.
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
    cut: float
    waterfall: Waterfall | None
    accounts: Accounts
    cuts: tuple[Cut, ...]

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
        return outcome(self.called, self.truth)


@dataclass(frozen=True)
class CaseFacts:
    """One case of the reader's pages; `unread` has the title and the reason of each endpoint without a prediction."""

    case_id: str
    patient_id: str
    side: str
    lesion_id: str
    reasons: tuple[Reason, ...]
    pictures: tuple[str, ...]
    picture_facts: tuple[PictureFacts, ...]
    clinical: tuple[tuple[str, Any], ...]
    info: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str, str, str], ...]
    readings: tuple[Reading, ...]
    unread: tuple[tuple[str, str], ...]


def gather(
    result: Result, chosen: Mapping[str, tuple[Reason, ...]], wanted: str, n_steps: int
) -> tuple[CaseFacts, ...]:
    """Facts of the chosen cases, in their order.

    Parameters
    ----------
    result : Result
    chosen : mapping of str to tuple of Reason
        Case id to reasons, as :func:`~cemrad.reports.choice.choose` gives them.
    wanted : str
        The arm that is explained.
    n_steps : int
        Features in a waterfall; the rest is summed.
    """
    told = _tell(result, chosen)
    explained = {key: arm for key, arms in told.items() if (arm := explained_arm(list(arms), wanted)) is not None}
    models = {key: told[key][arm] for key, arm in explained.items()}
    waterfalls = _waterfalls(result, models, n_steps)
    pairs = {(one.endpoint, one.arm) for one in models.values()}
    rates = {pair: rates_of(result.metrics, *pair) for pair in pairs}
    accounts = {name: _of_models(result.tables[name], models) for name in ACCOUNTS if name in result.tables}
    pictures = _split(result.tables.get(PICTURES, pd.DataFrame(columns=PICTURE_COLUMNS)), chosen)
    failures, excluded = _failure_rows(result.failures, chosen), _reasons(result.exclusions)
    who = result.cases.loc[list(chosen)].to_dict(orient="index")
    known = result.clinical.loc[result.clinical.index.isin(list(chosen))].to_dict(orient="index")
    facts = []
    for case_id, reasons in chosen.items():
        stated = {str(key): str(value) for key, value in who[case_id].items()}
        ends = {endpoint: explained.get((case_id, endpoint)) for endpoint in result.endpoints}
        facts.append(
            CaseFacts(
                case_id=case_id,
                patient_id=stated["patient_id"],
                side=SIDES.get(stated["laterality"], stated["laterality"]),
                lesion_id=stated["lesion_id"],
                reasons=reasons,
                pictures=tuple(result.crops.get(case_id, {})),
                picture_facts=picture_facts(pictures[case_id]) if case_id in pictures else (),
                clinical=tuple((str(key), value) for key, value in known.get(case_id, {}).items()),
                info=tuple(
                    (key, value) for key, value in stated.items() if key not in (*CASE_COLUMNS, *PRINTS) and value
                ),
                failures=failures.get(case_id, ()),
                readings=tuple(
                    _reading(
                        result,
                        told[case_id, name],
                        told[case_id, name][arm],
                        waterfalls.get((case_id, name)),
                        tell({of: rows[case_id, name] for of, rows in accounts.items()}),
                        rates[name, arm],
                    )
                    for name, arm in ends.items()
                    if arm is not None
                ),
                unread=tuple(
                    (
                        str(result.endpoints[name].get("title", name)),
                        excluded.get((case_id, name), "the endpoint was not evaluated"),
                    )
                    for name, arm in ends.items()
                    if arm is None
                ),
            )
        )
    return tuple(facts)


def case_anchors(cases: Sequence[CaseFacts]) -> dict[str, str]:
    """The anchor of each case's own part of a page, by case id, for links to it.

    Parameters
    ----------
    cases : sequence of CaseFacts
        Those that are shown there, in their order.
    """
    return {case.case_id: f"case-{at}" for at, case in enumerate(cases, start=1)}


Key = tuple[str, str]
"""A case and an endpoint."""


class _Told(NamedTuple):
    """What one arm said of one case at one endpoint: means over the repeats, and the model of the first of them."""

    case_id: str
    endpoint: str
    arm: str
    repeat: int
    fold: int
    truth: float
    explained: float
    cut: float
    probability: float
    threshold: float
    threshold_sens95: float
    threshold_sens100: float
    low: float
    high: float
    n_repeats: int


def _tell(result: Result, ids: Iterable[str]) -> dict[Key, dict[str, _Told]]:
    rows = result.predictions[result.predictions["case_id"].isin(list(ids))]
    own = ["case_id", "endpoint", "arm"]
    groups = rows.groupby(own, sort=False, observed=True)
    means = groups[["probability", *THRESHOLDS]].mean()
    spans = groups["probability"].agg(["min", "max", "size"])
    first = rows.sort_values("repeat", kind="stable").drop_duplicates(own).set_index(own)
    first = first[["repeat", "fold", "truth", "probability", "threshold"]]
    first = first.rename(columns={"probability": "explained", "threshold": "cut"})
    told: dict[Key, dict[str, _Told]] = {}
    for row in first.join(means).join(spans).reset_index().itertuples(index=False, name=None):
        one = _Told(*row)
        told.setdefault((one.case_id, one.endpoint), {})[one.arm] = one
    return told


def _failure_rows(failures: pd.DataFrame, ids: Iterable[str]) -> dict[str, tuple[tuple[str, str, str, str], ...]]:
    # Families repeat what is wrong with a picture; a reader needs it once.
    rows = failures.loc[failures["case_id"].isin(list(ids)), ["case_id", "state", "picture", "code", "reason"]]
    found: dict[str, tuple[tuple[str, str, str, str], ...]] = {}
    for case_id, state, picture, code, reason in rows.drop_duplicates().astype(str).itertuples(index=False, name=None):
        found[case_id] = (*found.get(case_id, ()), (state, picture, code, reason))
    return found


def _reasons(exclusions: pd.DataFrame) -> dict[Key, str]:
    return {
        (str(case_id), str(endpoint)): str(reason)
        for endpoint, case_id, reason in exclusions[["endpoint", "case_id", "reason"]].itertuples(index=False)
    }


def _reading(
    result: Result,
    arms: Mapping[str, _Told],
    own: _Told,
    waterfall: Waterfall | None,
    accounts: Accounts,
    rates: Mapping[str, float],
) -> Reading:
    stated = result.endpoints[own.endpoint]
    return Reading(
        endpoint=own.endpoint,
        title=str(stated.get("title", own.endpoint)),
        positive=str(stated.get("positive", "positive")),
        arm=own.arm,
        truth=bool(own.truth > 0.5),
        probability=float(own.probability),
        threshold=float(own.threshold),
        n_repeats=int(own.n_repeats),
        low=float(own.low),
        high=float(own.high),
        other_arms=tuple((name, float(arms[name].probability)) for name in ARMS if name in arms and name != own.arm),
        fold=int(own.fold),
        repeat=int(own.repeat),
        explained=float(own.explained),
        cut=float(own.cut),
        waterfall=waterfall,
        accounts=accounts,
        cuts=tuple(cuts_of(rates, own._asdict())),
    )


def _split(frame: pd.DataFrame, ids: Iterable[str]) -> Mapping[str, pd.DataFrame]:
    found: dict[str, pd.DataFrame] = defaultdict(lambda: frame.iloc[:0])
    for key, rows in frame[frame["case_id"].isin(list(ids))].groupby("case_id", sort=False):
        found[str(key)] = rows
    return found


def _of_models(table: pd.DataFrame, models: Mapping[Key, _Told]) -> Mapping[Key, pd.DataFrame]:
    """Rows of a table that are about the model which made the prediction of each case and endpoint."""
    keys = ["case_id", *KEY]
    found: dict[Key, pd.DataFrame] = defaultdict(lambda: table.iloc[:0])
    if len(table) and models:
        wanted = pd.DataFrame([one[:5] for one in models.values()], columns=keys)
        for key, rows in table.merge(wanted, on=keys).groupby(["case_id", "endpoint"], sort=False, observed=True):
            case_id, endpoint = key
            found[str(case_id), str(endpoint)] = rows
    return found


def _waterfalls(result: Result, told: Mapping[Key, _Told], n_steps: int) -> dict[Key, Waterfall]:
    """Of the explained model of each case and endpoint, where there are SHAP values of it."""
    keys = ["case_id", *KEY]
    wanted = pd.DataFrame([one[:5] for one in told.values()], columns=keys)
    if wanted.empty or result.shap_base.empty:
        return {}
    moves: dict[Key, list[Step]] = {}
    if len(result.shap):
        shap = result.shap.merge(wanted, on=keys)
        shap = shap.iloc[np.argsort(-shap["shap"].abs().to_numpy(), kind="stable")]
        columns = shap[["case_id", "endpoint", "feature", "value", "shap"]]
        for case_id, endpoint, name, value, move in columns.itertuples(index=False, name=None):
            moves.setdefault((case_id, endpoint), []).append(Step(str(name), float(value), float(move)))
    starts = result.shap_base.merge(wanted, on=keys)[["case_id", "endpoint", "base", "margin"]]
    return {
        (case_id, endpoint): _waterfall(float(base), float(margin), moves.get((case_id, endpoint), []), n_steps)
        for case_id, endpoint, base, margin in starts.itertuples(index=False, name=None)
    }


def _waterfall(base: float, margin: float, moves: Sequence[Step], n_steps: int) -> Waterfall:
    steps, summed = list(moves[:n_steps]), moves[n_steps:]
    if summed:
        steps.append(Step("", math.nan, math.fsum(step.shap for step in summed)))
    gap = abs(base + math.fsum(step.shap for step in moves) - margin)
    return Waterfall(base, margin, tuple(steps), len(summed), gap)
