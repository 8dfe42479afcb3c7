"""HER2 status of a malignant lesion: IHC 0 and 1+ are negative, 3+ positive, 2+ is equivocal without ISH."""

from collections.abc import Set

from ..stated import NEGATIVE_WORDS, POSITIVE_WORDS
from ..target import Target


def _refuse(stated: Set[str]) -> str:
    """A bare 1 is positive in a column of 0 and 1 and negative (IHC 1+) beside any other score."""
    scores = sorted(stated & {"2", "3"})
    if "1" in stated and stated & {"0+", "1+", "2+", "3+"}:
        scores = ["1", *scores]
    if not scores:
        return ""
    return (
        f"holds {' and '.join(scores)}: an IHC score without its plus sign; write 0, 1+, 2+ and 3+, or name the "
        "column and its positive class"
    )


# ASCO/CAP guideline 2018, doi 10.1200/JCO.2018.77.8738.
TARGET = Target(
    title="HER2 status",
    positive="HER2 positive",
    level="lesion",
    sources=("her2", "her_2", "her2_status", "her_2_status", "her2_neu", "erbb2"),
    words=dict.fromkeys(POSITIVE_WORDS | {"3+", "amplified"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"0+", "1+", "not amplified"}, 0)
    | dict.fromkeys(("2+", "equivocal"), "label.equivocal: HER2 2+ needs in situ hybridisation; state the outcome"),
    refuse=_refuse,
    malignant_only=True,
)
