"""Which features other masks would have changed: agreement of replicates, by family and class, and in the folds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.replicates import MIN_ICC, STABILITY_COLUMNS, shares_stable
from ...models.result import Result
from ..facts import Facts
from ..figures import arm_class, share_bar
from ..histogram import histogram
from ..template import fill

TITLE = "Feature stability"
ORDER = 45
N_BINS = 20


def render(facts: Facts, result: Result) -> Markup:
    """Share of stable features by family and class, a histogram of lower bounds, and what each fold kept."""
    stability = result.tables.get("stability", pd.DataFrame(columns=STABILITY_COLUMNS))
    asked = (result.provenance.get("evaluation") or {}).get("stability") or {}
    min_icc = float(asked.get("min_icc", MIN_ICC))
    known = stability[stability["low"].notna()]
    blocks = {str(name): of["low"].tolist() for name, of in known.groupby("family", sort=False)}
    return fill(
        "stability.html.j2",
        n_columns=len(stability),
        n_unknown=len(stability) - len(known),
        n_cases=_span(known["n_cases"]),
        n_replicates=_span(stability["n_replicates"]),
        min_icc=min_icc,
        shares=shares_stable(stability, min_icc).to_dict("records"),
        figure=histogram(
            blocks,
            n_bins=N_BINS,
            mark=min_icc,
            label=f"Lower bounds of the ICC of {len(known)} features",
            axis="lower bound of ICC(2,1)",
            of="features",
        )
        if len(known)
        else None,
        families=list(blocks),
        folds=_folds(facts, result),
        arm_class=arm_class,
        share_bar=share_bar,
    )


def _folds(facts: Facts, result: Result) -> list[dict[str, Any]]:
    """Per endpoint and family, the least and the most that a fold kept."""
    folds = result.tables.get("stability_folds")
    if folds is None:
        return []
    return [
        {
            "title": facts.endpoint_titles.get(str(endpoint), str(endpoint)),
            "family": str(family),
            "n_columns": _span(of["n_columns"]),
            "n_stable": _span(of["n_stable"]),
            "n_cases": _span(of["n_cases"]),
            "n_folds": len(of),
        }
        for (endpoint, family), of in folds.groupby(["endpoint", "family"], sort=False)
    ]


def _span(numbers: pd.Series[Any]) -> str:
    """The least and the largest of some counts, once where they are the same."""
    if not len(numbers):
        return "no"
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
