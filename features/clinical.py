"""Clinical values of cases as feature columns: numbers as they are, categories as indicators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .case import Case, Value
from .failure import Failure

NAME = "clinical"
PICTURE = "case"


def encode_clinical(cases: Sequence[Case]) -> tuple[pd.DataFrame, list[Failure]]:
    """Clinical values as columns ``clinical:case:age`` and ``clinical:case:density=C``.

    A value is a number if at least half of its stated cells are; true and false are 1 and 0. Any other is a
    category: one indicator column for each that these cases state, in alphabetical order. Spellings that
    differ by case or outer blanks are one category, named alike in every cohort: a single letter large,
    longer text small (``C``, ``post``).

    Parameters
    ----------
    cases : sequence of Case

    Returns
    -------
    DataFrame of float64, list of Failure
        Index ``case_id``. NaN where a case does not state a value: one ``skipped`` failure for it, or a
        ``failed`` one where text stands in place of a number.

    Examples
    --------
    >>> frame, _ = encode_clinical([Case("A", "A", clinical={"age": 51, "density": "C"}), Case("B", "B")])
    >>> frame.columns.tolist(), frame.loc["A"].tolist()
    (['clinical:case:age', 'clinical:case:density=C'], [51.0, 1.0])
    """
    columns: dict[str, list[float]] = {}
    failures: list[Failure] = []
    for key in dict.fromkeys(key for case in cases for key in case.clinical):
        values = [_stated(case.clinical.get(key)) for case in cases]
        numbers = [value for value in values if isinstance(value, float)]
        if 2 * len(numbers) >= sum(value is not None for value in values):
            columns[key] = [value if isinstance(value, float) else math.nan for value in values]
            bad = [not isinstance(value, float) for value in values]
        else:
            levels = [None if value is None else _level(str(value)) for value in values]
            for text in sorted({level for level in levels if level is not None}):
                columns[f"{key}={text}"] = [math.nan if v is None else float(v == text) for v in levels]
            bad = [value is None for value in values]
        failures += [_not_stated(case, key, v) for case, v, is_bad in zip(cases, values, bad, strict=True) if is_bad]
    index = pd.Index([case.case_id for case in cases], dtype=object)
    named = {f"{NAME}:{PICTURE}:{column}": values for column, values in columns.items()}
    return pd.DataFrame(named, index=index, dtype=np.float64), failures


def _level(text: str) -> str:
    plain = text.strip().casefold()
    return plain.upper() if len(plain) == 1 else plain


def _stated(value: Value) -> str | float | None:
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    return float(value) if math.isfinite(value) else None


def _not_stated(case: Case, key: str, value: str | float | None) -> Failure:
    if value is None:
        return Failure(case.case_id, NAME, "clinical.missing", f"{key} is not stated", PICTURE, "skipped")
    return Failure(case.case_id, NAME, "clinical.not_number", f"{key} is not a number as in the other cases", PICTURE)
