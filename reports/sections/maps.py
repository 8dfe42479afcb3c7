"""Where the network looked, over all shown cases: how much of the attribution lies in the contour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ...features.case import PictureKey
from ...models.result import Result
from ..facts import Facts
from ..mask_plots import Strip, colour, spread
from ..template import fill
from ..words import picture_words

TITLE = "Where the network looked"
ORDER = 45


def render(facts: Facts, result: Result) -> Markup:
    """Shares of the attribution inside the contour beside the contour's share of the square, picture by picture."""
    maps, rest = (result.tables.get(name, pd.DataFrame()) for name in ("attribution", "attribution_rest"))
    parts = [
        part
        for endpoint in facts.endpoints
        if (part := _endpoint(endpoint.title, _of(maps, endpoint.key), _of(rest, endpoint.key)))
    ]
    return fill("maps.html.j2", facts=facts, parts=parts, picture_words=picture_words)


def _of(frame: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    return frame[frame["endpoint"] == endpoint] if len(frame) else frame


def _endpoint(title: str, maps: pd.DataFrame, rest: pd.DataFrame) -> dict[str, Any]:
    """Facts of one endpoint; empty without a deep feature that moved a shown case."""
    if not len(maps) and not len(rest):
        return {}
    units = sorted(set(maps["picture"]), key=lambda name: PictureKey.parse(name).order) if len(maps) else []
    rows = []
    for unit in units:
        own = maps[(maps["picture"] == unit) & maps["inside"].notna()]
        if len(own):
            values = own["inside"].to_numpy(dtype=np.float64)
            rows.append({"unit": unit, "values": values, "n": len(own), "area": float(own["area"].median())})
    left = [] if not len(rest) else [(str(reason), len(own)) for reason, own in rest.groupby("reason", sort=False)]
    return {
        "title": title,
        "rows": [row | {"inside": float(np.median(row["values"]))} for row in rows],
        "figure": spread(
            [Strip(colour(i), row["values"].tolist()) for i, row in enumerate(rows)],
            f"{title}: share of the attribution inside the contour, one row per picture",
        )
        if rows
        else None,
        "colours": [colour(i) for i in range(len(rows))],
        "left": left,
    }
