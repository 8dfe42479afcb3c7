"""The reader's pages: each shown case's pictures beside its predictions and its SHAP waterfalls."""

from markupsafe import Markup

from ...models.result import Result
from ..case_page import render_case
from ..facts import Facts
from ..template import fill

TITLE = "Cases"
ORDER = 50


def render(facts: Facts, result: Result) -> Markup:
    """One part per case, the first of them open."""
    parts = [render_case(facts, result, case, opened=at == 0) for at, case in enumerate(facts.cases)]
    return fill("cases.html.j2", facts=facts, parts=parts)
