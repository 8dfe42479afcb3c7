"""Copies: one picture under two patients, told by features that agree where two lesions cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..features.table import ColumnName
from .audit import Check
from .design import IMAGE_FAMILIES
from .learner import Array

COPY_COLUMNS = ["picture", "case_id", "other_id", "distance"]
NEAR = 0.01
"""Root mean square difference, in standard deviations of the columns, up to which two rows are one picture."""
LEAST_COLUMNS, LEAST_NEAR_COLUMNS = 5, 20
"""Fewest continuous columns from which equal rows, and nearly equal ones, say something."""
_CONTINUOUS = 0.5
"""Share of distinct values from which a column is continuous: counts and flags agree by chance."""
_SHOWN = 5


def find_copies(values: pd.DataFrame, persons: Sequence[str]) -> pd.DataFrame:
    """Pairs of cases of two persons whose features of one picture are the same, or nearly.

    Parameters
    ----------
    values : DataFrame
        A feature table's values; columns of image families other than shape are compared, picture by picture.
    persons : sequence of str
        Whose each row is; rows of one person may be alike.

    Returns
    -------
    DataFrame
        Columns ``COPY_COLUMNS``; `distance` in standard deviations, 0 for identical rows.
    """
    owners = np.unique(np.asarray(persons, dtype=object).astype(str), return_inverse=True)[1]
    ids = values.index.to_numpy(dtype=object)
    by_picture: dict[str, list[str]] = {}
    for name in values.columns:
        family, picture, feature = ColumnName.parse(name)
        if family in IMAGE_FAMILIES and "shape" not in feature:  # two circles of one radius are no picture
            by_picture.setdefault(picture, []).append(name)
    found = [
        (picture, ids[one], ids[other], distance)
        for picture, names in by_picture.items()
        for one, other, distance in _pairs(values[names].to_numpy(dtype=np.float64), owners)
    ]
    return pd.DataFrame(found, columns=COPY_COLUMNS)


def _pairs(x: Array, owners: NDArray[np.int64]) -> Iterator[tuple[int, int, float]]:
    known = ~np.isnan(x)
    enough = known.sum(axis=0) >= 2
    x, known = x[:, enough], known[:, enough]
    distinct = np.array([len(np.unique(column[there])) for column, there in zip(x.T, known.T, strict=True)])
    x, known = (part[:, distinct > np.maximum(1, _CONTINUOUS * known.sum(axis=0))] for part in (x, known))
    if x.shape[1] < LEAST_COLUMNS:
        return
    filled = np.where(known, x - np.nanmean(x, axis=0), 0.0)
    spread = np.sqrt((filled**2).sum(axis=0) / known.sum(axis=0))
    filled = filled / spread
    shared = known.astype(float) @ known.T.astype(float)
    square = filled**2 @ known.T.astype(float)
    distance = np.maximum(square + square.T - 2 * filled @ filled.T, 0.0) / np.maximum(shared, 1)
    # The product above rounds: what looks near is measured once more, exactly.
    rows, others = np.nonzero(np.triu((distance <= (2 * NEAR) ** 2) & (shared >= LEAST_COLUMNS), k=1))
    for one, other in zip(rows.tolist(), others.tolist(), strict=True):
        both = known[one] & known[other]
        apart = float(np.sqrt(np.mean((filled[one, both] - filled[other, both]) ** 2)))
        near = apart <= NEAR and int(both.sum()) >= LEAST_NEAR_COLUMNS
        if owners[one] != owners[other] and (near or apart == 0.0):
            yield one, other, apart


def check_copies(values: pd.DataFrame, persons: Sequence[str]) -> Check:
    """Whether any picture is there under two persons, who could then be on both sides of a fold (T6).

    Parameters
    ----------
    values : DataFrame
    persons : sequence of str
        After patients that are known to be one person were united.
    """
    name = "duplicate person"
    if not any(ColumnName.parse(column).family in IMAGE_FAMILIES for column in values.columns):
        return Check(name, "", "not applicable", np.nan, np.nan, "there are no features of images to compare")
    found = find_copies(values, persons)
    if found.empty:
        return Check(name, "", "passed", 0.0, 0.0, "no two persons have the same features of a picture")
    pairs = found[["case_id", "other_id"]].drop_duplicates()
    listed = [f"{one!r} and {other!r}" for one, other in pairs.head(_SHOWN).itertuples(index=False)]
    more = f" and {len(pairs) - _SHOWN} more pairs" if len(pairs) > _SHOWN else ""
    text = (
        f"pictures of different persons with the same features: {'; '.join(listed)}{more}; "
        "name a column that tells who is one person under evaluation.same_person, or leave the copies out"
    )
    return Check(name, "", "failed", float(len(pairs)), 0.0, text)
