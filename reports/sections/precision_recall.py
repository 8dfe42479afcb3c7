"""Precision-recall curves of every arm at each endpoint's main level, with the share of positives and one band."""

from collections.abc import Iterable, Iterator

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..figures import arm_class
from ..further import arms_of, points, rows_of, shown_arm
from ..plots import Point, square
from ..template import fill

TITLE = "Precision-recall curves"
ORDER = 31


def render(facts: Facts, result: Result) -> Markup:
    """One square per endpoint with all arms, and the AUPRC of the table beside it."""
    shown = {}
    for endpoint in facts.endpoints:
        rows = rows_of(result, "precision_recall_curve", endpoint)
        if not rows.empty and endpoint.main is not None:
            arms = arms_of(rows)
            banded = shown_arm(endpoint, [arm for arm in arms if rows.loc[rows["arm"] == arm, "low"].notna().any()])
            shown[endpoint.key] = {"arms": arms, "banded": banded, "figure": _figure(endpoint, rows, arms, banded)}
    return fill("precision_recall.html.j2", facts=facts, shown=shown, arm_class=arm_class)


def _figure(endpoint: EndpointFacts, rows: pd.DataFrame, arms: list[str], banded: str) -> Markup:
    steps = {arm: list(_steps(points(rows[rows["arm"] == arm], "recall", "precision"))) for arm in arms}
    share = float(rows["n_positive"].iloc[0] / rows["n"].iloc[0])
    return square(
        [(arm, [(point.x, point.y) for point in steps[arm]]) for arm in arms],
        (banded, steps.get(banded, [])),
        [(0, share), (1, share)],
        ("recall (sensitivity)", "precision (PPV)"),
        f"Precision-recall curves, {endpoint.title}, by {endpoint.level}: {len(arms)} arms",
    )


def _steps(known: Iterable[Point]) -> Iterator[Point]:
    """A precision holds from the recall before to its own."""
    before = 0.0
    for point in known:
        yield point._replace(x=before)
        yield point
        before = point.x
