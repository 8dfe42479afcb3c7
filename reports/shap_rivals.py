"""What stands beside SHAP's ranking: the other kind of SHAP values, permutation importance, and interactions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..features.table import ColumnName
from ..models.credit import HeldOutShap, places
from ..models.ranking import mean_over_folds, rank_correlation

N_PAIRS = 15
"""Pairs of features that are printed."""
N_APART = 3
"""Features that are named, on which two rankings disagree most."""
_MODEL = ["repeat", "fold"]


@dataclass(frozen=True)
class Over:
    """A mean over folds with its interval; NaN where there is none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class BothKinds:
    """Path-dependent and interventional values beside each other.

    `agreement` is Spearman's correlation of the two rankings of a fold; `largest` the largest difference of a value of
    one case, of `feature`, and `size` the mean |SHAP| of all features.
    """

    agreement: Over
    n_models: int
    largest: float
    feature: str
    n_background: int
    n_cases: int


@dataclass(frozen=True)
class Rival:
    """One feature by two measures: mean |SHAP| and what permuting it costs in log loss, each with its place."""

    name: str
    shap: float
    cost: float
    shap_place: int
    cost_place: int


@dataclass(frozen=True)
class Permuted:
    """Agreement with permutation importance, by Spearman's correlation.

    `agreement` is that of a fold's rankings, `whole` that of the means over models; `apart` are the features with the
    most different places.
    """

    agreement: Over
    whole: float
    n_models: int
    features: tuple[Rival, ...]
    apart: tuple[Rival, ...]


@dataclass(frozen=True)
class Pair:
    """Two features that act together, and how much, in log odds; `n_models` list them among their strongest."""

    one: str
    other: str
    strength: float
    n_models: int


@dataclass(frozen=True)
class Interactions:
    """What pairs of features say together.

    Parameters
    ----------
    share : float
        Part of interactions in the summed size of main effects and interactions.
    pairs : tuple of Pair
        The strongest.
    blocks : tuple of (str, float)
        Part of each two blocks in all interactions.
    n_models, n_cases : int
        Models, and cases that were looked at.
    """

    share: float
    pairs: tuple[Pair, ...]
    blocks: tuple[tuple[str, float], ...]
    n_models: int
    n_cases: int


def both_kinds(table: pd.DataFrame | None) -> BothKinds | None:
    """How well the two kinds agree; None where there are not both."""
    if table is None or table.empty:
        return None
    largest = table.iloc[int(table["difference"].to_numpy().argmax())]
    return BothKinds(
        agreement=_over_folds(table, "path_dependent", "interventional"),
        n_models=len(table[_MODEL].drop_duplicates()),
        largest=float(largest["difference"]),
        feature=str(largest["feature"]),
        n_background=int(table["n_background"].max()),
        n_cases=int(table.groupby(_MODEL)["n_cases"].first().sum()),
    )


def permuted(table: pd.DataFrame | None, held: HeldOutShap) -> Permuted | None:
    """How well permutation importance agrees with mean |SHAP|, fold by fold and over all; None where it is not known.

    What a model was not given costs nothing and moves nothing.
    """
    if table is None or table.empty:
        return None
    row = pd.MultiIndex.from_tuples(held.models).get_indexer(pd.MultiIndex.from_frame(table[_MODEL]))
    column = pd.Index(held.features).get_indexer(pd.Index(table["feature"]))
    joined = table.assign(cost=table["permuted"] - table["loss"], shap=held.by_model[row, column])
    n_models = len(table[_MODEL].drop_duplicates())
    sums = joined.groupby("feature", sort=True)[["shap", "cost"]].sum() / n_models
    ranks = {name: places(sums[name].to_numpy(dtype=np.float64)[None])[0] for name in ("shap", "cost")}
    features = [
        Rival(str(name), float(shap), float(cost), int(one), int(other))
        for name, shap, cost, one, other in zip(
            sums.index, sums["shap"], sums["cost"], ranks["shap"], ranks["cost"], strict=True
        )
    ]
    features.sort(key=lambda one: -one.shap)
    # Among the weak ones places are chance: only what either measure ranks in its first half is worth a word.
    strong = [one for one in features if 2 * min(one.shap_place, one.cost_place) <= len(features) + 1]
    apart = sorted(strong, key=lambda one: -abs(one.shap_place - one.cost_place))[:N_APART]
    return Permuted(
        agreement=_over_folds(joined, "shap", "cost"),
        whole=rank_correlation(sums["shap"].to_numpy(dtype=float), sums["cost"].to_numpy(dtype=float)),
        n_models=n_models,
        features=tuple(features),
        apart=tuple(one for one in apart if one.shap_place != one.cost_place),
    )


def act_together(table: pd.DataFrame | None) -> Interactions | None:
    """What pairs of features say together, in the mean over models; None where there is nothing of it."""
    if table is None or table.empty:
        return None
    models = table[_MODEL].drop_duplicates()
    together = table[table["kind"] != "main"]
    whole, total = float(table["strength"].sum()), float(together["strength"].sum())
    pairs = together[together["kind"] == "pair"].copy()
    one, other = pairs["one"].to_numpy(dtype=object), pairs["other"].to_numpy(dtype=object)
    turned = one > other  # features stand in another order in another model
    pairs["one"], pairs["other"] = np.where(turned, other, one), np.where(turned, one, other)
    summed = pairs.groupby(["one", "other"])["strength"].agg(["sum", "size"])
    first = summed.sort_values("sum", ascending=False, kind="stable").head(N_PAIRS)
    blocks = together.assign(blocks=[_between(*sorted(map(_family, pair))) for pair in _ends(together)])
    shares = blocks.groupby("blocks")["strength"].sum().sort_values(ascending=False) / (total or 1.0)
    return Interactions(
        share=total / whole if whole else 0.0,
        pairs=tuple(
            Pair(str(one), str(other), float(strength) / len(models), int(n))
            for (one, other), strength, n in zip(first.index, first["sum"], first["size"], strict=True)
        ),
        blocks=tuple((str(name), float(share)) for name, share in shares.items()),
        n_models=len(models),
        n_cases=int(table.groupby(_MODEL)["n_cases"].first().sum()),
    )


def _over_folds(table: pd.DataFrame, one: str, other: str) -> Over:
    parts = [part for _, part in table.groupby(_MODEL)]
    found = [rank_correlation(part[one].to_numpy(dtype=float), part[other].to_numpy(dtype=float)) for part in parts]
    mean, low, high = mean_over_folds(np.array(found), table["repeat"].nunique())
    return Over(mean, max(-1.0, low), min(1.0, high))


def _ends(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["one"].map(str), pairs["other"].map(str), strict=True))


def _between(one: str, other: str) -> str:
    return f"within {one}" if one == other else f"{one} with {other}"


def _family(name: str) -> str:
    return ColumnName.parse(name).family if ":" in name else name
