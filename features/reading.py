"""A reading: the pictures of one case that can be used, and what stands against the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .case import Case, PictureKey
from .errors import CaseError, ImageError
from .failure import Failure
from .image import Image
from .mask import Mask, MaskRules

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one case gave when its pictures were read.

    Parameters
    ----------
    case_id : str
    usable : mapping of PictureKey to (Image, Mask)
        Pictures that features can be computed on, view by view.
    failures : tuple of Failure
        Stage ``image`` or ``mask``: why a picture is not usable, and what to look at in one
        that is (``mask.components``, ``mask.full_image``).
    """

    case_id: str
    usable: Mapping[PictureKey, tuple[Image, Mask]]
    failures: tuple[Failure, ...] = ()


def read_case(case: Case, rules: MaskRules) -> Reading:
    """Read every picture of a case with its mask.

    A picture that cannot be used is a failure of the reading, never an exception, so that the
    others still count. Every feature family reads in this way: one fault has one wording.

    Examples
    --------
    >>> from cemrad.features.case import Picture
    >>> from cemrad.features.image import ArrayImage
    >>> case = Case("A1", "P1", pictures={PictureKey("RC", "CC"): Picture(ArrayImage(np.ones((9, 9))))})
    >>> [failure.code for failure in read_case(case, MaskRules()).failures]
    ['mask.missing']
    """
    usable: dict[PictureKey, tuple[Image, Mask]] = {}
    failures: list[Failure] = []
    for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order):
        try:
            image, mask = picture.read(rules)
        except CaseError as error:
            stage = "image" if isinstance(error, ImageError) else "mask"
            failures.append(Failure(case.case_id, stage, error.code, str(error), key.name))
            continue
        usable[key] = image, mask
        failures += [_warned(case.case_id, key, code, reason) for code, reason in _oddities(mask)]
    return Reading(case.case_id, usable, tuple(failures))


def require_varied_region(image: Image, mask: Mask) -> None:
    """Refuse a region of one grey value: it has no texture, and no bins.

    Raises
    ------
    ImageError
        ``roi.constant``.
    """
    region = image.pixels[mask]
    if region.min() == region.max():
        raise ImageError(
            "roi.constant",
            f"all {region.size} pixels of the region have the value {region[0]}: there is nothing to measure; "
            "look at the picture and its mask",
        )


def require_varied_image(pixels: NDArray[Any]) -> None:
    """Refuse a picture of one grey value, whatever its region.

    Raises
    ------
    ImageError
        ``image.constant``.
    """
    low = float(pixels.min())
    if low == float(pixels.max()):
        raise ImageError("image.constant", f"every pixel of the picture has the value {low:g}; look at the file")


def _oddities(mask: Mask) -> list[tuple[str, str]]:
    found = []
    n_components = int(ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)[1])
    if n_components > 1:
        reason = f"the mask has {n_components} separate parts (8-connected); they are measured together as one region"
        found.append(("mask.components", reason))
    if mask.all():
        found.append(("mask.full_image", "the mask covers the whole image; a lesion's mask leaves tissue around it"))
    return found


def _warned(case_id: str, key: PictureKey, code: str, reason: str) -> Failure:
    return Failure(case_id, "mask", code, reason, key.name, "warned")
