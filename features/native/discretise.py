"""Grey levels: the values of a region sorted into bins.

IBSI: fixed bin number K15C, fixed bin size Q3RU. As in pyradiomics, bins of fixed width have their edges at multiples
of the width, and edges are computed in the type of the values.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int32]

_BLOCK = 64


def count_bins(values: NDArray[Any], *, bin_width: float | None, bin_count: int | None) -> int:
    """How many grey levels there would be, before anything is made for them.

    Examples
    --------
    >>> count_bins(np.array([3.0, 52.0]), bin_width=25, bin_count=None)
    3
    """
    if bin_count is not None:
        return bin_count
    width = float(bin_width or 0)
    return int(float(values.max()) // width - float(values.min()) // width) + 1


def bin_edges(values: NDArray[Any], *, bin_width: float | None, bin_count: int | None) -> NDArray[Any]:
    """Edges of the bins, one more than there are bins; the type is that of the values.

    Parameters
    ----------
    values : ndarray of float32 or float64
        Grey values of the region.
    bin_width : float, optional
        Edges at its multiples, from the last one not above the minimum.
    bin_count : int, optional
        Number of equal bins from minimum to maximum; wins over `bin_width`.

    Examples
    --------
    >>> bin_edges(np.array([54.0, 166.0]), bin_width=25, bin_count=None).tolist()
    [50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0]
    """
    low, high, width = values.min(), values.max(), bin_width or 0
    if bin_count is not None:
        # What numpy.histogram does, which takes ten times as long to find out what to do.
        first, last = (low, high) if low != high else (low - 0.5, high + 0.5)
        edges: NDArray[Any] = np.linspace(first, last, bin_count + 1, dtype=values.dtype)
        edges[-1] += 1  # the maximum belongs to the last bin
        return edges
    edges = np.arange(low - (low % width), high + 2 * width, width)
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def discretise(values: NDArray[Any], *, bin_width: float | None, bin_count: int | None) -> tuple[Levels, int]:
    """Grey levels of a region, from 1 on, and the largest of them.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (pixels,)
    bin_width, bin_count
        As in :func:`bin_edges`.

    Examples
    --------
    >>> discretise(np.array([0.0, 24.9, 25.0, 60.0]), bin_width=25, bin_count=None)
    (array([1, 1, 2, 3], dtype=int32), 3)
    """
    edges = bin_edges(values, bin_width=bin_width, bin_count=bin_count).astype(np.float64)
    levels = np.empty(values.size, dtype=np.int32)
    _sort_in(values, edges, levels)
    return levels, int(levels.max())


@numba.njit(cache=True, error_model="numpy")
def _sort_in(values, edges, levels):  # type: ignore[no-untyped-def]
    """Edges not above each value. The place is computed, and put right where rounding may miss it by one."""
    last = np.int32(edges.size - 1)
    first = edges[0]
    step = (edges[-2] - first) / max(edges.size - 2, 1)
    per_unit = 1 / step if step > 0 else 0.0
    # Edges lie where equal bins have them, but for rounding; a value nearer to one than this is compared with it.
    near = 1e-9
    for k in range(last):
        near = max(near, 1e-9 + 2 * abs((edges[k] - first) * per_unit - k))
    for start in range(0, values.size, _BLOCK):
        block, found = values[start : start + _BLOCK], levels[start : start + _BLOCK]
        unsure = False
        for k in range(block.size):
            exact = (block[k] - first) * per_unit
            level = np.int32(exact)
            unsure |= abs(exact - level - 0.5) > 0.5 - near
            found[k] = min(level + np.int32(1), last)
        if unsure:
            for k in range(block.size):
                value, place = block[k], np.uint32(max(found[k], 1))  # unsigned: no look at whether it is negative
                low, high = edges[place - np.uint32(1)], edges[place]
                found[k] = place + (value >= high) - ((value < low) & (place > 1))
