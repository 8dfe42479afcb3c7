"""Pathological complete response to neoadjuvant treatment: no invasive cancer left in breast and nodes."""

import re
from collections.abc import Mapping, Set

from ..stated import NEGATIVE_WORDS, POSITIVE_WORDS
from ..target import Reading, Target

# ypT0/is ypN0, the definition of Cortazar 2014 (CTNeoBC), doi 10.1016/S0140-6736(13)62422-8, and RCB-0 of Symmans
# 2007, doi 10.1200/JCO.2007.10.6823. AJCC 8th edition: isolated tumour cells, ypN0(i+), are no complete response.
_YPT = Target(
    title="ypT",
    positive="no invasive cancer in the breast",
    level="patient",
    sources=("ypt", "yp_t", "ypt_stage", "ypt_category"),
    words=dict.fromkeys(("0", "0/is", "is", "is(dcis)"), 1)
    | dict.fromkeys(("1", "1mi", "1a", "1b", "1c", "2", "3", "4", "4a", "4b", "4c", "4d"), 0)
    | {"x": "label.missing: ypT was not assessed"},
    spelling=lambda text: text.replace(" ", "").removeprefix("yp").removeprefix("t"),
    malignant_only=True,
)
_YPN = Target(
    title="ypN",
    positive="no cancer in the nodes",
    level="patient",
    sources=("ypn", "yp_n", "ypn_stage", "ypn_category"),
    words=dict.fromkeys(("0", "0(i-)", "0(sn)", "0(i-)(sn)"), 1)
    | dict.fromkeys(("0(i+)", "0(mol+)", "1", "1mi", "1a", "1b", "1c", "2", "2a", "2b", "3", "3a", "3b", "3c"), 0)
    | {"x": "label.missing: ypN was not assessed"},
    spelling=lambda text: text.replace(" ", "").removeprefix("yp").removeprefix("n"),
    malignant_only=True,
)


_RCB = re.compile(r"rcb[ _-]*(0|1|2|3|i{1,3})(?: *\(?pcr\)?)?")


def _spelling(text: str) -> str:
    """``RCB II`` as ``rcb-2``, ``non pCR`` as ``non-pcr``."""
    found = _RCB.fullmatch(text)
    if found:
        return f"rcb-{found[1] if found[1].isdecimal() else len(found[1])}"
    return "non-pcr" if re.fullmatch(r"(?:n|no|non|not)[ _-]?pcr", text) else text


def _refuse(stated: Set[str]) -> str:
    """RCB 0 is complete, and a bare 0 elsewhere is not: classes need their name."""
    bare = sorted(stated & {"2", "3", "i", "ii", "iii"})
    return (
        f"holds {bare[0]}: a class of residual cancer burden without its name; write RCB-0 to RCB-III" if bare else ""
    )


def _derive(readings: Mapping[str, Reading]) -> Reading:
    """What is left in either place settles it; complete it is only where both are clear."""
    if any(reading.truth == 0 for reading in readings.values()):
        return Reading(0)
    unread = next((reading for reading in readings.values() if reading.truth is None), None)
    return Reading(1) if unread is None else unread


TARGET = Target(
    title="Pathological complete response",
    positive="pathological complete response",
    level="patient",
    sources=(
        "response", "pcr", "pathological_complete_response", "pathologic_complete_response",
        "pathological_response", "pathologic_response", "treatment_response", "nac_response",
    ),
    words=dict.fromkeys(POSITIVE_WORDS | {"pcr", "rcb-0", "ypt0/is ypn0", "ypt0 ypn0"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"non-pcr", "residual disease", "rcb-1", "rcb-2", "rcb-3"}, 0),
    spelling=_spelling,
    refuse=_refuse,
    malignant_only=True,
    derive=_derive,
    parts={"ypt": _YPT, "ypn": _YPN},
)  # fmt: skip
