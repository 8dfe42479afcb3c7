"""Table 1: what the patients and lesions are like, by class of each endpoint and by side of the split."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ..characteristics import Variable, rows_of, variables
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..template import fill
from ..words import MISSING_WORDS

TITLE = "Characteristics (Table 1)"
ORDER = 13
TRAINING_ONLY = "split.training"


def render(facts: Facts, result: Result) -> Markup:
    """One table per endpoint, the first open; another by side where some patients only ever train."""
    known, left_out = variables(result)
    shown = [table for endpoint in facts.endpoints if (table := _shown(endpoint, result, known))]
    return fill(
        "table_one.html.j2",
        facts=facts,
        shown=shown,
        left_out=left_out,
        missing=MISSING_WORDS.get(facts.learner, ""),
        everyone=all(table["sides"] is None for table in shown),
    )


def _shown(endpoint: EndpointFacts, result: Result, known: Sequence[Variable]) -> dict[str, Any] | None:
    predictions = result.predictions[result.predictions["endpoint"] == endpoint.key]
    truth = predictions.groupby("case_id", sort=False)["truth"].max()
    if truth.empty:
        return None
    held = list(truth.index)
    negative, positive = ([case_id for case_id in held if (truth[case_id] > 0.5) == kind] for kind in (False, True))
    rows = result.exclusions[result.exclusions["endpoint"] == endpoint.key]
    training = list(rows.loc[rows["reason"].str.startswith(TRAINING_ONLY), "case_id"])
    classes = (f"not {endpoint.positive}", endpoint.positive)
    return {
        "endpoint": endpoint,
        "classes": _table(known, result.cases, ("All held out", *classes), (held, negative, positive)),
        "sides": _table(known, result.cases, ("Training only", "Held out"), (training, held)) if training else None,
    }


def _table(
    known: Sequence[Variable], cases: pd.DataFrame, names: Sequence[str], groups: Sequence[Sequence[str]]
) -> dict[str, Any]:
    return {
        "names": names,
        "patients": [int(cases.loc[list(ids), "patient_id"].nunique()) for ids in groups],
        "lesions": [len(ids) for ids in groups],
        "rows": list(rows_of(known, groups)),
    }
