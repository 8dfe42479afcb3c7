"""The reader's page of one case: its pictures, what the models said of it and why, and what else is known of that."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..features.case import PictureKey
from ..features.crop import Crop
from ..models.result import Result
from .case_maps import maps_of
from .crops import Shown, show
from .facts import Facts
from .figures import probability_track, waterfall_bar, waterfall_domain
from .numbers import compact
from .picture_facts import PICTURE_COLUMNS, PICTURES, orientation, overviews, picture_key
from .readings import CaseFacts, Waterfall, case_anchors
from .template import fill
from .words import picture_words

_LESION_PERCENTILES = 1.0, 99.0
_LEAST_WINDOW = 0.05


def render_case(facts: Facts, result: Result, case: CaseFacts, *, opened: bool = False) -> Markup:
    """One case as a part that opens and closes; its anchor is :func:`~cemrad.reports.readings.case_anchors`.

    Parameters
    ----------
    facts : Facts
    result : Result
        For its pixels.
    case : CaseFacts
        One of `facts.cases`.
    opened : bool
        Whether it stands open; a browser decodes the pictures of the others when they are opened.
    """
    pictures = result.tables.get(PICTURES, pd.DataFrame(columns=PICTURE_COLUMNS))
    whole = overviews(pictures[pictures["case_id"] == case.case_id])
    anchors = case_anchors(facts.cases)
    return fill(
        "case.html.j2",
        facts=facts,
        case=case,
        anchor=anchors[case.case_id],
        anchors=anchors,
        opened=opened,
        stated=_stated(case),
        views=_views(case, result.crops.get(case.case_id, {}), facts.settings.crop_side_px),
        wholes=[{**_names(case, picture_key(name)), "shown": whole[name]} for name in sorted(whole, key=_order)],
        orientation=orientation(case.picture_facts, case.side) if case.picture_facts else "",
        masks=_masks(case),
        waterfalls=[_steps(reading.waterfall) if reading.waterfall else None for reading in case.readings],
        first=_first(case),
        unlike=_unlike(case),
        maps=maps_of(result).of(facts, case, anchors[case.case_id]),
        probability_track=probability_track,
        external={item.key for item in facts.endpoints if item.folds.get("by") == "external"},
    )


def _first(case: CaseFacts) -> int:
    """Which reading stands open: that of the endpoint for which the case was chosen."""
    wanted = case.reasons[0].endpoint if case.reasons else ""
    return next((i for i, reading in enumerate(case.readings) if reading.endpoint == wanted), 0)


def _stated(case: CaseFacts) -> list[tuple[str, str]]:
    """Clinical values as a reader knows them: a category by its name, not by an indicator for each."""
    stated = []
    for name, value in case.clinical:
        key, is_level, level = name.partition("=")
        if not is_level:
            stated.append((key, compact(value)))
        elif value == 1:
            stated.append((key, level))
        elif value != value and (key, compact(None)) not in stated:
            stated.append((key, compact(None)))
    return stated


def _unlike(case: CaseFacts) -> str:
    """The worst that the models say of the case's likeness to their training cases."""
    said = {reading.accounts.unlikeness.called for reading in case.readings if reading.accounts.unlikeness}
    return next((word for word in ("far", "unusual") if word in said), "")


def _masks(case: CaseFacts) -> list[tuple[str, str]]:
    """Who drew the masks: one line for all pictures, or one for each where they differ."""
    said = {one.mask for one in case.picture_facts}
    if len(said) == 1:
        return [("", said.pop())]
    return [(one.name, one.mask) for one in sorted(case.picture_facts, key=lambda one: _order(one.name))]


def _views(case: CaseFacts, crops: Mapping[str, Crop], largest_px: int) -> list[list[dict[str, Any]]]:
    """Rows of pictures, one row per view with the low-energy image left of the recombined one."""
    if not crops:
        return []
    keys = {name: picture_key(name) for name in crops}
    frame_px = max(crop.side_px for crop in crops.values())
    rows = []
    for view in sorted({key.view for key in keys.values()}):
        here = {key.image_type: name for name, key in keys.items() if key.view == view}
        types = [kind for kind in ("LE", "RC") if {"LE", "RC"} & set(here)] + sorted(set(here) - {"LE", "RC"})
        rows.append(
            [_tile(case, PictureKey(kind, view), crops.get(here.get(kind, "")), frame_px, largest_px) for kind in types]
        )
    return rows


def _order(name: str) -> tuple[str, int]:
    return picture_key(name).order


def _names(case: CaseFacts, key: PictureKey) -> dict[str, str]:
    """How a picture is called and marked: side and view, and its type."""
    side = case.side[0].upper() if case.side in ("left", "right") else ""
    mark = f"{side} {key.view}".strip()
    return {"name": key.name, "words": picture_words(key.name), "mark": mark, "kind": key.image_type}


def _tile(case: CaseFacts, key: PictureKey, crop: Crop | None, frame_px: int, largest_px: int) -> dict[str, Any]:
    shown: Shown | None = None if crop is None else show(crop, largest_px)
    why = next((reason for _, picture, _, reason in case.failures if picture == key.name), "not available")
    return _names(case, key) | {
        "shown": shown,
        "why": why,
        "lesion": "" if crop is None or shown is None else _lesion_window(crop, shown.window),
        # All pictures of a case at one scale: a smaller crop takes a smaller part of its frame.
        "share": 100.0 if shown is None else 100 * shown.side_px / frame_px,
    }


def _lesion_window(crop: Crop, window: tuple[float, float]) -> str:
    """Ends of the grey values within the mask, as shares of the window in which the picture is stored."""
    if not crop.mask.any() or window[1] <= window[0]:
        return ""
    ends = np.percentile(crop.pixels[crop.mask], _LESION_PERCENTILES)
    low, high = np.clip((ends - window[0]) / (window[1] - window[0]), 0, 1)
    return f"{low:.3f} {max(high, low + _LEAST_WINDOW):.3f}"


def _steps(waterfall: Waterfall) -> list[Markup]:
    domain = waterfall_domain(waterfall.base, [step.shap for step in waterfall.steps], waterfall.margin)
    reached, bars = waterfall.base, []
    for step in waterfall.steps:
        bars.append(waterfall_bar(reached, reached + step.shap, domain, waterfall.base))
        reached += step.shap
    return bars
