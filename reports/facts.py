"""Facts: what a result says, as plain numbers and words, before anything becomes a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import Field

from ..features.settings import Settings
from ..models.result import Result
from . import endpoints, readings
from .endpoints import EndpointFacts
from .readings import CaseFacts


class ReportSettings(Settings):
    """What a report shows, and how much of it."""

    arm: str = Field(
        default="fused", description="the arm that is explained; the nearest one where it has no SHAP values"
    )
    max_cases: int = Field(default=40, ge=0, le=400, description="cases with a page part of their own")
    top_features: int = Field(default=15, ge=1, le=50, description="features in the global ranking")
    waterfall_features: int = Field(
        default=10, ge=1, le=40, description="features in a case's waterfall; the rest is summed"
    )
    crop_side_px: int = Field(default=224, ge=32, le=1024, description="largest side of an embedded crop")
    max_failure_rows: int = Field(default=500, ge=0, description="failure rows printed one by one")


@dataclass(frozen=True)
class FailureKind:
    """All failures of one state, stage and code: how many, and the first one's reason."""

    state: str
    stage: str
    code: str
    n_rows: int
    n_cases: int
    reason: str


@dataclass(frozen=True)
class Facts:
    """A result as plain facts: the one source of every page, whatever its form.

    Parameters
    ----------
    name : str
        The study's name.
    phantom : bool
        True where the cohort was simulated.
    cohort : mapping
        Name, counts and notes as the result states them.
    endpoints : tuple of EndpointFacts
    cases : tuple of CaseFacts
        Those that are shown, in the order in which they were chosen.
    n_cases : int
        Cases in the result, shown or not.
    failures : tuple of FailureKind
        Most frequent first.
    learner : str
        The learner's name, empty where the provenance does not state it.
    random_weights : tuple of str
        Where the provenance says that network weights are random.
    settings : ReportSettings
    """

    name: str
    phantom: bool
    cohort: Mapping[str, Any]
    endpoints: tuple[EndpointFacts, ...]
    cases: tuple[CaseFacts, ...]
    n_cases: int
    failures: tuple[FailureKind, ...]
    learner: str
    random_weights: tuple[str, ...]
    settings: ReportSettings

    @property
    def endpoint_titles(self) -> dict[str, str]:
        """Endpoint names and their titles."""
        return {endpoint.key: endpoint.title for endpoint in self.endpoints}


def gather_facts(result: Result, settings: ReportSettings | None = None) -> Facts:
    """Everything that a report states, computed once.

    Parameters
    ----------
    result : Result
    settings : ReportSettings, optional
    """
    settings = settings or ReportSettings()
    return Facts(
        name=result.name,
        phantom=result.phantom,
        cohort={"name": result.name, "counts": {}, "notes": []} | dict(result.cohort),
        endpoints=tuple(endpoints.gather(result, key, settings.arm, settings.top_features) for key in result.endpoints),
        cases=readings.gather(
            result,
            readings.choose(result, settings.arm, settings.max_cases),
            settings.arm,
            settings.waterfall_features,
        ),
        n_cases=len(result.cases),
        failures=_failures(result.failures),
        learner=str(result.provenance.get("evaluation", {}).get("learner", "")),
        random_weights=tuple(find_random_weights(result.provenance)),
        settings=settings,
    )


def shown_cases(result: Result, settings: ReportSettings | None = None) -> list[str]:
    """Ids of the cases that a report gives a page part of their own: worst errors, most certain, typical."""
    settings = settings or ReportSettings()
    return list(readings.choose(result, settings.arm, settings.max_cases))


def find_random_weights(provenance: Any, path: str = "") -> Iterator[str]:
    """Places in a provenance that name random network weights.

    Examples
    --------
    >>> list(find_random_weights({"deep": {"weights": "random", "network": "resnet18"}}))
    ['deep.weights']
    """
    if isinstance(provenance, Mapping):
        items = list(provenance.items())
    else:
        items = list(enumerate(provenance)) if isinstance(provenance, (list, tuple)) else []
    for key, value in items:
        place = f"{path}.{key}" if path else str(key)
        named = value.get("source", "") if isinstance(value, Mapping) else value
        if key == "weights" and isinstance(named, str) and named.split(":")[0].strip().lower() == "random":
            yield place
        else:
            yield from find_random_weights(value, place)


def _failures(failures: pd.DataFrame) -> tuple[FailureKind, ...]:
    kinds = [
        FailureKind(
            str(state), str(stage), str(code), len(rows), int(rows["case_id"].nunique()), str(rows["reason"].iloc[0])
        )
        for (state, stage, code), rows in failures.groupby(["state", "stage", "code"], sort=True)
    ]
    return tuple(sorted(kinds, key=lambda kind: -kind.n_rows))
