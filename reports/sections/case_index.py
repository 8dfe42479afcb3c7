"""Every case in one table: truth, probability, call and outcome at each endpoint, to sort, to filter, to open."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "All cases"
ORDER = 48


def render(facts: Facts, result: Result) -> Markup:
    """One row per case and endpoint; a case with a part of its own is a link to it."""
    return fill(
        "case_index.html.j2",
        facts=facts,
        outcomes=sorted({row.outcome for row in facts.index}),
        numbers={endpoint.key: number for number, endpoint in enumerate(facts.endpoints, start=1)},
        external=any(endpoint.folds.get("by") == "external" for endpoint in facts.endpoints),
    )
