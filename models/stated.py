"""What a cell of a label column states: its text, a number, or a range of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

POSITIVE_WORDS = frozenset(("1", "positive", "pos", "+", "yes", "true"))
NEGATIVE_WORDS = frozenset(("0", "negative", "neg", "-", "no", "false"))
MISSING_WORDS = frozenset(("", "na", "n/a", "nan", "none", "null", "unknown", "missing", "not available", "?"))

_NUMBER = r"[+-]?\d+(?:\.\d+|,\d{1,2})?"
_RANGE = re.compile(rf"({_NUMBER})(?:(?:-|\u2013|to)({_NUMBER}))?")
_BOUND = re.compile(rf"(<=|>=|<|>|\u2264|\u2265)({_NUMBER})")


class Span(NamedTuple):
    """The numbers that a statement may mean, both ends included; a plain number is a span of one."""

    low: float
    high: float


def read_span(text: str) -> Span | None:
    """The numbers that a text in lower case states; None where it is no number.

    One comma before one or two digits is a decimal comma; before three it may be a thousand, and nothing is guessed.

    Examples
    --------
    >>> read_span("20 %"), read_span("15-20"), read_span("12,5"), read_span("1,234"), read_span("high")
    (Span(low=20.0, high=20.0), Span(low=15.0, high=20.0), Span(low=12.5, high=12.5), None, None)
    >>> read_span("<=5").high, read_span("<5").high < 5, read_span(">30").high
    (5.0, True, inf)
    """
    bare = re.sub(r"\s|%", "", text)
    bound = _BOUND.fullmatch(bare)
    if bound:
        number = _number(bound[2])
        if bound[1] in ("<", "<=", "\u2264"):
            return Span(-math.inf, math.nextafter(number, -math.inf) if bound[1] == "<" else number)
        return Span(math.nextafter(number, math.inf) if bound[1] == ">" else number, math.inf)
    found = _RANGE.fullmatch(bare)
    if not found:
        return None
    low, high = _number(found[1]), _number(found[2] or found[1])
    return Span(low, high) if low <= high else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


@dataclass(frozen=True)
class Scale:
    """Numbers that a label is stated in, to be held against a cut-off.

    Parameters
    ----------
    what, unit : str
        The quantity in words, and its unit with a leading blank where it has one.
    low, high : float
        The least and the largest number that can be true.
    spans : mapping of str to Span
        Words that stand for numbers, such as a category of nodes.
    advice : str
        Cut-offs in use, with their source, for whoever states none.
    """

    what: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    spans: Mapping[str, Span] = field(default_factory=dict)
    advice: str = ""

    def span(self, text: str) -> Span | None:
        """The numbers that a stated text means; None where it states none, or none that can be true."""
        found = self.spans.get(text) or read_span(text)
        if found is None:
            return None
        finite = [end for end in found if math.isfinite(end)]
        return found if all(self.low <= end <= self.high for end in finite) else None

    def side(self, text: str, cutoff: float) -> int | None:
        """1 where all that the text may mean is at least the cut-off, 0 where all is below it, else None."""
        found = self.span(text)
        if found is None or found.low < cutoff <= found.high:
            return None
        return int(found.low >= cutoff)

    def positive(self, cutoff: float) -> str:
        """The positive class in words.

        Examples
        --------
        >>> Scale("Ki-67", " %").positive(20.0)
        'Ki-67 >= 20 %'
        """
        return f"{self.what} >= {cutoff:g}{self.unit}"


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


def stated_texts(values: pd.Series[Any]) -> list[str]:
    """The distinct statements of a column as text, sorted, those that say nothing left out.

    Examples
    --------
    >>> stated_texts(pd.Series([1.0, None, "n/a", "Yes"], dtype=object))
    ['1', 'yes']
    """
    return sorted({text for value in values if (text := as_text(value)) not in MISSING_WORDS})


def plain(name: str) -> str:
    """A column's name in lower case without punctuation, for comparison."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
