"""Seeds: a table of points and boxes by which a user says where lesions are, one line per lesion and picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ..features.errors import CohortError, StudyError
from ..features.settings import nearest
from .cohort import Cohort
from .draw_view import Hint
from .mask_folder import Place
from .text_table import read_text_table

POINT, BOX = ("row", "column"), ("top", "bottom", "left", "right")
"""Columns of a point and of a box, in pixels of the picture; a box ends before its bottom and its right."""


def read_seeds(path: Path, cohort: Cohort) -> dict[Place, Hint]:
    """Points and boxes by case id and picture name, for drawers that go by them.

    Parameters
    ----------
    path : Path
        CSV, XLSX or Parquet with the columns ``case_id``, ``picture`` (such as ``RC_CC``), and those of a point, of a
        box, or of both kinds, of which each line fills one.
    cohort : Cohort
        Whose pictures they are on.

    Raises
    ------
    StudyError
        Naming the line: a case or picture that the cohort lacks, a number that is none, both kinds or neither, two
        lines about one picture of a case. Whether it lies on the picture is seen when the picture is read.
    """
    try:
        frame = read_text_table(path)
    except CohortError as error:
        raise StudyError(f"seeds: {error}") from None
    absent = [name for name in ("case_id", "picture") if name not in frame]
    if absent or not (set(POINT) <= set(frame) or set(BOX) <= set(frame)):
        raise StudyError(
            f"seeds: {path}: it needs the columns case_id, picture, and {', '.join(POINT)} or {', '.join(BOX)}"
        )
    pictures = {case.case_id: [key.name for key in case.pictures] for case in cohort.cases}
    found: dict[Place, Hint] = {}
    for line, row in zip(frame.index, frame.to_dict(orient="records"), strict=True):
        cells = {str(name): str(value).strip() for name, value in row.items()}
        try:
            place = _place(cells, pictures)
            if place in found:
                raise ValueError(f"a second line about {' '.join(place)}; a case is one lesion")
            found[place] = _hint(cells)
        except ValueError as error:
            raise StudyError(f"seeds: {path}: line {line}: {error}") from None
    return found


def _place(cells: Mapping[str, str], pictures: Mapping[str, list[str]]) -> Place:
    case_id, picture = cells["case_id"], cells["picture"]
    if case_id not in pictures:
        guess = nearest(case_id, pictures)
        raise ValueError(f"the cohort has no case {case_id!r}{f'; did you mean {guess!r}?' if guess else ''}")
    if picture not in pictures[case_id]:
        raise ValueError(f"case {case_id} has no picture {picture!r}; it has {', '.join(pictures[case_id])}")
    return case_id, picture


def _hint(cells: Mapping[str, str]) -> Hint:
    kinds = [names for names in (POINT, BOX) if any(cells.get(name) for name in names)]
    if len(kinds) != 1:
        raise ValueError(f"{'both a point and a box' if kinds else 'neither a point nor a box'}; give one of them")
    values = [_number(cells, name) for name in kinds[0]]
    if kinds[0] == POINT:
        return Hint(point=(values[0], values[1]))
    if any(value != round(value) for value in values):
        raise ValueError("the edges of a box are whole pixels")
    top, bottom, left, right = map(round, values)
    return Hint(box=(top, bottom, left, right))


def _number(cells: Mapping[str, str], name: str) -> float:
    try:
        value = float(cells.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {cells.get(name, '')!r}, which is no number")
    return value
