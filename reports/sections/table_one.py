"""Table 1: what the patients and lesions are like, by class of each endpoint and by side of the split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ..characteristics import Variable, rows_of, variables
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..flow import persons_in
from ..template import fill
from ..words import MISSING_WORDS

TITLE = "Characteristics (Table 1)"
ORDER = 13
TRAINING_ONLY = "split.training"
_EVERYONE = {"external": "All judged"}


def render(facts: Facts, result: Result) -> Markup:
    """One table per endpoint, the first open; another by side where some patients only ever train."""
    _, left_out = variables(result)
    shown = described(facts, result)
    return fill(
        "table_one.html.j2",
        facts=facts,
        shown=shown,
        left_out=left_out,
        missing=MISSING_WORDS.get(facts.learner, ""),
        everyone=all(table["sides"] is None for table in shown),
        external=any(table["endpoint"].folds.get("by") == "external" for table in shown),
        repeated=any(table["endpoint"].folds.get("n_repeats", 1) > 1 for table in shown),
    )


def described(facts: Facts, result: Result) -> list[dict[str, Any]]:
    """Of each endpoint that was evaluated, its table by class, and that by side of the split where it has sides."""
    known, _ = variables(result)
    persons = persons_in(result)
    return [table for endpoint in facts.endpoints if (table := _shown(endpoint, result, known, persons))]


def _shown(
    endpoint: EndpointFacts, result: Result, known: Sequence[Variable], persons: pd.Series[str]
) -> dict[str, Any] | None:
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
        "classes": _table(
            known,
            persons,
            (_EVERYONE.get(endpoint.folds.get("by", ""), "All held out"), *classes),
            (held, negative, positive),
        ),
        "sides": _table(known, persons, ("Training only", "Held out"), (training, held)) if training else None,
    }


def _table(
    known: Sequence[Variable], persons: pd.Series[str], names: Sequence[str], groups: Sequence[Sequence[str]]
) -> dict[str, Any]:
    return {
        "names": names,
        "patients": [int(persons.loc[list(ids)].nunique()) for ids in groups],
        "lesions": [len(ids) for ids in groups],
        "rows": list(rows_of(known, groups)),
    }
