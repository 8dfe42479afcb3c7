"""The ground on which enhancement shows: a small copy of a picture, level across the breast, in units of its noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage

from ..features.breast import BreastRegion
from ..features.errors import ImageError
from ..features.image import Image
from ..features.mask import Mask, bounding_box

Grey = NDArray[np.float32]

SKIN = 0.035
"""Depth of the skin line and of what the compression leaves uneven, in breast diameters."""

_RING = 0.02  # width of the rings of equal depth, in breast diameters
_BACKGROUND = 0.25  # sigma of the slow background, in breast diameters
_FEWEST_PX = 400  # of the breast in the small copy


@dataclass(frozen=True, eq=False)
class Ground:
    """A levelled small copy of one picture.

    Parameters
    ----------
    height : ndarray of float32, shape (rows, columns)
        How far the grey value lies above that of the breast around it, in robust standard deviations; 0 outside.
    breast, core : ndarray of bool
        The breast; the part of it where candidates are looked for, without skin line and pectoral muscle.
    depth : ndarray of float32
        Distance from the skin in breast diameters; the chest wall and the frame of the picture are no skin.
    diameter_px : float
        Of a disc of the breast's area.
    scale : float
        Pixels of the copy per pixel of the picture, at most 1.
    shape : tuple of int
        Rows and columns of the picture.
    """

    height: Grey
    breast: Mask
    core: Mask
    depth: Grey
    diameter_px: float
    scale: float
    shape: tuple[int, int]


def level(image: Image, region: BreastRegion, working_px: int) -> Ground:
    """Take from a picture what depends on the depth below the skin alone, and what varies slowly across the breast.

    A recombined image keeps a bright or dark band along the skin, where the compressed breast thins out. The median of
    each ring of equal depth is subtracted first, then a wide Gaussian mean of what is left.

    Parameters
    ----------
    image : Image
    region : BreastRegion
        The breast in it.
    working_px : int
        Longest side of the copy; a smaller picture is not enlarged.

    Raises
    ------
    ImageError
        ``breast.not_found``: hardly anything of the breast remains in the copy.
    """
    scale = min(1.0, working_px / max(image.shape))
    grey = _shrink(image.pixels.astype(np.float32), scale)
    if region.inverted:
        grey = -grey
    breast = _shrink(region.mask.astype(np.float32), scale) > 0.5
    tissue = _shrink(region.tissue.astype(np.float32), scale) > 0.5
    if np.count_nonzero(breast) < _FEWEST_PX:
        raise ImageError("breast.not_found", f"fewer than {_FEWEST_PX} pixels of breast; give the picture at full size")
    diameter = 2 * float(np.sqrt(np.count_nonzero(breast) / np.pi))
    depth = _skin_distance(breast, region.side) / np.float32(diameter)
    core = tissue & (depth > SKIN)
    if not core.any():
        core = breast
    flat = np.where(breast, grey - _ring_medians(grey, breast, depth), 0)
    flat -= _mean_within(flat, breast, _BACKGROUND * diameter)
    middle = np.median(flat[core])
    noise = 1.4826 * float(np.median(np.abs(flat[core] - middle)))
    height = np.where(breast, (flat - middle) / max(noise, 1e-6), 0).astype(np.float32)
    return Ground(height, breast, core, depth, diameter, scale, image.shape)


def _shrink(pixels: Grey, scale: float) -> Grey:
    if scale == 1:
        return pixels
    rows, columns = (max(1, round(n * scale)) for n in pixels.shape)
    return np.asarray(Pillow.fromarray(pixels).resize((columns, rows), Pillow.Resampling.BOX))


def _skin_distance(breast: Mask, side: str) -> Grey:
    """Distance from the skin in pixels: the breast is thought to go on beyond chest wall and frame."""
    top, bottom, left, right = bounding_box(breast)
    reach = max(bottom - top, right - left)
    above, below = (reach if top == 0 else 1), (reach if bottom == breast.shape[0] else 1)
    before, after = (reach, 1) if side == "L" else (1, reach)
    wide = breast[top:bottom, left:right]
    for axis, ends in ((0, (above, below)), (1, (before, after))):
        for end, width in enumerate(ends):
            pad = [(0, 0), (0, 0)]
            pad[axis] = (width, 0) if end == 0 else (0, width)
            wide = np.pad(wide, pad, mode="edge" if width == reach else "constant")
    distance = ndimage.distance_transform_edt(wide)
    found = np.zeros(breast.shape, dtype=np.float32)
    found[top:bottom, left:right] = distance[above : above + bottom - top, before : before + right - left]
    found[~breast] = 0
    return found


def _ring_medians(grey: Grey, breast: Mask, depth: Grey) -> Grey:
    """At each pixel the median of its ring, interpolated between rings."""
    ring = (depth / _RING).astype(np.intp)
    numbers = np.arange(ring[breast].max() + 1)
    medians = ndimage.median(grey, np.where(breast, ring, -1), numbers)
    counts = np.bincount(ring[breast], minlength=len(numbers))
    known = counts > min(20, counts.max() - 1)
    smooth = ndimage.gaussian_filter1d(np.interp(numbers, numbers[known], medians[known]), 1, mode="nearest")
    found: Grey = np.interp(depth / _RING - 0.5, numbers, smooth).astype(np.float32)
    return found


def _mean_within(values: Grey, part: Mask, sigma: float) -> Grey:
    """Gaussian mean over the pixels of a part alone."""
    weight = ndimage.gaussian_filter(part.astype(np.float32), sigma, truncate=3)
    mean = ndimage.gaussian_filter(np.where(part, values, 0).astype(np.float32), sigma, truncate=3)
    return np.where(part, mean / np.maximum(weight, 1e-3), 0).astype(np.float32)
