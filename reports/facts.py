"""Facts: what a result says, as plain numbers and words, before anything becomes a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from ..features.settings import Settings
from ..models.result import Result
from . import case_index, caveats, choice, endpoints, readings
from .case_index import IndexRow
from .endpoints import EndpointFacts
from .readings import CaseFacts


class ReportSettings(Settings):
    """What a report shows, and how much of it."""

    arm: str = Field(
        default="fused", description="the arm that is explained; the nearest one where it has no SHAP values"
    )
    max_cases: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        default=40, description="cases with a part of their own, pictures in it; or all"
    )
    cases_in_file: int = Field(
        default=40,
        ge=0,
        le=400,
        description="most such cases in the report's own file; the others stand on pages beside it",
    )
    top_features: int = Field(default=15, ge=1, le=50, description="features in the global ranking")
    waterfall_features: int = Field(
        default=10, ge=1, le=40, description="features in a case's waterfall; the rest is summed"
    )
    crop_side_px: int = Field(default=224, ge=32, le=1024, description="largest side of an embedded crop")
    maps: bool = Field(default=True, description="SHAP values of the shown cases spread over their pixels")
    local_maps: int = Field(
        default=3, ge=0, le=10, description="radiomics features of each shown case and endpoint with a local map"
    )
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
    index : tuple of IndexRow
        Every case at every endpoint.
    n_here : int
        Shown cases in the report's own file, the first ones; the others stand on pages beside it.
    places : mapping of str to str
        Where each shown case stands, as a link from the report's own file.
    failures : tuple of FailureKind
        Most frequent first.
    learner : str
        The learner's name, empty where the provenance does not state it.
    random_weights : tuple of str
        Where the provenance says that network weights are random.
    caveats : tuple of str
        What could explain every figure, such as the way masks were drawn.
    settings : ReportSettings
    """

    name: str
    phantom: bool
    cohort: Mapping[str, Any]
    endpoints: tuple[EndpointFacts, ...]
    cases: tuple[CaseFacts, ...]
    n_cases: int
    index: tuple[IndexRow, ...]
    n_here: int
    places: Mapping[str, str]
    failures: tuple[FailureKind, ...]
    learner: str
    random_weights: tuple[str, ...]
    caveats: tuple[str, ...]
    settings: ReportSettings

    @property
    def endpoint_titles(self) -> dict[str, str]:
        """Endpoint names and their titles."""
        return {endpoint.key: endpoint.title for endpoint in self.endpoints}

    def placed(self, n_here: int, stem: str) -> Facts:
        """The same facts with that many cases in the report's own file, which is called `stem`."""
        return replace(self, n_here=n_here, places=case_index.places(self.cases, n_here, f"{stem}_cases"))


def gather_facts(result: Result, settings: ReportSettings | None = None) -> Facts:
    """Everything that a report states, computed once.

    Parameters
    ----------
    result : Result
    settings : ReportSettings, optional
    """
    settings = settings or ReportSettings()
    cases = readings.gather(result, _chosen(result, settings), settings.arm, settings.waterfall_features)
    return Facts(
        name=result.name,
        phantom=result.phantom,
        cohort={"name": result.name, "counts": {}, "notes": []} | dict(result.cohort),
        endpoints=tuple(endpoints.gather(result, key, settings.arm, settings.top_features) for key in result.endpoints),
        cases=cases,
        n_cases=len(result.cases),
        index=case_index.gather(result, settings.arm),
        n_here=len(cases),
        places={},
        failures=_failures(result.failures),
        learner=str(result.provenance.get("evaluation", {}).get("learner", "")),
        random_weights=tuple(find_random_weights(result.provenance)),
        caveats=caveats.gather(result),
        settings=settings,
    ).placed(min(settings.cases_in_file, len(cases)), "report")


def shown_cases(result: Result, settings: ReportSettings | None = None) -> list[str]:
    """Ids of the cases that a report gives a page part of their own: worst errors, most certain, typical."""
    settings = settings or ReportSettings()
    return list(_chosen(result, settings))


def _chosen(result: Result, settings: ReportSettings) -> dict[str, tuple[choice.Reason, ...]]:
    if settings.max_cases != "all":
        return choice.choose(result, settings.arm, settings.max_cases)
    chosen = choice.choose(result, settings.arm, len(result.cases))
    return chosen | {str(case_id): () for case_id in result.cases.index if str(case_id) not in chosen}


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
