"""ROC curves of every arm at each endpoint's main level, averaged over folds, with one arm's band."""

from markupsafe import Markup

from ...models.result import Result
from ..endpoints import EndpointFacts
from ..facts import Facts
from ..figures import arm_class
from ..further import points, rows_of, shown_arm
from ..plots import square
from ..template import fill

TITLE = "ROC curves"
ORDER = 30


def render(facts: Facts, result: Result) -> Markup:
    """One square per endpoint with all arms, and the AUC of the table beside it."""
    banded = {endpoint.key: _banded(endpoint, result) for endpoint in facts.endpoints}
    figures = {
        endpoint.key: _figure(endpoint, result, banded[endpoint.key]) for endpoint in facts.endpoints if endpoint.curves
    }
    return fill("roc.html.j2", facts=facts, figures=figures, banded=banded, arm_class=arm_class)


def _banded(endpoint: EndpointFacts, result: Result) -> str:
    rows = rows_of(result, "roc_curve", endpoint)
    known = [] if rows.empty else list(rows.loc[rows["low"].notna(), "arm"].unique())
    return shown_arm(endpoint, [curve.arm for curve in endpoint.curves if curve.arm in known])


def _figure(endpoint: EndpointFacts, result: Result, banded: str) -> Markup:
    rows = rows_of(result, "roc_curve", endpoint)
    return square(
        [
            (curve.arm, list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)))
            for curve in endpoint.curves
        ],
        (banded, points(rows[rows["arm"] == banded], "false_positive_rate", "sensitivity") if banded else []),
        [(0, 0), (1, 1)],
        ("1 \u2212 specificity", "sensitivity"),
        f"ROC curves, {endpoint.title}, by {endpoint.level}: {len(endpoint.curves)} arms",
    )
