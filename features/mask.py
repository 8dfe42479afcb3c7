"""A mask: which pixels of its own picture are lesion, where it comes from, and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from .errors import MaskError
from .image import Image, array_content
from .settings import Settings

Mask = NDArray[np.bool_]


@runtime_checkable
class MaskSource(Protocol):
    """Anything that gives the mask of a picture; small, picklable, read once per use.

    A mask belongs to the picture on which it was drawn: the low-energy and the recombined image
    of one view may differ in size and origin. ``content()``, where it is there, is that of an
    :class:`~cemrad.features.image.ImageSource`. A source that learned to draw from patients carries
    ``trained_on``, a :class:`~cemrad.features.training_ids.TrainingIds`, so that it is not judged on them.
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

    def content(self) -> str:
        """Hash of the pixels."""
        return array_content(self.pixels)


class MaskRules(Settings):
    """What a mask must be for features to mean anything."""

    min_area_px: int = Field(default=64, ge=1, description="fewest pixels")
    min_extent_px: int = Field(default=3, ge=1, description="fewest rows and fewest columns")
    components: Literal["all", "largest"] = Field(
        default="all", description="what is measured of a mask in several parts (8-connected)"
    )


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
    """The mask itself, or its largest part where the rules ask for it, if features can be computed in it.

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
    if rules.components == "largest":
        mask = largest_component(mask)
        area = int(np.count_nonzero(mask))
    top, bottom, left, right = bounding_box(mask)
    rows, columns = bottom - top, right - left
    if area < rules.min_area_px or min(rows, columns) < rules.min_extent_px:
        raise MaskError(
            "mask.too_small",
            f"the mask has {area} px over {rows} rows and {columns} columns; at least {rules.min_area_px} px "
            f"and {rules.min_extent_px} each way are asked for",
        )
    return mask


def largest_component(mask: Mask) -> Mask:
    """The largest 8-connected part of a mask that is not empty; of several such the one that begins first, by rows.

    Examples
    --------
    >>> largest_component(np.array([[True, False, False], [False, False, True], [False, False, True]])).astype(int)
    array([[0, 0, 0],
           [0, 0, 1],
           [0, 0, 1]])
    """
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3), dtype=bool))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Half-open box of a mask that is not empty: top, bottom, left, right in pixels.

    Examples
    --------
    >>> mask = np.zeros((5, 6), bool); mask[1:3, 2:5] = True
    >>> bounding_box(mask)
    (1, 3, 2, 5)
    """
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return top, bottom, int(columns[0]), int(columns[-1]) + 1
