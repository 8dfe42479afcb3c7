"""Molecular subtype of an invasive cancer, stated or derived from ER, PR, HER2 and Ki-67; several classes."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ...features.errors import StudyError
from ..target import LabelClass, Reading, Target
from .er import TARGET as ER
from .her2 import TARGET as HER2
from .ki67 import TARGET as KI67
from .pr import TARGET as PR

_A, _B = LabelClass("luminal_a", "luminal A"), LabelClass("luminal_b", "luminal B")
_LUMINAL = LabelClass("luminal", "luminal")
_OTHERS = (LabelClass("her2_enriched", "HER2-enriched"), LabelClass("triple_negative", "triple negative"))

_HER2 = r"(?:her[ -]?2(?:[ _-]*neu)?|erbb2)"
_SPELLINGS = {
    "luminal_a": r"lum(?:inal)?[ _-]*a(?:[ _-]*like)?",
    "luminal_b": r"lum(?:inal)?[ _-]*b(?:[ _-]*like)?"
    rf"(?:[ ,/_-]*\(?{_HER2}(?:[ _-]*(?:neg(?:ative)?|pos(?:itive)?|[+-]))\)?)?",
    "luminal": r"lum(?:inal)?(?:[ _-]*like)?",
    "her2_enriched": rf"{_HER2}(?:[ _-]*(?:enriched|pos(?:itive)?|\+|over-?express(?:ing|ion)|type|like))?"
    r"(?:[ ,_-]*\(?non[ _-]?luminal\)?)?",
    "triple_negative": r"tn(?:bc)?|basal(?:[ _-]*like)?"
    r"|triple[ _-]*neg(?:ative)?(?:[ ,_/(]*(?:ductal|basal(?:[ _-]*like)?)\)?)?",
}


def _spelling(text: str) -> str:
    """``Luminal B (HER2-positive)`` as ``luminal_b``."""
    return next((key for key, pattern in _SPELLINGS.items() if re.fullmatch(pattern, text)), text)


def _derive(readings: Mapping[str, Reading]) -> Reading:
    """Surrogate definitions of St Gallen 2013; with Ki-67 luminal A and B are told apart."""
    shift = 1 if "ki67" in readings else 0
    er, pr, her2 = (readings[name] for name in ("er", "pr", "her2"))
    if er.truth == 1:
        return _luminal(pr, her2, readings["ki67"]) if shift else Reading(0)
    unread = next((reading for reading in (er, pr) if reading.truth is None), None)
    if unread is not None:
        return unread
    if pr.truth == 1:
        return Reading(None, "label.no_class: ER negative and PR positive is none of the subtypes of St Gallen 2013")
    return her2 if her2.truth is None else Reading(shift + (1 if her2.truth == 1 else 2))


def _luminal(pr: Reading, her2: Reading, ki67: Reading) -> Reading:
    """Place 0 for luminal A, 1 for luminal B: HER2 positive, PR negative or Ki-67 high each settle it."""
    if her2.truth != 0:
        return Reading(1) if her2.truth == 1 else her2
    if pr.truth == 0 or ki67.truth == 1:
        return Reading(1)
    return next((reading for reading in (pr, ki67) if reading.truth is None), Reading(0))


def _for_labels(labels: pd.DataFrame, cutoff: float | None) -> Target:
    """Luminal A and B apart where the table states them or a cut-off for Ki-67 is stated, else one class luminal."""
    if TARGET.column([str(name) for name in labels.columns]) is None:
        if cutoff is None:
            return replace(TARGET, for_labels=None)
        parts = {**TARGET.parts, "ki67": KI67.at(cutoff)}
        return replace(TARGET, classes=(_A, _B, *_OTHERS), parts=parts, for_labels=None)
    if cutoff is not None:
        raise StudyError("endpoint 'molecular_subtype' is stated in a column of its own: leave the cut-off out")
    stated = {_spelling(text) for text in TARGET.stated(labels)}
    if not stated & set(_SPELLINGS):
        raise StudyError(
            "endpoint 'molecular_subtype': its column states none of luminal A, luminal B, HER2-enriched and triple "
            "negative; name the column and its classes: {column: ..., classes: [...]}"
        )
    return replace(_stated(apart=bool(stated & {_A.key, _B.key})), for_labels=None)


def _stated(*, apart: bool) -> Target:
    classes = (_A, _B, *_OTHERS) if apart else (_LUMINAL, *_OTHERS)
    words: dict[str, int | str] = {item.key: at for at, item in enumerate(classes)}
    if apart:
        words["luminal"] = "label.unspecific: luminal, and not whether A or B"
    words |= dict.fromkeys(("normal-like", "normal like", "claudin-low"), "label.other_class: none of the classes")
    return replace(TARGET, classes=classes, words=words)


# Goldhirsch 2013 (St Gallen), doi 10.1093/annonc/mdt303, table 2. Luminal B holds both of its variants, HER2 negative
# and positive. Its "PgR low" (below 20 %, Prat 2013, doi 10.1200/JCO.2012.43.4134) is not told from a PR that is stated
# as positive or negative.
TARGET = Target(
    title="Molecular subtype",
    positive="each class against the others",
    level="lesion",
    sources=(
        "molecular_subtype", "subtype", "molecular_type", "intrinsic_subtype", "surrogate_subtype", "pam50",
        "breast_cancer_subtype", "tumor_subtype", "tumour_subtype",
    ),
    words={"luminal": 0, "her2_enriched": 1, "triple_negative": 2},
    spelling=_spelling,
    malignant_only=True,
    parts={"er": ER, "pr": PR, "her2": HER2},
    derive=_derive,
    told_by=KI67.sources,
    classes=(_LUMINAL, *_OTHERS),
    for_labels=_for_labels,
)  # fmt: skip
