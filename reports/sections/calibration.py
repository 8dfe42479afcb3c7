"""Calibration of every arm: curves, observed over expected, slope, and how far predictions lie off."""

from markupsafe import Markup

from ...models.result import Result
from .. import plots
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..further import arms_of, estimates, points, rows_of
from ..template import fill

TITLE = "Calibration"
ORDER = 32


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint a small square for each arm, and a table of the measures."""
    shown = {endpoint.key: estimates(rows_of(result, "calibration", endpoint)) for endpoint in facts.endpoints}
    figures = {endpoint.key: _figures(result, endpoint) for endpoint in facts.endpoints}
    return fill("calibration.html.j2", facts=facts, shown=shown, figures=figures)


def _figures(result: Result, endpoint: EndpointFacts) -> dict[str, Markup]:
    rows = rows_of(result, "calibration_curve", endpoint)
    found = {}
    for arm in arms_of(rows):
        mine = rows[rows["arm"] == arm]
        groups, smooth = (points(mine[mine["kind"] == kind], "predicted", "observed") for kind in ("group", "smooth"))
        found[arm] = plots.calibration(groups, smooth, arm, f"Calibration, {endpoint.title}: {arm}")
    return found
