"""Plain YAML: no tags, no aliases, no key twice, no number that is none, no depth without end."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import yaml

from .errors import StudyError

MAX_DEPTH = 64


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
    except ValueError as error:  # a date that does not exist, a number of thousands of digits
        raise StudyError(f"{where}: a value that cannot be read ({error}); put text in quotes") from None


class _PlainLoader(yaml.SafeLoader):
    """YAML without tags, aliases or repeated keys: what is read is what is seen."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise StudyError("YAML aliases (*name) are not read here; write the value out")
        if self.depth > MAX_DEPTH:
            raise StudyError(f"nested more than {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_float(self, node: Any) -> float:
        value: float = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise StudyError(f"line {node.start_mark.line + 1}: {node.value} is no number that can be computed with")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise StudyError(f"line {node.start_mark.line + 1}: the same key twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep=deep)


_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.construct_yaml_float)
