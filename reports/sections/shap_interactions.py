"""Interactions: what pairs of features say together, beyond what each says alone."""

from markupsafe import Markup

from ...models.accounts.interactions import MOST_FEATURES
from ...models.result import Result
from ..facts import Facts
from ..figures import share_bar
from ..template import fill

TITLE = "Features that act together"
ORDER = 44


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint the share of interactions, the strongest pairs, and the blocks that they join."""
    return fill("shap_interactions.html.j2", facts=facts, most=MOST_FEATURES, share_bar=share_bar)
