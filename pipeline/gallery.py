"""The gallery: the crops that a report shows beside its explanations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..features.case import Case
from ..features.crop import Crop, lesion_crop, lesion_side_px
from ..features.mask import MaskRules
from ..features.reading import read_case
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
    found = {case.case_id: _crops(case, rules, margin) for case in cohort.cases if case.case_id in wanted}
    return {case_id: crops for case_id, crops in found.items() if crops}


def _crops(case: Case, rules: MaskRules, margin: float) -> dict[str, Crop]:
    """All pictures of a case with one side length, so that they can be compared by eye."""
    usable = read_case(case, rules).usable
    side = max((lesion_side_px(mask, margin) for _, mask in usable.values()), default=1)
    return {key.name: _shown(lesion_crop(image, mask, side_px=side)) for key, (image, mask) in usable.items()}


def _shown(crop: Crop) -> Crop:
    if crop.side_px <= SHOWN_SIDE_PX:
        return crop
    from skimage.transform import resize  # slow to import, and an extraction shows nothing

    shape = (SHOWN_SIDE_PX, SHOWN_SIDE_PX)
    pixels = resize(crop.pixels.astype(np.float32), shape, order=1, anti_aliasing=True, preserve_range=True)
    small = resize(crop.mask.astype(np.float32), shape, order=1, anti_aliasing=False) >= 0.5
    return Crop(pixels.astype(np.float32), small, crop.top, crop.left)
