"""What a target is: labels as a cohort states them in, 0, 1 or a reason for neither out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd

from ..features.errors import StudyError, UnknownPartError
from ..features.settings import nearest
from .targets import SHELF

Level = Literal["lesion", "breast", "patient"]

POSITIVE_WORDS = frozenset(("1", "positive", "pos", "+", "yes", "true"))
NEGATIVE_WORDS = frozenset(("0", "negative", "neg", "-", "no", "false"))
MISSING_WORDS = frozenset(("", "na", "n/a", "nan", "none", "null", "unknown", "missing", "not available", "?"))


class Reading(NamedTuple):
    """What one case's labels say: `truth` 0 or 1, or None with the `reason`, which begins with a stable code."""

    truth: int | None
    reason: str = ""


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
        What the label belongs to; predictions are reported at all three.
    sources : tuple of str
        Names of the label column, best first; case, spaces and punctuation do not matter.
    words : mapping of str to int or str
        What is stated, in lower case, to 0, 1 or the reason why it is neither.
    spelling : callable, optional
        Brings a stated text to the spelling of `words`.
    refuse : callable, optional
        Why a column with these stated values cannot be read, or an empty text.
    malignant_only : bool
        True where only a malignant lesion can have the label; on a benign one it is refused.
    derive : callable, optional
        Makes the reading from whole rows where no source column is there.
    derived_from : tuple of str
        Other targets that `derive` reads.
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
    derive: Callable[[Mapping[str, Reading]], Reading] | None = None
    derived_from: tuple[str, ...] = ()

    def column(self, columns: Sequence[str]) -> str | None:
        """The first source that is among `columns`."""
        by_plain = {plain(name): name for name in reversed(columns)}
        return next((by_plain[plain(source)] for source in self.sources if plain(source) in by_plain), None)

    def label_columns(self, columns: Sequence[str]) -> list[str]:
        """Label columns that it reads, its own or those it is derived from; empty where it cannot be read."""
        own = self.column(columns)
        if own is not None:
            return [own]
        parts = [take(name).column(columns) for name in self.derived_from]
        return [part for part in parts if part is not None] if parts and None not in parts else []

    def check(self, labels: pd.DataFrame) -> None:
        """Raise StudyError where a column that it reads holds values whose meaning cannot be told."""
        own = self.column([str(name) for name in labels.columns])
        if own is None:
            for name in self.derived_from:
                take(name).check(labels)
        elif self.refuse is not None:
            why = self.refuse({as_text(value) for value in labels[own]})
            if why:
                raise StudyError(f"label column {own!r} {why}")

    def read(self, labels: Labels) -> Reading:
        """What the labels of one case say about this target.

        Parameters
        ----------
        labels : mapping
            Label column to what is stated; None, NaN or an empty text where nothing is.
        """
        own = self.column(list(labels))
        if own is None and self.derive is not None:
            return self.derive({name: take(name).read(labels) for name in self.derived_from})
        reading = self.read_value(None if own is None else labels[own], own or self.sources[0])
        if not self.malignant_only or not _is_benign(labels):
            return reading
        if reading.reason.startswith("label.missing"):
            return Reading(None, "label.missing: not stated, and the lesion is not malignant")
        return Reading(None, f"label.on_benign: {own} is stated for a lesion that is not malignant; correct the table")

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
        known = ", ".join(sorted(self.words))
        return Reading(None, f"label.unreadable: {column} is {text!r}; it can be {known}")


@dataclass(frozen=True)
class Endpoint:
    """What is predicted: a target, and the label columns from which its truth comes."""

    name: str
    target: Target
    columns: tuple[str, ...]


def take(name: str) -> Target:
    """The target of that name on the shelf."""
    target: Target = SHELF.take(name).TARGET
    return target


def resolve_endpoint(wanted: str | Mapping[str, str], labels: pd.DataFrame) -> Endpoint:
    """Find what a study calls an endpoint.

    Parameters
    ----------
    wanted : str or mapping
        A target on the shelf (``"er"``), a binary label column (``"relapse"``), a column and its
        positive class (``"grade=3"``), or ``{"name": ..., "column": ..., "positive": ...}``.
    labels : DataFrame
        One column per label, as stated.

    Raises
    ------
    UnknownPartError
        If it is neither a target nor a column.
    StudyError
        If its label column is absent, holds no two classes that can be told apart, or values whose
        meaning cannot be told (an IHC score without its plus sign, a number of nodes).

    Examples
    --------
    >>> labels = pd.DataFrame({"ER status": ["positive", "neg"], "grade": [3, 1]})
    >>> resolve_endpoint("er", labels).columns, resolve_endpoint("grade=3", labels).target.positive
    (('ER status',), 'grade 3')
    """
    columns = [str(name) for name in labels.columns]
    name, column, positive = _parse(wanted)
    if column is None and positive is None and name in SHELF.names():
        target = take(name)
        sources = target.label_columns(columns)
        if not sources:
            needed = " or ".join(filter(None, [", ".join(target.sources), " and ".join(target.derived_from)]))
            raise StudyError(f"endpoint {name!r} needs the label column {needed}; there are: {_listed(columns)}")
        target.check(labels)
        return Endpoint(name, target, tuple(sources))
    column = column or name
    if column not in columns:
        guess = nearest(column, [*SHELF.names(), *columns])
        advice = f"did you mean {guess!r}? " if guess else ""
        raise UnknownPartError(
            f"no endpoint {column!r}; {advice}Targets: {_listed(SHELF.names())}. Label columns: {_listed(columns)}"
        )
    return Endpoint(name, _column_target(labels[column], column, positive), (column,))


def _parse(wanted: str | Mapping[str, str]) -> tuple[str, str | None, str | None]:
    if isinstance(wanted, str):
        column, equals, positive = wanted.partition("=")
        return (wanted, column.strip(), positive.strip()) if equals else (wanted, None, None)
    unknown = set(wanted) - {"name", "column", "positive"}
    if unknown or "column" not in wanted:
        raise StudyError(f"an endpoint has the keys name, column and positive; got {sorted(wanted)}")
    named = wanted.get("positive")
    return str(wanted.get("name", wanted["column"])), str(wanted["column"]), None if named is None else str(named)


def _column_target(values: pd.Series[Any], column: str, positive: str | None) -> Target:
    """A target made from one column's own values."""
    stated = sorted({text for value in values if (text := as_text(value)) not in MISSING_WORDS})
    plain_words = set(stated) <= POSITIVE_WORDS | NEGATIVE_WORDS
    if positive is None and len(stated) == 2 and plain_words:
        return Target(title=column, positive=f"{column} positive", level="lesion", sources=(column,))
    if positive is None:
        example = stated[-1] if stated else "yes"
        raise StudyError(
            f"endpoint {column!r}: its values {_listed(stated)} are not 0 and 1, positive and negative, or the "
            f"like; name the positive one, for example {column}={example}"
        )
    wanted = as_text(positive)
    others = [value for value in stated if value != wanted]
    if wanted not in stated or not others:
        raise StudyError(f"endpoint {column}={positive}: the column's values are {_listed(stated)}")
    title = f"{column} {positive}"
    return Target(
        title, positive=title, level="lesion", sources=(column,), words=dict.fromkeys(others, 0) | {wanted: 1}
    )


def as_text(value: Any) -> str:
    """A stated value as text in lower case; a whole number without its decimal point, nothing as empty text.

    Examples
    --------
    >>> as_text(1.0), as_text(True), as_text(" POS "), as_text("1.0"), as_text(None)
    ('1', '1', 'pos', '1', '')
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    text = str(value).strip().lower()
    return text.split(".")[0] if re.fullmatch(r"[+-]?\d+\.0*", text) else text


def plain(name: str) -> str:
    """A column's name in lower case without punctuation, for comparison."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _is_benign(labels: Labels) -> bool:
    target = take("malignancy")
    column = target.column(list(labels))
    return column is not None and target.read_value(labels[column], column).truth == 0


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"
