"""Crops for a page: grey values windowed for the eye, the contour as a path above them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..features.crop import Crop
from ..features.mask import Mask

WINDOW_PERCENTILES = (0.5, 99.5)
_TOLERANCE_PX = 0.4


@dataclass(frozen=True)
class Shown:
    """A crop as a page shows it.

    Parameters
    ----------
    data_uri : str
        8-bit grey PNG or JPEG.
    side_px : int
        Side of the crop in its own pixels; the contour's unit.
    window : tuple of float
        Grey values that became black and white.
    contour : str
        SVG path around the mask, empty where the mask is.
    """

    data_uri: str
    side_px: int
    window: tuple[float, float]
    contour: str


def show(crop: Crop, largest_px: int, quality: int | None = None) -> Shown:
    """Make a crop ready for a page.

    Parameters
    ----------
    crop : Crop
    largest_px : int
        Larger crops are reduced to this side.
    quality : int, optional
        Of JPEG instead of PNG, where other things lie on the picture.
    """
    inside = inside_image(crop.pixels)
    window = robust_window(crop.pixels[inside])
    grey = np.zeros(crop.pixels.shape, dtype=np.uint8)
    grey[inside] = apply_window(crop.pixels[inside], window)
    if crop.side_px > largest_px:
        picture = PillowImage.fromarray(grey).resize((largest_px, largest_px), PillowImage.Resampling.LANCZOS)
    else:
        picture = PillowImage.fromarray(grey)
    file = io.BytesIO()
    kind, options = ("png", {}) if quality is None else ("jpeg", {"quality": quality})
    picture.save(file, format=kind, optimize=True, **options)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return Shown(f"data:image/{kind};base64,{text}", crop.side_px, window, contour_path(crop.mask))


def inside_image(pixels: NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns of a crop that hold picture: beyond its edge a crop repeats the last line, which is no tissue.

    Examples
    --------
    >>> inside_image(np.array([[1, 2, 2], [1, 2, 2], [3, 4, 4]]))
    (slice(1, 3, None), slice(0, 2, None))
    """
    # A reduced crop repeats its last line only up to rounding.
    slack = 1e-4 * float(np.ptp(pixels))
    first, last = _repeats(pixels, slack)
    left, right = _repeats(pixels.T, slack)
    return slice(first, last), slice(left, right)


def _repeats(pixels: NDArray[Any], slack: float) -> tuple[int, int]:
    changes = np.flatnonzero(np.abs(np.diff(pixels.astype(np.float64), axis=0)).max(axis=1, initial=0) > slack)
    return (int(changes[0]), int(changes[-1]) + 2) if len(changes) else (0, len(pixels))


def robust_window(pixels: NDArray[Any], percentiles: tuple[float, float] = WINDOW_PERCENTILES) -> tuple[float, float]:
    """Black and white point: two percentiles, so that one bright clip does not darken the rest.

    Examples
    --------
    >>> robust_window(np.arange(1001.0).reshape(7, 143))
    (5.0, 995.0)
    """
    low, high = np.percentile(pixels, percentiles)
    return float(low), float(high)


def apply_window(pixels: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey values as 8 bits, linear between the window's ends; a flat picture is black.

    Examples
    --------
    >>> apply_window(np.array([[0.0, 50.0, 200.0]]), (0.0, 100.0)).tolist()
    [[0, 128, 255]]
    """
    low, high = window
    if high <= low:
        return np.zeros(pixels.shape, dtype=np.uint8)
    share = (pixels.astype(np.float64) - low) / (high - low)
    return (255 * share.clip(0, 1)).round().astype(np.uint8)


def contour_path(mask: Mask) -> str:
    """SVG path around a mask, in pixels from the crop's upper left corner; holes are drawn too.

    Examples
    --------
    >>> contour_path(np.zeros((4, 4), bool))
    ''
    >>> mask = np.zeros((6, 6), bool); mask[1:5, 2:5] = True
    >>> contour_path(mask).startswith("M") and contour_path(mask).endswith("Z")
    True
    """
    # One pixel of nothing around it closes the line of a lesion that is cut by the crop's edge.
    # Pixel centres lie at whole numbers here and at halves on the page.
    from skimage.measure import approximate_polygon, find_contours  # slow to import, and an extraction draws nothing

    parts = []
    for line in find_contours(np.pad(mask, 1).astype(np.float64), 0.5):
        points = approximate_polygon(line, _TOLERANCE_PX)[:-1] - 0.5
        parts.append("M" + "L".join(f"{column:.1f} {row:.1f}" for row, column in points) + "Z")
    return "".join(parts)
