"""Subgroups: whether an arm does as well in one kind of patient as in another, with a test of the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtrc

from ..features.errors import StudyError
from ..features.settings import nearest
from ..features.table import ColumnName, FeatureTable
from .heldout import HeldOut
from .intervals import cv_auc, cv_rate, influence
from .metrics import Array

COLUMNS = [
    "endpoint", "level", "arm", "column", "group", "n", "n_positive", "n_patients",
    "auc", "auc_low", "auc_high", "sensitivity", "sensitivity_low", "sensitivity_high",
    "specificity", "specificity_low", "specificity_high", "p_interaction", "p_holm", "n_tests", "method",
]  # fmt: skip
"""``p_interaction`` is that of one AUC in all groups of the column that are estimated, the same in each of their rows;
``p_holm`` is adjusted for the ``n_tests`` of its endpoint. A group that is too small has NaN and says why."""
NOT_STATED, SEVERAL = "not stated", "several"
"""Groups that enter no test: units without a value, and those whose lesions have different ones."""
MOST_LEVELS = 5
"""A column of numbers with more different values than this is cut."""


def groups_of(
    table: FeatureTable, columns: Sequence[str], cuts: Mapping[str, Sequence[float]] | None = None
) -> pd.DataFrame:
    """The group of each case in every column, as text.

    Parameters
    ----------
    table : FeatureTable
        A column of its cases stands before a clinical value of the same name.
    columns : sequence of str
    cuts : mapping, optional
        Where a column of numbers is cut; one with more than five different values is cut at its median otherwise.

    Raises
    ------
    StudyError
        If a column is not there, or is cut and holds text.
    """
    clinical, cuts = _clinical(table), cuts or {}
    unused = sorted(set(cuts) - set(columns))
    if unused:
        raise StudyError(f"subgroups: cuts are given for {', '.join(unused)}, not among the columns")
    found = {}
    for name in columns:
        if name not in table.cases and name not in clinical:
            known = [*map(str, table.cases.columns), *clinical]
            guess = nearest(name, known)
            advice = f"did you mean {guess!r}? " if guess else ""
            raise StudyError(f"subgroups: no column {name!r}; {advice}There are: {', '.join(known)}")
        values = table.cases[name] if name in table.cases else clinical[name]
        found[name] = _grouped(values, cuts.get(name), name)
    return pd.DataFrame(found, index=table.values.index, dtype=object)


def _clinical(table: FeatureTable) -> dict[str, pd.Series[Any]]:
    """Clinical values by name; a category is put together again from its indicator columns."""
    found: dict[str, pd.Series[Any]] = {}
    for column in table.columns_of("clinical"):
        name, equals, level = ColumnName.parse(column).feature.partition("=")
        if not equals:
            found[name] = table.values[column]
            continue
        known = found.setdefault(name, pd.Series("", index=table.values.index, dtype=object))
        found[name] = known.mask(table.values[column] == 1, level)
    return found


def _grouped(values: pd.Series[Any], cuts: Sequence[float] | None, name: str) -> pd.Series[Any]:
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    stated = text != ""
    numbers = pd.to_numeric(text.where(stated), errors="coerce")
    numeric = bool(stated.any()) and bool(numbers[stated].notna().all())
    if cuts is not None and not numeric:
        raise StudyError(f"subgroups: {name} is cut, but holds what is not a number")
    if numeric and (cuts is not None or numbers.nunique() > MOST_LEVELS):
        median = float(numbers.median())
        # At least half of the values may be the smallest: below their median is nobody then.
        middle = median if median > numbers.min() else float(numbers[numbers > median].min())
        places = sorted(cuts) if cuts is not None else [middle]
        return _cut(numbers, places).where(stated, NOT_STATED)
    if numeric:  # 3.0 beside 3 is one group
        text = numbers.map(lambda number: f"{number:g}").where(stated, "")
    return text.where(stated, NOT_STATED)


def _cut(numbers: pd.Series[Any], places: Sequence[float]) -> pd.Series[Any]:
    names = [f"below {places[0]:g}"]
    names += [f"{low:g} to below {high:g}" for low, high in zip(places, places[1:], strict=False)]
    names.append(f"{places[-1]:g} and above")
    at = np.searchsorted(np.array(places), numbers.fillna(places[0]).to_numpy(dtype=np.float64), side="right")
    return pd.Series([names[i] for i in at], index=numbers.index, dtype=object)


def unit_groups(case_groups: pd.Series[Any], units: Sequence[str], of_cases: Sequence[str]) -> list[str]:
    """The group of each unit: that of all its cases, or :data:`SEVERAL`.

    Parameters
    ----------
    case_groups : Series
        Group of each case.
    units : sequence of str
        Ids of lesions, breasts or patients.
    of_cases : sequence of str
        The unit of each case, in the order of `case_groups`.
    """
    found: dict[str, str] = {}
    for unit, group in zip(of_cases, case_groups, strict=True):
        found[unit] = group if found.setdefault(unit, group) == group else SEVERAL
    return [found[unit] for unit in units]


@dataclass(frozen=True, eq=False)
class _Group:
    name: str
    held: HeldOut
    n_patients: int
    too_small: str


def compare_groups(held: HeldOut, groups: Sequence[str], min_patients: int) -> Iterator[dict[str, Any]]:
    """Rows of one arm and column, without the key columns and what is adjusted over all of them.

    AUC, sensitivity and specificity are those of :mod:`~cemrad.models.intervals` within a group. The test is
    of one AUC in all groups: Wald's, from each patient's influence on every group's AUC, so that a patient
    with lesions in two groups ties them, with Nadeau and Bengio's factor and an F distribution.

    Parameters
    ----------
    held : HeldOut
    groups : sequence of str
        One per row of `held`.
    min_patients : int
        Patients of each class that a group needs.
    """
    named = np.asarray(groups, dtype=object)
    parts = [_group(held, str(name), named == name, min_patients) for name in sorted(set(groups))]
    tested = [part for part in parts if not part.too_small and part.name not in (NOT_STATED, SEVERAL)]
    p = interaction([part.held for part in tested])
    for part in parts:
        row = {"group": part.name, **_counts(part), "p_interaction": p if part in tested else np.nan}
        yield row | _measures(part)


def interaction(groups: Sequence[HeldOut]) -> float:
    """P-value of one AUC in all groups; NaN where there are fewer than two, or no variance to judge by."""
    found = [influence(held) for held in groups]
    known = [(held, *item) for held, item in zip(groups, found, strict=True) if item is not None]
    if len(known) < 2:
        return float("nan")
    n_persons = max(int(held.person.max()) for held, _, _ in known) + 1
    areas = np.array([area for _, area, _ in known])
    parts = np.zeros((len(known), n_persons))
    for row, (held, _, influences) in zip(parts, known, strict=True):
        n = len(np.unique(held.person))
        row[: len(influences)] = influences * np.sqrt(held.inflation * n / (n - 1))
    return _wald(areas, parts @ parts.T, min(held.freedom for held, _, _ in known))


def _wald(areas: Array, covariance: Array, freedom: int) -> float:
    contrast = np.eye(len(areas))[1:] - np.eye(len(areas))[:1]
    spread = contrast @ covariance @ contrast.T
    if freedom < 1 or np.linalg.matrix_rank(spread, tol=1e-12) < len(contrast):
        return float("nan")
    apart = contrast @ areas
    return float(fdtrc(len(contrast), freedom, apart @ np.linalg.solve(spread, apart) / len(contrast)))


def _group(held: HeldOut, name: str, at: np.ndarray[Any, np.dtype[np.bool_]], least: int) -> _Group:
    fields = ("truth", "probability", "called", "repeat", "fold", "person")
    part = replace(held, **{field: getattr(held, field)[at] for field in fields})
    small = f"not estimated: fewer than {least} patients of a class" if part.freedom + 1 < least else ""
    return _Group(name, part, len(np.unique(part.person)), small)


def _counts(part: _Group) -> dict[str, int]:
    first = part.held.repeat == part.held.repeat.min()
    return {
        "n": int(first.sum()), "n_positive": int(part.held.truth[first].sum()), "n_patients": part.n_patients,
    }  # fmt: skip


def _measures(part: _Group) -> dict[str, Any]:
    names = ("auc", "sensitivity", "specificity")
    if part.too_small:
        return {f"{name}{end}": np.nan for name in names for end in ("", "_low", "_high")} | {"method": part.too_small}
    found = dict(zip(names, (cv_auc(part.held), cv_rate(part.held, 1), cv_rate(part.held, 0)), strict=True))
    row: dict[str, Any] = {"method": found["auc"].method}
    for name, item in found.items():
        row |= {name: item.estimate, f"{name}_low": item.low, f"{name}_high": item.high}
    return row
