"""A feature table: one row per case, float columns named by family, picture and feature."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .cells import unguard, write_csv
from .errors import TableError
from .failure import COLUMNS as FAILURE_COLUMNS
from .failure import failures_frame
from .whole import Writer, write_whole

CASE_COLUMNS = ["patient_id", "laterality", "lesion_id", "breast_id"]


class ColumnName(NamedTuple):
    """What a column's name says: ``family:picture:feature``.

    Examples
    --------
    >>> ColumnName.parse("radiomics:RC_CC:original_glcm_Contrast").picture
    'RC_CC'
    """

    family: str
    picture: str
    feature: str

    @classmethod
    def parse(cls, name: str) -> ColumnName:
        """Split a column's name; raises TableError where it is not of that form."""
        parts = name.split(":", 2)
        if len(parts) != 3 or not all(parts):
            raise TableError(f"column {name!r} is not named family:picture:feature")
        return cls(*parts)

    def __str__(self) -> str:
        return ":".join(self)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One row per case.

    Parameters
    ----------
    values : DataFrame of float64
        Index ``case_id`` (text, unique), columns ``family:picture:feature``. NaN only where
        `failures` says why. Labels are never a column of it.
    cases : DataFrame of str
        Same index: ``patient_id``, ``laterality``, ``lesion_id``, ``breast_id`` and whatever
        passed through from the cohort.
    failures : DataFrame
        One row per failure, columns of :class:`~cemrad.features.failure.Failure`.
    provenance : dict
        Settings, versions, weights and whether the cohort is a phantom; JSON values only.
    """

    values: pd.DataFrame
    cases: pd.DataFrame
    failures: pd.DataFrame = field(default_factory=lambda: failures_frame([]))
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        index = self.values.index
        if not index.is_unique:
            twice = index[index.duplicated()].unique()[:5].tolist()
            raise TableError(f"case ids must be unique; more than once: {twice}")
        if not self.values.columns.is_unique:
            twice = self.values.columns[self.values.columns.duplicated()][:5].tolist()
            raise TableError(f"columns must be unique; more than once: {twice}")
        if not index.equals(self.cases.index):
            raise TableError("values and cases must have the same case ids in the same order")
        absent = [name for name in CASE_COLUMNS if name not in self.cases]
        if absent:
            raise TableError(f"cases lack the columns {absent}")
        for name in self.values.columns:
            ColumnName.parse(name)
        infinite = np.asarray(np.isinf(_numbers(self.values)).any(axis=0))
        if infinite.any():
            bad = self.values.columns[infinite][:5].tolist()
            raise TableError(f"infinite values in {bad}; make them missing, with a failure that says why")
        unknown = self.cases["patient_id"].isna()
        if unknown.any():
            raise TableError(f"{int(unknown.sum())} cases have no patient id ({self.cases.index[unknown][0]!r})")

    def families(self) -> list[str]:
        """Families that have columns, in order of appearance."""
        return list(dict.fromkeys(ColumnName.parse(name).family for name in self.values.columns))

    def columns_of(self, *families: str) -> list[str]:
        """Names of the columns of these families, in table order."""
        return [name for name in self.values.columns if ColumnName.parse(name).family in families]

    def take(self, case_ids: list[str]) -> FeatureTable:
        """The same table with only these cases, in this order."""
        keep = self.failures["case_id"].isin(case_ids)
        return replace(
            self, values=self.values.loc[case_ids], cases=self.cases.loc[case_ids], failures=self.failures[keep]
        )

    def save(self, folder: Path) -> None:
        """Write ``features.parquet``, ``features.csv``, ``cases.csv``, ``failures.csv`` and ``table.json``.

        Every file is written beside its place first, and takes it when all are whole.
        """
        values, cases = (frame.rename_axis("case_id") for frame in (self.values, self.cases))
        text = json.dumps(self.provenance, indent=2, sort_keys=True) + "\n"
        writers: dict[str, Writer] = {
            "features.csv": partial(write_csv, values, index=True),
            "cases.csv": partial(write_csv, cases, index=True),
            "failures.csv": partial(write_csv, self.failures),
            "table.json": lambda path: path.write_text(text, encoding="utf-8"),
            "features.parquet": partial(write_parquet, values),
        }
        write_whole(folder, writers)

    @classmethod
    def load(cls, folder: Path) -> FeatureTable:
        """Read what :meth:`save` wrote; raises TableError where a file is missing or damaged."""
        for name in ("features.parquet", "cases.csv", "failures.csv", "table.json"):
            if not (folder / name).is_file():
                raise TableError(f"{folder} holds no {name}; it is not the folder of an extraction")
        try:
            values = read_parquet(folder / "features.parquet").rename_axis(None)
            values.index = values.index.astype(str)
            cases = read_text_csv(folder / "cases.csv").set_index("case_id").rename_axis(None)
            failures = read_text_csv(folder / "failures.csv").reindex(columns=FAILURE_COLUMNS)
            provenance = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        except (ValueError, KeyError, OSError) as error:
            text = " ".join(str(error).split())[:200]
            raise TableError(f"{folder}: its feature table is damaged ({text}); extract it again") from None
        return cls(values, cases, failures, provenance)


def _numbers(values: pd.DataFrame) -> NDArray[np.float64]:
    """The values as numbers; raises TableError with the columns that hold anything else."""
    try:
        return values.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        bad = [
            name
            for name in values
            if pd.to_numeric(values[name], errors="coerce").isna().sum() > values[name].isna().sum()
        ]
        raise TableError(f"not numbers: {bad[:5]}; a label or a category is no feature") from None


def write_parquet(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a Parquet file by its bytes: the library takes every path for UTF-8, which not every machine's are."""
    path.write_bytes(frame.to_parquet(None, **options))


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file, whatever its path is encoded in."""
    frame: pd.DataFrame = pd.read_parquet(BytesIO(path.read_bytes()))
    return frame


def read_text_csv(path: Path, **options: Any) -> pd.DataFrame:
    """A CSV with every cell as the text that was written: ``007``, ``NA`` and ``1e5`` stay themselves."""
    frame: pd.DataFrame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)
    return frame.map(unguard).rename(columns=unguard)
