"""A mask: which pixels of its own picture are lesion, where it comes from, and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .errors import MaskError
from .image import Image
from .settings import Settings

Mask = NDArray[np.bool_]


@runtime_checkable
class MaskSource(Protocol):
    """Anything that gives the mask of a picture; small, picklable, read once per use.

    A mask belongs to the picture on which it was drawn: the low-energy and the recombined image
    of one view may differ in size and origin.
    """

    def read(self, image: Image) -> Mask:
        """The mask, of the image's shape; raises :class:`~cemrad.features.errors.MaskError`."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayMask:
    """A mask already in memory."""

    pixels: Mask

    def read(self, image: Image) -> Mask:
        """The mask as given, after a check of its size."""
        return require_same_size(self.pixels, image)


class MaskRules(Settings):
    """What a mask must be for features to mean anything."""

    min_area_px: int = Field(default=64, ge=1, description="fewest pixels")
    min_extent_px: int = Field(default=3, ge=1, description="fewest rows and fewest columns")


def require_same_size(mask: Mask, image: Image) -> Mask:
    """The mask itself, if it has its image's rows and columns.

    Raises
    ------
    MaskError
        ``geometry.size`` otherwise: a mask is never resized in silence.
    """
    if mask.shape != image.shape:
        raise MaskError(
            "geometry.size",
            f"the mask has {mask.shape[0]} x {mask.shape[1]} pixels (rows x columns) and its image "
            f"{image.shape[0]} x {image.shape[1]}; give the mask that was drawn on this image",
        )
    return mask.astype(bool, copy=False)


def require_usable(mask: Mask, rules: MaskRules) -> Mask:
    """The mask itself, if features can be computed in it.

    Raises
    ------
    MaskError
        ``mask.empty`` or ``mask.too_small``.

    Examples
    --------
    >>> require_usable(np.zeros((9, 9), bool), MaskRules())
    Traceback (most recent call last):
        ...
    cemrad.features.errors.MaskError: no pixel of the mask is set
    """
    area = int(np.count_nonzero(mask))
    if area == 0:
        raise MaskError("mask.empty", "no pixel of the mask is set")
    top, bottom, left, right = bounding_box(mask)
    rows, columns = bottom - top, right - left
    if area < rules.min_area_px or min(rows, columns) < rules.min_extent_px:
        raise MaskError(
            "mask.too_small",
            f"the mask has {area} px over {rows} rows and {columns} columns; at least {rules.min_area_px} px "
            f"and {rules.min_extent_px} each way are asked for",
        )
    return mask


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Half-open box of a mask that is not empty: top, bottom, left, right in pixels.

    Examples
    --------
    >>> mask = np.zeros((5, 6), bool); mask[1:3, 2:5] = True
    >>> bounding_box(mask)
    (1, 3, 2, 5)
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
