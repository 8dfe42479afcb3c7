"""Endpoints of several classes: what all their models are together, and which classes are taken for which."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.result import Result
from ..facts import Facts
from ..template import fill

TITLE = "Classes"
ORDER = 25

METRICS = {
    "auc_macro": "AUC, mean of one class against the rest",
    "hand_till": "Hand and Till's M, mean AUC of pairs of classes",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
}


def render(facts: Facts, result: Result) -> Markup:
    """Per endpoint the figures of every arm, and the confusion matrix of the explained arm, the others folded."""
    needed = [result.tables.get(name, pd.DataFrame()) for name in ("classes", "multiclass", "confusion")]
    parts = [] if needed[0].empty else list(_parts(*needed, arm=facts.settings.arm))
    return fill("classes.html.j2", parts=parts, metrics=METRICS) if parts else Markup()


def _parts(
    classes: pd.DataFrame, figures: pd.DataFrame, confusion: pd.DataFrame, *, arm: str
) -> Iterator[dict[str, Any]]:
    for endpoint, rows in classes.groupby("endpoint", sort=False):
        mine = figures[figures["endpoint"] == endpoint]
        cells = confusion[confusion["endpoint"] == endpoint]
        matrices = [_matrix(str(name), part, rows) for name, part in cells.groupby("arm", sort=False)]
        yield {
            "title": str(rows["endpoint_title"].iloc[0]),
            "level": str(rows["level"].iloc[0]),
            "classes": rows.to_dict("records"),
            "arms": {str(name): _by_metric(part) for name, part in mine.groupby("arm", sort=False)},
            "chance": mine.dropna(subset="chance").groupby("metric")["chance"].first().to_dict(),
            "methods": list(dict.fromkeys(mine.dropna(subset="estimate")["method"])),
            "matrices": sorted(matrices, key=lambda matrix: matrix["arm"] != arm),
        }


def _by_metric(figures: pd.DataFrame) -> dict[str, dict[str, Any]]:
    rows = [{str(key): value for key, value in row.items()} for row in figures.to_dict("records")]
    return {row["metric"]: row for row in rows}


def _matrix(arm: str, cells: pd.DataFrame, classes: pd.DataFrame) -> dict[str, Any]:
    """Rows of true classes with their cells, in the order of the classes."""
    titles = dict(zip(classes["class"], classes["title"], strict=True))
    order = [name for name in titles if name in set(cells["truth"])]
    by_pair = cells.set_index(["truth", "predicted"]).to_dict("index")
    rows = [
        {
            "title": titles[truth],
            "n": sum(by_pair[truth, predicted]["n"] for predicted in order),
            "cells": [by_pair[truth, predicted] | {"right": truth == predicted} for predicted in order],
        }
        for truth in order
    ]
    return {"arm": arm, "titles": [titles[name] for name in order], "rows": rows}
