"""Fusion inside a fold: constant columns out, selection per block, one learner over what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..features.errors import EvaluationError, LeakageError
from ..features.settings import Settings, parse_settings
from ..features.table import ColumnName
from .folds import Ints, class_counts, inner_sides, seed_of
from .learner import Array, Fitted, Learner, Params, probability
from .learners import SHELF as LEARNERS
from .metrics import log_loss, youden_threshold
from .result import ARM_FAMILIES, ARMS
from .selector import Selector
from .selectors import SHELF as SELECTORS


class FusionSettings(Settings):
    """How a model is made from a training side, whichever side that is."""

    seed: int = Field(default=2026, ge=0)
    inner_folds: int = Field(default=3, ge=2, le=20, description="folds inside the training side, for tuning")
    n_candidates: int = Field(default=4, ge=1, description="parameter sets tried: the first and a random rest")
    selector: str = "relevance"
    selector_settings: dict[str, Any] = Field(default_factory=dict)
    learner: str = "xgboost"
    learner_settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        self.make_selector()
        self.make_learner()
        return self

    def make_selector(self) -> Selector:
        """The selector with its settings."""
        part = SELECTORS.take(self.selector)
        chosen: Selector = part.Selector(
            parse_settings(part.Settings, self.selector_settings, where="evaluation: selector_settings")
        )
        return chosen

    def make_learner(self) -> Learner:
        """The learner with its settings."""
        part = LEARNERS.take(self.learner)
        chosen: Learner = part.Learner(
            parse_settings(part.Settings, self.learner_settings, where="evaluation: learner_settings")
        )
        return chosen


@dataclass(frozen=True, eq=False)
class Rows:
    """Cases that may be learned from, or be predicted: numbers, truth and whose they are.

    Parameters
    ----------
    x : ndarray, shape (n_cases, n_columns)
        NaN where missing.
    y : ndarray of int, shape (n_cases,)
    case_ids, persons : tuple of str
    columns : tuple of str
        ``family:picture:feature``.
    """

    x: Array
    y: Ints
    case_ids: tuple[str, ...]
    persons: tuple[str, ...]
    columns: tuple[str, ...]

    def take(self, at: Ints) -> Rows:
        """The cases at these positions."""
        ids = tuple(self.case_ids[i] for i in at)
        return replace(self, x=self.x[at], y=self.y[at], case_ids=ids, persons=tuple(self.persons[i] for i in at))

    def features(self, names: Sequence[str]) -> Array:
        """The columns of these names, in this order."""
        places = _places(self.columns)
        return self.x[:, [places[name] for name in names]]

    def block(self, family: str) -> Ints:
        """Places of the columns of one family."""
        return _blocks(self.columns)[family]


@lru_cache(maxsize=8)
def _places(columns: tuple[str, ...]) -> Mapping[str, int]:
    return {name: at for at, name in enumerate(columns)}


@lru_cache(maxsize=8)
def _blocks(columns: tuple[str, ...]) -> Mapping[str, Ints]:
    families = np.array([ColumnName.parse(name).family for name in columns])
    return {str(family): np.flatnonzero(families == family) for family in dict.fromkeys(families.tolist())}


@dataclass(frozen=True, eq=False)
class FittedArm:
    """A model of one arm, with everything that was fixed while it was fitted.

    Parameters
    ----------
    arm : str
    features : tuple of str
        Names of the columns it takes, in its order.
    model : Fitted
    threshold : float
        Probability from which a case is called positive: Youden's, on out-of-fold predictions of
        the inner folds.
    params : mapping
        The candidate that the inner folds chose.
    inner_loss : float
        Its log loss there.
    persons : frozenset of str
        Whom it has seen.
    """

    arm: str
    features: tuple[str, ...]
    model: Fitted
    threshold: float
    params: Params
    inner_loss: float
    persons: frozenset[str]

    def held_out_margin(self, rows: Rows) -> Array:
        """Log odds of cases that must be new to the model.

        Raises
        ------
        LeakageError
            If the model has seen one of their persons.
        """
        known = sorted(self.persons.intersection(rows.persons))
        if known:
            raise LeakageError(f"the model was fitted on {len(known)} of the persons it is evaluated on: {known[:5]}")
        return self.model.margin(rows.features(self.features))


def possible_arms(columns: Iterable[str], arms: Sequence[str] = ARMS) -> tuple[list[str], dict[str, str]]:
    """Arms that these columns allow, and for each of the others what it lacks.

    Examples
    --------
    >>> possible_arms(["radiomics:RC_CC:f", "clinical:case:age"], ["radiomics", "fused"])
    (['radiomics'], {'fused': 'no deep columns'})
    """
    families = {ColumnName.parse(name).family for name in columns}
    lacks = {arm: [family for family in ARM_FAMILIES[arm] if family not in families] for arm in arms}
    absent = {arm: f"no {' and no '.join(names)} columns" for arm, names in lacks.items() if names}
    return [arm for arm in arms if arm not in absent], absent


def fit_arms(
    train: Rows, arms: Sequence[str], settings: FusionSettings, seed: int
) -> tuple[dict[str, FittedArm], dict[str, str]]:
    """Fit every arm on the same cases.

    Selection sees each block alone, so its outcome is shared by the arms that use the block. The
    inner folds select anew; their out-of-fold predictions choose the parameters by log loss, and
    then the threshold.

    Parameters
    ----------
    train : Rows
        Nothing else is looked at.
    arms : sequence of str
        Names of :data:`~cemrad.models.result.ARMS` whose families `train` has.
    settings : FusionSettings
    seed : int

    Returns
    -------
    fitted : dict of str to FittedArm
    refused : dict of str to str
        Arms that have no column that varies, with the reason.

    Raises
    ------
    EvaluationError
        If there are too few persons of a class to learn from.
    """
    families = {family for arm in arms for family in ARM_FAMILIES[arm]}
    selector, learner = settings.make_selector(), settings.make_learner()
    folds = _inner_folds(train, families, selector, settings.inner_folds, seed)
    whole = _select(train, families, selector)
    fitted, refused = {}, {}
    for arm in arms:
        if all(_joined(arm, chosen) for chosen in (whole, *(fold.chosen for fold in folds))):
            candidates = _candidates(learner, settings.n_candidates, seed_of(seed, arm, "candidates"))
            fitted[arm] = _fit_arm(arm, train, _joined(arm, whole), folds, learner, candidates, seed_of(seed, arm))
        else:
            refused[arm] = "no column varies within the training side of a fold"
    return fitted, refused


@dataclass(frozen=True, eq=False)
class _InnerFold:
    """One inner fold: what is fitted, what is held out and where that stands, and what was selected."""

    fit: Rows
    held: Rows
    at: Ints
    chosen: Mapping[str, tuple[str, ...]]


def _inner_folds(train: Rows, families: set[str], selector: Selector, n_folds: int, seed: int) -> list[_InnerFold]:
    """Folds of the training side, those left out whose own training side would lack a class."""
    n_negative, n_positive = class_counts(train.persons, train.y)
    shortage = EvaluationError(
        f"a model needs 2 patients of each class to learn from: there are {n_positive} with a positive "
        f"and {n_negative} with a negative case"
    )
    folds = []
    for fit_at, at in inner_sides(train.persons, train.y, n_folds, seed_of(seed, "inner")):
        fit = train.take(fit_at)
        folds.append(_InnerFold(fit, train.take(at), at, _select(fit, families, selector)))
    if len({truth for fold in folds for truth in fold.held.y.tolist()}) < 2:
        raise shortage
    return folds


def _fit_arm(
    arm: str,
    train: Rows,
    features: tuple[str, ...],
    folds: Sequence[_InnerFold],
    learner: Learner,
    candidates: Sequence[Params],
    seed: int,
) -> FittedArm:
    """Choose the parameters and the threshold in the inner folds, then fit on the whole training side."""
    out_of_fold = np.full((len(candidates), len(train.y)), np.nan)
    for fold in folds:
        names = _joined(arm, fold.chosen)
        fit, held = fold.fit.features(names), fold.held.features(names)
        for row, params in zip(out_of_fold, candidates, strict=True):
            row[fold.at] = learner.fit(fit, fold.fit.y, params, seed).margin(held)
    covered = ~np.isnan(out_of_fold[0])
    margins, truth = out_of_fold[:, covered], train.y[covered]
    losses = log_loss(truth, margins)
    best = int(np.argmin(losses))
    return FittedArm(
        arm=arm,
        features=features,
        model=learner.fit(train.features(features), train.y, candidates[best], seed),
        threshold=youden_threshold(truth, probability(margins[best])),
        params=candidates[best],
        inner_loss=float(losses[best]),
        persons=frozenset(train.persons),
    )


def _select(rows: Rows, families: Iterable[str], selector: Selector) -> dict[str, tuple[str, ...]]:
    """Names of the chosen columns of each block."""
    chosen = {}
    for family in sorted(families):
        at = rows.block(family)
        at = at[varies(rows.x[:, at])]
        kept = selector.choose(rows.x[:, at], rows.y, rows.persons)
        chosen[family] = tuple(rows.columns[i] for i in at[kept])
    return chosen


def varies(x: Array) -> NDArray[np.bool_]:
    """Which columns hold two different values, or a value and a gap.

    Examples
    --------
    >>> varies(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, np.nan]])).tolist()
    [False, True, True]
    """
    gaps = np.isnan(x)
    first = np.take_along_axis(x, gaps.argmin(axis=0)[None, :], axis=0)
    same = ((x == first) | gaps).all(axis=0)
    return np.asarray(~same | (gaps.any(axis=0) & ~gaps.all(axis=0)))


def _joined(arm: str, chosen: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for family in ARM_FAMILIES[arm] for name in chosen[family])


def _candidates(learner: Learner, n: int, seed: int) -> list[dict[str, Any]]:
    """The learner's first candidate and a random choice of the others, in the learner's order."""
    every = learner.candidates()
    if n >= len(every):
        return every
    drawn = np.random.default_rng(seed).choice(len(every) - 1, size=n - 1, replace=False) + 1
    return [every[0], *(every[i] for i in sorted(drawn))]


def rows_of(values: pd.DataFrame, y: Ints, persons: Sequence[str]) -> Rows:
    """Rows of a feature table's values."""
    x = np.ascontiguousarray(values.to_numpy(dtype=np.float64))
    return Rows(x, y, tuple(map(str, values.index)), tuple(persons), tuple(map(str, values.columns)))
