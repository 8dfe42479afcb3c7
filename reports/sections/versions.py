"""What it takes to get the same numbers again: splits, seeds, weights, settings and versions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Versions and provenance"
ORDER = 90


def render(facts: Facts, result: Result) -> Markup:
    """Split hashes, seeds, versions, and every setting that the result holds."""
    settings = [row for row in flatten({k: v for k, v in result.provenance.items() if k != "versions"})]
    return fill(
        "versions.html.j2",
        facts=facts,
        versions=dict(result.provenance.get("versions", {})),
        seeds=[(path, value) for path, value in settings if path.rpartition(".")[2] in ("seed", "seeds")],
        settings=settings,
        splits=[
            (endpoint.title, [(path, value) for path, value in flatten(endpoint.folds)]) for endpoint in facts.endpoints
        ],
    )


def flatten(values: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested JSON as pairs of dotted path and text.

    Examples
    --------
    >>> list(flatten({"deep": {"network": "resnet18", "sizes": [224, 224]}, "seed": 7}))
    [('deep.network', 'resnet18'), ('deep.sizes', '[224, 224]'), ('seed', '7')]
    """
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, values if isinstance(values, str) else json.dumps(values, default=str)
