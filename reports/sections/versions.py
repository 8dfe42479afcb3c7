"""What it takes to get the same numbers again: command, hashes, splits, seeds, weights, settings and versions."""

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
    """A box to copy, then split hashes, seeds, versions, and every setting that the result holds."""
    told = {key: value for key, value in result.provenance.items() if key not in ("versions", "run")}
    settings = list(flatten(told))
    return fill(
        "versions.html.j2",
        facts=facts,
        box="\n".join(box(result)),
        record=str(result.provenance.get("run", {}).get("record", "")),
        versions=dict(result.provenance.get("versions", {})),
        seeds=[(path, value) for path, value in settings if path.rpartition(".")[2] in ("seed", "seeds")],
        settings=settings,
        splits=[
            (endpoint.title, [(path, value) for path, value in flatten(endpoint.folds)]) for endpoint in facts.endpoints
        ],
    )


def box(result: Result) -> Iterator[str]:
    """Lines of the reproducibility box: what was called, on what, with which seed, splits, weights and software.

    What the result does not state has no line.
    """
    told = result.provenance
    run = told.get("run", {})
    yield from (f"$ {command}" for command in run.get("commands", ()))
    if "seed" in told:
        yield f"seed {told['seed']}"
    yield from (f"sha256 {digest}  {name}" for name, digest in run.get("sha256", {}).items())
    for key, folds in result.folds.items():
        if folds.get("sha256"):
            yield f"sha256 {folds['sha256']}  split of {key}"
    for name, family in told.get("extraction", {}).get("families", {}).items():
        weights = family.get("weights")
        if isinstance(weights, Mapping) and weights.get("sha256"):
            yield f"sha256 {weights['sha256']}  weights of {name}, {weights.get('name', 'not named')}"
    if told.get("external", {}).get("bundle_sha256"):
        yield f"sha256 {told['external']['bundle_sha256']}  bundle"
    if run.get("platform"):
        yield f"platform {run['platform']}"
    yield from (f"{name} {version}" for name, version in told.get("versions", {}).items())


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
