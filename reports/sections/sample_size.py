"""Whether there were enough patients for the models that were made, by criteria stated beforehand."""

import math

from markupsafe import Markup

from ...models.result import Result
from ...models.sample_size import TREE_EVENTS
from ..facts import Facts
from ..template import fill

TITLE = "Sample size"
ORDER = 15


def render(facts: Facts, result: Result) -> Markup:
    """A row per endpoint and arm: what there is, what the criteria ask for, and how much the models overfit."""
    table = result.tables.get("sample_size")
    rows = [] if table is None else [dict(zip(table, row, strict=True)) for row in table.itertuples(index=False)]
    for row in rows:
        row["prediction_error"] = None if math.isnan(row["prediction_error"]) else int(row["prediction_error"])
    short = [row for row in rows if row["n"] < row["needed"]]
    return fill("sample_size.html.j2", facts=facts, rows=rows, short=short, tree_events=TREE_EVENTS)
