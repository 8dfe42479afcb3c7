"""The base of every settings class: frozen, strict, and helpful about a misspelt key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import StudyError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys.

    Each part declares a subclass beside the code that reads it.

    Examples
    --------
    >>> class Crop(Settings):
    ...     margin: float = 0.25
    >>> parse_settings(Crop, {"margn": 0.5}, where="study: crop")
    Traceback (most recent call last):
        ...
    cemrad.features.errors.StudyError: study: crop: unknown key 'margn'; did you mean 'margin'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None where none is near.

    Examples
    --------
    >>> nearest("xgbost", ["logistic", "xgboost"])
    'xgboost'
    """
    by_lower = {item.lower(): item for item in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def parse_settings(kind: type[S], values: Any, *, where: str) -> S:
    """Validate `values` as settings of `kind`.

    Parameters
    ----------
    kind : type
        A subclass of :class:`Settings`.
    values : mapping or None
        What the user wrote; None means all defaults.
    where : str
        The place in the study file, for the message.

    Raises
    ------
    StudyError
        With one line per mistake, each naming its place and, for an unknown key, the
        nearest known one.
    """
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise StudyError(f"{where}: expected keys and values, got {values!r}")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(kind, item, where) for item in error.errors()]
        raise StudyError("\n".join(lines)) from None


def _explain(kind: type[BaseModel], item: Any, where: str) -> str:
    path = [str(step) for step in item["loc"]]
    if item["type"] != "extra_forbidden":
        place = ".".join([where, *path]) if path else where
        return f"{place}: {item['msg']} (got {item.get('input')!r})"
    owner = _model_at(kind, path[:-1])
    place = ".".join([where, *path[:-1]])
    guess = nearest(path[-1], owner.model_fields)
    advice = f"did you mean {guess!r}?" if guess else f"known keys: {', '.join(owner.model_fields)}"
    return f"{place}: unknown key {path[-1]!r}; {advice}"


def _model_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    for step in path:
        field = kind.model_fields.get(step)
        options = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if inner:
            kind = inner[0]
    return kind
