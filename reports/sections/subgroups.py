"""Subgroups: a forest plot of the AUC in each kind of patient, with a test of the difference."""

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ...models.scoring import ScoringSettings
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..further import arms_of, records, rows_of, shown_arm
from ..plots import forest_axis, forest_row, forest_whole
from ..template import fill

TITLE = "Subgroups"
ORDER = 36


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint a forest plot of the explained arm; the other arms behind a fold."""
    shown = {}
    for endpoint in facts.endpoints:
        rows = rows_of(result, "subgroups", endpoint)
        if not rows.empty:
            first = shown_arm(endpoint, arms_of(rows))
            order = [first, *(arm for arm in arms_of(rows) if arm != first)]
            shown[endpoint.key] = [_shown(endpoint, arm, rows[rows["arm"] == arm]) for arm in order]
    scoring = result.provenance.get("evaluation", {}).get("scoring", {})
    return fill(
        "subgroups.html.j2",
        facts=facts,
        shown=shown,
        axis=forest_axis(),
        least=scoring.get("subgroup_patients", ScoringSettings().subgroup_patients),
    )


def _shown(endpoint: EndpointFacts, arm: str, rows: pd.DataFrame) -> dict[str, Any]:
    main = endpoint.main
    auc = main.arms.get(arm, {}).get("auc") if main else None
    chance = main.chance_of(arm) if main else 0.5
    whole = auc.estimate if auc else math.nan
    diamond = forest_whole(auc.estimate, auc.low, auc.high, chance) if auc and auc.estimable else None
    n = max(int(rows.groupby("column")["n"].sum().max()), 1)
    columns: dict[str, dict[str, Any]] = {}
    for row in records(rows):
        bar = None
        if math.isfinite(row.auc):
            bar = forest_row(row.auc, row.auc_low, row.auc_high, row.n / n, whole, chance, arm)
        column = columns.setdefault(row.column, {"groups": [], "tested": None})
        column["groups"].append({"row": row, "bar": bar})
        if math.isfinite(row.p_interaction):
            column["tested"] = row
    return {
        "arm": arm,
        "columns": columns,
        "n_tests": int(rows["n_tests"].iloc[0]),
        "whole": main,
        "estimates": main.arms.get(arm, {}) if main else {},
        "diamond": diamond,
    }
