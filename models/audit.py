"""The leak audit: whether anything held out reaches what is fitted, judged from outside, whatever the pipeline is.

The same checks judge cemrad's own folds and, in the tests, pipelines that leak on purpose: a check that lets one
of those pass has failed. Those that need repetition stand in :mod:`~cemrad.models.audit_null`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ..features.errors import CemradError, EvaluationError
from ..features.settings import Settings
from ..features.table import ColumnName
from .design import Design
from .evaluate import FoldOutcome, run_fold
from .folds import TRAINING_ONLY, Ints, Split, seed_of
from .fusion import FusionSettings
from .heldout import one_person_each
from .intervals import HeldOut, influence
from .learner import Array
from .metrics import auc
from .outcome import Job
from .result import Result
from .rows import Rows

AUDIT_COLUMNS = ["check", "endpoint", "state", "value", "limit", "text"]
State = Literal["passed", "failed", "finding", "not applicable"]
"""A finding is a figure to read beside the result, such as a p-value; it neither passes nor fails."""

MOST_RISE, LEAST_SEEN = 0.02, 0.99
"""Of the planted feature: the rise in AUC that is allowed where it is held out, and the AUC that it must reach."""


class Check(NamedTuple):
    """One row of the audit; `value` and `limit` are NaN where a check has none."""

    check: str
    endpoint: str
    state: State
    value: float
    limit: float
    text: str


class Outcome(NamedTuple):
    """What a pipeline made of one fold: everything fitted, as one text, and the log odds of the cases held out."""

    fingerprint: str
    margin: Array


Pipeline = Callable[[Rows, Ints, Ints, int], Outcome]
"""Called as ``pipeline(rows, fit, held, seed)`` with the positions of both sides; an honest one learns from `fit`."""


def fold_pipeline(design: Design, arms: Sequence[str], settings: FusionSettings) -> Pipeline:
    """What an evaluation does in one fold, as a pipeline: all arms are fitted, the last one is judged.

    Parameters
    ----------
    design : Design
        Of the endpoint; the rows are whatever the audit puts in.
    arms : sequence of str
    settings : FusionSettings
    """

    def run(rows: Rows, fit: Ints, held: Ints, seed: int) -> Outcome:
        given = rows.take(np.concatenate([fit, held]))
        assignment = np.r_[np.full(len(fit), TRAINING_ONLY), np.zeros(len(held), dtype=np.int64)]
        job = Job(replace(design, rows=given), Split(given.case_ids, given.persons, assignment[None, :]), 0, 0)
        outcome = run_fold(job, arms, settings.model_copy(update={"seed": seed}))
        if arms[-1] not in outcome.arms:
            raise EvaluationError(outcome.refused[arms[-1]])
        return Outcome(_all_fitted(outcome), outcome.arms[arms[-1]].margin)

    return run


def _all_fitted(outcome: FoldOutcome) -> str:
    return fingerprint({arm: part.fitted for arm, part in outcome.arms.items()} | {"refused": outcome.refused})


def fingerprint(fitted: Any) -> str:
    """SHA-256 over everything in a fitted object: bit-identical numbers, and only those, give the same one.

    Parameters
    ----------
    fitted : object
        Numbers, texts, bytes, arrays, None; mappings, sequences, sets and dataclasses of them; models with ``state()``.

    Examples
    --------
    >>> fingerprint({"a": 0.1 + 0.2}) == fingerprint({"a": 0.3})
    False
    """
    return hashlib.sha256(json.dumps(_plain(fitted), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value).hex()
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes().hex()]
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "state"):
        return _plain(value.state())
    return _plain_parts(value)


def _plain_parts(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_plain(part), sort_keys=True) for part in value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    raise TypeError(f"nothing is known of the numbers in a {type(value).__name__}: the audit cannot compare it")


def auc_over(pipeline: Pipeline, rows: Rows, split: Split, seed: int) -> tuple[float, Array]:
    """AUC over the pairs of each fold of the first repeat, and the margins, NaN where a case is never held out.

    NaN where a fold could not be fitted.
    """
    margin = np.full(len(rows.y), np.nan)
    try:
        for fold in range(split.n_folds):
            fit, held = split.sides(0, fold)
            margin[held] = pipeline(rows, fit, held, seed_of(seed, "fold", fold)).margin
    except EvaluationError:
        return np.nan, margin
    at = np.flatnonzero(~np.isnan(margin))
    fold_of, person = split.assignment[0][at], np.unique([rows.persons[i] for i in at], return_inverse=True)[1]
    found = influence(
        HeldOut(
            truth=rows.y[at], probability=margin[at], called=np.zeros(len(at), dtype=bool),
            repeat=np.zeros(len(at), dtype=np.int64), fold=fold_of, person=person.astype(np.int64),
            pooled=one_person_each(fold_of, person),
        )
    )  # fmt: skip
    return (np.nan if found is None else found[0]), margin


def check_garbage(
    pipeline: Pipeline, rows: Rows, split: Split, *, n_folds: int, seed: int, endpoint: str = ""
) -> Check:
    """Garbage in place of held-out rows, fewer of them, and more: what is fitted must stay bit-identical (T1).

    Also the predictions of held-out cases that stay must not depend on which others are held out with them.

    Parameters
    ----------
    pipeline : Pipeline
    rows : Rows
    split : Split
    n_folds : int
        Folds that are tried, of the first repeat.
    seed : int
    endpoint : str
        For the row.
    """
    name, differences, tried = "row garbage", 0, 0
    for fold in range(min(n_folds, split.n_folds)):
        fit, held = split.sides(0, fold)
        clean = pipeline(rows, fit, held, seed)
        for spoilt, fit_at, held_at, n_same in _spoilt(rows, fit, held, seed_of(seed, "garbage", fold)):
            tried += 1
            differences += _differs(pipeline, spoilt, fit_at, held_at, seed, clean, n_same)
    state: State = "failed" if differences else "passed"
    outcome = f"{differences} of {tried} fits changed" if differences else f"nothing fitted changed in {tried} fits"
    text = f"features and labels of held-out rows replaced, rows taken away and added: {outcome}"
    return Check(name, endpoint, state, float(differences), 0.0, text)


def check_stored(design: Design, split: Split, arm: str, settings: FusionSettings, result: Result) -> Check:
    """One fold fitted again with garbage held out: what the result says was fitted there must come out again (T1).

    The cheapest form of :func:`check_garbage`: a single fit, compared with the features, gains, parameters and
    threshold that are stored.
    """
    rows, (fit, held) = design.rows, split.sides(0, 0)
    spoilt = _spoilt(rows, fit, held, seed_of(settings.seed, design.name, "garbage"))[0][0]
    outcome = run_fold(Job(replace(design, rows=spoilt), split, 0, 0), [arm], settings)
    place = {"endpoint": design.name, "arm": arm, "repeat": 0, "fold": 0}

    def stored(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[np.logical_and.reduce([frame[name] == value for name, value in place.items()])]

    chosen, threshold = stored(result.chosen), stored(result.predictions)["threshold"].unique().tolist()
    params = [item["params"] for item in result.provenance["params"] if place.items() <= item.items()]
    before = fingerprint([chosen["feature"].tolist(), chosen["gain"].tolist(), threshold, params])
    after = None
    if arm in outcome.arms:
        made = outcome.arms[arm].fitted
        after = fingerprint([list(made.features), made.model.gains().tolist(), [made.threshold], [dict(made.params)]])
    changed = int(before != after)
    told = "something fitted changed" if changed else "the same features, parameters, gains and threshold"
    text = f"one fold of the {arm} arm fitted again with garbage in place of the held-out rows: {told}"
    return Check("row garbage", design.name, "failed" if changed else "passed", float(changed), 0.0, text)


def _spoilt(rows: Rows, fit: Ints, held: Ints, seed: int) -> list[tuple[Rows, Ints, Ints, int]]:
    """Rows with garbage held out, with half of it, and with all of it twice; and how many predictions must stay."""
    rng = np.random.default_rng(seed)
    x, y = rows.x.copy(), rows.y.copy()
    x[held] = rng.normal(size=(len(held), x.shape[1])) * 1e6
    x[held[:3]] = np.nan
    y[held] = 1 - y[held]
    half = held[: max(1, len(held) // 2)]
    return [
        (replace(rows, x=x, y=y), fit, held, 0),
        *(
            (rows.take(np.concatenate([fit, side])), np.arange(len(fit)), np.arange(len(fit), len(fit) + len(side)), n)
            for side, n in ((half, len(half)), (np.concatenate([held, held]), len(held)))
        ),
    ]


def _differs(pipeline: Pipeline, rows: Rows, fit: Ints, held: Ints, seed: int, clean: Outcome, n_same: int) -> bool:
    try:
        found = pipeline(rows, fit, held, seed)
    except (CemradError, ValueError, ArithmeticError):  # garbage that is held out stopped the fit: it was looked at
        return True
    same = np.array_equal(found.margin[:n_same], clean.margin[:n_same])
    return found.fingerprint != clean.fingerprint or not same


def check_planted(pipeline: Pipeline, rows: Rows, split: Split, *, seed: int, endpoint: str = "") -> Check:
    """A further column that copies the label (T5).

    Where only the held-out rows have it, and the others a constant, the AUC must not rise. Where all rows have
    it, the AUC must be nearly perfect, or the check could not see a signal and does not apply.

    Parameters
    ----------
    pipeline : Pipeline
    rows : Rows
    split : Split
        Its first fold is used.
    seed : int
    endpoint : str
        For the row.
    """
    name = "planted feature"
    fit, held = split.sides(0, 0)
    if len(np.unique(rows.y[held])) < 2:
        return Check(name, endpoint, "not applicable", np.nan, np.nan, "the first fold holds out one class only")
    copy: Array = rows.y.astype(np.float64) * 10
    only_held = copy.copy()
    only_held[fit] = 0.0
    plain = _first_auc(pipeline, rows, fit, held, seed)
    planted = _first_auc(pipeline, _with_column(rows, only_held), fit, held, seed)
    known = _first_auc(pipeline, _with_column(rows, copy), fit, held, seed)
    rise = planted - plain
    state: State = "failed" if rise > MOST_RISE else "passed" if known >= LEAST_SEEN else "not applicable"
    text = (
        f"a copy of the label in the held-out rows alone moves the AUC by {rise:+.3f} (at most +{MOST_RISE}); "
        f"in all rows it reaches {known:.3f} (at least {LEAST_SEEN}"
    ) + (", or this check is blind)" if state == "not applicable" else ")")
    return Check(name, endpoint, state, rise, MOST_RISE, text)


def _first_auc(pipeline: Pipeline, rows: Rows, fit: Ints, held: Ints, seed: int) -> float:
    return auc(rows.y[held], pipeline(rows, fit, held, seed).margin)


def _with_column(rows: Rows, values: Array) -> Rows:
    family = ColumnName.parse(rows.columns[0]).family
    name = f"{family}:case:audit_planted"
    return replace(rows, x=np.column_stack([rows.x, values]), columns=(*rows.columns, name))
