"""Local binary pattern of the region alone, equal to that of the whole image.

Samples on a circle are interpolated between four pixels at the picture's own coordinates: their rounding decides
ties between equal pixels, so it is kept. Beyond the image everything is 0.
Source: Ojala, Pietikainen and Maenpaa, IEEE TPAMI 2002; scikit-image's ``local_binary_pattern``, as pyradiomics
calls it. Not in IBSI.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .box import Box

METHODS = ("uniform", "default")


def lbp_filter(
    pixels: NDArray[Any], box: Box, mask: NDArray[np.bool_], *, radius: float, n_samples: int, method: str
) -> NDArray[np.float64]:
    """Patterns of the pixels of a mask, row by row.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image.
    box : Box
        Around the region.
    mask : ndarray of bool, shape of the box
        The region.
    radius : float
        Of the circle, in pixels.
    n_samples : int
        On the circle.
    method : {"uniform", "default"}
        ``uniform``: number of brighter samples where the circle changes at most twice, else n_samples + 1.
    """
    angles = 2 * np.pi * np.arange(n_samples, dtype=np.float64) / n_samples
    down, right = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    halo = math.ceil(radius) + 1
    wide = Box(box.top - halo, box.bottom + halo, box.left - halo, box.right + halo)
    inside = box.grown(halo, halo, pixels.shape)
    near = np.zeros(wide.shape, dtype=np.float64)
    near[inside.within(wide).slices] = pixels[inside.slices]
    row_part = _parts(np.arange(box.top, box.bottom), down)
    column_part = _parts(np.arange(box.left, box.right), right)
    row_step, column_step = np.floor(down).astype(np.int64), np.floor(right).astype(np.int64)
    patterns = np.empty(box.shape, dtype=np.float64)
    _patterns(near, halo, row_step, row_part, column_step, column_part, method == "uniform", patterns)
    found: NDArray[np.float64] = patterns[mask]
    return found


def _parts(places: NDArray[np.int64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sample's part of the way from its lower neighbour to the upper one, shape (samples, places)."""
    exact = places[None, :] + offsets[:, None]
    part: NDArray[np.float64] = exact - np.floor(exact)
    return part


@numba.njit(cache=True, error_model="numpy")
def _patterns(near, halo, row_step, row_part, column_step, column_part, uniform, out):  # type: ignore[no-untyped-def]
    n_samples, width = column_part.shape
    total = np.empty(width, dtype=np.float64)
    changes = np.empty(width, dtype=np.float64)
    before = np.empty(width, dtype=np.float64)
    for i in range(out.shape[0]):
        centre = near[i + halo, halo : halo + width]
        total[:] = 0.0
        changes[:] = 0.0
        for k in range(n_samples):
            row, left, dr = i + halo + row_step[k], halo + column_step[k], row_part[k, i]
            upper, beside = near[row, left : left + width], near[row, left + 1 : left + 1 + width]
            lower, across = near[row + 1, left : left + width], near[row + 1, left + 1 : left + 1 + width]
            part = column_part[k]
            weight = 1.0 if uniform else 2.0**k
            for j in range(width):
                dc = part[j]
                above = (1 - dc) * upper[j] + dc * beside[j]
                below = (1 - dc) * lower[j] + dc * across[j]
                bright = 1.0 if ((1 - dr) * above + dr * below) - centre[j] >= 0 else 0.0
                total[j] += weight * bright
                if k > 0:
                    changes[j] += abs(bright - before[j])
                before[j] = bright
        target = out[i]
        for j in range(width):
            target[j] = total[j] if (not uniform) or changes[j] <= 2 else n_samples + 1.0
