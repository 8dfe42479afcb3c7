"""Flow diagram: patients and lesions in, left out with the reason, and analysed, for each endpoint."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..flow import gather
from ..template import fill

TITLE = "Flow of patients"
ORDER = 11


def render(facts: Facts, result: Result) -> Markup:
    """Boxes from what was read to what is analysed; in each endpoint's column the numbers add up."""
    return fill("flow.html.j2", facts=facts, flow=gather(result))
