"""Subgroups: a forest plot of the AUC in each kind of patient, with a test of the difference."""

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..further import arms_of, records, rows_of, shown_arm
from ..plots import forest_axis, forest_row
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
    return fill("subgroups.html.j2", facts=facts, shown=shown, axis=forest_axis())


def _shown(endpoint: EndpointFacts, arm: str, rows: pd.DataFrame) -> dict[str, Any]:
    main = endpoint.main
    whole = main.arms[arm]["auc"].estimate if main and "auc" in main.arms.get(arm, {}) else float("nan")
    chance = main.chance_of(arm) if main else 0.5
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
    return {"arm": arm, "columns": columns, "n_tests": int(rows["n_tests"].iloc[0])}
