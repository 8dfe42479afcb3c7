"""The design of one endpoint: which cases take part, what their truth is, and who was left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import StudyError, TableError
from ..features.table import ColumnName, FeatureTable
from .endpoint import Endpoint, resolve_endpoint
from .folds import Ints
from .harmonise import sites_of
from .persons import persons_of
from .replicates import Replicates
from .result import ARM_FAMILIES, EXCLUSION_COLUMNS
from .rows import Rows, rows_of
from .stated import plain
from .target import Reading

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
    classes : ndarray of int, shape (n_cases,)
        The class of each case, of an endpoint with several: its place among them; else the truth.
    """

    endpoint: Endpoint
    rows: Rows
    cases: pd.DataFrame
    exclusions: pd.DataFrame
    left_out: tuple[str, ...]
    severest: Mapping[str, pd.Series[int]]
    classes: Ints

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    def with_exclusions(self, problem: str) -> str:
        """A problem with why most of the cases that were left out are, as that may be its cause."""
        if self.exclusions.empty:
            return problem
        n, reasons = len(self.exclusions), self.exclusions["reason"].value_counts()
        return f"{problem} ({n} cases left out, {reasons.iloc[0]} of them: {reasons.index[0]})"

    def measured_again(self, replicates: Replicates | None) -> Design:
        """The same endpoint with replicates of its cases, where there are any."""
        return replace(self, rows=replace(self.rows, replicates=replicates))

    def summary(self) -> dict[str, Any]:
        """What a result says about the endpoint."""
        whole = {"class_of": self.endpoint.whole} if self.endpoint.whole else {}
        return {
            "title": self.endpoint.title,
            "level": self.endpoint.target.level,
            "positive": self.endpoint.positive,
            "n": len(self.rows.y),
            "n_positive": int(self.rows.y.sum()),
            "n_patients": len(set(self.rows.persons)),
            "label_columns": list(self.endpoint.columns),
            **whole,
        }


def resolve_endpoints(wanted: Sequence[str | Mapping[str, Any]], labels: pd.DataFrame) -> list[Endpoint]:
    """All endpoints of a study, one of several classes as one per class against the rest.

    Raises as :func:`~cemrad.models.endpoint.resolve_endpoint`, or where two share a name.
    """
    if not wanted:
        raise StudyError("no endpoint is named; name a target or a label column")
    found = [part for item in wanted for part in resolve_endpoint(item, labels).expand()]
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
    are compared on the same cases. Of a label of breasts or patients, all lesions of a unit that state
    different ones are left out: nobody knows which is right.

    Parameters
    ----------
    table : FeatureTable
    labels : DataFrame
        Index ``case_id``; cases of the table that it lacks have no label.
    endpoint : Endpoint
    same_person : sequence of str
        As in :func:`~cemrad.models.persons.persons_of`.
    arms : sequence of str
        Those that will be fitted.
    site_column : str, optional
        Of the cases: what features are harmonised for.
    """
    if not labels.index.is_unique:
        raise TableError("case ids in the label table must be unique")
    persons = persons_of(table.cases, same_person)
    units = {"breast": table.cases["breast_id"], "patient": persons}
    readings = read_labels(labels, endpoint, table.values.index, units)
    reasons = pd.Series([reading.reason for reading in readings], index=table.values.index, dtype=object)
    families = [name for name in IMAGE_FAMILIES if any(name in ARM_FAMILIES[arm] for arm in arms)]
    for family in families:
        empty = table.values[table.columns_of(family)].isna().all(axis=1)
        reasons[empty & (reasons == "")] = f"features.missing: no {family} value"
    use = np.flatnonzero(reasons == "")
    sources = {plain(name) for name in endpoint.columns} | endpoint.target.never_features()
    left_out = tuple(name for name in table.columns_of("clinical") if _is_label(name, sources))
    usable = [name for name in table.values.columns if name not in left_out]
    truth = np.array([endpoint.truth(readings[i]) for i in use], dtype=np.int64)
    known = pd.Series(map(endpoint.truth, readings), index=table.values.index, dtype=float).dropna()
    excluded = pd.DataFrame({"endpoint": endpoint.name, "case_id": reasons.index, "reason": reasons.to_numpy()})
    rows = rows_of(table.values[usable].iloc[use], truth, persons.iloc[use].tolist())
    return Design(
        endpoint=endpoint,
        rows=replace(rows, sites=sites_of(table.cases.iloc[use], site_column)) if site_column else rows,
        cases=table.cases.iloc[use].assign(patient_id=persons.iloc[use]),
        exclusions=excluded.loc[excluded["reason"] != "", EXCLUSION_COLUMNS].reset_index(drop=True),
        left_out=left_out,
        severest={level: known.groupby(ids.loc[known.index]).max().astype(int) for level, ids in units.items()},
        classes=np.array([readings[i].truth for i in use], dtype=np.int64),
    )


def read_labels(
    labels: pd.DataFrame, endpoint: Endpoint, case_ids: pd.Index[Any], units: Mapping[str, pd.Series[str]]
) -> list[Reading]:
    """What each case's labels say, with those left out that contradict another lesion of the label's own unit.

    Parameters
    ----------
    labels : DataFrame
        Index ``case_id``; cases that it lacks have no label.
    endpoint : Endpoint
    case_ids : Index
    units : mapping of str to Series
        For ``breast`` and ``patient``, the unit of each case.
    """
    stated = labels.astype(object).reindex(case_ids)
    columns, target = [str(name) for name in stated.columns], endpoint.target
    readings = [target.read(dict(zip(columns, row, strict=True))) for row in stated.to_numpy(dtype=object)]
    if target.level not in units:
        return readings
    truth = pd.Series([reading.truth for reading in readings], index=case_ids, dtype=float)
    torn = truth.groupby(units[target.level]).transform("nunique") > 1
    reason = (
        f"label.contradictory: {target.title} is a label of the {target.level}, and lesions of this {target.level} "
        "state different ones; correct the table"
    )
    return [
        Reading(None, reason) if bad and reading.truth is not None else reading
        for reading, bad in zip(readings, torn, strict=True)
    ]


def _is_label(clinical_column: str, sources: set[str]) -> bool:
    """Whether a clinical column, or one level of it (``name=level``), is a label that tells the endpoint."""
    return plain(ColumnName.parse(clinical_column).feature.split("=")[0]) in sources
