"""SHAP facts beyond the ranking: credit of groups and clusters, how steady it is, and what else agrees with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..models.credit import GroupCredit, HeldOutShap, places
from ..models.kinds import Kind
from ..models.ranking import rank_correlations
from ..models.result import Result
from .shap_rivals import BothKinds, Interactions, Over, Permuted, act_together, both_kinds, permuted


@dataclass(frozen=True)
class Partition:
    """All features by one sort of group: block, feature class, filter, image type or view."""

    sort: str
    groups: tuple[GroupCredit, ...]


@dataclass(frozen=True)
class Cluster:
    """Features that stand for each other.

    Parameters
    ----------
    members : tuple of str
        Features that some model was given, the strongest first.
    credit : GroupCredit
        Of all of them together.
    strongest : float
        Mean |SHAP| of the first member alone.
    n_models : int
        Models that were given any of them.
    n_models_first : int
        Models that were given the first.
    stand_ins : tuple of (str, float)
        Columns that no model was given, with their correlation: the first of them.
    n_stand_ins : int
    outside : float
        Largest |correlation| with a feature of another cluster; NaN where there is none.
    """

    members: tuple[str, ...]
    credit: GroupCredit
    strongest: float
    n_models: int
    n_models_first: int
    stand_ins: tuple[tuple[str, float], ...]
    n_stand_ins: int
    outside: float


@dataclass(frozen=True)
class Place:
    """Where a feature ranks: over patients drawn again (`low`, `high`), and in single models (`best`, `worst`)."""

    name: str
    place: int
    low: float
    high: float
    best: float
    worst: float
    n_given: int


@dataclass(frozen=True)
class Steadiness:
    """How alike the rankings of the folds' models are.

    Parameters
    ----------
    n_models : int
    places : tuple of Place
        The first features.
    alike : Over
        Mean of Spearman's correlation of two models' rankings, and the least and the largest of a pair.
    selection : Over or None
        Stability of the chosen set after Nogueira et al.; None where it was not stored.
    n_candidates : int
        Columns that could be chosen.
    n_chosen : float
        The mean number that was.
    """

    n_models: int
    places: tuple[Place, ...]
    alike: Over
    selection: Over | None
    n_candidates: int
    n_chosen: float


@dataclass(frozen=True)
class ShapFacts:
    """All of it, of one arm of one endpoint; None for what the result does not hold."""

    partitions: tuple[Partition, ...]
    clusters: tuple[Cluster, ...] | None
    steadiness: Steadiness
    both: BothKinds | None
    permuted: Permuted | None
    interactions: Interactions | None


def gather(result: Result, endpoint: str, arm: str, held: HeldOutShap, chosen: pd.DataFrame, top: int) -> ShapFacts:
    """The facts of one arm.

    Parameters
    ----------
    result : Result
    endpoint, arm : str
    held : HeldOutShap
    chosen : DataFrame
        Rows of this endpoint and arm: features of each model.
    top : int
        Features in the ranking.
    """
    tables = {
        name: frame[(frame["endpoint"] == endpoint) & (frame["arm"] == arm)]
        for name, frame in result.tables.items()
        if name in ("clusters", "selection", "interventional", "permutation", "interactions")
    }
    kinds = [Kind.of(name) for name in held.features]
    given: dict[tuple[int, int], set[str]] = {}
    for repeat, fold, feature in zip(chosen["repeat"], chosen["fold"], chosen["feature"], strict=True):
        given.setdefault((int(repeat), int(fold)), set()).add(str(feature))
    return ShapFacts(
        partitions=tuple(
            Partition(sort, tuple(held.credit([getattr(kind, sort) for kind in kinds]))) for sort in Kind._fields
        ),
        clusters=_clusters(tables.get("clusters"), held, given),
        steadiness=_steadiness(tables.get("selection"), held, given, top),
        both=both_kinds(tables.get("interventional")),
        permuted=permuted(tables.get("permutation"), held),
        interactions=act_together(tables.get("interactions")),
    )


def _clusters(
    table: pd.DataFrame | None, held: HeldOutShap, given: Mapping[tuple[int, int], set[str]]
) -> tuple[Cluster, ...] | None:
    if table is None or table.empty:
        return None
    members = table[table["role"] == "given"].set_index("feature")
    number = members["cluster"].reindex(list(held.features))
    size = dict(zip(held.features, held.sizes.tolist(), strict=True))
    # What was not clustered, of very many features, stands for itself.
    credit = held.credit([str(int(n)) if n == n else name for n, name in zip(number, held.features, strict=True)])
    by_group = {one.group: one for one in credit}
    found = []
    for cluster, part in table.groupby("cluster", sort=True):
        known = part[part["role"] == "given"]
        names = sorted((str(name) for name in known["feature"] if name in size), key=lambda name: -size[name])
        if not names:
            continue
        named = part[part["role"] == "stand-in"]
        found.append(
            Cluster(
                members=tuple(names),
                credit=by_group[str(cluster)],
                strongest=size[names[0]],
                n_models=sum(not features.isdisjoint(names) for features in given.values()),
                n_models_first=sum(names[0] in features for features in given.values()),
                stand_ins=tuple(zip(named["feature"].map(str), named["correlation"].map(float), strict=True)),
                n_stand_ins=int(part["n_stand_ins"].iloc[0]),
                outside=float(known["outside"].max()),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.credit.moved))


def _steadiness(
    table: pd.DataFrame | None, held: HeldOutShap, given: Mapping[tuple[int, int], set[str]], top: int
) -> Steadiness:
    sizes = held.by_model
    pairs = rank_correlations(sizes)
    known = pairs[~np.isnan(pairs)]
    own, bounds, single = places(held.sizes[None])[0], held.rank_bounds(), places(sizes)
    ends = np.quantile(single, [0.025, 0.975], axis=0, method="inverted_cdf")
    first = np.argsort(-held.sizes, kind="stable")[:top]
    row = None if table is None or table.empty else table.iloc[0]
    return Steadiness(
        n_models=len(held.models),
        places=tuple(
            Place(
                name=held.features[at],
                place=int(own[at]),
                low=float(bounds[0, at]),
                high=float(bounds[1, at]),
                best=float(ends[0, at]),
                worst=float(ends[1, at]),
                n_given=sum(held.features[at] in features for features in given.values()),
            )
            for at in first.tolist()
        ),
        alike=Over(*map(float, (known.mean(), known.min(), known.max()))) if len(known) else Over(*[np.nan] * 3),
        selection=None if row is None else Over(float(row["stability"]), float(row["low"]), float(row["high"])),
        n_candidates=0 if row is None else int(row["n_candidates"]),
        n_chosen=0.0 if row is None else float(row["n_chosen"]),
    )
