"""A reading: the pictures of one case that can be used, and what stands against the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .case import Case, PictureKey
from .errors import CaseError, ImageError, MaskError
from .failure import Failure
from .image import Image
from .mask import Mask, MaskRules, bounding_box
from .reread import read_again

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
_LEAST_BACKGROUND = 0.2
_LEAST_BACKGROUND_PX = 32
"""Share of the picture from which on one flat area at its edge is background, and not a dark spot of tissue."""
_MOST_OFF_TISSUE = 0.5
_MOST_BACKGROUND = 0.01
_MOST_SATURATED = 0.05


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
        that is (``mask.components``, ``mask.full_image``, ``roi.background``, ``roi.saturated``).
    pictures : tuple of PictureKey
        All pictures of the case, read or not, view by view.
    """

    case_id: str
    usable: Mapping[PictureKey, tuple[Image, Mask]]
    failures: tuple[Failure, ...] = ()
    pictures: tuple[PictureKey, ...] = ()


def read_case(case: Case, rules: MaskRules, keys: Collection[PictureKey] | None = None) -> Reading:
    """Read the pictures of a case with their masks, once for all families.

    A picture that cannot be used is a failure of the reading, never an exception, so that the
    others still count: one fault has one wording, whoever would have measured the picture. Memory that is out
    is no fault of a picture, and raises.

    Parameters
    ----------
    case : Case
    rules : MaskRules
        What a mask must be.
    keys : collection of PictureKey, optional
        Read only these; all without it.

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
    pictures = tuple(sorted(case.pictures, key=lambda key: key.order))
    for key in (key for key in pictures if keys is None or key in keys):
        picture = case.pictures[key]
        try:
            image, mask = read_again(picture, rules)
            background = background_share(image, mask)
            _require_on_tissue(background)
        except CaseError as error:
            stage = "image" if isinstance(error, ImageError) else "mask"
            failures.append(Failure(case.case_id, stage, error.code, str(error), key.name))
            continue
        usable[key] = image, mask
        failures += [_warned(case.case_id, key, code, reason) for code, reason in _oddities(image, mask, background)]
    return Reading(case.case_id, usable, tuple(failures), pictures)


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


def background_share(image: Image, mask: Mask) -> float | None:
    """Share of a mask that lies on the picture's background; None where the picture has no clear one.

    Background is one 8-connected area that touches the edge of the picture, holds at least a fifth of it
    (and 32 pixels) and is flat at its lowest or its highest value: air, padding or a shutter. Only exactly equal values
    count, save for 8-bit pictures, where JPEG blurs by up to 2 grey levels. A mask of the whole picture is
    not judged.

    Examples
    --------
    >>> pixels = np.zeros((10, 10)); pixels[:, 5:] = np.arange(1, 51).reshape(10, 5)
    >>> mask = np.zeros((10, 10), bool); mask[3:7, 3:7] = True
    >>> background_share(Image(pixels), mask)
    0.5
    """
    pixels = image.pixels
    low, high = float(pixels.min()), float(pixels.max())
    blur = 2 if pixels.dtype == np.uint8 else 0
    if high - low <= 2 * blur or mask.all():
        return None
    region = pixels[mask]
    found = None
    for start, end in ((low, low + blur), (high - blur, high)):
        # Labels of a large picture take long, and most masks hold no such pixel.
        if not ((region >= start) & (region <= end)).any():
            continue
        flat = (pixels >= start) & (pixels <= end)
        share = _share_at_edge(flat, mask) if flat.mean() >= _LEAST_BACKGROUND else None
        found = found if share is None else (found or 0.0) + share
    return found


def _share_at_edge(flat: Mask, mask: Mask) -> float | None:
    labels, _ = ndimage.label(flat, structure=_EIGHT_NEIGHBOURS)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    sizes = np.bincount(labels.ravel())
    large = [
        label
        for label in edge.tolist()
        if label and sizes[label] >= max(_LEAST_BACKGROUND * flat.size, _LEAST_BACKGROUND_PX)
    ]
    return float(np.isin(labels[mask], large).mean()) if large else None


def _require_on_tissue(share: float | None) -> None:
    """Refuse a mask of which more than half lies on background: it was drawn on another picture."""
    if share is not None and share > _MOST_OFF_TISSUE:
        raise MaskError(
            "mask.off_tissue",
            f"{share:.1%} of the mask lies on the picture's flat background; look whether the mask is that of "
            "another view or side, or mirrored",
        )


def _oddities(image: Image, mask: Mask, background: float | None) -> list[tuple[str, str]]:
    found = []
    top, bottom, left, right = bounding_box(mask)
    n_components = int(ndimage.label(mask[top:bottom, left:right], structure=_EIGHT_NEIGHBOURS)[1])
    if n_components > 1:
        reason = f"the mask has {n_components} separate parts (8-connected); they are measured together as one region"
        found.append(("mask.components", reason))
    if mask.all():
        found.append(("mask.full_image", "the mask covers the whole image; a lesion's mask leaves tissue around it"))
    if background is not None and background > _MOST_BACKGROUND:
        reason = f"{background:.1%} of the mask lies on the picture's flat background or padding; look at its outline"
        found.append(("roi.background", reason))
    region = image.pixels[mask]
    saturated = float((region == image.pixels.max()).mean())
    if region.min() != region.max() and saturated > _MOST_SATURATED:
        reason = f"{saturated:.1%} of the region has the picture's highest value; it may be saturated: look at it"
        found.append(("roi.saturated", reason))
    return found


def _warned(case_id: str, key: PictureKey, code: str, reason: str) -> Failure:
    return Failure(case_id, "mask", code, reason, key.name, "warned")
