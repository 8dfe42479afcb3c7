"""What a cohort's size bears, said before anything is computed: a warning, never a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..models.sample_size import TREE_EVENTS, SampleSizeSettings, anticipated_r2, needed, supported
from .labels import LevelCount, is_malignant


def rarer_side(level: LevelCount) -> int | None:
    """How many are on the rarer side; None for a label that has not two sides."""
    if level.label == "malignancy":
        return min(sum(n for value, n in level.values.items() if is_malignant(value) is side) for side in (True, False))
    return min(level.values.values()) if len(level.values) == 2 else None


def size_advice(
    levels: Sequence[LevelCount], n_columns: int, settings: SampleSizeSettings | None = None
) -> Iterator[str]:
    """A line for each label with two sides: patients, events, and how many candidate parameters they bear.

    Parameters
    ----------
    levels : sequence of LevelCount
        Those of patients count.
    n_columns : int
        Feature columns to choose from; 0 where they are not known yet.
    settings : SampleSizeSettings, optional
    """
    settings = settings or SampleSizeSettings()
    for label, n, events in _two_sided(levels):
        share = events / n
        r2, source = anticipated_r2(share, settings)
        most = supported(n, share, r2, settings.shrinkage)
        rarer = f"{events} of {n} patients on the rarer side"
        yield f"{label}: {rarer}: enough for {_parameters(most)} (R2 {r2:.3f}: {source})"
        if n < (least := needed(1, share, r2, settings.shrinkage).overall_risk):
            yield f"{label}: {least} patients would be needed to know the overall risk within 0.05"
        if n_columns > most:
            yield (
                f"{label}: {n_columns} columns to choose from, {events / n_columns:.2g} events each: expect a model "
                f"that is too sure of itself and a wide interval; boosted trees may need {TREE_EVENTS} events each"
            )


def _two_sided(levels: Sequence[LevelCount]) -> Iterator[tuple[str, int, int]]:
    for level in levels:
        events = rarer_side(level) if level.level == "patient" else None
        if events:
            yield level.label, sum(_known(level).values()), events


def _known(level: LevelCount) -> Mapping[str, int]:
    if level.label != "malignancy":
        return level.values
    return {value: n for value, n in level.values.items() if is_malignant(value) is not None}


def _parameters(n: int) -> str:
    return f"{n} candidate parameter{'' if n == 1 else 's'}" if n else "not one candidate parameter"
