"""How well each arm predicts, with intervals, and what each adds to another."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..figures import interval_bar
from ..template import fill
from ..words import AGGREGATE_WORDS

TITLE = "Arms"
ORDER = 20


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint the main level's metrics and paired differences; those of the other levels behind a fold."""
    return fill("arms.html.j2", facts=facts, interval_bar=interval_bar, aggregate_words=AGGREGATE_WORDS)
