"""What a study calls an endpoint: a target of the shelf, a label column, a class or a cut-off of either."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import pandas as pd

from ..features.errors import StudyError, UnknownPartError
from ..features.settings import nearest
from .stated import NEGATIVE_WORDS, POSITIVE_WORDS, Scale, as_text, stated_texts
from .target import LabelClass, Level, Reading, Target, take
from .targets import SHELF

KEYS = ("name", "target", "column", "positive", "cutoff", "classes", "level")


@dataclass(frozen=True)
class Endpoint:
    """What is predicted: a target, the label columns from which its truth comes, and the class where it has several.

    Parameters
    ----------
    name : str
    target : Target
    columns : tuple of str
        Label columns that are read.
    whole : str
        Of one class against the rest, the name of the endpoint of all classes; else empty.
    place : int, optional
        Of one class against the rest, its place in the target's classes.
    """

    name: str
    target: Target
    columns: tuple[str, ...]
    whole: str = ""
    place: int | None = None

    @property
    def title(self) -> str:
        """For headings."""
        whole = self.target.title
        if self.place is None or self.positive.startswith(whole):
            return self.positive if self.place is not None else whole
        return f"{whole}: {self.positive}"

    @property
    def positive(self) -> str:
        """The positive class in words."""
        return self.target.positive if self.place is None else self.target.classes[self.place].title

    def truth(self, reading: Reading) -> int | None:
        """0 or 1, or None as the reading has it."""
        return reading.truth if self.place is None or reading.truth is None else int(reading.truth == self.place)

    def expand(self) -> list[Endpoint]:
        """One endpoint per class against the rest; itself where it is binary."""
        if not self.target.classes or self.place is not None:
            return [self]
        return [self.one_against_rest(place) for place in range(len(self.target.classes))]

    def one_against_rest(self, place: int) -> Endpoint:
        """The class at that place against all the others."""
        return replace(self, name=f"{self.name}={self.target.classes[place].key}", whole=self.name, place=place)


def families(endpoints: Sequence[Endpoint]) -> dict[str, list[Endpoint]]:
    """Endpoints that are all classes of one, by its name; a class that was asked for alone is none of them."""
    found: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        if endpoint.whole:
            found.setdefault(endpoint.whole, []).append(endpoint)
    return {name: parts for name, parts in found.items() if len(parts) == len(parts[0].target.classes)}


@dataclass(frozen=True)
class _Wanted:
    """What was asked for; `subject` is a target or a column, whichever is there."""

    name: str
    subject: str = ""
    target: str = ""
    column: str = ""
    positive: str | None = None
    cutoff: float | None = None
    classes: tuple[str, ...] = ()
    level: Level | None = None


def resolve_endpoint(wanted: str | Mapping[str, Any], labels: pd.DataFrame) -> Endpoint:
    """Find what a study calls an endpoint.

    Parameters
    ----------
    wanted : str or mapping
        A target on the shelf (``"er"``), a binary label column (``"relapse"``), a column and its positive class
        (``"grade=3"``), a target or column and the number from which it is positive (``"ki67>=20"``), or a mapping
        with ``target`` or ``column`` and, where wanted, ``name``, ``positive``, ``cutoff``, ``level`` and
        ``classes``: a column's classes, of which each is predicted against the others.
    labels : DataFrame
        One column per label, as stated.

    Returns
    -------
    Endpoint
        With several classes where its target has them; :meth:`Endpoint.expand` gives the parts.

    Raises
    ------
    UnknownPartError
        If it is neither a target nor a column.
    StudyError
        If its label column is absent, holds no two classes that can be told apart, or values whose
        meaning cannot be told (an IHC score without its plus sign, a number of nodes, a percentage without cut-off).

    Examples
    --------
    >>> labels = pd.DataFrame({"ER status": ["positive", "neg"], "grade": [3, 1], "Ki-67": ["30 %", "<5"]})
    >>> resolve_endpoint("er", labels).columns, resolve_endpoint("grade=3", labels).positive
    (('ER status',), 'grade 3')
    >>> made = resolve_endpoint("ki67>=20", labels)
    >>> made.positive, [made.target.read({"Ki-67": value}).truth for value in labels["Ki-67"]]
    ('Ki-67 >= 20 %', [1, 0])
    """
    columns = [str(name) for name in labels.columns]
    asked = _parse(wanted)
    if asked.subject:
        on_shelf = _on_shelf(asked, columns)
        asked = replace(asked, target=asked.subject if on_shelf else "", column="" if on_shelf else asked.subject)
    if asked.target:
        found = _of_target(asked, labels, columns)
    elif asked.column in columns:
        found = Endpoint(asked.name, _of_column(labels[asked.column], asked), (asked.column,))
    else:
        guess = nearest(asked.column, [*SHELF.names(), *columns])
        advice = f"did you mean {guess!r}? " if guess else ""
        raise UnknownPartError(
            f"no endpoint {asked.column!r}; {advice}Targets: {_listed(SHELF.names())}. "
            f"Label columns: {_listed(columns)}"
        )
    return found if asked.level is None else replace(found, target=replace(found.target, level=asked.level))


def _parse(wanted: str | Mapping[str, Any]) -> _Wanted:
    if not isinstance(wanted, str):
        return _parse_mapping(wanted)
    subject, reaches, number = wanted.partition(">=")
    if reaches:
        cutoff = _cutoff(number)
        return _Wanted(f"{subject.strip()}>={cutoff:g}", subject=subject.strip(), cutoff=cutoff)
    subject, equals, positive = wanted.partition("=")
    return _Wanted(wanted, subject=subject.strip(), positive=positive.strip() if equals else None)


def _parse_mapping(wanted: Mapping[str, Any]) -> _Wanted:
    given = {key: value for key, value in wanted.items() if value is not None}
    chosen = {"positive", "cutoff", "classes"} & set(given)
    if set(given) - set(KEYS) or ("target" in given) == ("column" in given) or len(chosen) > 1:
        raise StudyError(
            "an endpoint has the keys name, target or column, at most one of positive, cutoff and classes, and level; "
            f"got {sorted(map(str, given))}"
        )
    level = given.get("level")
    if level is not None and level not in get_args(Level):
        raise StudyError(f"an endpoint's level is one of {', '.join(get_args(Level))}; got {level!r}")
    asked = _Wanted(
        name="",
        target=str(given.get("target", "")),
        column=str(given.get("column", "")),
        positive=str(given["positive"]) if "positive" in given else None,
        cutoff=_cutoff(given["cutoff"]) if "cutoff" in given else None,
        classes=_classes(given["classes"]) if "classes" in given else (),
        level=level,
    )
    return replace(asked, name=str(given.get("name", _default_name(asked))))


def _default_name(asked: _Wanted) -> str:
    """As the same is called in short, ``ki67>=20``; a cut-off of what it is derived from is no part of its name."""
    if asked.cutoff is not None and (asked.column or take(asked.target).scale is not None):
        return f"{asked.target or asked.column}>={asked.cutoff:g}"
    return f"{asked.target}={asked.positive}" if asked.target and asked.positive else asked.target or asked.column


def _cutoff(stated: Any) -> float:
    try:
        cutoff = float(stated)
    except (TypeError, ValueError):
        cutoff = math.nan
    if not math.isfinite(cutoff) or isinstance(stated, bool):
        raise StudyError(f"a cut-off is a number, as in ki67>=20; got {stated!r}")
    return cutoff


def _classes(stated: Any) -> tuple[str, ...]:
    named = list(dict.fromkeys(map(as_text, stated))) if isinstance(stated, (list, tuple)) else []
    if len(named) < 3:
        raise StudyError(f"classes are three or more values of a column; got {stated!r}; of two, name the positive one")
    return tuple(named)


def _on_shelf(asked: _Wanted, columns: Sequence[str]) -> bool:
    """Whether a name is that of a target and not of a column; with a class, a column that is there comes first."""
    if asked.subject not in SHELF.names():
        return False
    return asked.positive is None or (bool(take(asked.subject).classes) and asked.subject not in columns)


def _of_target(asked: _Wanted, labels: pd.DataFrame, columns: Sequence[str]) -> Endpoint:
    target = take(asked.target)
    if not target.label_columns(columns):
        raise StudyError(
            f"endpoint {asked.name!r} needs the label column {target.needed()}; there are: {_listed(columns)}"
        )
    target.check(labels)
    target = target.settle(labels, asked.cutoff)
    found = Endpoint(asked.name, target, tuple(target.label_columns(columns)))
    if asked.classes:
        raise StudyError(f"endpoint {asked.name!r}: classes are those of a column; a target has its own")
    if asked.positive is None:
        return found
    keys = [item.key for item in target.classes]
    if asked.positive not in keys:
        raise StudyError(f"endpoint {asked.name!r}: its classes are {_listed(keys)}")
    whole = asked.name.removesuffix(f"={asked.positive}")
    return replace(found, whole=whole, place=keys.index(asked.positive))


def _of_column(values: pd.Series[Any], asked: _Wanted) -> Target:
    """A target made from one column's own values."""
    column, stated = asked.column, stated_texts(values)
    if asked.cutoff is not None:
        scale = Scale(column)
        if not any(scale.span(text) for text in stated):
            raise StudyError(f"endpoint {asked.name!r}: column {column!r} holds no number; it holds {_listed(stated)}")
        return Target(column, "", "lesion", (column,), words={}, scale=scale).at(asked.cutoff)
    if asked.classes:
        return _of_classes(column, stated, asked.classes)
    if asked.positive is not None:
        return _of_one_class(column, stated, asked.positive)
    if len(stated) == 2 and set(stated) <= POSITIVE_WORDS | NEGATIVE_WORDS:
        return Target(title=column, positive=f"{column} positive", level="lesion", sources=(column,))
    example = stated[-1] if stated else "yes"
    raise StudyError(
        f"endpoint {column!r}: its values {_listed(stated)} are not 0 and 1, positive and negative, or the like; name "
        f"the positive one, for example {column}={example}, a cut-off for numbers, as {column}>=10, or the classes, as "
        f"{{column: {column}, classes: [...]}}"
    )


def _of_classes(column: str, stated: Sequence[str], classes: Sequence[str]) -> Target:
    absent = [name for name in classes if name not in stated]
    if absent:
        raise StudyError(f"column {column!r} states no {_listed(absent)}; its values are {_listed(stated)}")
    other = "label.other_class: not among the classes of the endpoint"
    words: dict[str, int | str] = dict.fromkeys(stated, other) | {name: at for at, name in enumerate(classes)}
    named = tuple(LabelClass(name, f"{column} {name}") for name in classes)
    return Target(title=column, positive="", level="lesion", sources=(column,), words=words, classes=named)


def _of_one_class(column: str, stated: Sequence[str], positive: str) -> Target:
    wanted = as_text(positive)
    others = [value for value in stated if value != wanted]
    if wanted not in stated or not others:
        raise StudyError(f"endpoint {column}={positive}: the column's values are {_listed(stated)}")
    title = f"{column} {positive}"
    return Target(
        title, positive=title, level="lesion", sources=(column,), words=dict.fromkeys(others, 0) | {wanted: 1}
    )


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"
