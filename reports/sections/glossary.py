"""The glossary: what each feature measures that a case names, with IBSI's code where there is one."""

from markupsafe import Markup

from ...models.result import Result
from ..case_accounts import named_features
from ..facts import Facts
from ..feature_meaning import glossary
from ..template import fill

TITLE = "What the features measure"
ORDER = 55


def render(facts: Facts, result: Result) -> Markup:
    """Features, filters, pictures and deep features, each once; empty where no case names a feature."""
    kinds = glossary(named_features(facts.cases))
    return fill("glossary.html.j2", kinds=kinds) if kinds else Markup()
