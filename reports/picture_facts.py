"""Facts of a shown case's pictures: who drew each mask, and the whole picture small, with the lesion's box on it."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..features.case import PictureKey

PICTURES, PHANTOM = "pictures", "phantom"
PICTURE_COLUMNS = [
    "case_id", "picture", "chest_wall", "rows", "columns",
    "mask", "drawn_by", "model", "drawn_on", "score", "seen", "notes",
    "jpeg", "width", "height", "box_left", "box_top", "box_right", "box_bottom",
]  # fmt: skip
"""Of the table of shown pictures: the side on which the chest wall lies (``left``, ``right``, or empty where that is
not known) and the picture's size; how its mask came about (``manual``, ``phantom``, ``automatic``, ``accepted``,
``corrected``, ``transferred``), what drew it and the number of its training record, the image type from which it was
carried over, its score (NaN where it has none), whether its drawer had learned from the patient (``yes``, ``no``, empty
where it does not learn) and its notes; then the whole picture small: a JPEG in base64, its size, and the mask's box in
its pixels."""
_BASE64 = re.compile("[A-Za-z0-9+/]+={0,2}")
_HOW = {
    "manual": "the cohort's own, taken as drawn by hand",
    PHANTOM: "the phantom's own, made with its lesion",
    "automatic": "drawn automatically, and no reader looked at it",
    "accepted": "drawn automatically, of regions that a reader accepted",
    "corrected": "a reader's, in the place of one drawn automatically",
    "transferred": "carried over from the other picture of the view",
}


@dataclass(frozen=True)
class PictureFacts:
    """What is known of one picture beside its pixels.

    Parameters
    ----------
    name : str
        ``RC_CC``.
    chest_wall : str
        Side of the picture on which the chest wall lies: ``left`` or ``right``; empty where that is not known.
    size_px : tuple of int
        Rows and columns.
    mask : str
        How the mask came about, in words.
    """

    name: str
    chest_wall: str
    size_px: tuple[int, int]
    mask: str


@dataclass(frozen=True)
class Overview:
    """The whole picture, small; the box is that of the mask, as x, y, width and height in its pixels."""

    data_uri: str
    width: int
    height: int
    box: tuple[float, float, float, float]


def picture_facts(rows: pd.DataFrame) -> tuple[PictureFacts, ...]:
    """Facts of one case's pictures, from its rows of the table; columns ``PICTURE_COLUMNS``."""
    return tuple(
        PictureFacts(
            str(row["picture"]), str(row["chest_wall"]), (int(row["rows"]), int(row["columns"])), _mask_words(row)
        )
        for row in rows.to_dict(orient="records")
    )


def overviews(rows: pd.DataFrame) -> dict[str, Overview]:
    """The whole pictures of one case that came with it, by name."""
    found = {}
    for row in rows.to_dict(orient="records"):
        if _BASE64.fullmatch(str(row["jpeg"])):
            left, top, right, bottom = (float(row[f"box_{end}"]) for end in ("left", "top", "right", "bottom"))
            found[str(row["picture"])] = Overview(
                f"data:image/jpeg;base64,{row['jpeg']}", int(row["width"]), int(row["height"]),
                (left, top, right - left, bottom - top),
            )  # fmt: skip
    return found


def orientation(pictures: tuple[PictureFacts, ...], side: str) -> str:
    """On which side of the pictures the chest wall lies, and whether that is how the breast is usually shown.

    Nothing is mirrored here: pictures are shown as they are stored.

    Examples
    --------
    >>> pictures = tuple(PictureFacts(name, "right", (9, 9), "") for name in ("LE_CC", "RC_CC"))
    >>> orientation(pictures, "left")
    'Chest wall on the right in all pictures, as they are stored: a left breast is usually shown the other way round.'
    """
    walls = {one.name: one.chest_wall for one in pictures if one.chest_wall}
    if not walls:
        return "On which side the chest wall lies was not found; pictures are shown as they are stored."
    if len(set(walls.values())) > 1:
        lists = [
            f"{wall} in {', '.join(name for name, of in walls.items() if of == wall)}"
            for wall in sorted(set(walls.values()))
        ]
        return f"These pictures do not face the same way as they are stored: chest wall on the {' and '.join(lists)}."
    wall = next(iter(walls.values()))
    text = f"Chest wall on the {wall} in all pictures, as they are stored"
    if side in ("left", "right") and side != wall:
        return f"{text}: a {side} breast is usually shown the other way round."
    return f"{text}."


def _mask_words(row: Mapping[Hashable, Any]) -> str:
    words = [_HOW.get(str(row["mask"]), str(row["mask"]))]
    if row["drawn_by"]:
        words.append(f"by {row['drawn_by']}" + (f" (training record {row['model']})" if row["model"] else ""))
    if row["drawn_on"]:
        words.append(f"carried over from the {row['drawn_on']} picture")
    if math.isfinite(row["score"]):
        words.append(f"score {row['score']:.2f}")
    if row["seen"]:
        words.append(f"its drawer had {'' if row['seen'] == 'yes' else 'not '}learned from this patient")
    note = str(row["notes"]).rstrip(".")
    return ", ".join(words) + (f". {note}" if note else "")


def picture_key(name: str) -> PictureKey:
    """The key of a picture's name; of a name in another form, that name as its image type."""
    try:
        return PictureKey.parse(name)
    except ValueError:
        return PictureKey(name)
