"""Clusters: features that stand for each other, with the credit that they share."""

from markupsafe import Markup

from ...models.clusters import LEAST, MOST
from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Features that stand for each other"
ORDER = 42


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint the clusters that moved predictions most: members, shared credit, and what could stand in."""
    return fill("shap_clusters.html.j2", facts=facts, least=LEAST, most=MOST, top=facts.settings.top_features)
