"""How steady the ranking is over models and patients, and whether permutation importance agrees with it."""

from markupsafe import Markup

from ...features.errors import TableError
from ...features.table import ColumnName
from ...models.result import Result
from ..facts import Facts
from ..shap_plots import places_bar, scatter
from ..shap_rivals import Permuted
from ..template import fill

TITLE = "How steady the ranking is"
ORDER = 43


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint the stability of the choice, the places of the first features, and the second opinion."""
    told = {endpoint.key: endpoint.explanation for endpoint in facts.endpoints}
    figures = {
        key: _figure(of.further.permuted, key)
        for key, of in told.items()
        if of is not None and of.further.permuted is not None
    }
    return fill("shap_steadiness.html.j2", facts=facts, figures=figures, places_bar=places_bar)


def _figure(permuted: Permuted, key: str) -> Markup:
    points = [(one.shap, one.cost, _block(one.name)) for one in permuted.features]
    label = f"Mean |SHAP| and permutation importance of {len(points)} features, {key}"
    return scatter(points, ("mean |SHAP| (log odds)", "rise of the log loss"), label)


def _block(name: str) -> str:
    try:
        return ColumnName.parse(name).family
    except TableError:
        return ""
