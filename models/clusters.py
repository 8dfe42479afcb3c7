"""Clusters: features so alike that a model may take any of them, and the columns that could stand in for them.

What two such features explain is split between them, or falls to the one that was chosen; ranked apart, both look
weaker than what they measure is. No truth is looked at, so that all cases of the table may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from .folds import Ints
from .learner import Array

COLUMNS = ["endpoint", "arm", "cluster", "feature", "role", "correlation", "outside", "n_stand_ins"]
LEAST = 0.8
"""|Spearman's correlation| from which two features count as standing for each other."""
N_NAMED = 3
"""Stand-ins that are named per cluster."""
MOST = 2000
"""Features that are clustered at most: those of the largest gain."""
_CHUNK = 512
_ROUNDING = 1e-9
_FEWEST = 3


def cluster_table(values: pd.DataFrame, chosen: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """Clusters of the features that any fold's model of an endpoint was given.

    Complete linkage on 1 - \\|correlation\\|: every two features of a cluster correlate with at least :data:`LEAST`.

    Parameters
    ----------
    values : DataFrame
        Of a FeatureTable.
    chosen : DataFrame
        As in a Result.
    arms : mapping of str to str
        The arm of each endpoint that is looked at.

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`. A row with ``role`` ``given`` per feature: the largest \\|correlation\\| with another
        of its cluster (NaN where it is alone) and with one ``outside`` of it. Rows with ``stand-in`` name up to 3
        columns of the table that no model was given and that correlate with a member; ``n_stand_ins`` counts all.
    """
    given = {endpoint: _given(chosen, endpoint, arm) for endpoint, arm in arms.items()}
    union = list(dict.fromkeys(name for names in given.values() for name in names))
    ranks = _ranks(values[union])
    alike = list(_alike(ranks, values))
    places = {name: at for at, name in enumerate(union)}
    parts = [
        _one(ranks[:, [places[name] for name in names]], names, alike, [places[name] for name in names]).assign(
            endpoint=endpoint, arm=arms[endpoint]
        )
        for endpoint, names in given.items()
        if names
    ]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def correlation(one: Array, other: Array) -> Array:
    """|Spearman's correlation| of columns with columns, shape (n_one, n_other), over the cases that both have.

    Parameters
    ----------
    one, other : ndarray, shape (n_cases, n_columns)
        Ranks, each column's among the cases that have a value, less their mean; NaN where missing.

    Returns
    -------
    ndarray
        0 where fewer than 3 cases have both, or one of the two is the same in all of them.
    """
    known, known_too = (~np.isnan(x) for x in (one, other))
    a, b = np.nan_to_num(one), np.nan_to_num(other)
    if known.all() and known_too.all():
        product, spread = a.T @ b, np.sqrt(np.outer((a**2).sum(axis=0), (b**2).sum(axis=0)))
        enough = np.full(product.shape, len(a) >= _FEWEST)
    else:
        m, w = known.astype(np.float64), known_too.astype(np.float64)
        n, sum_a, sum_b = m.T @ w, a.T @ w, m.T @ b
        per = 1 / np.maximum(n, 1)
        product = a.T @ b - sum_a * sum_b * per
        square_a, square_b = (a**2).T @ w - sum_a**2 * per, m.T @ b**2 - sum_b**2 * per
        spread, enough = np.sqrt(np.maximum(square_a, 0) * np.maximum(square_b, 0)), n >= _FEWEST
    usable = enough & (spread > _ROUNDING * len(a))
    return np.asarray(np.minimum(np.abs(np.where(usable, product, 0) / np.where(usable, spread, 1)), 1))


def groups_of(alike: Array) -> Ints:
    """Number of each feature's cluster, from the correlation of each two, by complete linkage."""
    if len(alike) < 2:
        return np.ones(len(alike), dtype=np.int64)
    distance = 1 - (alike + alike.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="complete")
    return np.asarray(fcluster(tree, 1 - LEAST + _ROUNDING, criterion="distance"), dtype=np.int64)


def _given(chosen: pd.DataFrame, endpoint: str, arm: str) -> list[str]:
    rows = chosen[(chosen["endpoint"] == endpoint) & (chosen["arm"] == arm)]
    gain = rows.groupby("feature", sort=True)["gain"].sum().sort_values(ascending=False, kind="stable")
    return [str(name) for name in gain.index[:MOST]]


def _ranks(values: pd.DataFrame) -> Array:
    ranks = values.rank().to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(ranks - np.nansum(ranks, axis=0) / np.maximum((~np.isnan(ranks)).sum(axis=0), 1))


def _alike(ranks: Array, values: pd.DataFrame) -> Iterator[tuple[Ints, NDArray[np.object_], Array]]:
    """Place of a feature, a column of the table and their correlation, where it is large; some columns at a time."""
    for start in range(0, values.shape[1], _CHUNK):
        part = values.iloc[:, start : start + _CHUNK]
        found = correlation(ranks, _ranks(part))
        feature, column = np.nonzero(found >= LEAST - _ROUNDING)
        yield feature, part.columns.to_numpy(dtype=object)[column], found[feature, column]


def _one(
    ranks: Array, names: list[str], alike: list[tuple[Ints, NDArray[np.object_], Array]], places: list[int]
) -> pd.DataFrame:
    between = correlation(ranks, ranks)
    np.fill_diagonal(between, -1)
    number = groups_of(np.maximum(between, 0))
    same = number[:, None] == number
    inside, outside = (np.where(where, between, -1).max(axis=1) for where in (same, ~same))
    members = pd.DataFrame({"cluster": number, "feature": names, "role": "given"}).assign(
        correlation=np.where(inside < 0, np.nan, inside), outside=np.where(outside < 0, np.nan, outside)
    )
    of = pd.Series(number, index=places)
    pairs = pd.concat(
        [pd.DataFrame({"place": place, "feature": column, "correlation": size}) for place, column, size in alike],
        ignore_index=True,
    )
    pairs = pairs[pairs["place"].isin(places) & ~pairs["feature"].isin(names)]
    found = (
        pairs.assign(cluster=of.reindex(pairs["place"]).to_numpy())
        .sort_values(["correlation", "feature"], ascending=[False, True], kind="stable")
        .drop_duplicates(["cluster", "feature"])
        .astype({"cluster": np.int64})
    )
    counts = found.groupby("cluster").size()
    named = found.groupby("cluster").head(N_NAMED)[["cluster", "feature", "correlation"]].assign(role="stand-in")
    whole = pd.concat([members, named], ignore_index=True) if len(named) else members
    return whole.assign(n_stand_ins=whole["cluster"].map(counts).fillna(0).astype(np.int64)).sort_values(
        ["cluster", "role"], kind="stable"
    )
