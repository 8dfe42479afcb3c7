"""Ki-67 of a malignant lesion, high from a cut-off that the study states."""

from collections.abc import Set

from ..stated import Scale, read_span
from ..target import Target


def _refuse(stated: Set[str]) -> str:
    """Numbers that all lie between 0 and 1 are shares or codes: taken for per cent, every lesion would be low."""
    spans = [span for text in stated if (span := read_span(text)) is not None]
    if not spans or any(span.high > 1 for span in spans):
        return ""
    return (
        "holds no number above 1: shares and codes are not per cent; write per cent, as 20, or name the column and its "
        "positive class"
    )


# No cut-off is agreed upon, so none is taken in silence. St Gallen 2011, doi 10.1093/annonc/mdr304: 14 %; St Gallen
# 2013, doi 10.1093/annonc/mdt303: 20 %; International Ki67 in Breast Cancer Working Group, doi 10.1093/jnci/djaa201:
# only up to 5 % and from 30 % on are reliable.
TARGET = Target(
    title="Ki-67",
    positive="Ki-67 high, as the table states it",
    level="lesion",
    sources=(
        "ki67", "ki_67", "ki67_index", "ki_67_index", "ki67_percent", "ki_67_percent", "ki67_percentage", "mib1",
        "ki67_status", "ki_67_status", "ki67_labelling_index", "ki67_labeling_index",
    ),
    words={"high": 1, "low": 0},
    refuse=_refuse,
    malignant_only=True,
    scale=Scale(
        "Ki-67", " %", 0.0, 100.0,
        advice="In use are 14 (St Gallen 2011) and 20 (St Gallen 2013); the International Ki67 Working Group (2021) "
        "trusts only up to 5 and from 30 on",
    ),
)  # fmt: skip
