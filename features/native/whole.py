"""The whole image behind a region: what filters of the region still need of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .box import Box


@dataclass(frozen=True)
class Whole:
    """An image with the region to measure in it.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image, in the type that it was stored in.
    box : Box
        Around the region.
    mask : ndarray of bool, shape of the box
        The region.
    spacing : tuple of float
        Of rows and of columns.
    """

    pixels: NDArray[Any]
    box: Box
    mask: NDArray[np.bool_]
    spacing: tuple[float, float]

    @cached_property
    def largest(self) -> float:
        """Largest absolute value of the whole image: pointwise filters scale by it."""
        return float(max(abs(float(self.pixels.max())), abs(float(self.pixels.min()))))

    @cached_property
    def near(self) -> NDArray[np.float64]:
        """The image in the box."""
        return np.ascontiguousarray(self.pixels[self.box.slices], dtype=np.float64)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The image in the region, row by row."""
        return self.taken(self.near)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Flat indices of the region's pixels in the box."""
        return np.flatnonzero(self.mask)

    def taken(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the region, row by row, of an image of the box."""
        return np.ascontiguousarray(values).reshape(-1)[self.places]
