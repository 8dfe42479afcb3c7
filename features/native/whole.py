"""The whole image behind a region: what filters of the region still need of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
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
    def places(self) -> NDArray[np.int32]:
        """Flat indices of the region's pixels in the box."""
        return np.flatnonzero(self.mask).astype(np.int32)

    def taken(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the region, row by row, of an image of the box."""
        found: NDArray[Any] = _gather(np.ascontiguousarray(values).reshape(-1), self.places)
        return found

    def framed(self, values: NDArray[Any], kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
        """An image of the box with these values in the region, 0 elsewhere and in a frame of one pixel around it."""
        rows, columns = self.mask.shape
        image = np.zeros((rows + 2, columns + 2), dtype=kind)
        _scatter(values, self._framed_places, image.reshape(-1))
        return image

    @cached_property
    def _framed_places(self) -> NDArray[np.int32]:
        columns = self.mask.shape[1]
        row, column = np.divmod(self.places, np.int32(columns))
        return (row + 1) * np.int32(columns + 2) + column + 1


# An unsigned index needs no look at whether it is negative.


@numba.njit(cache=True, error_model="numpy")
def _gather(flat, places):  # type: ignore[no-untyped-def]
    values = np.empty(places.size, dtype=flat.dtype)
    for k in range(places.size):
        values[k] = flat[np.uint32(places[k])]
    return values


@numba.njit(cache=True, error_model="numpy")
def _scatter(values, places, flat):  # type: ignore[no-untyped-def]
    for k in range(places.size):
        flat[np.uint32(places[k])] = values[k]
