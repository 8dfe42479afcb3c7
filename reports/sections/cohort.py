"""Who was studied: counts, endpoints, exclusions, and what the cohort's reader decided."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Cohort"
ORDER = 10
_SHOWN = 20


def render(facts: Facts, result: Result) -> Markup:
    """Counts, one row per endpoint, exclusions by reason, ids that are one person, and the reader's notes."""
    cases = result.cases
    counts = {
        "patients": cases["patient_id"].nunique(),
        "breasts": cases["breast_id"].nunique(),
        "cases": len(cases),
    }
    ties = result.tables.get("same_person")
    pairs = None if ties is None else ties.to_dict(orient="records")
    return fill("cohort.html.j2", facts=facts, analysed=counts, same_person=pairs, shown=_SHOWN)
