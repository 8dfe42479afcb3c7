"""How well each arm predicts, with intervals, and what each adds to another."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..figures import interval_bar
from ..template import fill

TITLE = "Arms"
ORDER = 20


def render(facts: Facts, result: Result) -> Markup:
    """One table of metrics per endpoint and level, and the paired differences below it."""
    levels = list(dict.fromkeys(level.level for endpoint in facts.endpoints for level in endpoint.levels))
    return fill("arms.html.j2", facts=facts, levels=levels, interval_bar=interval_bar)
