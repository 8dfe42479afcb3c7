"""A lesion crop: the square around a mask that a network, and a reader, looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image import Image
from .mask import Mask, bounding_box


@dataclass(frozen=True, eq=False)
class Crop:
    """A square of an image around its lesion.

    Parameters
    ----------
    pixels : ndarray, shape (side_px, side_px)
        Grey values as in the image; where the square leaves the image, the nearest edge value.
    mask : ndarray of bool, shape (side_px, side_px)
        The lesion; False outside the image.
    top, left : int
        Position of the square's first pixel in the image; negative where it leaves it.
    """

    pixels: NDArray[Any]
    mask: Mask
    top: int
    left: int

    @property
    def side_px(self) -> int:
        """Rows, and columns, of the square."""
        return int(self.pixels.shape[0])


def lesion_side_px(mask: Mask, margin: float) -> int:
    """Side of the square that holds the lesion's box plus a margin on each side.

    Parameters
    ----------
    mask : ndarray of bool
        Not empty.
    margin : float
        Fraction of the box's longer side added on every side.
    """
    top, bottom, left, right = bounding_box(mask)
    return max(1, round(max(bottom - top, right - left) * (1 + 2 * margin)))


def lesion_crop(image: Image, mask: Mask, margin: float = 0.5, side_px: int | None = None) -> Crop:
    """Cut the square around the lesion's bounding box.

    Parameters
    ----------
    image : Image
    mask : ndarray of bool, shape of the image
        Not empty.
    margin : float
        Fraction of the box's longer side added on every side; tissue around a lesion speaks too.
    side_px : int, optional
        Side of the square instead of the one that `margin` gives, to cut two images alike.

    Examples
    --------
    >>> mask = np.zeros((50, 50), bool); mask[10:20, 0:8] = True
    >>> crop = lesion_crop(Image(np.arange(2500.0).reshape(50, 50)), mask, margin=0.5)
    >>> crop.side_px, crop.top, crop.left, int(crop.mask.sum())
    (20, 5, -6, 80)
    """
    side = side_px or lesion_side_px(mask, margin)
    top, bottom, left, right = bounding_box(mask)
    first_row = (top + bottom) // 2 - side // 2
    first_column = (left + right) // 2 - side // 2
    rows = np.arange(first_row, first_row + side)
    columns = np.arange(first_column, first_column + side)
    inside = ((rows >= 0) & (rows < image.shape[0]))[:, None] & ((columns >= 0) & (columns < image.shape[1]))[None, :]
    rows = rows.clip(0, image.shape[0] - 1)
    columns = columns.clip(0, image.shape[1] - 1)
    window = np.ix_(rows, columns)
    return Crop(image.pixels[window], mask[window] & inside, first_row, first_column)
