"""Folds: who is held out when, decided once, by person, before anything learns."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..features.errors import EvaluationError, LeakageError

_MAX_DRAWS = 25
TRAINING_ONLY = -1
"""In a split's assignment: never held out."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Which cases are held out in which fold of which repeat.

    Parameters
    ----------
    case_ids : tuple of str
        In the order of the columns of `assignment`.
    persons : tuple of str
        Who each case belongs to; a person is never on both sides of a fold.
    assignment : ndarray of int, shape (n_repeats, n_cases)
        The fold in which each case is held out; :data:`TRAINING_ONLY` where it never is.
    tied : tuple of str
        Who each case belongs to by its pictures as well, where they are known: whatever `persons` says, none of
        them may be on both sides either.
    """

    case_ids: tuple[str, ...]
    persons: tuple[str, ...]
    assignment: Ints
    tied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.assignment:
            for owners, what in ((self.persons, "person"), (self.tied, "one person by her pictures, first id")):
                torn = _torn(owners, row)
                if torn is not None:
                    raise LeakageError(f"{what} {torn!r}: would be on both sides of a fold")

    @property
    def n_repeats(self) -> int:
        """Times that all cases are dealt into folds anew."""
        return int(self.assignment.shape[0])

    @property
    def n_folds(self) -> int:
        """Folds in each repeat."""
        return int(self.assignment.max()) + 1

    @property
    def training_only(self) -> NDArray[np.bool_]:
        """Which cases no repeat holds out, shape (n_cases,)."""
        return np.asarray((self.assignment == TRAINING_ONLY).all(axis=0))

    @property
    def sha256(self) -> str:
        """Fingerprint of the cases, sorted by id, with their persons and folds."""
        rows = sorted(zip(self.case_ids, self.persons, self.assignment.T.tolist(), strict=True))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def sides(self, repeat: int, fold: int) -> tuple[Ints, Ints]:
        """Positions of the training side and of the held-out side."""
        held = self.assignment[repeat] == fold
        return np.flatnonzero(~held), np.flatnonzero(held)


def _torn(owners: Sequence[str], row: Ints) -> str | None:
    """The first owner whose cases are in two folds."""
    folds: dict[str, int] = {}
    return next((o for o, fold in zip(owners, row.tolist(), strict=False) if folds.setdefault(o, fold) != fold), None)


def split(
    case_ids: Sequence[str],
    persons: Sequence[str],
    truth: NDArray[np.int64],
    *,
    n_folds: int,
    n_repeats: int = 1,
    seed: int = 0,
) -> Split:
    """Deal persons into folds that are alike in the share of positive cases, or of each of several classes.

    Parameters
    ----------
    case_ids, persons : sequence of str
        One per case.
    truth : ndarray of int, shape (n_cases,)
        0 or 1, or the place of a class among several.
    n_folds, n_repeats : int
    seed : int
        The same seed gives the same split whatever the platform.

    Raises
    ------
    EvaluationError
        If a class has fewer persons than there are folds.

    Examples
    --------
    >>> made = split(["a", "b", "c", "d"], ["p", "p", "q", "r"], np.array([0, 1, 1, 0]), n_folds=2)
    >>> made.assignment[0, 0] == made.assignment[0, 1]
    np.True_
    """
    counts = class_counts(persons, truth)
    if min(counts) < n_folds:
        there = f"{counts[1]} with a positive and {counts[0]} with a negative case"
        there = there if len(counts) == 2 else " and ".join(map(str, counts))
        raise EvaluationError(
            f"{n_folds} folds need {n_folds} patients of each class: there are {there}; use fewer folds or more cases"
        )
    rows = [_deal(persons, truth, n_folds, seed_of(seed, "split", repeat)) for repeat in range(n_repeats)]
    return Split(tuple(case_ids), tuple(persons), np.stack(rows))


def inner_sides(persons: Sequence[str], truth: NDArray[np.int64], n_folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Positions of both sides of each of up to `n_folds` folds inside a training side, persons kept together.

    There are fewer where a class has fewer persons; a fold whose training side lacks a class is left out.

    Parameters
    ----------
    persons : sequence of str
        One per case; without any, each case is a person of its own.
    truth : ndarray of int, shape (n_cases,)
        0 or 1.
    n_folds : int
    seed : int
    """
    owners = list(persons) or [str(at) for at in range(len(truth))]
    n = min(n_folds, *class_counts(owners, truth))
    if n < 2:
        return []
    made = split([str(at) for at in range(len(truth))], owners, truth, n_folds=n, seed=seed)
    sides = [made.sides(0, fold) for fold in range(made.n_folds)]
    return [(fit, held) for fit, held in sides if len(np.unique(truth[fit])) == 2]


def _deal(persons: Sequence[str], truth: Ints, n_folds: int, seed: int) -> Ints:
    """Folds of one repeat; drawn again while a fold lacks a class, as its AUC would have no value."""
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import; an extraction deals no folds

    groups, n_classes = np.asarray(persons, dtype=object), len(np.unique(truth))
    best, fewest = np.zeros(len(truth), dtype=np.int64), n_folds + 1
    for draw in range(_MAX_DRAWS):
        dealer = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=(seed + draw) % 2**32)
        folds = np.empty(len(truth), dtype=np.int64)
        for fold, (_, held) in enumerate(dealer.split(np.zeros((len(truth), 1)), truth, groups)):
            folds[held] = fold
        lacking = sum(len(np.unique(truth[folds == fold])) < n_classes for fold in range(n_folds))
        if lacking < fewest:
            best, fewest = folds, lacking
        if lacking == 0:
            break
    return best


def class_counts(persons: Sequence[str], truth: NDArray[np.int64]) -> tuple[int, ...]:
    """Persons with a negative case and persons with a positive case, or with a case of each class; some may be both.

    Examples
    --------
    >>> class_counts(["p", "p", "q"], np.array([1, 1, 1])), class_counts(["p", "p", "q"], np.array([0, 2, 2]))
    ((0, 2), (1, 0, 2))
    """
    owners = np.asarray(persons, dtype=object)
    return tuple(len(set(owners[truth == value])) for value in range(int(truth.max(initial=1)) + 1))


def seed_of(seed: int, *parts: str | int) -> int:
    """A seed for one purpose, derived from the study's; it does not depend on the order of work.

    Examples
    --------
    >>> seed_of(1, "er", 0) == seed_of(1, "er", 0) != seed_of(1, "pr", 0)
    True
    """
    text = "|".join([str(seed), *map(str, parts)])
    return zlib.crc32(text.encode())
