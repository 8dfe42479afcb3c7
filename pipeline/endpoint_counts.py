"""Endpoints of a cohort before anything is computed: how many of each class, and who is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..features.errors import StudyError
from ..models.design import read_labels
from ..models.endpoint import resolve_endpoint
from ..models.target import take
from ..models.targets import SHELF
from .cohort import Cohort


@dataclass(frozen=True)
class EndpointCount:
    """One endpoint.

    Parameters
    ----------
    name : str
    level : str
        The level at which the label lives and units are counted; empty where it cannot be read.
    classes : mapping of str to int
        Class in words to its units.
    left_out : mapping of str to int
        Code of the reason to cases.
    problem : str
        Why it cannot be read, else empty.
    """

    name: str
    level: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    def line(self) -> str:
        """For a terminal."""
        if self.problem:
            return f"{self.name}: not usable as it stands: {self.problem}"
        counts = ", ".join(f"{title} {n}" for title, n in self.classes.items())
        reasons = ", ".join(f"{code} {n}" for code, n in self.left_out.items())
        return f"{self.name} by {self.level}: {counts}; cases left out: {reasons or 'none'}"


def count_endpoints(cohort: Cohort, wanted: Sequence[str | Mapping[str, Any]]) -> Iterator[EndpointCount]:
    """Count the endpoints of a study, then every other target of the shelf that the labels allow.

    Parameters
    ----------
    cohort : Cohort
    wanted : sequence of str or mapping
        As :func:`~cemrad.models.endpoint.resolve_endpoint` reads them.
    """
    labels, cases = cohort.labels(), cohort.case_frame()
    columns = [str(name) for name in labels.columns]
    asked = {str(item.get("target", "")) if isinstance(item, Mapping) else item.split(">=")[0] for item in wanted}
    others = [name for name in SHELF.names() if name not in asked and take(name).label_columns(columns)]
    yield from (_count(item, labels, cases) for item in [*wanted, *others])


def _count(wanted: str | Mapping[str, Any], labels: pd.DataFrame, cases: pd.DataFrame) -> EndpointCount:
    try:
        endpoint = resolve_endpoint(wanted, labels)
    except StudyError as error:
        return EndpointCount(wanted if isinstance(wanted, str) else str(dict(wanted)), problem=str(error))
    units = {"breast": cases["breast_id"], "patient": cases["patient_id"]}
    readings = read_labels(labels, endpoint, cases.index, units)
    level = endpoint.target.level
    unit = units.get(level, pd.Series(cases.index, index=cases.index))
    truth = pd.Series([endpoint.truth(reading) for reading in readings], index=cases.index, dtype=float).dropna()
    n = truth.groupby(unit.loc[truth.index]).max().value_counts()
    if endpoint.target.classes and endpoint.place is None:
        titles = {place: item.title for place, item in enumerate(endpoint.target.classes)}
    else:
        titles = {1: endpoint.positive, 0: "others"}
    left_out = Counter(reading.reason.split(":")[0] for reading in readings if reading.truth is None)
    return EndpointCount(
        endpoint.name, level, {title: int(n.get(place, 0)) for place, title in titles.items()}, dict(left_out)
    )
