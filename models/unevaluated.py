"""A result without predictions: of a study whose endpoints cannot be estimated, or that names none."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..features.table import FeatureTable
from .design import Design
from .evaluate import EvaluationSettings
from .outcome import long_tables
from .result import EXCLUSION_COLUMNS, Result
from .scoring import score


def unevaluated(
    table: FeatureTable, designs: Sequence[Design], settings: EvaluationSettings, why: str, *, name: str
) -> Result:
    """A result that has the cases and, for each endpoint, the reason why there is nothing.

    Parameters
    ----------
    table : FeatureTable
    designs : sequence of Design
        One per endpoint; there may be none.
    settings : EvaluationSettings
    why : str
    name : str
        The study's name.
    """
    problems = {design.name: why for design in designs}
    severest = {design.name: design.severest for design in designs}
    long = long_tables([])
    metrics, differences = score(
        long.predictions, settings.arms, settings.scoring, settings.seed, problems, {}, severest
    )
    exclusions = [design.exclusions for design in designs]
    return Result(
        name=name,
        phantom=bool(table.provenance.get("phantom", False)),
        **long._asdict(),
        metrics=metrics,
        differences=differences,
        exclusions=pd.concat(exclusions)[EXCLUSION_COLUMNS] if exclusions else pd.DataFrame(columns=EXCLUSION_COLUMNS),
        cases=table.cases,
        clinical=table.values[table.columns_of("clinical")],
        failures=table.failures,
        endpoints={design.name: design.summary() for design in designs},
        folds={},
        provenance={
            "seed": settings.seed,
            "evaluation": settings.model_dump(mode="json"),
            "endpoints_not_estimable": problems,
        },
    )
