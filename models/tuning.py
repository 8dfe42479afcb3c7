"""Tuning: which parameters of a learner are tried inside a fold, and which of them is taken.

The budget is a number of parameter sets, not a time: the same study gives the same models on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..features.errors import StudyError
from .learner import Choice, Learner, Params, Range

Search = Literal["grid", "optuna"]


@dataclass(frozen=True, eq=False)
class Trial:
    """A parameter set, and its log loss in the inner folds."""

    params: Params
    loss: float


def tune(learner: Learner, search: Search, n_candidates: int, seed: int, loss_of: Callable[[Params], float]) -> Trial:
    """The parameter set with the smallest loss; of equally good ones the first.

    Parameters
    ----------
    learner : Learner
    search : {"grid", "optuna"}
        ``grid``: the learner's usual set and a random choice of its other candidates; ``optuna``: the usual set, then
        sets that a tree-structured Parzen estimator proposes within the learner's space (Bergstra 2011, Optuna).
    n_candidates : int
        Sets that are tried.
    seed : int
    loss_of : callable
        The loss of a set in the inner folds.

    Raises
    ------
    StudyError
        If Optuna is asked for and not installed.
    """
    if search == "optuna":
        return _by_optuna(learner, n_candidates, seed, loss_of)
    trials = [Trial(params, loss_of(params)) for params in _some(learner.candidates(), n_candidates, seed)]
    return min(trials, key=lambda trial: trial.loss)


def _some(every: Sequence[dict[str, Any]], n: int, seed: int) -> Sequence[dict[str, Any]]:
    """The first candidate and a random choice of the others, in their order."""
    if n >= len(every):
        return every
    drawn = np.random.default_rng(seed).choice(len(every) - 1, size=n - 1, replace=False) + 1
    return [every[0], *(every[i] for i in sorted(drawn))]


def _by_optuna(learner: Learner, n: int, seed: int, loss_of: Callable[[Params], float]) -> Trial:
    optuna = require_optuna()
    usual = learner.candidates()[0]
    trials = [Trial(usual, loss_of(usual))]
    space = learner.space()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**31))
    for _ in range(n - 1):
        asked = study.ask()
        params = {name: _suggested(asked, name, item) for name, item in space.items()}
        trials.append(Trial(params, loss_of(params)))
        study.tell(asked, trials[-1].loss)
    return min(trials, key=lambda trial: trial.loss)


def _suggested(asked: Any, name: str, item: Range | Choice) -> Any:
    if isinstance(item, Choice):
        return item.options[asked.suggest_categorical(name, list(range(len(item.options))))]
    if item.whole:
        return asked.suggest_int(name, int(item.low), int(item.high), log=item.log)
    return asked.suggest_float(name, item.low, item.high, log=item.log)


def require_optuna() -> Any:
    """The Optuna module, quiet.

    Raises
    ------
    StudyError
        If it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise StudyError("evaluation: search: optuna is not installed; pip install 'cemrad[tuning]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
