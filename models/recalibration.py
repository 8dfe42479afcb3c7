"""Recalibration for a new site: a model's log odds moved, or moved and stretched, to fit cases of that site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from ..features.errors import EvaluationError, LeakageError
from .folds import class_counts
from .irls import fit_logistic
from .metrics import Array, Truth

Kind = Literal["intercept", "logistic"]
MIN_PERSONS: Mapping[Kind, int] = {"intercept": 10, "logistic": 20}
"""Patients of each class that a fit needs: one or two parameters, so that each has ten."""


@dataclass(frozen=True)
class Recalibration:
    """Log odds `m` become ``intercept + slope * m``; ranks, and so the AUC, stay as they are.

    ``intercept`` fits the prevalence of the site alone, with the slope fixed at 1; ``logistic`` fits
    both (Cox 1958; Steyerberg 2004, doi 10.1002/sim.1844).

    Parameters
    ----------
    intercept, slope : float
    kind : {"intercept", "logistic"}
    persons : frozenset of str
        Whom it was fitted on. It refuses to be judged on them.
    """

    intercept: float
    slope: float
    kind: Kind
    persons: frozenset[str]

    @classmethod
    def fit(cls, margin: Array, truth: Truth, persons: Sequence[str], kind: Kind = "intercept") -> Self:
        """Fit to cases of the new site.

        Parameters
        ----------
        margin : ndarray, shape (n,)
            Log odds that the model gives them, all finite.
        truth : ndarray of int, shape (n,)
            0 or 1.
        persons : sequence of str
            Whose they are, one per case.
        kind : {"intercept", "logistic"}

        Raises
        ------
        EvaluationError
            If it is no such kind, a margin is missing, there are fewer patients of a class than
            :data:`MIN_PERSONS`, or the margin separates the classes, so that no slope fits.
        """
        if kind not in get_args(Kind):
            raise EvaluationError(f"no recalibration {kind!r}; there are: {', '.join(get_args(Kind))}")
        if not np.isfinite(margin).all():
            n = int((~np.isfinite(margin)).sum())
            raise EvaluationError(f"{n} of {len(margin)} cases have no prediction; recalibrate on those that have one")
        negative, positive = class_counts(persons, truth)
        if min(negative, positive) < MIN_PERSONS[kind]:
            raise EvaluationError(
                f"recalibration ({kind}) needs {MIN_PERSONS[kind]} patients of each class: there are {positive} with "
                f"a positive and {negative} with a negative case"
            )
        one = np.ones((1, len(margin)))
        if kind == "intercept":
            intercept, slope = float(fit_logistic(one.T, truth, one, offset=margin)[0, 0]), 1.0
        else:
            intercept, slope = map(float, fit_logistic(np.column_stack([one[0], margin]), truth, one)[0])
        if not np.isfinite(intercept):
            raise EvaluationError("recalibration has no finite solution, as where the predictions separate the classes")
        return cls(intercept, slope, kind, frozenset(map(str, persons)))

    def apply(self, margin: Array) -> Array:
        """Recalibrated log odds of any cases, shape as given; those that it was fitted on must not be judged by them.

        Examples
        --------
        >>> Recalibration(-1.0, 0.5, "logistic", frozenset()).apply(np.array([2.0])).tolist()
        [0.0]
        """
        return np.asarray(self.intercept + self.slope * margin, dtype=np.float64)

    def held_out_margin(self, margin: Array, persons: Sequence[str]) -> Array:
        """Recalibrated log odds of cases on which it is judged.

        Raises
        ------
        LeakageError
            If it was fitted on one of their persons.
        """
        known = sorted(self.persons.intersection(map(str, persons)))
        if known:
            raise LeakageError(
                f"the recalibration was fitted on {len(known)} of the persons it is judged on: {known[:5]}; "
                "split the site's patients first"
            )
        return self.apply(margin)

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs, as JSON values; it holds the persons as they were given."""
        return {
            "kind": self.kind,
            "intercept": self.intercept,
            "slope": self.slope,
            "persons": sorted(self.persons),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """What :meth:`state` gave; raises EvaluationError where it is not such a state."""
        try:
            kind, persons = state["kind"], frozenset(map(str, state["persons"]))
            made = cls(float(state["intercept"]), float(state["slope"]), kind, persons)
        except (KeyError, TypeError, ValueError) as error:
            raise EvaluationError(f"not a stored recalibration: {error!r}") from None
        if kind not in get_args(Kind) or not np.isfinite([made.intercept, made.slope]).all():
            raise EvaluationError(f"not a stored recalibration: {kind!r}, {made.intercept}, {made.slope}")
        return made
