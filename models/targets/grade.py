"""Histological (Nottingham) grade of an invasive cancer: 3 against 1 and 2."""

import re
from collections.abc import Set

from ..target import Target

_WORDS = re.compile(r"(?:nottingham )?(?:grade |g ?)?(1|2|3|iii|ii|i|x)")
_ROMAN = {"i": "1", "ii": "2", "iii": "3"}


def _spelling(text: str) -> str:
    """``Grade III`` and ``G3`` as ``3``."""
    found = _WORDS.fullmatch(text)
    return _ROMAN.get(found[1], found[1]) if found else text


def _refuse(stated: Set[str]) -> str:
    """In a column of 0 and 1 the 1 is a code for high, not the lowest grade."""
    if "0" not in stated:
        return ""
    return "holds 0, which is no grade: a code; write 1 to 3, or name the column and its positive class"


_NUCLEAR = "label.nuclear_grade: low, intermediate and high are nuclear grades of DCIS; state 1 to 3 of invasive cancer"

# Elston and Ellis 1991, doi 10.1111/j.1365-2559.1991.tb00229.x: scores of 3 to 5, 6 to 7 and 8 to 9 are grades 1 to 3,
# well, moderately and poorly differentiated. DCIS is graded by its nuclei alone, in three words (consensus conference
# on the classification of DCIS 1997), and has no Nottingham grade.
TARGET = Target(
    title="Histological grade",
    positive="grade 3",
    level="lesion",
    sources=(
        "grade", "histologic_grade", "histological_grade", "nottingham_grade", "tumor_grade", "tumour_grade",
        "nottingham_histologic_grade", "sbr_grade", "elston_ellis_grade", "histo_grade",
    ),
    words={"1": 0, "2": 0, "3": 1, "well differentiated": 0, "moderately differentiated": 0, "poorly differentiated": 1}
    | dict.fromkeys(("low", "intermediate", "high", "low grade", "intermediate grade", "high grade"), _NUCLEAR)
    | {"x": "label.missing: the grade was not assessed"},
    spelling=_spelling,
    refuse=_refuse,
    malignant_only=True,
)  # fmt: skip
