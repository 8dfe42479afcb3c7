"""Thumbnails: whole pictures for a page, cut to what they show, windowed for the eye."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..features.mask import Mask, bounding_box
from .crops import apply_window, contour_path, robust_window

_BINS = 256
_BACKGROUND_BINS = 3
_LEAST_TISSUE = 0.01
_MARGIN = 0.02
_WINDOW_PERCENTILES = 0.5, 99.9
"""A lesion may be more than 0.5 % of the breast, and must not be white all over."""
_QUALITY = 68


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a page shows it.

    Parameters
    ----------
    data_uri : str
        8-bit grey JPEG.
    width, height : int
        In its own pixels.
    top, left : int
        First row and column of the picture that it shows.
    scale : float
        Its pixels per pixel of the picture.
    """

    data_uri: str
    width: int
    height: int
    top: int
    left: int
    scale: float

    def outline(self, mask: Mask) -> str:
        """SVG path around a mask of the picture's shape, in the thumbnail's pixels; empty where nothing is seen."""
        rows = self.top + ((np.arange(self.height) + 0.5) / self.scale).astype(int)
        columns = self.left + ((np.arange(self.width) + 0.5) / self.scale).astype(int)
        rows, columns = rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)
        return contour_path(mask[np.ix_(rows, columns)])

    def place(self, row: float, column: float) -> tuple[float, float]:
        """x and y of a pixel of the picture, held within the thumbnail."""
        x, y = (column - self.left) * self.scale, (row - self.top) * self.scale
        return min(max(x, 0.0), float(self.width)), min(max(y, 0.0), float(self.height))


def thumbnail(pixels: NDArray[Any], largest_px: int, keep: Mask | None = None) -> Thumbnail:
    """A picture cut to its breast and reduced.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
    largest_px : int
        Longest side of the thumbnail; a smaller picture is not enlarged.
    keep : ndarray of bool, optional
        Pixels that must not be cut off.
    """
    shown = not_background(pixels)
    window = robust_window(pixels[shown], _WINDOW_PERCENTILES)
    top, bottom, left, right = _box(shown if keep is None else shown | keep)
    grey = PillowImage.fromarray(apply_window(pixels[top:bottom, left:right], window))
    scale = min(1.0, largest_px / max(grey.size))
    if scale < 1:
        size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
        grey = grey.resize(size, PillowImage.Resampling.LANCZOS)
    file = io.BytesIO()
    grey.save(file, format="JPEG", quality=_QUALITY, optimize=True, progressive=True)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/jpeg;base64,{text}", grey.width, grey.height, top, left, scale)


def not_background(pixels: NDArray[Any]) -> Mask:
    """Pixels unlike the most common grey value, which in a mammogram is that of the air; all, where few are unlike.

    Examples
    --------
    >>> pixels = np.zeros((8, 8)); pixels[2:6, 0:4] = np.arange(16).reshape(4, 4) + 100.0
    >>> int(not_background(pixels).sum())
    16
    """
    low, high = float(pixels.min()), float(pixels.max())
    if high == low:
        return np.ones(pixels.shape, dtype=bool)
    step = (high - low) / _BINS
    common = int(np.histogram(pixels, bins=_BINS, range=(low, high))[0].argmax())
    air_low, air_high = low + (common - _BACKGROUND_BINS) * step, low + (common + 1 + _BACKGROUND_BINS) * step
    found = (pixels < air_low) | (pixels > air_high)
    return found if found.mean() >= _LEAST_TISSUE else np.ones(pixels.shape, dtype=bool)


def _box(shown: Mask) -> tuple[int, int, int, int]:
    top, bottom, left, right = bounding_box(shown)
    margin = round(_MARGIN * max(shown.shape))
    rows, columns = shown.shape
    return max(0, top - margin), min(rows, bottom + margin), max(0, left - margin), min(columns, right + margin)
