"""The outer split: who is held out of the models that are judged, decided before anything learns.

Folds deal every person into one; the others hold out whom a fact tells apart: a site, a date, a stated part. Whatever
the way, a person is on one side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from ..features.errors import EvaluationError
from ..features.settings import Settings
from .folds import TRAINING_ONLY, Ints, Split, class_counts, split
from .persons import persons_of
from .rows import Rows

_SHOWN = 5


class OuterSettings(Settings):
    """Who is held out."""

    by: Literal["folds", "share", "column", "site", "date", "person"] = Field(
        default="folds",
        description="folds: everyone once; share: a random part; column: rows with a stated value; site: each value of "
        "a column in turn; date: persons first seen from a day on; person: each person in turn",
    )
    column: str | None = Field(default=None, description="of the cases: the site, the date, or what `held_out` is of")
    held_out: tuple[str, ...] = Field(default=(), description="values of the column, with by: column")
    since: str | None = Field(default=None, description="first day that is held out, as 2024-01-31, with by: date")
    share: float = Field(default=0.3, gt=0, le=0.5, description="about what share of the persons, with by: share")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.by in ("column", "site", "date") and not self.column:
            raise ValueError(f"by: {self.by} needs a column of the cases")
        if self.by == "column" and not self.held_out:
            raise ValueError("by: column needs held_out, the values that are held out")
        if self.by == "date":
            date.fromisoformat(self.since or "")
        return self


def deal(rows: Rows, cases: pd.DataFrame, settings: OuterSettings, *, n_folds: int, n_repeats: int, seed: int) -> Split:
    """The split of an endpoint's cases.

    Parameters
    ----------
    rows : Rows
        Truth and persons of the cases.
    cases : DataFrame
        Who they are, in the same order.
    settings : OuterSettings
    n_folds, n_repeats : int
        Of ``folds``; the others are one split.
    seed : int

    Raises
    ------
    EvaluationError
        If the column is not there or not filled, a person would be on both sides, or a side lacks a class.
    LeakageError
        If patients who share a picture are two persons in `rows`, and on both sides.
    """
    made = _deal(rows, cases, settings, n_folds, n_repeats, seed)
    return replace(made, tied=tuple(persons_of(cases)))


def _deal(rows: Rows, cases: pd.DataFrame, settings: OuterSettings, n_folds: int, n_repeats: int, seed: int) -> Split:
    if settings.by == "folds":
        return split(rows.case_ids, rows.persons, rows.y, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    if settings.by == "share":
        parts = round(1 / settings.share)
        made = split(rows.case_ids, rows.persons, rows.y, n_folds=parts, seed=seed)
        return Split(rows.case_ids, rows.persons, np.where(made.assignment == 0, 0, TRAINING_ONLY))
    assignment = _PARTS[settings.by](rows, cases, settings)
    _require_both_classes(rows, assignment)
    return Split(rows.case_ids, rows.persons, assignment[None, :])


def _by_person(rows: Rows, cases: pd.DataFrame, settings: OuterSettings) -> Ints:
    return np.unique(rows.persons, return_inverse=True)[1].astype(np.int64)


def _by_column(rows: Rows, cases: pd.DataFrame, settings: OuterSettings) -> Ints:
    values = _values(cases, settings)
    absent = sorted(set(settings.held_out) - set(values))
    if absent:
        raise EvaluationError(
            f"no case has {settings.column} {_listed(absent)}; there are: {_listed(sorted(set(values)))}"
        )
    _require_one_side(rows, values.isin(settings.held_out).astype(str), settings)
    return np.where(values.isin(settings.held_out), 0, TRAINING_ONLY).astype(np.int64)


def _by_site(rows: Rows, cases: pd.DataFrame, settings: OuterSettings) -> Ints:
    values = _values(cases, settings)
    if values.nunique() < 2:
        raise EvaluationError(f"all cases have the same {settings.column}: no other site is left to learn from")
    _require_one_side(rows, values, settings)
    return np.unique(values.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


def _by_date(rows: Rows, cases: pd.DataFrame, settings: OuterSettings) -> Ints:
    """A person belongs where her first date does: what came later of her is no news of others."""
    values = _values(cases, settings)
    try:
        days = values.map(lambda text: date.fromisoformat(text[:10]))
    except ValueError:
        raise EvaluationError(f"{settings.column} holds what is not a date like 2024-01-31") from None
    first = days.groupby(np.asarray(rows.persons, dtype=object)).min()
    start = date.fromisoformat(settings.since or "")
    return np.array([0 if first[person] >= start else TRAINING_ONLY for person in rows.persons], dtype=np.int64)


_PARTS: dict[str, Callable[[Rows, pd.DataFrame, OuterSettings], Ints]] = {
    "person": _by_person, "column": _by_column, "site": _by_site, "date": _by_date,
}  # fmt: skip


def _values(cases: pd.DataFrame, settings: OuterSettings) -> pd.Series[str]:
    if settings.column not in cases:
        raise EvaluationError(
            f"the cases have no column {settings.column!r}; there are: {_listed(list(map(str, cases)))}"
        )
    values = cases[settings.column].astype(str).str.strip()
    empty = int((values == "").sum())
    if empty:
        raise EvaluationError(f"{settings.column} is empty for {empty} of {len(values)} cases: nobody knows their side")
    return values


def _require_one_side(rows: Rows, sides: pd.Series[str], settings: OuterSettings) -> None:
    several = sides.groupby(np.asarray(rows.persons, dtype=object)).nunique()
    torn = sorted(several.index[several > 1])
    if torn:
        raise EvaluationError(
            f"{len(torn)} persons would be on both sides, as {settings.column} differs between their cases: "
            f"{_listed(torn)}; give each person one value, or leave cases out"
        )


def _require_both_classes(rows: Rows, assignment: Ints) -> None:
    """Two persons of each class to learn from, for every model, and both classes among all that is held out."""
    if len(np.unique(rows.y[assignment >= 0])) < 2:
        raise EvaluationError("the cases held out are of one class: an AUC needs both")
    for fold in range(int(assignment.max()) + 1):
        fit = np.flatnonzero(assignment != fold)
        negative, positive = class_counts([rows.persons[i] for i in fit], rows.y[fit])
        if min(negative, positive) < 2:
            raise EvaluationError(
                f"a model needs 2 patients of each class to learn from: one training side has {positive} with a "
                f"positive and {negative} with a negative case"
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
