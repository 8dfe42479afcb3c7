"""The report's numbers for a machine: every fact of the page as JSON, every table as CSV and in the JSON too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..features.settings import Settings
from ..models.result import Result
from . import errors, flow, guidelines
from .characteristics import variables
from .facts import Facts
from .sections import table_one
from .words import feature_words

SCHEMA_VERSION = 1
_AS_TABLES = ("index",)
"""Facts that are tables, and need not be said twice."""
_PIXELS = {"pictures": ["jpeg"], "local_maps": ["map"]}
"""Columns that hold pictures, by table; they are no numbers of a page."""


def facts_tables(facts: Facts, result: Result) -> dict[str, pd.DataFrame]:
    """The tables of a report, by the name of their file.

    Parameters
    ----------
    facts : Facts
    result : Result

    Returns
    -------
    dict of str to DataFrame
        ``cases`` (the index), ``metrics``, ``differences``, ``predictions``, ``shap_ranking``, and every further table
        of the result under its own name.
    """
    found = {
        "cases": _index_table(facts),
        "metrics": result.metrics,
        "differences": result.differences,
        "predictions": result.predictions,
        "shap_ranking": _ranking_table(facts),
    }
    further = {
        name: _without_lists(table.drop(columns=_PIXELS.get(name, []), errors="ignore"))
        for name, table in result.tables.items()
    }
    return found | {name: table for name, table in further.items() if name not in found}


def twin_text(facts: Facts, result: Result, tables: Mapping[str, pd.DataFrame]) -> str:
    """Facts, tables and provenance as strict JSON; a number that there is not is null.

    Parameters
    ----------
    facts : Facts
    result : Result
    tables : mapping of str to DataFrame
        As :func:`facts_tables` gives them; each becomes its columns and its rows.
    """
    told = plain_value(facts)
    known, _ = variables(result)
    parts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **{name: value for name, value in told.items() if name not in _AS_TABLES},
        "endpoints_stated": plain_value(result.endpoints),
        "folds": plain_value(result.folds),
        "provenance": plain_value(result.provenance),
        "flow": plain_value(flow.gather(result)),
        "characteristics": plain_value(table_one.described(facts, result)),
        "errors": plain_value([errors.gather(result, one.key, facts.settings.arm, known) for one in facts.endpoints]),
        "guidelines": plain_value(guidelines.gather(result)),
    }
    lines = [f"{json.dumps(name)}: {_json(value)}" for name, value in parts.items()]
    shown = [f" {json.dumps(name)}: {_json(_table(frame))}" for name, frame in tables.items()]
    lines.append('"tables": {\n' + ",\n".join(shown) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def plain_value(value: Any) -> Any:
    """A fact as JSON values: a record becomes its fields and its properties, NaN and infinity become None.

    Examples
    --------
    >>> plain_value({"auc": np.float64("nan"), "n": (1, 2)})
    {'auc': None, 'n': [1, 2]}
    """
    if isinstance(value, Settings):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        names += [name for name, kind in vars(type(value)).items() if isinstance(kind, property)]
        return {name: plain_value(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain_value(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return plain_value(value._asdict())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


def _without_lists(table: pd.DataFrame) -> pd.DataFrame:
    """Lists in cells, as maps are, as their JSON text: a cell of a CSV file has no other form."""
    lists = [name for name, cells in table.items() if len(cells) and isinstance(cells.iloc[0], (list, np.ndarray))]
    return table.assign(**{str(name): [_json(plain_value(cell)) for cell in table[name]] for name in lists})


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return {"columns": list(map(str, frame.columns)), "rows": [[_cell(cell) for cell in row] for row in cells]}


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else plain_value(value)


def _index_table(facts: Facts) -> pd.DataFrame:
    columns = [
        "case_id", "patient_id", "side", "endpoint", "positive", "truth", "probability", "threshold", "called",
        "outcome", "page",
    ]  # fmt: skip
    rows = [
        (
            row.case_id, row.patient_id, row.side, row.endpoint, row.positive,
            None if row.truth is None else int(row.truth), row.probability, row.threshold,
            None if row.called is None else int(row.called), row.outcome, facts.places.get(row.case_id, ""),
        )
        for row in facts.index
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"truth": "Int64", "called": "Int64"})


def _ranking_table(facts: Facts) -> pd.DataFrame:
    columns = ["endpoint", "arm", "rank", "feature", "in_words", "mean_abs", "n_chosen", "n_models"]
    rows = [
        (
            endpoint.key, endpoint.explanation.arm, rank, one.name, feature_words(one.name),
            one.mean_abs, one.n_chosen, one.n_models,
        )
        for endpoint in facts.endpoints
        if endpoint.explanation is not None
        for rank, one in enumerate(endpoint.explanation.ranking, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
