"""A failure: one row that says which case, which stage, what and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Literal

import pandas as pd

State = Literal["failed", "skipped", "warned"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that a case, or one picture of it, did not give.

    Parameters
    ----------
    case_id : str
        The case as the cohort names it.
    stage : str
        Where it happened: ``cohort``, ``image``, ``mask``, ``label``, ``model`` or a
        feature family's name.
    code : str
        Stable identifier, ``subject.problem``.
    reason : str
        One line for a reader who sees only this row. No patient data beyond the study's ids.
    picture : str
        Name of the picture (``RC_CC``), empty when the whole case is meant.
    state : {"failed", "skipped", "warned"}
        ``failed``: asked for and not got. ``skipped``: there was nothing to compute, as for a
        view that was never taken. ``warned``: computed, but look at it.
    """

    case_id: str
    stage: str
    code: str
    reason: str
    picture: str = ""
    state: State = "failed"


COLUMNS = [field.name for field in fields(Failure)]


def failures_frame(failures: Iterable[Failure]) -> pd.DataFrame:
    """Failures as a table with the columns of :class:`Failure`, all text, in order.

    Examples
    --------
    >>> failures_frame([Failure("A1", "mask", "mask.empty", "no pixel is set")]).code.tolist()
    ['mask.empty']
    """
    return pd.DataFrame([asdict(failure) for failure in failures], columns=COLUMNS, dtype=str)
