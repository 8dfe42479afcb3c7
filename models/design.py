"""The design of one endpoint: which cases take part, what their truth is, and who was left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import StudyError, TableError
from ..features.table import ColumnName, FeatureTable
from .folds import persons_of
from .harmonise import sites_of
from .replicates import Replicates
from .result import ARM_FAMILIES, EXCLUSION_COLUMNS
from .rows import Rows, rows_of
from .target import Endpoint, plain, resolve_endpoint

IMAGE_FAMILIES = ("radiomics", "deep")


@dataclass(frozen=True, eq=False)
class Design:
    """One endpoint's cases.

    Parameters
    ----------
    endpoint : Endpoint
    rows : Rows
        Features, truth and persons of the cases that take part, in the table's order.
    cases : DataFrame
        Who they are, in the same order; ``patient_id`` is the person's, where several ids are one person.
    exclusions : DataFrame
        Columns ``EXCLUSION_COLUMNS``.
    left_out : tuple of str
        Columns that were not used because they hold the label itself.
    severest : mapping of str to Series
        For ``breast`` and ``patient``, the truth of each unit by its id: 1 where any lesion of the table is
        labelled positive, also one that is excluded because its features are missing.
    """

    endpoint: Endpoint
    rows: Rows
    cases: pd.DataFrame
    exclusions: pd.DataFrame
    left_out: tuple[str, ...]
    severest: Mapping[str, pd.Series[int]]

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    def measured_again(self, replicates: Replicates | None) -> Design:
        """The same endpoint with replicates of its cases, where there are any."""
        return replace(self, rows=replace(self.rows, replicates=replicates))

    def summary(self) -> dict[str, Any]:
        """What a result says about the endpoint."""
        target = self.endpoint.target
        return {
            "title": target.title,
            "level": target.level,
            "positive": target.positive,
            "n": len(self.rows.y),
            "n_positive": int(self.rows.y.sum()),
            "n_patients": len(set(self.rows.persons)),
            "label_columns": list(self.endpoint.columns),
        }


def resolve_endpoints(wanted: Sequence[str | Mapping[str, str]], labels: pd.DataFrame) -> list[Endpoint]:
    """All endpoints of a study; raises as :func:`~cemrad.models.target.resolve_endpoint`, or where two share a name."""
    if not wanted:
        raise StudyError("no endpoint is named; name a target or a label column")
    found = [resolve_endpoint(item, labels) for item in wanted]
    names = [endpoint.name for endpoint in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"endpoints named twice: {', '.join(twice)}")
    return found


def lay_out(
    table: FeatureTable,
    labels: pd.DataFrame,
    endpoint: Endpoint,
    same_person: Sequence[str] = (),
    arms: Sequence[str] = tuple(ARM_FAMILIES),
    site_column: str | None = None,
) -> Design:
    """Read the truth of every case of the table and set aside those that cannot take part.

    A case without any value of an image family that an arm uses is left out of all arms: arms
    are compared on the same cases.

    Parameters
    ----------
    table : FeatureTable
    labels : DataFrame
        Index ``case_id``; cases of the table that it lacks have no label.
    endpoint : Endpoint
    same_person : sequence of str
        As in :func:`~cemrad.models.folds.persons_of`.
    arms : sequence of str
        Those that will be fitted.
    site_column : str, optional
        Of the cases: what features are harmonised for.
    """
    if not labels.index.is_unique:
        raise TableError("case ids in the label table must be unique")
    stated = labels.astype(object).reindex(table.values.index)
    columns = [str(name) for name in stated.columns]
    readings = [endpoint.target.read(dict(zip(columns, row, strict=True))) for row in stated.to_numpy(dtype=object)]
    reasons = pd.Series([reading.reason for reading in readings], index=table.values.index, dtype=object)
    families = [name for name in IMAGE_FAMILIES if any(name in ARM_FAMILIES[arm] for arm in arms)]
    for family in families:
        empty = table.values[table.columns_of(family)].isna().all(axis=1)
        reasons[empty & (reasons == "")] = f"features.missing: no {family} value"
    use = np.flatnonzero(reasons == "")
    persons = persons_of(table.cases, same_person)
    sources = {plain(source) for source in (*endpoint.columns, *endpoint.target.sources)}
    left_out = tuple(name for name in table.columns_of("clinical") if _is_label(name, sources))
    usable = [name for name in table.values.columns if name not in left_out]
    truth = np.array([readings[i].truth for i in use], dtype=np.int64)
    known = pd.Series([reading.truth for reading in readings], index=table.values.index, dtype=float).dropna()
    units = {"breast": table.cases["breast_id"], "patient": persons}
    excluded = pd.DataFrame({"endpoint": endpoint.name, "case_id": reasons.index, "reason": reasons.to_numpy()})
    rows = rows_of(table.values[usable].iloc[use], truth, persons.iloc[use].tolist())
    return Design(
        endpoint=endpoint,
        rows=replace(rows, sites=sites_of(table.cases.iloc[use], site_column)) if site_column else rows,
        cases=table.cases.iloc[use].assign(patient_id=persons.iloc[use]),
        exclusions=excluded.loc[excluded["reason"] != "", EXCLUSION_COLUMNS].reset_index(drop=True),
        left_out=left_out,
        severest={level: known.groupby(ids.loc[known.index]).max().astype(int) for level, ids in units.items()},
    )


def _is_label(clinical_column: str, sources: set[str]) -> bool:
    """Whether a clinical column, or one level of it (``name=level``), is a label that the endpoint is read from."""
    return plain(ColumnName.parse(clinical_column).feature.split("=")[0]) in sources
