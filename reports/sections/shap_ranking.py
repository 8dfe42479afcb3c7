"""What the explained arm leans on: its features, its blocks, its pictures, and how steadily."""

from typing import Any

from markupsafe import Markup

from ...models.result import Result
from ..explanation import Explanation
from ..facts import Facts
from ..figures import N_HUES, share_bar, swarm, swarm_axis
from ..template import fill

TITLE = "Explanation (SHAP)"
ORDER = 40


def render(facts: Facts, result: Result) -> Markup:
    """A beeswarm per endpoint with the features' steadiness, and the shares of blocks and pictures."""
    figures = {
        endpoint.key: _figures(endpoint.explanation)
        for endpoint in facts.endpoints
        if endpoint.explanation is not None and endpoint.explanation.ranking
    }
    return fill("shap_ranking.html.j2", facts=facts, figures=figures, n_hues=N_HUES, share_bar=share_bar)


def _figures(explanation: Explanation) -> dict[str, Any]:
    values = [value for feature in explanation.ranking for value in feature.shap]
    low, high = min(0.0, *values), max(0.0, *values)
    domain = (low, high) if high > low else (-1.0, 1.0)
    return {
        "rows": [swarm(feature.shap, feature.rank, domain) for feature in explanation.ranking],
        "axis": swarm_axis(domain),
    }
