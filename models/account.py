"""What an account is: a fold's model and the cases held out of it in, one table of a result out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from .accounts import SHELF
from .arm import FittedArm
from .folds import Ints
from .outcome import ArmOutcome, Job
from .rows import Rows

KEY = ["endpoint", "arm", "repeat", "fold"]
"""Columns that every account begins with."""
LEAST_DRAWN = 10


@dataclass(frozen=True, eq=False)
class Seen:
    """All that an account may look at: one arm of one fold.

    Parameters
    ----------
    job : Job
        Endpoint, split, repeat and fold.
    arm : str
    train : Rows
        The cases that the model was fitted on.
    new : Rows
        The cases held out of it, in the order of `outcome`.
    outcome : ArmOutcome
        The model, and what it said about the cases held out: margin, inputs, SHAP values.
    seed : int
    """

    job: Job
    arm: str
    train: Rows
    new: Rows
    outcome: ArmOutcome
    seed: int

    @property
    def fitted(self) -> FittedArm:
        """The model with what was fixed while it was fitted."""
        return self.outcome.fitted

    def drawn(self, most: float) -> Ints:
        """Places of at most so many of the cases held out, and of 10 at least: enough for a mean where all cost much.

        In order, and drawn without regard to their truth.
        """
        n = max(LEAST_DRAWN, int(most))
        return np.sort(np.random.default_rng(self.seed).permutation(len(self.outcome.values))[:n])

    @property
    def key(self) -> dict[str, Any]:
        """Values of the columns ``KEY``."""
        return {"endpoint": self.job.design.name, "arm": self.arm, "repeat": self.job.repeat, "fold": self.job.fold}


class Account(Protocol):
    """The contract of ``models/accounts/NAME.py``; the result holds its rows of all folds as table ``NAME``."""

    COLUMNS: Sequence[str]
    """Columns of the table, ``KEY`` first."""

    def account(self, seen: Seen) -> pd.DataFrame:
        """Rows of one fold, with the columns ``COLUMNS``; none where the arm does not allow it."""
        ...


def take_accounts(seen: Seen) -> dict[str, pd.DataFrame]:
    """Every account of one arm of one fold, by name."""
    return {name: SHELF.take(name).account(seen) for name in SHELF.names()}


def join_accounts(taken: Iterable[Mapping[str, pd.DataFrame]], arms: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Accounts of several folds as one table each; none where there are no folds.

    Parameters
    ----------
    taken : iterable of mapping
        As :func:`take_accounts` gives them, fold by fold.
    arms : mapping of str to str
        The arm of each endpoint that stands: a fold in which it could not be fitted has accounts of another one.
    """
    found = list(taken)
    tables = {}
    for name in SHELF.names() if found else ():
        some = [one[name] for one in found if len(one[name])] or [found[0][name]]
        whole = pd.concat(some, ignore_index=True)[list(SHELF.take(name).COLUMNS)]
        tables[name] = whole[whole["arm"] == whole["endpoint"].map(arms)].reset_index(drop=True)
    return tables
