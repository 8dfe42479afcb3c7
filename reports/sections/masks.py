"""Which masks were drawn automatically and how good they are, and what other masks do to features and endpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from ...models.mask_comparison import (
    AGREEMENT_COLUMNS,
    ENDPOINT_COLUMNS,
    FROC_COLUMNS,
    MANUAL,
    OVERLAP_COLUMNS,
    SUMMARY_COLUMNS,
)
from ...models.replicates import MIN_ICC, shares_stable
from ...models.result import Result
from ..facts import Facts
from ..figures import share_bar
from ..mask_plots import Found, Strip, colour, free_response, spread
from ..template import fill
from ..words import IMAGE_TYPES

TITLE = "Masks"
ORDER = 12
_COLUMNS = {
    "mask_overlap": OVERLAP_COLUMNS,
    "mask_summary": SUMMARY_COLUMNS,
    "mask_froc": FROC_COLUMNS,
    "mask_endpoints": ENDPOINT_COLUMNS,
    "mask_agreement": AGREEMENT_COLUMNS,
    "mask_lost": ["case_id", "masks", "reason"],
}


def render(facts: Facts, result: Result) -> Markup:
    """Words on who drew, a table and a plot of the overlap, lesions found, endpoints and agreement of features.

    Empty where every mask was drawn by hand.
    """
    told = result.provenance.get("masks") or {}
    tables = {name: result.tables.get(name, pd.DataFrame(columns=columns)) for name, columns in _COLUMNS.items()}
    used, arms = told.get("used") or {}, told.get("arms") or {}
    overlap = tables["mask_overlap"]
    if set(used.get("sources", {})) <= {MANUAL, "none"} and not arms and overlap.empty:
        return Markup()
    names = list(dict.fromkeys([*overlap["masks"], *arms]))
    colours = {name: colour(at) for at, name in enumerate(names)}
    words = {name: _words(of) for name, of in arms.items()}
    return fill(
        "masks.html.j2",
        phantom=facts.phantom,
        used=_words(used),
        arms=words,
        seen=[one for one in (_words(used), *words.values()) if one["n_seen"]],
        colours=colours,
        summary=_summary(tables["mask_summary"], overlap),
        spreads=_spreads(overlap, colours),
        lesions=_lesions(tables["mask_froc"], colours),
        endpoints=_endpoints(facts, tables["mask_endpoints"]),
        no_endpoint=str(told.get("endpoints") or ""),
        agreement=_agreement(tables["mask_agreement"]),
        min_icc=MIN_ICC,
        **_lost(tables["mask_lost"], len(result.cases)),
        share_bar=share_bar,
    )


def _automatic(facts: Mapping[str, Any]) -> int:
    """Masks that a drawer drew, as it drew them or of regions that a reader chose."""
    others = (MANUAL, "none", "corrected", "transferred")
    return sum(n for name, n in facts.get("sources", {}).items() if name not in others)


def _words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a template says of one arm of masks."""
    sources, drawer = facts.get("sources", {}), facts.get("drawer") or {}
    validation = drawer.get("validation") or {}
    known = isinstance(validation.get("dice_mean"), (int, float)) and math.isfinite(validation["dice_mean"])
    n_none = int(sources.get("none", 0))
    return {
        "n_masks": int(facts.get("n_pictures", 0)) - n_none,
        "n_none": n_none,
        "n_automatic": _automatic(facts),
        "n_seen": int(facts.get("n_seen", 0)),
        **{f"n_{name}": int(sources.get(name, 0)) for name in ("accepted", "corrected", "transferred")},
        "folder": str(facts.get("folder") or ""),
        "name": str(drawer.get("name") or drawer.get("source") or ""),
        "weights": str(drawer.get("weights") or ""),
        "sha256": str(drawer.get("weights_sha256") or "")[:12],
        "validation": {"how": ""} | validation if known else None,
    }


def _lost(lost: pd.DataFrame, n_cases: int) -> dict[str, Any]:
    """Cases that arms cost the comparison; an arm without any case is not in it, and costs none."""
    counts = {str(name): int(of["case_id"].nunique()) for name, of in lost.groupby("masks", sort=False)}
    costs = {name: n for name, n in counts.items() if n < n_cases}
    return {
        "lost": costs,
        "n_lost": int(lost.loc[lost["masks"].isin(costs), "case_id"].nunique()),
        "not_judged": [name for name in counts if name not in costs],
    }


def _summary(summary: pd.DataFrame, overlap: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per arm, image type and view; all views first."""
    rows = []
    for (masks, image_type, view), of in summary.groupby(["masks", "image_type", "view"], sort=False):
        mine = overlap[(overlap["masks"] == masks) & (overlap["image_type"] == image_type)]
        mine = mine if view == "" else mine[mine["view"] == view]
        by = {(row["metric"], row["counted"]): row for row in of.to_dict("records")}
        rows.append(
            {
                "masks": str(masks), "image_type": IMAGE_TYPES.get(str(image_type), str(image_type)), "view": str(view),
                "n": by["dice", "all"]["n"], "n_patients": by["dice", "all"]["n_patients"],
                "n_absent": int(mine["state"].isin(["none", "missing", "failed"]).sum()),
                "n_seen": int(mine["seen"].astype(bool).sum()),
                "dice": by["dice", "all"], "iou": by["iou", "all"],
                "drawn": by["dice", "drawn"], "hd95_px": by["hd95_px", "drawn"], "assd_px": by["assd_px", "drawn"],
            }
        )  # fmt: skip
    return rows


def _spreads(overlap: pd.DataFrame, colours: Mapping[str, str]) -> list[tuple[str, Markup]]:
    judged = overlap[overlap["state"] != "no_reference"]
    return [
        (
            IMAGE_TYPES.get(str(image_type), str(image_type)),
            spread(
                [Strip(colours[str(name)], part["dice"].tolist()) for name, part in of.groupby("masks", sort=False)],
                f"Dice of {len(of)} masks on {image_type} pictures",
            ),
        )
        for image_type, of in judged.groupby("image_type", sort=False)
    ]


def _lesions(froc: pd.DataFrame, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Per image type a figure, and a row per arm."""
    found = []
    for image_type, of in froc.groupby("image_type", sort=False):
        curves: list[Found] = []
        rows: list[dict[str, Any]] = []
        for name, mine in of.groupby("masks", sort=False):
            curve, stated = mine[mine["point"] == "curve"], mine[mine["point"] == "stated"]
            at = mine[mine["point"] == "operating"].iloc[0].to_dict()
            corners = curve["false_positives"].tolist(), curve["sensitivity"].tolist()
            curves.append(Found(colours[str(name)], *corners, (at["false_positives"], at["sensitivity"])))
            rows.append({"masks": str(name), "operating": at, "stated": stated.to_dict("records")})
        title = IMAGE_TYPES.get(str(image_type), str(image_type))
        figure = free_response(curves, f"Lesion sensitivity by false positives per image, {title} pictures")
        rates = [f"{row['false_positives']:g}" for row in rows[0]["stated"]]
        found.append({"title": title, "figure": figure, "rows": rows, "rates": rates})
    return found


def _endpoints(facts: Facts, endpoints: pd.DataFrame) -> list[dict[str, Any]]:
    """Per endpoint at its main level, a row per arm of features and of masks."""
    found = []
    for endpoint in facts.endpoints:
        mine = endpoints[(endpoints["endpoint"] == endpoint.key) & (endpoints["level"] == endpoint.level)]
        mine = mine[mine["arm"] != "clinical"]  # no mask changes it
        arms = [(str(arm), of.to_dict("records")) for arm, of in mine.groupby("arm", sort=False)]
        if arms:
            found.append({"title": endpoint.title, "level": endpoint.level, "arms": arms})
    return found


def _agreement(agreement: pd.DataFrame) -> list[dict[str, Any]]:
    """Share of features that agree, by arm, family and class."""
    return [
        {"masks": str(name), "rows": shares_stable(of).to_dict("records")}
        for name, of in agreement.groupby("masks", sort=False)
    ]
