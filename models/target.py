"""What a target is: labels as a cohort states them in, a class or a reason for none out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import pandas as pd

from ..features.errors import StudyError
from .stated import MISSING_WORDS, NEGATIVE_WORDS, POSITIVE_WORDS, Scale, as_text, plain
from .targets import SHELF

Level = Literal["lesion", "breast", "patient"]


class Reading(NamedTuple):
    """What one case's labels say: `truth` 0 or 1, or the place of a class among several, or None with the `reason`.

    The reason begins with a stable code.
    """

    truth: int | None
    reason: str = ""


class LabelClass(NamedTuple):
    """One of several classes: its key, which ends an endpoint's name, and its title."""

    key: str
    title: str


Labels = Mapping[str, Any]
"""One row of the label table: column name to what is stated."""


@dataclass(frozen=True)
class Target:
    """The contract of ``models/targets/NAME.py``, which holds ``TARGET``.

    Parameters
    ----------
    title : str
        For headings.
    positive : str
        The positive class in words.
    level : {"lesion", "breast", "patient"}
        What the label belongs to; predictions are reported at all three. Lesions of one breast or patient that
        state different labels of it are left out.
    sources : tuple of str
        Names of the label column, best first; case, spaces and punctuation do not matter.
    words : mapping of str to int or str
        What is stated, in lower case, to 0, 1 (or the place in `classes`), or the reason why it is none of them.
    spelling : callable, optional
        Brings a stated text to the spelling of `words`.
    refuse : callable, optional
        Why a column with these stated values cannot be read, or an empty text.
    malignant_only : bool
        True where only a malignant lesion can have the label; on a benign one it is refused.
    parts : mapping of str to Target
        What `derive` reads.
    derive : callable, optional
        Makes the reading from those of `parts` where no source column is there.
    among : Target, optional
        Only cases that are positive for it have the label; the others are left out.
    scale : Scale, optional
        The numbers that the label may be stated in; `cutoff` parts them.
    cutoff : float, optional
        Numbers from here on are positive.
    told_by : tuple of str
        Names of further columns that give the label away; like its own and those of `parts` and `among`, they are
        never features.
    classes : tuple of LabelClass
        More than two classes, where the label has them; empty for a binary one.
    for_labels : callable, optional
        The target that a table of labels and a stated cut-off (or None) ask for.
    """

    title: str
    positive: str
    level: Level
    sources: tuple[str, ...]
    words: Mapping[str, int | str] = field(
        default_factory=lambda: dict.fromkeys(POSITIVE_WORDS, 1) | dict.fromkeys(NEGATIVE_WORDS, 0)
    )
    spelling: Callable[[str], str] = str
    refuse: Callable[[Set[str]], str] | None = None
    malignant_only: bool = False
    parts: Mapping[str, Target] = field(default_factory=dict)
    derive: Callable[[Mapping[str, Reading]], Reading] | None = None
    among: Target | None = None
    scale: Scale | None = None
    cutoff: float | None = None
    told_by: tuple[str, ...] = ()
    classes: tuple[LabelClass, ...] = ()
    for_labels: Callable[[pd.DataFrame, float | None], Target] | None = None

    def column(self, columns: Sequence[str]) -> str | None:
        """The first source that is among `columns`."""
        by_plain = {plain(name): name for name in reversed(columns)}
        return next((by_plain[plain(source)] for source in self.sources if plain(source) in by_plain), None)

    def never_features(self) -> set[str]:
        """Plain names of every column that states it, gives it away, or from which it can be derived."""
        names = {plain(name) for name in (*self.sources, *self.told_by)}
        others = [*self.parts.values(), *filter(None, [self.among])]
        return names.union(*(other.never_features() for other in others))

    def label_columns(self, columns: Sequence[str]) -> list[str]:
        """Label columns that it reads, its own or those it is derived from; empty where it cannot be read."""
        own = self.column(columns)
        found: list[str | None] = [part.column(columns) for part in self.parts.values()] if own is None else [own]
        if self.among is not None:
            found += self.among.label_columns(columns) or [None]
        return [name for name in found if name is not None] if None not in found else []

    def needed(self) -> str:
        """The label columns without which it cannot be read, in words."""
        ways = " or ".join(filter(None, [", ".join(self.sources), " and ".join(self.parts)]))
        return ways if self.among is None else f"{ways}, and {self.among.sources[0]}"

    def settle(self, labels: pd.DataFrame, cutoff: float | None) -> Target:
        """The target as these labels and a stated cut-off make it.

        Raises
        ------
        StudyError
            Where the labels are numbers and no cut-off is stated, or the reverse.
        """
        if self.for_labels is not None:
            return self.for_labels(labels, cutoff)
        name = self.sources[0]
        if self.scale is None:
            if cutoff is not None:
                raise StudyError(f"endpoint {name!r} is not stated in numbers: leave the cut-off {cutoff:g} out")
            return self
        if cutoff is not None:
            return self.at(cutoff)
        numbers = [text for text in self.stated(labels) if self.scale.span(text) is not None]
        if not numbers:
            return self
        raise StudyError(
            f"endpoint {name!r}: its column holds numbers ({numbers[0]}); state the cut-off from which it is positive, "
            f"as {name}>=20 or {{target: {name}, cutoff: 20}}. {self.scale.advice}"
        )

    def at(self, cutoff: float) -> Target:
        """The target with a cut-off for its numbers; words, which state no number, are then left out."""
        if self.scale is None:
            raise StudyError(f"endpoint {self.sources[0]!r} is not stated in numbers")
        reason = f"label.no_number: a word states no number to hold against the cut-off {cutoff:g}"
        words = {word: reason if isinstance(meaning, int) else meaning for word, meaning in self.words.items()}
        return replace(self, cutoff=cutoff, positive=self.scale.positive(cutoff), words=words, for_labels=None)

    def stated(self, labels: pd.DataFrame) -> set[str]:
        """What its own column states, as text; empty without one."""
        own = self.column([str(name) for name in labels.columns])
        return set() if own is None else {as_text(value) for value in labels[own]}

    def check(self, labels: pd.DataFrame) -> None:
        """Raise StudyError where a column that it reads holds values whose meaning cannot be told."""
        own = self.column([str(name) for name in labels.columns])
        why = self.refuse(self.stated(labels)) if own is not None and self.refuse is not None else ""
        if why:
            raise StudyError(f"label column {own!r} {why}")
        for part in self.parts.values() if own is None else ():
            part.check(labels)
        if self.among is not None:
            self.among.check(labels)

    def read(self, labels: Labels) -> Reading:
        """What the labels of one case say about this target.

        Parameters
        ----------
        labels : mapping
            Label column to what is stated; None, NaN or an empty text where nothing is.
        """
        own = self.column(list(labels))
        if own is None and self.derive is not None:
            return self.derive({name: part.read(labels) for name, part in self.parts.items()})
        reading = self.read_value(None if own is None else labels[own], own or self.sources[0])
        if self.malignant_only and _is_benign(labels):
            if reading.reason.startswith("label.missing"):
                return Reading(None, "label.missing: not stated, and the lesion is not malignant")
            return Reading(
                None, f"label.on_benign: {own} is stated for a lesion that is not malignant; correct the table"
            )
        return reading if self.among is None or reading.truth is None else self._among(reading, labels)

    def _among(self, reading: Reading, labels: Labels) -> Reading:
        """The reading, where the case is one of those that can have the label."""
        assert self.among is not None
        other = self.among.read(labels)
        if other.truth == 1:
            return reading
        why = other.reason or f"the case is not {self.among.positive}"
        return Reading(None, f"label.not_applicable: {self.title} is a label of {self.among.positive} cases: {why}")

    def read_value(self, value: Any, column: str) -> Reading:
        """What one cell says."""
        text = as_text(value)
        if text in MISSING_WORDS and text not in self.words:
            return Reading(None, "label.missing: not stated")
        meaning = self.words.get(self.spelling(text))
        if isinstance(meaning, int):
            return Reading(meaning)
        if meaning is not None:
            return Reading(None, meaning)
        return self._number(self.spelling(text), column)

    def _number(self, text: str, column: str) -> Reading:
        known = ", ".join(sorted(self.words))
        if self.scale is None or self.cutoff is None:
            return Reading(None, f"label.unreadable: {column} is {text!r}; it can be {known}")
        side = self.scale.side(text, self.cutoff)
        if side is not None:
            return Reading(side)
        if self.scale.span(text) is not None:
            return Reading(None, f"label.straddles: {column} is {text!r}, on both sides of the cut-off {self.cutoff:g}")
        low, high = self.scale.low, self.scale.high
        return Reading(None, f"label.unreadable: {column} is {text!r}; it can be a number from {low:g} to {high:g}")


def take(name: str) -> Target:
    """The target of that name on the shelf."""
    target: Target = SHELF.take(name).TARGET
    return target


def _is_benign(labels: Labels) -> bool:
    target = take("malignancy")
    column = target.column(list(labels))
    return column is not None and target.read_value(labels[column], column).truth == 0
