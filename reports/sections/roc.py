"""ROC curves of every arm at each endpoint's main level, averaged over folds."""

from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..figures import arm_class, roc
from ..template import fill

TITLE = "ROC curves"
ORDER = 30


def render(facts: Facts, result: Result) -> Markup:
    """One square per endpoint with all arms, and the AUC of the table beside it."""
    figures = {
        endpoint.key: roc(
            [(curve.arm, curve.false_positive_rate, curve.true_positive_rate) for curve in endpoint.curves],
            f"ROC curves, {endpoint.title}, by {endpoint.level}: {len(endpoint.curves)} arms",
        )
        for endpoint in facts.endpoints
        if endpoint.curves
    }
    return fill("roc.html.j2", facts=facts, figures=figures, arm_class=arm_class)
