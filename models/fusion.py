"""Fusion inside a fold: constant columns out, selection per block, then one learner over all blocks or one for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..features.errors import EvaluationError
from ..features.settings import Settings, parse_settings
from .arm import FittedArm, OutOfFold
from .balance import Balance, fit_balanced
from .blend import Blend, join
from .folds import Ints, class_counts, inner_sides, seed_of
from .harmonise import Harmoniser, HarmoniseSettings
from .learner import Array, Fitted, Learner, Params, probability
from .learners import SHELF as LEARNERS
from .metrics import THRESHOLDS, log_loss, sensitivity_threshold, youden_threshold
from .presets import with_preset
from .replicates import StabilitySettings
from .result import ARM_FAMILIES
from .rows import Rows, varies
from .selector import Selector
from .selectors import SHELF as SELECTORS
from .tuning import Search, require_optuna, tune

Rule = Literal["early", "mean", "average", "vote", "stacked"]
Preset = Literal["fast", "standard", "thorough"]


class FusionSettings(Settings):
    """How a model is made from a training side, whichever side that is."""

    seed: int = Field(default=2026, ge=0)
    preset: Preset = Field(default="standard", description="sets what the study does not state")
    inner_folds: int = Field(default=3, ge=2, le=20, description="folds inside the training side, for tuning")
    n_candidates: int = Field(default=4, ge=1, le=1000, description="parameter sets tried: the usual one and others")
    search: Search = Field(default="grid", description="where the others come from: the learner's grid, or Optuna")
    fusion: Rule = Field(
        default="early",
        description="early: one learner over all blocks; mean (of log odds), average (of probabilities), vote and "
        "stacked (a logistic regression): one learner for each block",
    )
    balance: Balance = Field(default="none", description="of classes, within the training side")
    selector: str = "relevance"
    selector_settings: dict[str, Any] = Field(default_factory=dict)
    learner: str = "xgboost"
    learner_settings: dict[str, Any] = Field(default_factory=dict)
    harmonise: HarmoniseSettings | None = Field(default=None, description="ComBat of image features for sites")
    stability: StabilitySettings | None = Field(default=None, description="leave out what other masks change")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        return with_preset(values, cls.model_fields) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        self.make_selector()
        self.make_learner()
        if self.search == "optuna":
            require_optuna()
        return self

    @property
    def site_column(self) -> str | None:
        """Column of the cases that features are harmonised for."""
        return self.harmonise.column if self.harmonise else None

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


def fit_arms(
    train: Rows, arms: Sequence[str], settings: FusionSettings, seed: int
) -> tuple[dict[str, FittedArm], dict[str, str]]:
    """Fit every arm on the same cases.

    Selection sees each block alone, so its outcome is shared by the arms that use the block. The
    inner folds select anew; their out-of-fold predictions choose the parameters by log loss, then how blocks
    are joined where each has a model of its own, and then the threshold.

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
    every = {family for arm in arms for family in ARM_FAMILIES[arm]}
    selector = settings.make_selector()
    folds = _inner_folds(train, every, selector, settings, seed)
    harmoniser = Harmoniser.fit(train, settings.harmonise) if settings.harmonise else None
    rows = harmoniser.apply(train) if harmoniser else train
    side = _Side(rows, _select(rows, every, selector), folds, settings, settings.make_learner(), harmoniser)
    parts: dict[str, _Part] = {}
    fitted, refused = {}, {}
    for arm in arms:
        blocks = (
            {arm: ARM_FAMILIES[arm]} if settings.fusion == "early" else {name: (name,) for name in ARM_FAMILIES[arm]}
        )
        empty = [name for name, of in blocks.items() if not side.varies(of)]
        if empty:
            where = "" if empty == [arm] else f" in the block {empty[0]}"
            also = "" if train.replicates is None else " and is stable under other masks"
            refused[arm] = f"no column varies{also} within the training side of a fold{where}"
            continue
        for name, of in blocks.items():
            if name not in parts:  # a block alone is an arm too
                parts[name] = _fit_part(name, of, side, seed)
        fitted[arm] = _fit_arm(arm, [parts[name] for name in blocks], side)
    return fitted, refused


@dataclass(frozen=True, eq=False)
class _InnerFold:
    """One inner fold: what is fitted, what is held out and where that stands, and what was selected."""

    fit: Rows
    held: Rows
    at: Ints
    chosen: Mapping[str, tuple[str, ...]]


def _inner_folds(
    train: Rows, families: set[str], selector: Selector, settings: FusionSettings, seed: int
) -> list[_InnerFold]:
    """Folds of the training side, those left out whose own training side would lack a class."""
    n_negative, n_positive = class_counts(train.persons, train.y)
    shortage = EvaluationError(
        f"a model needs 2 patients of each class to learn from: there are {n_positive} with a positive "
        f"and {n_negative} with a negative case"
    )
    folds = []
    for fit_at, at in inner_sides(train.persons, train.y, settings.inner_folds, seed_of(seed, "inner")):
        fit, held = train.take(fit_at), train.take(at)
        if settings.harmonise:
            harmoniser = Harmoniser.fit(fit, settings.harmonise)
            # A site may be too small for an inner fold and large enough for the whole training side.
            fit, held = (harmoniser.apply(rows, unseen="pass") for rows in (fit, held))
        folds.append(_InnerFold(fit, held, at, _select(fit, families, selector)))
    if len({truth for fold in folds for truth in fold.held.y.tolist()}) < 2:
        raise shortage
    return folds


@dataclass(frozen=True, eq=False)
class _Side:
    """A training side: its cases, what is selected from them, its inner folds and how models are made of them."""

    rows: Rows
    chosen: Mapping[str, tuple[str, ...]]
    folds: Sequence[_InnerFold]
    settings: FusionSettings
    learner: Learner
    harmoniser: Harmoniser | None

    def varies(self, families: Sequence[str]) -> bool:
        """Whether there is a column to learn from, in every fold."""
        return all(_joined(families, chosen) for chosen in (self.chosen, *(fold.chosen for fold in self.folds)))

    def fit(self, rows: Rows, features: Sequence[str], params: Params, seed: int) -> Fitted:
        """One model of these columns."""
        settings = self.settings
        x = rows.features(features)
        return fit_balanced(self.learner, settings.learner, x, rows.y, params, seed, settings.balance)


@dataclass(frozen=True, eq=False)
class _Part:
    """A model of some blocks, and its log odds of the cases that inner folds held out; NaN where none did."""

    name: str
    features: tuple[str, ...]
    model: Fitted
    params: Params
    margins: Array


def _fit_part(name: str, families: Sequence[str], side: _Side, seed: int) -> _Part:
    """Choose the parameters in the inner folds, then fit on the whole training side."""
    rows, settings = side.rows, side.settings
    fold_seed = seed_of(seed, name)
    tried: list[tuple[Params, Array]] = []

    def loss_of(params: Params) -> float:
        margins = np.full(len(rows.y), np.nan)
        for fold in side.folds:
            names = _joined(families, fold.chosen)
            margins[fold.at] = side.fit(fold.fit, names, params, fold_seed).margin(fold.held.features(names))
        tried.append((params, margins))
        known = ~np.isnan(margins)
        return float(log_loss(rows.y[known], margins[known]))

    best = tune(side.learner, settings.search, settings.n_candidates, seed_of(seed, name, "candidates"), loss_of)
    features = _joined(families, side.chosen)
    return _Part(
        name=name,
        features=features,
        model=side.fit(rows, features, best.params, fold_seed),
        params=best.params,
        margins=next(margins for params, margins in tried if params is best.params),
    )


def _fit_arm(arm: str, parts: Sequence[_Part], side: _Side) -> FittedArm:
    """Join the parts, and choose the threshold on predictions of the inner folds."""
    margins = np.column_stack([part.margins for part in parts])
    known = ~np.isnan(margins[:, 0])
    truth = side.rows.y
    if len(parts) == 1:
        model, params, joined = parts[0].model, parts[0].params, margins[:, 0]
    else:
        model = _join(parts, margins[known], truth[known], side.settings)
        params = {part.name: part.params for part in parts}
        joined = _joined_out_of_fold(parts, margins, side)
    features = tuple(name for part in parts for name in part.features)
    chance = probability(joined[known])
    number = np.zeros(len(truth), dtype=np.int64)
    for at, fold in enumerate(side.folds):
        number[fold.at] = at
    persons, ids = (tuple(names[i] for i in np.flatnonzero(known)) for names in (side.rows.persons, side.rows.case_ids))
    return FittedArm(
        arm=arm,
        features=features,
        model=model,
        threshold=youden_threshold(truth[known], chance),
        thresholds={name: sensitivity_threshold(truth[known], chance, least) for name, least in THRESHOLDS.items()},
        params=params,
        inner_loss=float(log_loss(truth[known], joined[known])),
        persons=frozenset(side.rows.persons),
        out_of_fold=OutOfFold(joined[known], truth[known], number[known], persons, ids),
        harmoniser=side.harmoniser.only(features) if side.harmoniser else None,
    )


def _join(parts: Sequence[_Part], margins: Array, truth: Ints, settings: FusionSettings) -> Blend:
    sizes = [len(part.features) for part in parts]
    return join(settings.fusion, settings.learner, [part.model for part in parts], sizes, margins, truth)


def _joined_out_of_fold(parts: Sequence[_Part], margins: Array, side: _Side) -> Array:
    """Log odds of each inner fold's held-out cases, joined by what was learned from the other inner folds."""
    joined = np.full(len(margins), np.nan)
    for fold in side.folds:
        others = ~np.isnan(margins[:, 0])
        others[fold.at] = False
        if len(np.unique(side.rows.y[others])) < 2:  # a fold may lack a class; nobody of the outer side is in any
            others |= ~np.isnan(margins[:, 0])
        joined[fold.at] = _join(parts, margins[others], side.rows.y[others], side.settings).join(margins[fold.at])
    return joined


def _select(rows: Rows, families: Iterable[str], selector: Selector) -> dict[str, tuple[str, ...]]:
    """Names of the chosen columns of each block."""
    chosen = {}
    for family in sorted(families):
        at = rows.block(family)
        at = at[varies(rows.x[:, at])]
        if rows.replicates is not None:
            at = at[rows.replicates.stable([rows.columns[i] for i in at], rows.case_ids)]
        kept = selector.choose(rows.x[:, at], rows.y, rows.persons)
        chosen[family] = tuple(rows.columns[i] for i in at[kept])
    return chosen


def _joined(families: Sequence[str], chosen: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for family in families for name in chosen[family])
