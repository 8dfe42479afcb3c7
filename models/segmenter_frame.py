"""The frame of a segmenting network: the breast cut from its picture, chest wall on the left, at one size; and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..features.breast import BreastRegion
from ..features.image import Image
from ..features.mask import Mask, bounding_box

Grey = NDArray[np.float32]

GREY_PERCENTILES = (0.5, 99.8)
_MARGIN = 0.02
"""Around the breast's box, of its longer side: a breast mask may end a little early."""


@dataclass(frozen=True)
class Frame:
    """Where a network's input lies in its picture.

    Parameters
    ----------
    box : tuple of int
        Top, bottom, left and right of what is cut out; half-open.
    is_mirrored : bool
        Whether the cut is mirrored, so that the chest wall lies on the left.
    size_px : tuple of int
        Rows and columns of the network's input.
    shape : tuple of int
        Rows and columns of the picture.
    """

    box: tuple[int, int, int, int]
    is_mirrored: bool
    size_px: tuple[int, int]
    shape: tuple[int, int]

    @property
    def inner_px(self) -> tuple[int, int]:
        """Rows and columns of the input that the cut fills; the rest, below and to the right, is 0: mid-grey."""
        rows, columns = self.box[1] - self.box[0], self.box[3] - self.box[2]
        scale = min(self.size_px[0] / rows, self.size_px[1] / columns)
        return max(1, round(rows * scale)), max(1, round(columns * scale))

    def cut(self, values: NDArray[np.floating] | Mask) -> Grey:
        """The input: bilinear with antialiasing.

        Parameters
        ----------
        values : ndarray, shape `shape`
            Of :func:`grey`, or a mask.

        Returns
        -------
        ndarray of float32, shape `size_px`
        """
        top, bottom, left, right = self.box
        part = values[top:bottom, left:right]
        part = part[:, ::-1] if self.is_mirrored else part
        framed = np.zeros(self.size_px, dtype=np.float32)
        rows, columns = self.inner_px
        framed[:rows, :columns] = _resize(part, (rows, columns))
        return framed

    def paste(self, framed: Grey) -> Grey:
        """A map of the input's size as one of the picture's, 0 outside of the cut.

        Parameters
        ----------
        framed : ndarray of float32, shape `size_px`

        Returns
        -------
        ndarray of float32, shape `shape`
        """
        top, bottom, left, right = self.box
        rows, columns = self.inner_px
        part = _resize(framed[:rows, :columns], (bottom - top, right - left))
        whole = np.zeros(self.shape, dtype=np.float32)
        whole[top:bottom, left:right] = part[:, ::-1] if self.is_mirrored else part
        return whole


def frame_of(region: BreastRegion, size_px: tuple[int, int]) -> Frame:
    """The frame around a breast.

    Parameters
    ----------
    region : BreastRegion
    size_px : tuple of int
        Rows and columns of the network's input.
    """
    shape = region.mask.shape
    top, bottom, left, right = bounding_box(region.mask)
    margin = round(_MARGIN * max(bottom - top, right - left))
    box = (
        max(top - margin, 0),
        min(bottom + margin, shape[0]),
        max(left - margin, 0),
        min(right + margin, shape[1]),
    )
    return Frame(box, region.side == "R", size_px, (shape[0], shape[1]))


def grey(image: Image, region: BreastRegion) -> Grey:
    """Grey values for a network: -1 to 1 between two percentiles of the breast, -1 outside of it.

    Parameters
    ----------
    image : Image
    region : BreastRegion
        Of this image.

    Returns
    -------
    ndarray of float32, shape of the image
    """
    values = image.pixels.astype(np.float32)
    if region.inverted:
        values = -values
    low, high = np.percentile(values[region.mask], GREY_PERCENTILES)
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.where(region.mask, scaled * 2 - 1, -1).astype(np.float32)


def _resize(values: NDArray[np.floating] | Mask, size: tuple[int, int]) -> Grey:
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]
    made = functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(made[0, 0].numpy())
