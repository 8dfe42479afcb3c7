"""How well the models would predict with fewer patients to learn from, and whether more would help."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ...models.power_law import FLAT, RISING, UNCLEAR, PowerLaw
from ...models.result import Result
from ..facts import Facts
from ..figures import learning_curve
from ..numbers import fixed, interval
from ..template import fill
from ..words import arm_title

TITLE = "Learning curve"
ORDER = 35


def render(facts: Facts, result: Result) -> Markup:
    """A figure with a sentence for each endpoint and arm that has a curve."""
    curve, fits = result.tables.get("learning_curve"), result.tables.get("learning_curve_fit")
    parts = []
    if curve is not None and fits is not None:
        for fit in _records(fits):
            mine = curve[(curve["endpoint"] == fit["endpoint"]) & (curve["arm"] == fit["arm"])]
            parts.append(_part(facts, _records(mine), fit))
    return fill("learning_curve.html.j2", parts=parts)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    names = [str(name) for name in table]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False)]


def _part(facts: Facts, rows: list[dict[str, Any]], fit: Mapping[str, Any]) -> dict[str, Any]:
    title = f"{facts.endpoint_titles.get(fit['endpoint'], fit['endpoint'])}, {arm_title(fit['arm']).lower()}"
    known = [row for row in rows if math.isfinite(row["estimate"])]
    points = [(row["n_persons"], row["estimate"], row["low"], row["high"]) for row in known]
    law = PowerLaw(fit["plateau"], fit["scale"], fit["power"])
    fitted = points and math.isfinite(law.plateau)
    sizes = np.linspace(points[0][0], 2 * fit["n_persons"], 60).tolist() if fitted else []
    label = f"AUC by the number of persons to learn from, {title}: {len(points)} points"
    return {
        "title": title,
        "level": fit["level"],
        "figure": learning_curve(points, [(n, law.at(n)) for n in sizes], fit["arm"], label) if points else None,
        "sentence": _sentence(fit),
        "absent": [(row["fraction"], row["method"]) for row in rows if not math.isfinite(row["estimate"])],
    }


def _sentence(fit: Mapping[str, Any]) -> str:
    """Whether more patients would help, in words."""
    if not math.isfinite(fit["plateau"]):
        return "Too few points for a curve: nothing can be said about more patients."
    gained = ""
    if math.isfinite(fit["gain"]):
        known = f"{fixed(fit['gain'], 3, signed=True)} {interval(fit['gain_low'], fit['gain_high'], 3, signed=True)}"
        gained = f"From {100 * fit['from_fraction']:.0f} % of the persons to all of them the AUC changed by {known}. "
    twice = f"twice as many ({2 * fit['n_persons']:.0f} to learn from) would give about {fixed(fit['at_twice'])}"
    return gained + {
        RISING: f"The curve still rises: {twice}. More patients would help.",
        FLAT: f"The curve is flat: {twice}. More patients of this kind would change little; other information might.",
        UNCLEAR: f"By the curve, {twice}; whether more patients would help cannot be told from so few.",
    }.get(fit["verdict"], "Nothing can be said about more patients.")
