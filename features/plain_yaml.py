"""Plain YAML: no tags, no aliases, no key twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from .errors import StudyError


def parse_yaml(text: str, *, where: str) -> Any:
    """Plain YAML as values; raises StudyError with the line for anything else.

    Examples
    --------
    >>> parse_yaml("a: 1\\na: 2", where="study.yaml")
    Traceback (most recent call last):
        ...
    cemrad.features.errors.StudyError: study.yaml: line 1: the same key twice: a
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a stricter SafeLoader
    except yaml.YAMLError as error:
        raise StudyError(f"{where}: not plain YAML: {' '.join(str(error).split())}") from None
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from None


class _PlainLoader(yaml.SafeLoader):
    """YAML without tags, aliases or repeated keys: what is read is what is seen."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise StudyError("YAML aliases (*name) are not read here; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise StudyError(f"line {node.start_mark.line + 1}: the same key twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep=deep)
