"""An external evaluation: which bundle was judged on whom, and how often that was done before."""

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.external import TABLE_COLUMNS
from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "External evaluation"
ORDER = 5


def render(facts: Facts, result: Result) -> Markup:
    """The bundle's hash and origin, its promise beside what was found, and the ledger's count."""
    told = result.provenance.get("external")
    if not told:
        return Markup()
    table = result.tables.get("external", pd.DataFrame(columns=TABLE_COLUMNS))
    found = {item.key: item.main.arms for item in facts.endpoints if item.main is not None}
    rows: list[dict[str, Any]] = []
    for record in table.to_dict(orient="records"):
        row = {str(name): value for name, value in record.items()}
        promised = tuple(float(row[name]) for name in ("promised_auc", "promised_low", "promised_high"))
        auc = found.get(str(row["endpoint"]), {}).get(str(row["arm"]), {}).get("auc")
        rows.append(
            row
            | {
                "title": facts.endpoint_titles.get(str(row["endpoint"]), str(row["endpoint"])),
                "promised": promised if math.isfinite(promised[0]) else None,
                "auc": auc if auc is not None and auc.estimable else None,
            }
        )
    return fill("external.html.j2", facts=facts, told=told, rows=rows)
