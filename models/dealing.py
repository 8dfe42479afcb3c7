"""Dealing: the outer split of every endpoint, one for all the classes of an endpoint that has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..features.errors import EvaluationError
from .design import Design
from .endpoint import families
from .folds import Ints, Split, class_counts, seed_of
from .outer import OuterSettings, deal


def deal_endpoints(
    designs: Sequence[Design], settings: OuterSettings, *, n_folds: int, n_repeats: int, seed: int
) -> tuple[dict[str, Split], dict[str, str]]:
    """The split of each endpoint, and why there is none.

    Parameters
    ----------
    designs : sequence of Design
    settings : OuterSettings
    n_folds, n_repeats : int
        As :func:`~cemrad.models.outer.deal` takes them.
    seed : int
        The study's; each endpoint has one of its own from it.
    """
    shape = {"n_folds": n_folds, "n_repeats": n_repeats}
    splits: dict[str, Split] = {}
    problems: dict[str, str] = {}
    whole = designs_of_classes(designs)
    for name, parts in whole.items():
        try:
            made, refused = deal_classes(parts, settings, **shape, seed=seed_of(seed, name))
        except EvaluationError as error:
            problems |= {part.name: str(error) for part in parts}
            continue
        splits |= {part.name: made for part in parts if part.name not in refused}
        problems |= refused
    for design in designs:
        if design.endpoint.whole in whole:
            continue
        try:
            splits[design.name] = deal(design.rows, design.cases, settings, **shape, seed=seed_of(seed, design.name))
        except EvaluationError as error:
            problems[design.name] = str(error)
    return splits, problems


def designs_of_classes(designs: Sequence[Design]) -> dict[str, list[Design]]:
    """Designs of the classes of each endpoint of several classes, by its name."""
    by_name = {design.name: design for design in designs}
    whole = families([design.endpoint for design in designs])
    return {name: [by_name[part.name] for part in parts] for name, parts in whole.items()}


def deal_classes(
    parts: Sequence[Design], settings: OuterSettings, *, n_folds: int, n_repeats: int, seed: int
) -> tuple[Split, dict[str, str]]:
    """One split for all classes of an endpoint, each class in each fold where that is possible.

    Parameters
    ----------
    parts : sequence of Design
        One per class, of the same cases.
    settings : OuterSettings
    n_folds, n_repeats, seed : int
        As :func:`~cemrad.models.outer.deal` takes them.

    Returns
    -------
    Split
    refused : dict of str to str
        By the name of the design, why a class gets no model: it has fewer patients than there are folds, or too few
        on a side. Its cases stay among the others' rest.

    Raises
    ------
    EvaluationError
        If fewer than two classes are left.
    """
    first = parts[0]
    counts = class_counts(first.rows.persons, first.classes)
    counts += (0,) * (len(parts) - len(counts))
    dealt = settings.by in ("folds", "share")
    needed = {"folds": n_folds, "share": round(1 / settings.share)}.get(settings.by, 2)
    refused = {
        part.name: f"{needed} {'folds' if dealt else 'sides'} need {needed} patients of each class: there are {n} of "
        f"{part.endpoint.positive}; use fewer folds or more cases"
        for part, n in zip(parts, counts, strict=True)
        if n < needed
    }
    splits: list[Split] = []
    for part in parts:
        if part.name in refused or (dealt and splits):
            continue
        strata = _strata(first.classes, counts, needed) if dealt else part.rows.y
        try:
            made = deal(
                replace(first.rows, y=strata), first.cases, settings, n_folds=n_folds, n_repeats=n_repeats, seed=seed
            )
            splits.append(made)
        except EvaluationError as error:
            refused[part.name] = str(error)
    if not splits or len(parts) - len(refused) < 2:
        raise EvaluationError("; ".join(dict.fromkeys(refused.values())))
    return splits[0], refused


def _strata(classes: Ints, counts: Sequence[int], needed: int) -> Ints:
    """Classes that folds are made alike in, numbered from 0: one too rare for it goes with the most frequent."""
    enough = [at for at, n in enumerate(counts) if n >= needed]
    commonest = int(np.argmax(counts))
    kept = np.where(np.isin(classes, enough), classes, commonest)
    return np.unique(kept, return_inverse=True)[1].astype(np.int64)
