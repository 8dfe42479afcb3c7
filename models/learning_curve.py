"""Learning curve: how well the models of an evaluation would predict had there been fewer patients to learn from.

The folds are those of the evaluation, and so are the cases that are held out. Only the training side shrinks: to
persons drawn from each class alike, a smaller share always being part of a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ..features.errors import EvaluationError
from ..features.settings import Settings
from .arm import FittedArm
from .design import Design
from .folds import Ints, Split, seed_of
from .fusion import FusionSettings, fit_arms
from .heldout import HeldOut
from .intervals import cv_auc, cv_auc_difference
from .learner import Array, probability
from .parallel import Progress, in_threads
from .power_law import PowerLaw, power_law, verdict
from .result import known_arm, richest_arm
from .rows import Rows
from .units import Aggregate, held_out

LEARNING_CURVE_COLUMNS = [
    "endpoint", "level", "arm", "fraction", "n_persons", "n_cases", "estimate", "low", "high", "method",
]  # fmt: skip
LEARNING_FIT_COLUMNS = [
    "endpoint", "level", "arm", "plateau", "scale", "power", "n_persons", "at_n", "at_twice", "from_fraction", "gain",
    "gain_low", "gain_high", "verdict",
]  # fmt: skip


class LearningCurveSettings(Settings):
    """How a learning curve is made."""

    fractions: tuple[float, ...] = Field(
        default=(0.25, 0.4, 0.55, 0.7, 0.85, 1.0), min_length=2, description="shares of the training persons"
    )
    arms: tuple[str, ...] = Field(default=(), description="without any, the one with the most families")
    repeats: int = Field(default=1, ge=1, le=50, description="times that the persons are drawn anew")

    @field_validator("fractions")
    @classmethod
    def _ordered(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share <= 1 for share in fractions) or len(set(fractions)) < len(fractions):
            raise ValueError("fractions are different shares above 0, up to 1")
        return tuple(sorted({*fractions, 1.0}))

    @field_validator("arms")
    @classmethod
    def _arms_exist(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(known_arm, arms))


class Piece(NamedTuple):
    """One fit of the curve: a share of the training side of one fold, as one draw of persons makes it."""

    design: Design
    split: Split
    repeat: int
    fold: int
    fraction: float
    draw: int


@dataclass(frozen=True, eq=False)
class PieceOutcome:
    """What models of a piece learned from, their log odds for the cases held out, and why others were not fitted."""

    piece: Piece
    n_persons: int
    n_cases: int
    fitted: Mapping[str, FittedArm]
    margin: Mapping[str, Array]
    refused: Mapping[str, str] = field(default_factory=dict)


def learning_curve(
    designs: Sequence[Design],
    splits: Mapping[str, Split],
    predictions: pd.DataFrame,
    settings: FusionSettings,
    curve: LearningCurveSettings | None,
    *,
    aggregate: Aggregate = "max",
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, pd.DataFrame]:
    """AUC on the same held-out cases by the number of persons to learn from, and what it lets expect of more.

    Parameters
    ----------
    designs : sequence of Design
    splits : mapping of str to Split
        Of the endpoints that were evaluated.
    predictions : DataFrame
        Of the evaluation: its models learned from all, and are the end of the curve.
    settings : FusionSettings
        Those of the evaluation.
    curve : LearningCurveSettings, optional
        Without it no curve is made.
    aggregate : {"max", "mean", "vote"}
        How lesions come to breasts and patients.
    jobs : int
        Threads; the curve does not depend on it.
    progress : callable, optional
        Called as ``progress(done, total, "learning curve")``.

    Returns
    -------
    dict
        Empty without settings. ``learning_curve`` with columns ``LEARNING_CURVE_COLUMNS``, at the endpoint's own
        level; a share that cannot be estimated has NaN and says why. ``learning_curve_fit`` with columns
        ``LEARNING_FIT_COLUMNS``: see :func:`~cemrad.models.power_law.power_law`, and the paired ``gain`` from about
        half of the persons to all.
    """
    if curve is None:
        return {}
    there = {str(name): list(dict.fromkeys(rows["arm"])) for name, rows in predictions.groupby("endpoint", sort=False)}
    wanted = {name: [a for a in curve.arms or (richest_arm(arms),) if a in arms] for name, arms in there.items()}
    drawn = [d for d in designs if wanted.get(d.name)]
    pieces = [piece for design in drawn for piece in _pieces(design, splits[design.name], curve)]
    outcomes = list(_run(pieces, wanted, settings, jobs, progress))
    points: list[dict[str, Any]] = []
    fits: list[dict[str, Any]] = []
    for design in drawn:
        mine = [outcome for outcome in outcomes if outcome.piece.design is design]
        whole = predictions[predictions["endpoint"] == design.name]
        for arm in wanted[design.name]:
            found = _Arm(design, splits[design.name], arm, curve, mine, whole[whole["arm"] == arm], aggregate)
            points += found.points()
            fits.append(found.fit())
    return {
        "learning_curve": pd.DataFrame(points, columns=LEARNING_CURVE_COLUMNS),
        "learning_curve_fit": pd.DataFrame(fits, columns=LEARNING_FIT_COLUMNS),
    }


def share_of(rows: Rows, fit: Ints, fraction: float, seed: int) -> Ints:
    """Positions of a share of the persons of a training side, of those with and without a positive case alike.

    With one seed, the persons of a smaller share are among those of a larger one.

    Parameters
    ----------
    rows : Rows
    fit : ndarray of int
        Positions of the training side; nothing else is looked at.
    fraction : float
    seed : int
    """
    positive: dict[str, bool] = {}
    for at in fit.tolist():
        positive[rows.persons[at]] = positive.get(rows.persons[at], False) or bool(rows.y[at])
    rng = np.random.default_rng(seed)
    kept: set[str] = set()
    for side in (False, True):
        persons = sorted(person for person, is_positive in positive.items() if is_positive == side)
        order = rng.permutation(len(persons))
        kept.update(persons[i] for i in order[: math.ceil(fraction * len(persons) - 1e-9)])
    return np.array([at for at in fit.tolist() if rows.persons[at] in kept], dtype=np.int64)


def fit_piece(piece: Piece, arms: Sequence[str], settings: FusionSettings) -> PieceOutcome:
    """Fit the arms on a share of a fold's training side, then predict the cases held out of the fold."""
    rows, name = piece.design.rows, piece.design.name
    fit, held = piece.split.sides(piece.repeat, piece.fold)
    chosen = share_of(
        rows, fit, piece.fraction, seed_of(settings.seed, name, piece.repeat, piece.fold, "share", piece.draw)
    )
    train, new = rows.take(chosen), rows.take(held)
    size = len(set(train.persons)), len(train.y)
    try:
        fitted, refused = fit_arms(train, arms, settings, seed_of(settings.seed, name, piece.repeat, piece.fold))
    except EvaluationError as error:  # too few of a class in this share; the others go on
        return PieceOutcome(piece, *size, {}, {}, dict.fromkeys(arms, str(error)))
    margins = {}
    for arm, model in fitted.items():
        try:
            margins[arm] = model.held_out_margin(new)
        except EvaluationError as error:  # a site that nothing was learned about
            refused[arm] = str(error)
    return PieceOutcome(piece, *size, fitted, margins, refused)


def _pieces(design: Design, made: Split, curve: LearningCurveSettings) -> Iterator[Piece]:
    for repeat in range(made.n_repeats):
        for fold in range(made.n_folds):
            for fraction in (share for share in curve.fractions if share < 1):
                yield from (Piece(design, made, repeat, fold, fraction, draw) for draw in range(curve.repeats))


def _run(
    pieces: Sequence[Piece],
    arms: Mapping[str, Sequence[str]],
    settings: FusionSettings,
    jobs: int,
    progress: Progress | None,
) -> Iterator[PieceOutcome]:
    return in_threads(
        lambda piece: fit_piece(piece, arms[piece.design.name], settings), pieces, jobs, progress, "learning curve"
    )


class _Arm:
    """The curve of one arm of one endpoint."""

    def __init__(
        self,
        design: Design,
        made: Split,
        arm: str,
        curve: LearningCurveSettings,
        outcomes: Sequence[PieceOutcome],
        whole: pd.DataFrame,
        aggregate: Aggregate,
    ) -> None:
        self.key = {"endpoint": design.name, "level": design.endpoint.target.level, "arm": arm}
        self.design, self.made, self.curve, self.aggregate = design, made, curve, aggregate
        self.of = {
            share: [outcome for outcome in outcomes if outcome.piece.fraction == share] for share in curve.fractions
        }
        self.held = {share: self._held(of) for share, of in self.of.items() if share < 1} | {1.0: self._units(whole)}
        self.sizes = {share: self._size(share) for share in curve.fractions}

    def points(self) -> Iterator[dict[str, Any]]:
        for share in self.curve.fractions:
            persons, cases = self.sizes[share]
            held = self.held[share]
            found = {"estimate": np.nan, "low": np.nan, "high": np.nan, "method": f"not estimable: {self._why(share)}"}
            if held is not None:
                found = cv_auc(held)._asdict()
            yield self.key | {"fraction": share, "n_persons": persons, "n_cases": cases} | found

    def fit(self) -> dict[str, Any]:
        known = [row for row in self.points() if not math.isnan(row["estimate"])]
        law = power_law([row["n_persons"] for row in known], [row["estimate"] for row in known])
        n = self.sizes[1.0][0]
        half = min((share for share in self.curve.fractions if share < 1), key=lambda share: abs(share - 0.5))
        gain = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan}
        at_half, whole = self.held[half], self.held[1.0]
        if at_half is not None and whole is not None:
            gain = dict(zip(gain, cv_auc_difference(whole, at_half)[:3], strict=True))
        nothing = PowerLaw(np.nan, np.nan, np.nan)
        return {
            **self.key, **(law or nothing)._asdict(), "n_persons": n, "at_n": (law or nothing).at(n),
            "at_twice": (law or nothing).at(2 * n), "from_fraction": half, **gain,
            "verdict": verdict(law, n, gain["gain_low"], gain["gain_high"]),
        }  # fmt: skip

    def _held(self, outcomes: Sequence[PieceOutcome]) -> HeldOut | None:
        """What is held out by models of one share; every draw counts as a repeat. None if one could not be fitted."""
        if not outcomes or any(self.key["arm"] not in outcome.margin for outcome in outcomes):
            return None
        return self._units(pd.concat([self._frame(outcome) for outcome in outcomes], ignore_index=True))

    def _frame(self, outcome: PieceOutcome) -> pd.DataFrame:
        piece, arm = outcome.piece, self.key["arm"]
        held = piece.split.sides(piece.repeat, piece.fold)[1]
        cases = self.design.cases.iloc[held]
        return pd.DataFrame(
            {
                "repeat": piece.repeat * self.curve.repeats + piece.draw,
                "fold": piece.fold,
                "case_id": cases.index.to_numpy(dtype=object),
                "patient_id": cases["patient_id"].to_numpy(dtype=object),
                "breast_id": cases["breast_id"].to_numpy(dtype=object),
                "truth": self.design.rows.y[held],
                "probability": probability(outcome.margin[arm]),
                "threshold": outcome.fitted[arm].threshold,
            }
        )

    def _units(self, predictions: pd.DataFrame) -> HeldOut | None:
        level = self.key["level"]
        truths = self.design.severest.get(level)
        return held_out(predictions, level, truths, self.aggregate) if len(predictions) else None

    def _size(self, share: float) -> tuple[float, float]:
        """Mean number of persons and of cases that models learned from."""
        sizes = [(outcome.n_persons, outcome.n_cases) for outcome in self.of[share]]
        if share == 1:
            rows, made = self.design.rows, self.made
            sides = [made.sides(repeat, fold)[0] for repeat in range(made.n_repeats) for fold in range(made.n_folds)]
            sizes = [(len({rows.persons[at] for at in fit.tolist()}), len(fit)) for fit in sides]
        persons, cases = np.mean(sizes, axis=0)
        return float(persons), float(cases)

    def _why(self, share: float) -> str:
        reasons = [outcome.refused.get(self.key["arm"]) for outcome in self.of[share]]
        return next((reason for reason in reasons if reason), "nothing was held out")
