"""Gradient magnitude: central differences, with the image's edge value beyond its edge.

Equal to ITK's GradientMagnitudeImageFilter, which pyradiomics uses; values are float32. Not in IBSI.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .box import Box


def gradient_filter(
    pixels: NDArray[Any], box: Box, spacing: tuple[float, float], *, use_spacing: bool
) -> NDArray[np.float32]:
    """Magnitude of the gradient in a box: one pixel of margin is all that it needs.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image.
    box : Box
        Where the values are wanted.
    spacing : tuple of float
        Of rows and of columns.
    use_spacing : bool
        Differences per unit of spacing; otherwise per pixel.

    Returns
    -------
    ndarray of float32, shape of the box
    """
    rows = np.clip(np.arange(box.top - 1, box.bottom + 1), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(box.left - 1, box.right + 1), 0, pixels.shape[1] - 1)
    near = np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=np.float64)
    if near.shape != (rows.size, columns.size):
        near = near[np.ix_(rows - rows[0], columns - columns[0])]
    by_row, by_column = (1 / spacing[0], 1 / spacing[1]) if use_spacing else (1.0, 1.0)
    return _magnitude(near, 0.5 * by_row, 0.5 * by_column)  # type: ignore[no-any-return]


@numba.njit(cache=True, error_model="numpy")
def _magnitude(near, by_row, by_column):  # type: ignore[no-untyped-def]
    height, width = near.shape[0] - 2, near.shape[1] - 2
    out = np.empty((height, width), dtype=np.float32)
    for i in range(height):
        above, here, below, target = near[i], near[i + 1], near[i + 2], out[i]
        for j in range(width):
            dx = here[j + 2] * by_column - here[j] * by_column
            dy = below[j + 1] * by_row - above[j + 1] * by_row
            target[j] = np.float32(np.sqrt(dx * dx + dy * dy))
    return out
