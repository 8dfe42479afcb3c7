"""Label policy: what label columns are called, what counts as missing, and which of several statements wins.

One name for each label whatever its column is called. A statement is kept as it stands, words in
lower case; targets decide what it means. Where several rows speak of one lesion, breast or patient, the most severe
finding wins for malignancy (malignant over benign over normal); any other label must agree, and is
left out where it does not. Both kinds of disagreement are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..features.case import Case, Value
from ..models.stated import as_text, read_span
from ..models.target import take
from ..models.targets import SHELF as TARGETS


def _aliases() -> dict[str, tuple[str, ...]]:
    """Names of every target's column, and of columns that only serve to derive one."""
    targets = {name: take(name) for name in TARGETS.names()}
    parts = {name: part for target in targets.values() for name, part in target.parts.items()}
    return {name: target.sources for name, target in (parts | targets).items()}


ALIASES = _aliases()
"""Names of label columns, each spelt as :func:`plain_name` gives it."""

CANCER_ONLY = tuple(name for name in TARGETS.names() if take(name).malignant_only and take(name).level == "lesion")
"""Labels that only a cancer can have."""

MISSING = frozenset(("", "na", "n/a", "nan", "null", "unknown", "missing", "not available", "?", "_"))
"""What is read as no statement, in any case. A dash is not among them: it may mean negative."""

_MALIGNANT = 2
_SEVERITY = {word: 1 + int(truth) for word, truth in take("malignancy").words.items()} | {"normal": 0}


def severity_of(finding: Value) -> int | None:
    """Rank of a finding: normal 0, benign 1, malignant 2; None where the target malignancy cannot read it.

    Every word that the target accepts has a rank, so that it means here what it means to a model.

    Examples
    --------
    >>> [severity_of(finding) for finding in ("normal", "negative", 0, "positive", "Cancer", 1.0, "B3", None)]
    [0, 1, 1, 2, 2, 2, None, None]
    """
    return _SEVERITY.get(as_text(finding))


def is_malignant(finding: Value) -> bool | None:
    """Whether a finding is malignant; None where the target malignancy cannot read it."""
    rank = severity_of(finding)
    return None if rank is None else rank == _MALIGNANT


def plain_name(column: str) -> str:
    """A column's name in lower case with single underscores.

    Examples
    --------
    >>> plain_name("Pathology Classification/ Follow up")
    'pathology_classification_follow_up'
    """
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")


_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


def canonical_label(column: str) -> str | None:
    """Our name of a label column, or None where it is no label we know.

    Examples
    --------
    >>> canonical_label("ER status"), canonical_label("TNBC"), canonical_label("Entropy")
    ('er', 'triple_negative', None)
    """
    return _CANONICAL.get(plain_name(column))


def value_of(text: str) -> Value:
    """A cell as a value: a number where it is one, None where it says nothing, else its text.

    Examples
    --------
    >>> value_of(" C "), value_of("57"), value_of("0.25"), value_of("n/a"), value_of("-")
    ('C', 57, 0.25, None, '-')
    """
    plain = text.strip()
    if plain.lower() in MISSING:
        return None
    if re.fullmatch(r"[+-]?\d{1,15}", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?", plain):
        number = float(plain)
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    return plain


def statement_of(text: str) -> Value:
    """A cell of a label column: as :func:`value_of`, and words in lower case.

    Examples
    --------
    >>> statement_of("Malignant "), statement_of("1.0"), statement_of("unknown")
    ('malignant', 1, None)
    """
    value = value_of(text)
    return value.lower() if isinstance(value, str) else value


@dataclass(frozen=True)
class Verdict:
    """What several statements about one thing come to.

    Parameters
    ----------
    value : str, float or None
        The statement that stands; None where nothing is stated or statements contradict.
    stated : tuple
        The distinct statements, in order of appearance.
    conflict : bool
        True where they contradict and no order of severity settles it.
    """

    value: Value
    stated: tuple[Value, ...]
    conflict: bool = False


def settle(label: str, statements: Iterable[Value]) -> Verdict:
    """Which of several statements about one lesion, breast or patient stands.

    Examples
    --------
    >>> settle("malignancy", ["normal", "malignant", None]).value
    'malignant'
    >>> settle("er", ["positive", "negative"]).conflict
    True
    """
    stated = tuple(dict.fromkeys(value for value in statements if value is not None))
    if len(stated) <= 1:
        return Verdict(stated[0] if stated else None, stated)
    ranks = [severity_of(value) if label == "malignancy" else None for value in stated]
    known = [rank for rank in ranks if rank is not None]
    if len(known) < len(stated):
        return Verdict(None, stated, conflict=True)
    return Verdict(stated[known.index(max(known))], stated)


def settle_all(statements: Mapping[str, Iterable[Value]]) -> tuple[dict[str, Value], dict[str, str], list[str]]:
    """All labels of one lesion, by :func:`settle` and by what only a cancer can have.

    Parameters
    ----------
    statements : mapping of str to iterable
        Label name to what each row says.

    Returns
    -------
    labels : dict
        Label name to its value, None where nothing stands.
    problems : dict of str to str
        Label left out to ``label.conflict`` or ``label.needs_cancer``.
    graded : list of str
        Labels that the order of severity settled.

    Examples
    --------
    >>> settle_all({"malignancy": ["benign"], "er": ["positive"]})
    ({'malignancy': 'benign', 'er': None}, {'er': 'label.needs_cancer'}, [])
    """
    verdicts = {name: settle(name, stated) for name, stated in statements.items()}
    labels = {name: verdict.value for name, verdict in verdicts.items()}
    problems = {name: "label.conflict" for name, verdict in verdicts.items() if verdict.conflict}
    graded = [name for name, verdict in verdicts.items() if len(verdict.stated) > 1 and not verdict.conflict]
    if is_malignant(labels.get("malignancy")) is False:
        for name in CANCER_ONLY:
            if labels.get(name) is not None:
                labels[name] = None
                problems[name] = "label.needs_cancer"
    return labels, problems, graded


PROBLEM_TEXT = {
    "label.conflict": "rows of one lesion contradict each other in {name}; it is left out: correct the table",
    "label.needs_cancer": "{name} is stated for a lesion that is not malignant; it is left out: correct the table",
}
"""What a problem of :func:`settle_all` means, for a failure row."""


@dataclass(frozen=True)
class LevelCount:
    """One label at one level.

    Parameters
    ----------
    level : {"lesion", "breast", "patient"}
    label : str
    values : mapping of str to int
        How many lesions, breasts or patients have each value, most frequent first.
    missing : int
        How many have none, stated or settled.
    mixed : int
        How many hold different statements, settled by severity or not.
    """

    level: str
    label: str
    values: Mapping[str, int]
    missing: int
    mixed: int


def numbers_in(values: Mapping[str, int]) -> list[float]:
    """The values that are single numbers, each as often as it occurs.

    Examples
    --------
    >>> numbers_in({"20 %": 2, "12,5": 1, "<5": 3, "high": 1})
    [20.0, 20.0, 12.5]
    """
    spans = {value: read_span(value.lower()) for value in values}
    return [span.low for value, span in spans.items() if span and span.low == span.high for _ in range(values[value])]


def count_labels(cases: Sequence[Case]) -> list[LevelCount]:
    """Every label of the cases, counted over lesions, breasts and patients."""
    names = list(dict.fromkeys(name for case in cases for name in case.labels))
    levels = {
        "lesion": [case.case_id for case in cases],
        "breast": [case.breast_id for case in cases],
        "patient": [case.patient_id for case in cases],
    }
    return [_count(level, name, groups, cases) for name in names for level, groups in levels.items()]


def _count(level: str, label: str, groups: list[str], cases: Sequence[Case]) -> LevelCount:
    statements: dict[str, list[Value]] = {group: [] for group in groups}
    for group, case in zip(groups, cases, strict=True):
        statements[group].append(case.labels.get(label))
    verdicts = [settle(label, stated) for stated in statements.values()]
    values = Counter(str(verdict.value) for verdict in verdicts if verdict.value is not None)
    missing = sum(verdict.value is None for verdict in verdicts)
    mixed = sum(len(verdict.stated) > 1 for verdict in verdicts)
    return LevelCount(level, label, dict(values.most_common()), missing, mixed)
