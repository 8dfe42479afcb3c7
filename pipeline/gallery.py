"""The gallery: the crops and small whole pictures that a report shows beside its explanations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..features.breast import block_means, find_breast
from ..features.case import Case, PictureKey
from ..features.crop import Crop, lesion_crop, lesion_side_px
from ..features.errors import ImageError
from ..features.image import Image
from ..features.mask import Mask, MaskRules, bounding_box
from ..features.reading import read_case
from ..features.training_ids import KEY
from ..models.mask_comparison import MANUAL
from ..reports.picture_facts import PHANTOM, PICTURE_COLUMNS, PICTURES
from ..reports.thumbnail import thumbnail
from .cohort import Cohort
from .mask_folder import MaskRow, Place

SHOWN_SIDE_PX = 224
OVERVIEW_SIDE_PX = 288
CHEST_WALL_PX = 128
"""The chest wall's side is looked for on a picture of about this longest side: it is a matter of its coarse form."""


class Gallery(NamedTuple):
    """What the reader's pages show.

    Parameters
    ----------
    crops : dict
        Case id to picture name to crop.
    pictures : DataFrame
        A row per picture; columns ``PICTURE_COLUMNS``.
    """

    crops: dict[str, dict[str, Crop]]
    pictures: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The table as one of a result's; none where no picture could be read."""
        return {PICTURES: self.pictures} if len(self.pictures) else {}


def gather(
    cohort: Cohort,
    case_ids: Iterable[str],
    rules: MaskRules,
    margin: float = 0.5,
    drawer: str = "",
    drawn: Mapping[Place, MaskRow] | None = None,
) -> Gallery:
    """Crops and facts of these cases' pictures, none larger than a page needs.

    Parameters
    ----------
    cohort : Cohort
    case_ids : iterable of str
        Those to show.
    rules : MaskRules
        As in the extraction.
    margin : float
        As in :func:`~cemrad.features.crop.lesion_crop`.
    drawer : str
        Name of what drew the masks that no reader drew.
    drawn : mapping of (str, str) to MaskRow, optional
        What it wrote of each.

    Returns
    -------
    Gallery
        A picture that cannot be read is absent: its failure stands in the table already.
    """
    wanted = set(case_ids)
    crops: dict[str, dict[str, Crop]] = {}
    rows: list[dict[str, Any]] = []
    for case in cohort.cases:
        if case.case_id not in wanted:
            continue
        usable = read_case(case, rules).usable
        # All pictures of a case have one side length, so that they can be compared by eye.
        side = max((lesion_side_px(mask, margin) for _, mask in usable.values()), default=1)
        cut = {key.name: reduced(lesion_crop(image, mask, side_px=side)) for key, (image, mask) in usable.items()}
        crops |= {case.case_id: cut} if cut else {}
        for key, (image, mask) in usable.items():
            origin = _origin(case, key, drawer, (drawn or {}).get((case.case_id, key.name)))
            rows.append({"case_id": case.case_id, "picture": key.name} | origin | _overview(image, mask))
    if cohort.phantom:
        for row in rows:
            row["mask"] = PHANTOM if row["mask"] == MANUAL else row["mask"]
    return Gallery(crops, pd.DataFrame(rows, columns=PICTURE_COLUMNS))


def _origin(case: Case, key: PictureKey, drawer: str, row: MaskRow | None) -> dict[str, Any]:
    """Where the mask of a picture comes from."""
    mask = case.pictures[key].mask
    how = getattr(mask, "source", MANUAL)
    how = how if isinstance(how, str) else MANUAL
    learned = getattr(mask, KEY, None)
    by_drawer = how not in (MANUAL, "corrected")
    told = row if by_drawer else None
    return {
        "mask": how,
        "drawn_by": drawer if by_drawer and how != "transferred" else "",
        "model": told.model if told else "",
        "drawn_on": told.drawn_on if told else "",
        "score": np.nan if told is None or told.score is None else told.score,
        "seen": "" if learned is None else "yes" if learned.knows(case.patient_id) else "no",
        "notes": told.notes if told else "",
    }


def _overview(image: Image, mask: Mask) -> dict[str, Any]:
    """The whole picture small, the mask's box on it, and on which side the chest wall lies."""
    block = max(1, max(image.shape) // (2 * OVERVIEW_SIDE_PX))
    small = block_means(image.pixels, block)
    top, bottom, left, right = bounding_box(mask)
    box = np.zeros(small.shape, dtype=bool)
    box[top // block : -(-bottom // block), left // block : -(-right // block)] = True
    shown = thumbnail(small, OVERVIEW_SIDE_PX, keep=box)
    (x0, y0), (x1, y1) = shown.place(top / block, left / block), shown.place(bottom / block, right / block)
    return {
        "chest_wall": _chest_wall(small), "rows": image.shape[0], "columns": image.shape[1],
        "jpeg": shown.data_uri.partition(",")[2], "width": shown.width, "height": shown.height,
        "box_left": x0, "box_top": y0, "box_right": x1, "box_bottom": y1,
    }  # fmt: skip


def _chest_wall(pixels: np.ndarray[Any, Any]) -> str:
    try:
        found = find_breast(block_means(pixels, max(1, max(pixels.shape) // CHEST_WALL_PX)))
    except ImageError:
        return ""
    if any("does not tell" in note for note in found.notes):
        return ""
    return {"L": "left", "R": "right"}[found.side]


def reduced(crop: Crop) -> Crop:
    """A crop of at most :data:`SHOWN_SIDE_PX` rows and columns; its place stays that in the picture."""
    if crop.side_px <= SHOWN_SIDE_PX:
        return crop
    from skimage.transform import resize  # slow to import, and an extraction shows nothing

    shape = (SHOWN_SIDE_PX, SHOWN_SIDE_PX)
    pixels = resize(crop.pixels.astype(np.float32), shape, order=1, anti_aliasing=True, preserve_range=True)
    small = resize(crop.mask.astype(np.float32), shape, order=1, anti_aliasing=False) >= 0.5
    return Crop(pixels.astype(np.float32), small, crop.top, crop.left)
