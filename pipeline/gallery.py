"""The gallery: the crops that a report shows beside its explanations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from skimage.transform import resize

from ..features.case import Picture
from ..features.crop import Crop, lesion_crop
from ..features.errors import CaseError
from ..features.mask import MaskRules
from .cohort import Cohort

SHOWN_SIDE_PX = 224


def gather_crops(
    cohort: Cohort, case_ids: Iterable[str], rules: MaskRules, margin: float = 0.5
) -> dict[str, dict[str, Crop]]:
    """Crops of these cases, picture by picture, no larger than a page needs.

    Parameters
    ----------
    cohort : Cohort
    case_ids : iterable of str
        Those to show.
    rules : MaskRules
        As in the extraction.
    margin : float
        As in :func:`~cemrad.features.crop.lesion_crop`.

    Returns
    -------
    dict
        Case id to picture name to crop. A picture that cannot be read is absent: its failure
        stands in the table already.
    """
    wanted = set(case_ids)
    gallery: dict[str, dict[str, Crop]] = {}
    for case in cohort.cases:
        if case.case_id not in wanted:
            continue
        shown = {}
        for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order):
            crop = _crop(picture, rules, margin)
            if crop is not None:
                shown[key.name] = crop
        if shown:
            gallery[case.case_id] = shown
    return gallery


def _crop(picture: Picture, rules: MaskRules, margin: float) -> Crop | None:
    try:
        image, mask = picture.read(rules)
    except CaseError:
        return None
    crop = lesion_crop(image, mask, margin)
    if crop.side_px <= SHOWN_SIDE_PX:
        return crop
    shape = (SHOWN_SIDE_PX, SHOWN_SIDE_PX)
    pixels = resize(crop.pixels.astype(np.float32), shape, order=1, anti_aliasing=True, preserve_range=True)
    small = resize(crop.mask.astype(np.float32), shape, order=1, anti_aliasing=False) >= 0.5
    return Crop(pixels.astype(np.float32), small, crop.top, crop.left)
