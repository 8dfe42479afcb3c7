"""Guideline sheets: items of CLEAR, METRICS, TRIPOD+AI and CLAIM that this run answers, each with a link."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..guidelines import DOIS, NAMES, NO_SCORE, gather, sheets
from ..template import fill
from . import SHELF

TITLE = "Guideline sheets"
ORDER = 85


def render(facts: Facts, result: Result) -> Markup:
    """Four tables behind folds: what an item asks for, its mark, where the evidence is, what the author adds."""
    items = gather(result)
    titles = {name: SHELF.take(name).TITLE for name in {name for item in items for name in item.sections}}
    return fill("guidelines.html.j2", sheets=list(sheets(items)), names=NAMES, dois=DOIS, titles=titles, words=NO_SCORE)
