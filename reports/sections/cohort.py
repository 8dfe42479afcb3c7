"""Who was studied: counts, endpoints, exclusions, and what the cohort's reader decided."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Cohort"
ORDER = 10


def render(facts: Facts, result: Result) -> Markup:
    """Counts, one row per endpoint, exclusions by reason, and the reader's notes."""
    cases = result.cases
    counts = {
        "patients": cases["patient_id"].nunique(),
        "breasts": cases["breast_id"].nunique(),
        "cases": len(cases),
    }
    return fill("cohort.html.j2", facts=facts, analysed=counts)
