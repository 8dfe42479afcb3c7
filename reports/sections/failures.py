"""What was asked for and not got: every failure by kind, and row by row."""

from markupsafe import Markup

from ...features.failure import COLUMNS
from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Failures"
ORDER = 60


def render(facts: Facts, result: Result) -> Markup:
    """A table by kind, and the rows behind a fold; rows beyond the limit are counted."""
    limit = facts.settings.max_failure_rows
    order = result.failures["state"].map({"failed": 0, "warned": 1, "skipped": 2}).fillna(3).sort_values(kind="stable")
    rows = result.failures.loc[order.index, COLUMNS].head(limit).astype(str).to_dict(orient="records")
    return fill("failures.html.j2", facts=facts, rows=rows, n_rows=len(result.failures))
