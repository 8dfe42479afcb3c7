"""An image: the pixels of one mammogram, and where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError


class Grid(NamedTuple):
    """Where the pixels lie, as the file states it: what a mask drawn on the image must share.

    Parameters
    ----------
    spacing_mm : tuple of float
        Between rows and between columns.
    origin_mm : tuple of float
        Of the first pixel, along rows (y) and columns (x).
    direction : tuple of float
        In-plane direction cosines, row by row: ``(1, 0, 0, 1)`` for an image that is not turned.
    """

    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float] = (0.0, 0.0)
    direction: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Image:
    """Pixels of one mammogram.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        Grey values as stored, any real number type; never rescaled to a display range.
    spacing_mm : tuple of float, optional
        Row and column spacing in millimetres (DICOM PixelSpacing order). None when the file does
        not state it: JPEG and PNG do not, and a physical size is never invented.
    notes : tuple of str
        What was decided while decoding, for example that a colour image was taken as grey.
    grid : Grid, optional
        Placement as the file states it, before any correction; None where the format has none.
    """

    pixels: NDArray[Any]
    spacing_mm: tuple[float, float] | None = None
    notes: tuple[str, ...] = field(default=())
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2:
            raise ImageError("image.not_2d", f"expected one 2-D picture, got shape {self.pixels.shape}")
        if self.pixels.dtype.kind == "f" and not np.isfinite(self.pixels).all():
            raise ImageError("pixel.nonfinite", "the picture holds NaN or infinite values; repair the file")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]


@runtime_checkable
class ImageSource(Protocol):
    """Anything that gives an image when it is asked; small, picklable, read once per use.

    A source may also have ``content()``: a text that is another one whenever the pixels, or what is decided
    about them, may be others. Results of sources without it, or whose ``content()`` raises a
    :class:`~cemrad.features.errors.CaseError`, are never taken from an earlier run.
    """

    def read(self) -> Image:
        """Decode the image; raises :class:`~cemrad.features.errors.ImageError`."""
        ...


def array_content(pixels: NDArray[Any]) -> str:
    """SHA-256 over type, shape and values of an array.

    Examples
    --------
    >>> array_content(np.zeros((2, 3))) == array_content(np.zeros((3, 2)))
    False
    """
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """An image already in memory.

    Examples
    --------
    >>> ArrayImage(np.zeros((4, 3))).read().shape
    (4, 3)
    """

    pixels: NDArray[Any]
    spacing_mm: tuple[float, float] | None = None

    def read(self) -> Image:
        """The image as given."""
        return Image(self.pixels, self.spacing_mm)

    def content(self) -> str:
        """Hash of the pixels, and the spacing."""
        return f"{array_content(self.pixels)} {self.spacing_mm}"
