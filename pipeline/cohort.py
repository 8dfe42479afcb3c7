"""A cohort: the cases that a reader found, what it could not use, and what it decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..features.case import Case, PictureKey
from ..features.errors import CohortError
from ..features.failure import Failure
from ..features.table import CASE_COLUMNS, FeatureTable


@dataclass(frozen=True)
class Note:
    """One thing about a cohort that its user should know: a trap handled, a disagreement counted.

    Parameters
    ----------
    code : str
        Stable identifier, ``subject.matter``.
    text : str
        One sentence.
    count : int
        How many files, rows or regions it concerns.
    items : tuple of str
        Their names, all of them.
    """

    code: str
    text: str
    count: int
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """What a cohort reader returns.

    Parameters
    ----------
    name : str
        Short name for titles.
    cases : tuple of Case
        Those that can be tried, ids unique.
    failures : tuple of Failure
        Rows that never became a case, with the reason.
    notes : tuple of Note
        Traps handled and disagreements counted.
    counts : mapping of str to int
        Facts to check against the source: images, patients, breasts, regions.
    phantom : bool
        True for simulated data; every output says so.
    table : FeatureTable, optional
        Features that came with the cohort, where the user already has them.
    """

    name: str
    cases: tuple[Case, ...]
    failures: tuple[Failure, ...] = ()
    notes: tuple[Note, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    phantom: bool = False
    table: FeatureTable | None = None

    def __post_init__(self) -> None:
        uses = Counter(case.case_id for case in self.cases)
        twice = sorted(case_id for case_id, n in uses.items() if n > 1)
        if twice:
            raise CohortError(f"case ids must be unique; more than once: {twice}")

    def picture_keys(self) -> list[PictureKey]:
        """Every picture that at least one case has, view by view."""
        keys = {key for case in self.cases for key in case.pictures}
        return sorted(keys, key=lambda key: key.order)

    def labels(self) -> pd.DataFrame:
        """Labels as stated: index ``case_id``, one column per label, None where nothing is stated."""
        return _frame(self.cases, [dict(case.labels) for case in self.cases])

    def case_frame(self) -> pd.DataFrame:
        """Who each case is: the ``cases`` of a :class:`~cemrad.features.table.FeatureTable`."""
        rows = []
        for case in self.cases:
            row: dict[str, object] = dict(case.info)
            row |= zip(CASE_COLUMNS, (case.patient_id, case.laterality, case.lesion_id, case.breast_id), strict=True)
            rows.append(row)
        frame = _frame(self.cases, rows)
        for name in CASE_COLUMNS:
            frame[name] = frame.get(name, "")
        return frame.fillna("").astype(str)

    def facts(self) -> dict[str, Any]:
        """What a result says of the cohort: its name, counts and notes; JSON values."""
        notes = [{"code": note.code, "text": note.text, "count": note.count} for note in self.notes]
        return {"name": self.name, "counts": dict(self.counts), "notes": notes}


def _frame(cases: tuple[Case, ...], rows: list[dict[str, object]]) -> pd.DataFrame:
    index = pd.Index([case.case_id for case in cases], dtype=object)
    return pd.DataFrame(rows, index=index, dtype=object)
