"""Replicates: features of the same cases measured again under other masks, and which columns they show to be stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ..features.errors import EvaluationError, TableError
from ..features.settings import Settings
from ..features.table import ColumnName, FeatureTable
from .agreement import Agreement, intraclass
from .standard import Array

Bools = NDArray[np.bool_]

ORIGINAL = "original"
"""The replicate that is the case as it stands in the feature table."""
KEYS = ["case_id", "replicate"]
STABILITY_COLUMNS = ["column", "family", "picture", "feature_class", "icc", "low", "high", "n_cases", "n_replicates"]
FOLD_COLUMNS = ["endpoint", "repeat", "fold", "family", "n_columns", "n_stable", "n_cases"]
MIN_ICC = 0.75
"""Good agreement, on the lower bound of the interval: Koo and Li 2016, doi 10.1016/j.jcm.2016.02.012."""
_SAME = 1e-6


class StabilitySettings(Settings):
    """Leave out, in every fold, what the replicates of its training side do not show to be stable."""

    replicates: Path = Field(description="replicates.parquet of `cemrad stability`")
    min_icc: float = Field(default=MIN_ICC, ge=0, lt=1, description="least lower bound of ICC(2,1)")


@dataclass(frozen=True, eq=False)
class Replicates:
    """Repeated measurements of cases.

    Parameters
    ----------
    values : ndarray, shape (n_cases, n_replicates, n_columns)
        NaN where missing.
    case_ids, replicates, columns : tuple of str
    min_icc : float
        Least lower bound of ICC(2,1) at which a column counts as stable.
    """

    values: Array
    case_ids: tuple[str, ...]
    replicates: tuple[str, ...]
    columns: tuple[str, ...]
    min_icc: float = MIN_ICC
    _known: dict[tuple[str, ...], Agreement] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, frame: pd.DataFrame, min_icc: float = MIN_ICC) -> Replicates:
        """Read a long table: one row per case and replicate, ``case_id``, ``replicate`` and feature columns.

        Raises
        ------
        TableError
            If it is no such table, or holds a case's replicate twice, text for a number, or fewer than two replicates.
        """
        absent = [name for name in KEYS if name not in frame]
        if absent:
            raise TableError(f"the replicates lack the columns {', '.join(absent)}; write them with `cemrad stability`")
        columns = [str(name) for name in frame.columns if name not in KEYS]
        for name in columns:
            ColumnName.parse(name)
        if frame.duplicated(KEYS).any():
            raise TableError("the replicates hold a replicate of a case twice; write them again")
        cases, replicates = (tuple(map(str, dict.fromkeys(frame[name]))) for name in KEYS)
        if len(replicates) < 2:
            raise TableError(f"agreement needs two replicates, there is {' and '.join(replicates) or 'none'}")
        values = np.full((len(cases), len(replicates), len(columns)), np.nan)
        rows, places = (
            pd.Index(names).get_indexer(pd.Index(frame[key].astype(str)))
            for key, names in zip(KEYS, (cases, replicates), strict=True)
        )
        try:
            values[rows, places] = frame[columns].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise TableError(f"the replicates hold what is not a number ({error}); write them again") from None
        return cls(values, cases, replicates, tuple(columns), min_icc)

    def agreement(self, case_ids: Sequence[str] | None = None) -> Agreement:
        """ICC(2,1) of every column over these cases alone; all without them. Cases without replicates add nothing."""
        wanted = self.case_ids if case_ids is None else tuple(case_ids)
        if wanted not in self._known:
            chosen = np.flatnonzero(pd.Index(self.case_ids).isin(wanted))
            self._known[wanted] = intraclass(self.values[chosen])
        return self._known[wanted]

    def stable(self, columns: Sequence[str], case_ids: Sequence[str]) -> Bools:
        """Which columns are stable over these cases; nothing else is looked at. Shape (n_columns,).

        A column of a family that was not measured again at all counts as stable: nothing speaks against it.
        """
        found = self.agreement(case_ids)
        places = {name: at for at, name in enumerate(self.columns)}
        with np.errstate(invalid="ignore"):
            kept = found.low >= self.min_icc
        return np.array([name not in places or bool(kept[places[name]]) for name in columns], dtype=bool)

    def require_of(self, table: FeatureTable) -> None:
        """Refuse replicates of another extraction than the table's.

        Raises
        ------
        TableError
            If they share no case with the table, lack a column of a family that they have, or hold other values
            for the cases as they stand in the table.
        """
        families = {ColumnName.parse(name).family for name in self.columns}
        asked = table.columns_of(*families)
        absent = sorted(set(asked) - set(self.columns))
        if absent or not asked:
            raise TableError(
                f"the replicates lack {len(absent)} columns of the table: {', '.join(absent[:5])}; "
                "extract them from the same study"
            )
        shared = [name for name in self.case_ids if name in table.values.index]
        if not shared:
            raise TableError("the replicates share no case with the table; extract them from the same study")
        if ORIGINAL in self.replicates:
            places = pd.Index(self.columns).get_indexer(pd.Index(asked))
            rows = pd.Index(self.case_ids).get_indexer(pd.Index(shared))
            then = self.values[rows, self.replicates.index(ORIGINAL)][:, places]
            now = table.values.loc[shared, asked].to_numpy(dtype=np.float64)
            wrong = ~np.isclose(then, now, rtol=_SAME, atol=0, equal_nan=True).all(axis=1)
            if wrong.any():
                raise TableError(
                    f"the replicates hold other values than the table for {int(wrong.sum())} of {len(shared)} cases "
                    f"that were not perturbed, such as {shared[int(wrong.argmax())]}; extract them from the same study"
                )


def required(settings: StabilitySettings | None, frame: pd.DataFrame | None, table: FeatureTable) -> Replicates | None:
    """The replicates that an evaluation asks for; None where it asks for none.

    Raises
    ------
    EvaluationError
        If it asks for them and they were not given: nothing goes on unfiltered in silence.
    TableError
        As :meth:`Replicates.of` and :meth:`Replicates.require_of`.
    """
    if settings is None:
        return None
    if frame is None:
        raise EvaluationError(
            "evaluation.stability is set and the replicates were not given; read them and pass them on"
        )
    found = Replicates.of(frame, settings.min_icc)
    found.require_of(table)
    return found


def fold_counts(
    replicates: Replicates | None,
    columns: Sequence[str],
    case_ids: Sequence[str],
    endpoint: str,
    repeat: int,
    fold: int,
) -> list[dict[str, object]]:
    """What the replicates of a training side leave: a row of ``FOLD_COLUMNS`` per family that was measured again."""
    if replicates is None:
        return []
    stable = replicates.stable(columns, case_ids)
    measured = {ColumnName.parse(name).family for name in replicates.columns}
    families = np.array([ColumnName.parse(name).family for name in columns])
    n_cases = len(set(replicates.case_ids).intersection(case_ids))
    return [
        {
            "endpoint": endpoint,
            "repeat": repeat,
            "fold": fold,
            "family": family,
            "n_columns": int((families == family).sum()),
            "n_stable": int(stable[families == family].sum()),
            "n_cases": n_cases,
        }
        for family in dict.fromkeys(families.tolist())
        if family in measured
    ]


def stability_table(replicates: Replicates) -> pd.DataFrame:
    """How stable each column is over all cases.

    Returns
    -------
    DataFrame
        Columns :data:`STABILITY_COLUMNS`; ``feature_class`` is ``glcm`` of ``original_glcm_Contrast``, and the network
        of a deep feature. ``n_cases`` counts those with every replicate of the column.
    """
    found = replicates.agreement()
    names = [ColumnName.parse(name) for name in replicates.columns]
    return pd.DataFrame(
        {
            "column": list(replicates.columns),
            "family": [name.family for name in names],
            "picture": [name.picture for name in names],
            "feature_class": [feature_class(name.feature) for name in names],
            "icc": found.icc,
            "low": found.low,
            "high": found.high,
            "n_cases": found.n,
            "n_replicates": len(replicates.replicates),
        },
        columns=STABILITY_COLUMNS,
    )


def feature_class(feature: str) -> str:
    """What kind of feature a name tells.

    Examples
    --------
    >>> feature_class("wavelet-LH_glcm_Contrast"), feature_class("resnet18_0007"), feature_class("age")
    ('glcm', 'resnet18', 'age')
    """
    parts = feature.split("_")
    return parts[1] if len(parts) > 2 else parts[0]


def shares_stable(stability: pd.DataFrame, min_icc: float = MIN_ICC) -> pd.DataFrame:
    """Share of columns whose lower bound is at least `min_icc`, by family and class, and for each family in all.

    Returns
    -------
    DataFrame
        ``family``, ``feature_class`` (empty for the family in all), ``n``, ``n_stable``, ``share``, ``median_icc``.
    """
    marked = stability.assign(stable=stability["low"] >= min_icc)
    parts = [marked.assign(feature_class=""), marked] if len(marked) else [marked]
    grouped = pd.concat(parts).groupby(["family", "feature_class"], sort=True)
    counted = grouped.agg(n=("stable", "size"), n_stable=("stable", "sum"), median_icc=("icc", "median")).reset_index()
    counted["share"] = counted["n_stable"] / counted["n"]
    return counted[["family", "feature_class", "n", "n_stable", "share", "median_icc"]]
