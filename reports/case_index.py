"""The index of cases: one row per case and endpoint with the held-out prediction, and where the case's page is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..models.result import Result
from .choice import mean_predictions, outcome
from .readings import SIDES, CaseFacts, case_anchors

PAGE_CASES = 25
"""Cases on each page beside the report."""
NOT_PREDICTED = "not predicted"


@dataclass(frozen=True)
class IndexRow:
    """One case at one endpoint, as it was predicted while it was held out.

    Parameters
    ----------
    case_id, patient_id, side : str
    endpoint, title, positive : str
        The endpoint, its name, and its positive class in words.
    truth : bool or None
        None where there is no prediction.
    probability, threshold : float
        Means over the repeats; NaN where there is no prediction.
    """

    case_id: str
    patient_id: str
    side: str
    endpoint: str
    title: str
    positive: str
    truth: bool | None
    probability: float
    threshold: float

    @property
    def called(self) -> bool | None:
        """Whether the probability reaches the threshold; None where there is no prediction."""
        return None if math.isnan(self.probability) else self.probability >= self.threshold

    @property
    def outcome(self) -> str:
        """The cell of the 2 x 2 table in words, or ``not predicted``."""
        return NOT_PREDICTED if self.called is None else outcome(self.called, bool(self.truth))


def gather(result: Result, wanted: str) -> tuple[IndexRow, ...]:
    """Every case of a result at every endpoint, predicted or not.

    Parameters
    ----------
    result : Result
    wanted : str
        The arm whose predictions are shown; the nearest one where it has none.
    """
    who = [
        (str(case_id), str(patient), SIDES.get(str(side), str(side)))
        for case_id, patient, side in zip(
            result.cases.index, result.cases["patient_id"], result.cases["laterality"], strict=True
        )
    ]
    rows = []
    for endpoint, stated in result.endpoints.items():
        mean = mean_predictions(result, endpoint, wanted)
        told = dict(zip(map(str, mean.index), mean[["truth", "probability", "threshold"]].to_numpy(), strict=True))
        named = (endpoint, str(stated.get("title", endpoint)), str(stated.get("positive", "positive")))
        for case in who:
            found = told.get(case[0])
            values = (None, math.nan, math.nan) if found is None else (bool(found[0] > 0.5), *map(float, found[1:]))
            rows.append(IndexRow(*case, *named, *values))
    return tuple(rows)


def split_cases(cases: Sequence[CaseFacts], n_first: int) -> list[Sequence[CaseFacts]]:
    """The cases of the report's own file, and those of each page beside it.

    Parameters
    ----------
    cases : sequence of CaseFacts
        Those that are shown, in their order.
    n_first : int
        In the report's own file; all the others follow, `PAGE_CASES` to a page.
    """
    rest = range(n_first, len(cases), PAGE_CASES)
    return [cases[:n_first], *(cases[at : at + PAGE_CASES] for at in rest)]


def page_name(number: int) -> str:
    """File name of a page of cases, from 1.

    Examples
    --------
    >>> page_name(3)
    '0003.html'
    """
    return f"{number:04d}.html"


def places(cases: Sequence[CaseFacts], n_first: int, folder: str) -> dict[str, str]:
    """Where each shown case stands, as a link from the report's own file.

    Parameters
    ----------
    cases : sequence of CaseFacts
    n_first : int
        As in :func:`split_cases`.
    folder : str
        Name of the folder of the pages beside the report.
    """
    found: dict[str, str] = {}
    for number, page in enumerate(split_cases(cases, n_first)):
        file = f"{quote(folder)}/{page_name(number)}" if number else ""
        found |= {case_id: f"{file}#{anchor}" for case_id, anchor in case_anchors(page).items()}
    return found
