"""The reader's pages: each shown case's pictures beside its predictions and its SHAP waterfalls."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ...features.case import PictureKey
from ...features.crop import Crop
from ...models.result import Result
from ..crops import Shown, show
from ..facts import Facts
from ..figures import probability_track, waterfall_bar, waterfall_domain
from ..readings import CaseFacts, Waterfall
from ..template import fill
from ..words import picture_words

TITLE = "Cases"
ORDER = 50


def render(facts: Facts, result: Result) -> Markup:
    """One closed part per case; a browser decodes its pictures when it is opened."""
    parts = [
        {
            "case": case,
            "views": _views(case, result.crops.get(case.case_id, {}), facts.settings.crop_side_px),
            "waterfalls": [_steps(reading.waterfall) if reading.waterfall else None for reading in case.readings],
            "first": _first(case),
        }
        for case in facts.cases
    ]
    external = {item.key for item in facts.endpoints if item.folds.get("by") == "external"}
    return fill("cases.html.j2", facts=facts, parts=parts, probability_track=probability_track, external=external)


def _first(case: CaseFacts) -> int:
    """Which reading stands open: that of the endpoint for which the case was chosen."""
    wanted = case.reasons[0].endpoint if case.reasons else ""
    return next((i for i, reading in enumerate(case.readings) if reading.endpoint == wanted), 0)


def _views(case: CaseFacts, crops: Mapping[str, Crop], largest_px: int) -> list[list[dict[str, Any]]]:
    """Rows of pictures, one row per view with the low-energy image left of the recombined one."""
    if not crops:
        return []
    keys = {name: _key(name) for name in crops}
    frame_px = max(crop.side_px for crop in crops.values())
    rows = []
    for view in sorted({key.view for key in keys.values()}):
        here = {key.image_type: name for name, key in keys.items() if key.view == view}
        types = [kind for kind in ("LE", "RC") if {"LE", "RC"} & set(here)] + sorted(set(here) - {"LE", "RC"})
        rows.append(
            [_tile(case, PictureKey(kind, view), crops.get(here.get(kind, "")), frame_px, largest_px) for kind in types]
        )
    return rows


def _key(name: str) -> PictureKey:
    try:
        return PictureKey.parse(name)
    except ValueError:
        return PictureKey(name)


def _tile(case: CaseFacts, key: PictureKey, crop: Crop | None, frame_px: int, largest_px: int) -> dict[str, Any]:
    shown: Shown | None = None if crop is None else show(crop, largest_px)
    why = next((reason for _, picture, _, reason in case.failures if picture == key.name), "not available")
    mark = f"{case.side[0].upper() if case.side in ('left', 'right') else ''} {key.view}".strip()
    return {
        "name": key.name,
        "words": picture_words(key.name),
        "mark": mark,
        "kind": key.image_type,
        "shown": shown,
        "why": why,
        # All pictures of a case at one scale: a smaller crop takes a smaller part of its frame.
        "share": 100.0 if shown is None else 100 * shown.side_px / frame_px,
    }


def _steps(waterfall: Waterfall) -> list[Markup]:
    domain = waterfall_domain(waterfall.base, [step.shap for step in waterfall.steps], waterfall.margin)
    reached, bars = waterfall.base, []
    for step in waterfall.steps:
        bars.append(waterfall_bar(reached, reached + step.shap, domain, waterfall.base))
        reached += step.shap
    return bars
