"""What would change the call: the smallest changes of a case's top features that move it across the threshold.

They are about the model, not about the lesion: features hang together, and a value that changes alone may be one that
no lesion has. Each value tried is one that a training case has, so that nothing is said beyond their range. First
repeat only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..account import KEY, Seen
from ..folds import Ints
from ..learner import Array, Fitted, probability
from ..standard import Standard

COLUMNS = [*KEY, "case_id", "set", "step", "feature", "value", "to", "change", "probability", "threshold"]
N_TOP = 5
"""Features that are tried: those of the largest absolute SHAP value in the case."""
MOST_TOGETHER = 3
MOST_VALUES = 100
"""Values tried of a feature; of more, these many by their ranks. Up to so many the search of trees is exact."""


class Change(NamedTuple):
    """One feature's change: its place, the value it takes, in standard deviations, and the probability then."""

    place: int
    to: float
    change: float
    probability: float


class _Tried(NamedTuple):
    """Changes of one feature each, as arrays of one length."""

    place: Ints
    to: Array
    change: Array
    probability: Array

    def at(self, index: int) -> Change:
        return Change(*(of[index].item() for of in self))


@dataclass(frozen=True, eq=False)
class Search:
    """Where changes are looked for.

    Parameters
    ----------
    model : Fitted
    values : mapping of int to ndarray
        What each feature may become, by its place.
    standard : Standard
        Of the training side: the unit in which changes are compared.
    threshold : float
        Probability from which a case is called positive.
    """

    model: Fitted
    values: Mapping[int, Array]
    standard: Standard
    threshold: float

    @cached_property
    def _scores(self) -> Mapping[int, Array]:
        """Standard scores of what each feature may become: that of a column depends on no other one."""
        longest = max(map(len, self.values.values()), default=0)
        whole = np.full((longest, len(self.values)), np.nan)
        for place, values in self.values.items():
            whole[: len(values), place] = values
        scores = self.standard.apply(whole)
        return {place: scores[: len(values), place] for place, values in self.values.items()}

    def alone(self, x: Array, places: Sequence[int], called: bool) -> list[Change]:
        """The smallest change of each of these features that alone changes the call of `x`, shape (n_features,)."""
        tried, crossing = self._crossing(x, places, called)
        first = np.unique(tried.place[crossing], return_index=True)[1]
        return [tried.at(index) for index in crossing[np.sort(first)]]

    def together(self, x: Array, places: Sequence[int], called: bool) -> list[Change]:
        """Changes of up to three features that together change the call, or that come nearest to it.

        Each step moves the feature that takes the probability furthest, until one of the others can cross. Then each
        is taken back, the last first, as far as the call stays changed; one that is not needed is left out.
        """
        now, left, steps = x.copy(), list(places), list[Change]()
        while left and len(steps) < MOST_TOGETHER:
            tried, crossing = self._crossing(now, left, called)
            if len(crossing):
                return self._smaller(x, [*steps, tried.at(crossing[0])], called)
            best = tried.at(int((tried.probability.argmin if called else tried.probability.argmax)()))
            now[best.place] = best.to
            left.remove(best.place)
            steps.append(best)
        return steps

    def _smaller(self, x: Array, steps: list[Change], called: bool) -> list[Change]:
        for step in reversed(steps.copy()):
            others = [one for one in steps if one.place != step.place]
            now = _with(x, others)
            if self._called(now) != called:
                steps = others  # the call is changed without it
                continue
            tried, crossing = self._crossing(now, [step.place], called)
            steps = [tried.at(crossing[0]) if one.place == step.place else one for one in steps]
        last = float(probability(self.model.margin(_with(x, steps)[None]))[0])
        return [step._replace(probability=last) for step in steps]

    def _called(self, x: Array) -> bool:
        return bool(probability(self.model.margin(x[None]))[0] >= self.threshold)

    def _crossing(self, x: Array, places: Sequence[int], called: bool) -> tuple[_Tried, Ints]:
        """Everything that is tried, and which of it changes the call, the smallest change first."""
        values = [self.values[place] for place in places]
        place, to = np.repeat(np.array(places), [len(of) for of in values]), np.concatenate(values)
        row, other = np.arange(len(to)), np.tile(x, (len(to), 1))
        other[row, place] = to
        change = np.concatenate([self._scores[one] for one in places]) - self.standard.apply(x[None])[0, place]
        chance = probability(self.model.margin(other))
        crossing = np.flatnonzero((chance >= self.threshold) != called)
        order = np.argsort(np.abs(change[crossing]), kind="stable")
        return _Tried(place, to, change, chance), crossing[order]


def account(seen: Seen) -> pd.DataFrame:
    """Rows per case held out: sets of changes, each of which changes the call.

    ``set`` numbers them from 1, ``step`` the features within one: a set of a single feature is its smallest change
    alone; where there is none, one set of two or three, of which none can be made smaller alone. Set 0 with no feature
    says that nothing of this changes the call, and ``probability`` is then the nearest that was reached. ``change`` is
    in standard deviations of the training side; the change of a missing value counts from the training median.
    """
    if seen.job.repeat:
        return pd.DataFrame(columns=COLUMNS)
    train, fitted = seen.fitted.inputs(seen.train), seen.fitted
    values = {place: _observed(column) for place, column in enumerate(train.T)}
    search = Search(fitted.model, values, Standard.fit(train), fitted.threshold)
    outcome, rows = seen.outcome, []
    calls = probability(outcome.margin) >= fitted.threshold
    for case_id, x, shap, called in zip(seen.new.case_ids, outcome.values, outcome.shap, calls, strict=True):
        top = [int(at) for at in np.argsort(-np.abs(shap), kind="stable")[:N_TOP] if shap[at] != 0 and len(values[at])]
        for number, step, found in _sets(search, x, top, bool(called)) if top else ():
            what = ("", np.nan, np.nan, np.nan)
            if number:
                what = (fitted.features[found.place], x[found.place], found.to, found.change)
            rows.append((*seen.key.values(), case_id, number, step, *what, found.probability, fitted.threshold))
    return pd.DataFrame(rows, columns=COLUMNS)


def _with(x: Array, steps: Sequence[Change]) -> Array:
    x = x.copy()
    for step in steps:
        x[step.place] = step.to
    return x


def _sets(search: Search, x: Array, top: Sequence[int], called: bool) -> Iterator[tuple[int, int, Change]]:
    """Number of the set, of the step in it, and the change."""
    alone = search.alone(x, top, called)
    if alone:
        yield from ((number, 1, found) for number, found in enumerate(alone, start=1))
        return
    steps = search.together(x, top, called)
    if (steps[-1].probability >= search.threshold) != called:
        yield from ((1, number, found) for number, found in enumerate(steps, start=1))
    else:
        yield 0, 0, steps[-1]


def _observed(column: Array) -> Array:
    values = np.unique(column[~np.isnan(column)])
    if len(values) <= MOST_VALUES:
        return values
    places = np.linspace(0, len(values) - 1, MOST_VALUES).round().astype(np.int64)
    return np.asarray(values[places], dtype=np.float64)
