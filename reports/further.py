"""Rows of a result's further tables, as facts of one endpoint at its main level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ..models.result import ARMS, Result
from .endpoints import EndpointFacts, Estimate, in_order
from .plots import Point


def rows_of(result: Result, table: str, endpoint: EndpointFacts) -> pd.DataFrame:
    """A table's rows of an endpoint at its main level; none where the result lacks the table."""
    frame = result.tables.get(table)
    if frame is None or frame.empty:
        return pd.DataFrame()
    return frame[(frame["endpoint"] == endpoint.key) & (frame["level"] == endpoint.level)]


def arms_of(rows: pd.DataFrame, others: Sequence[str] = ()) -> list[str]:
    """The arms of a table's rows in the usual order, without `others` that are no arms."""
    if rows.empty:
        return []
    return in_order([arm for arm in rows["arm"].unique() if arm not in others], ARMS)


def estimates(rows: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    """Arm to metric to estimate."""
    found: dict[str, dict[str, Estimate]] = {arm: {} for arm in arms_of(rows)}
    for row in records(rows):
        found[row.arm][row.metric] = Estimate(row.metric, row.estimate, row.low, row.high, row.method)
    return found


def points(rows: pd.DataFrame, x: str, y: str) -> list[Point]:
    """Points with their intervals, in the table's order."""
    return [Point(*map(float, values)) for values in rows[[x, y, "low", "high"]].to_numpy()]


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """Rows as named tuples."""
    return iter(frame.itertuples(index=False))


def shown_arm(endpoint: EndpointFacts, arms: Sequence[str]) -> str:
    """Of these arms the one that is explained, else the last: the one with the most blocks."""
    explained = endpoint.explanation.arm if endpoint.explanation else ""
    return explained if explained in arms else (arms[-1] if arms else "")
