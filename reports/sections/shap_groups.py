"""Credit of groups: how far each block, feature class, filter, image type and view moved the predictions."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..shap_plots import credit_bar
from ..template import fill
from ..words import kind_words

TITLE = "Credit of blocks, classes, filters and images"
ORDER = 41
SORTS = {
    "block": "Block",
    "feature_class": "Feature class",
    "filter": "Filter",
    "image_type": "Image type",
    "view": "View",
}


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint a table for each sort of group, with intervals over patients."""
    return fill("shap_groups.html.j2", facts=facts, sorts=SORTS, kind_words=kind_words, credit_bar=credit_bar)
