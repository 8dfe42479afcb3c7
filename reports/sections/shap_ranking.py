"""What the explained arm leans on: its features, and in how many folds they were chosen."""

from typing import Any

from markupsafe import Markup

from ...models.result import Result
from ..explanation import Explanation
from ..facts import Facts
from ..figures import N_HUES, swarm, swarm_axis
from ..template import fill

TITLE = "Explanation (SHAP)"
ORDER = 40


def render(facts: Facts, result: Result) -> Markup:
    """A beeswarm per endpoint, and which kind of SHAP values it shows."""
    figures = {
        endpoint.key: _figures(endpoint.explanation)
        for endpoint in facts.endpoints
        if endpoint.explanation is not None and endpoint.explanation.ranking
    }
    return fill("shap_ranking.html.j2", facts=facts, figures=figures, n_hues=N_HUES)


def _figures(explanation: Explanation) -> dict[str, Any]:
    values = [value for feature in explanation.ranking for value in feature.shap]
    low, high = min(0.0, *values), max(0.0, *values)
    domain = (low, high) if high > low else (-1.0, 1.0)
    return {
        "rows": [swarm(feature.shap, feature.rank, domain) for feature in explanation.ranking],
        "axis": swarm_axis(domain),
    }
