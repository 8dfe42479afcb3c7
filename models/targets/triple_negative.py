"""Triple negative: ER, PR and HER2 all negative, stated or derived from the three."""

from collections.abc import Mapping

from ..target import Reading, Target
from .er import TARGET as ER
from .her2 import TARGET as HER2
from .pr import TARGET as PR


def _derive(readings: Mapping[str, Reading]) -> Reading:
    """One positive receptor settles it, even where another was not determined."""
    if any(reading.truth == 1 for reading in readings.values()):
        return Reading(0)
    unread = next((reading for reading in readings.values() if reading.truth is None), None)
    return Reading(1) if unread is None else unread


TARGET = Target(
    title="Triple negative",
    positive="ER, PR and HER2 negative",
    level="lesion",
    sources=("triple_negative", "tnbc", "tripleneg", "tripnegative"),
    malignant_only=True,
    derive=_derive,
    parts={"er": ER, "pr": PR, "her2": HER2},
)
