"""Decision curves: what acting on each arm is worth against acting on everyone or on no one."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.decision import ALL, NONE
from ...models.result import Result
from .. import plots
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..figures import arm_class
from ..further import arms_of, points, records, rows_of, shown_arm
from ..template import fill

TITLE = "Decision curves"
ORDER = 34
AT = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Thresholds that the table holds, where the curve has them."""


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint one plot of all arms, and net benefit at a few thresholds."""
    shown = {}
    for endpoint in facts.endpoints:
        rows = rows_of(result, "decision_curve", endpoint)
        if not rows.empty:
            shown[endpoint.key] = _shown(endpoint, rows)
    return fill("decision_curve.html.j2", facts=facts, shown=shown, arm_class=arm_class)


def _shown(endpoint: EndpointFacts, rows: pd.DataFrame) -> dict[str, Any]:
    arms = arms_of(rows, (ALL, NONE))
    banded = shown_arm(endpoint, arms)
    by_arm = {arm: rows[rows["arm"] == arm] for arm in (*arms, ALL, NONE)}
    curves = [(arm, points(by_arm[arm], "threshold", "net_benefit")) for arm in arms]
    figure = plots.decision(
        curves, points(by_arm[ALL], "threshold", "net_benefit"), banded, f"Decision curves, {endpoint.title}"
    )
    known = [at for at in AT if (rows["threshold"] - at).abs().min() < 1e-9]
    cells = {
        arm: [next(records(mine[(mine["threshold"] - at).abs() < 1e-9])) for at in known]
        for arm, mine in by_arm.items()
        if arm != NONE
    }
    return {"figure": figure, "arms": arms, "banded": banded, "thresholds": known, "cells": cells}
