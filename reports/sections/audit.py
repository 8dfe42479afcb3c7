"""The leak audit in plain words, and what models reach that know nothing of the lesion's inside."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.confounders import ARTEFACTS
from ...models.result import Result
from ..facts import Facts
from ..figures import interval_bar
from ..template import fill

TITLE = "Leak audit"
ORDER = 45

QUESTIONS = {
    "row garbage": "Does anything held out reach the model?",
    "planted feature": "Does a feature that gives the answer away only in held-out rows help?",
    "permuted labels": "Is anything found once the labels are shuffled among patients?",
    "p-values": "Are p-values evenly spread once the labels are shuffled?",
    "permutation p-value": "How often does chance do as well as this result?",
    "noise features": "Is anything found in pure noise?",
    "interval covers 0.5": "Does the interval tell the truth about noise?",
    "views of a person": "Are patients recognised instead of their disease?",
    "duplicate person": "Is one picture there under two patients?",
    "shuffled voxels": "Does shuffling the voxels inside the masks change texture alone?",
    "shuffled voxels: AUC": "Does radiomics need the arrangement of the voxels?",
}
"""Checks as a reader would ask; one without a question keeps its name."""
PANEL_TITLES = {
    "size": "Lesion size",
    "site": "Site",
    "vendor": "Vendor",
    "age": "Age",
    "breast": "Breast density and BPE",
    "drawing": "How the mask was drawn",
    "geometry": "Mask geometry and position",
}


def render(facts: Facts, result: Result) -> Markup:
    """The checks, failed ones first, and per endpoint the panel of confounders beside its best arm."""
    audit, panel = (result.tables.get(name) for name in ("audit", "confounders"))
    checks = [] if audit is None else [row for row in audit.to_dict("records") if not _is_panel(row)]
    order = {"failed": 0, "finding": 1, "passed": 2, "not applicable": 3}
    return fill(
        "audit.html.j2",
        caveats=facts.caveats,
        checks=sorted((_check(row, facts) for row in checks), key=lambda row: order.get(row["state"], 9)),
        audited=audit is not None,
        panels=[] if panel is None else [_panel(panel, key, facts) for key in panel["endpoint"].unique()],
        interval_bar=interval_bar,
    )


def _is_panel(row: Mapping[Any, Any]) -> bool:
    return str(row["check"]).startswith("confounder: ")


def _check(row: Mapping[Any, Any], facts: Facts) -> dict[str, object]:
    name = str(row["check"])
    return {
        "question": QUESTIONS.get(name, name),
        "endpoint": facts.endpoint_titles.get(str(row["endpoint"]), str(row["endpoint"])),
        "state": str(row["state"]),
        "text": str(row["text"]),
    }


def _panel(panel: pd.DataFrame, key: str, facts: Facts) -> dict[str, object]:
    rows = [_row(row) for row in panel[panel["endpoint"] == key].to_dict("records")]
    named = {
        kind: [str(row["title"]) for row in rows if row["explains"] and row["artefact"] == kind]
        for kind in (True, False)
    }
    title = facts.endpoint_titles.get(key, key)
    return {"title": title, "rows": rows, "artefacts": named[True], "suspects": named[False], "first": rows[0]}


def _row(row: Mapping[Any, Any]) -> dict[str, object]:
    numbers = {name: _number(row[name]) for name in ("auc", "low", "high", "chance", "difference",
                                                     "difference_low", "difference_high")}  # fmt: skip
    return numbers | {
        "title": PANEL_TITLES.get(str(row["panel"]), str(row["panel"])),
        "arm": str(row["arm"]),
        "level": str(row["level"]),
        "n": row["n"],
        "n_positive": row["n_positive"],
        "n_columns": row["n_columns"],
        "explains": bool(row["explains"]),
        "artefact": row["panel"] in ARTEFACTS,
        "estimable": math.isfinite(numbers["auc"]),
        "compared": math.isfinite(numbers["difference"]),
        "method": str(row["method"]),
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
