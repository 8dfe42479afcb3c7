"""First-order statistics of the grey values of a region (IBSI: intensity-based statistics, UHIW).

Definitions: IBSI reference manual 3.3 and pyradiomics ``firstorder``. Kurtosis is not the excess (IBSI subtracts 3);
entropy and uniformity are those of the discretised values (IBSI 3.4: TLU2, BJ5W).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

FEATURES = {
    "10Percentile": "QG58",
    "90Percentile": "8DWT",
    "Energy": "N8CA",
    "Entropy": "TLU2",
    "InterquartileRange": "SALO",
    "Kurtosis": "IPH6",
    "Maximum": "84IY",
    "MeanAbsoluteDeviation": "4FUA",
    "Mean": "Q4LE",
    "Median": "Y12H",
    "Minimum": "1GSF",
    "Range": "2OJQ",
    "RobustMeanAbsoluteDeviation": "1128",
    "RootMeanSquared": "5ZWQ",
    "Skewness": "KE2A",
    "TotalEnergy": "",
    "Uniformity": "BJ5W",
    "Variance": "ECT3",
}
"""Feature to IBSI code, in pyradiomics' order."""

DEPRECATED = ("StandardDeviation",)
_EPS = np.spacing(1.0)
_LANES = 64  # sums side by side: they need not wait for each other, and each stays small
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def measure(
    values: F64,
    levels: NDArray[np.int32],
    n_levels: int,
    names: Iterable[str],
    *,
    voxel_area: float,
    voxel_array_shift: float,
) -> dict[str, float]:
    """Statistics by name.

    Parameters
    ----------
    values : ndarray of float64, shape (pixels,)
        Grey values of the region.
    levels : ndarray of int32, same shape
        Grey levels from 1 on.
    n_levels : int
    names : iterable of str
        Of :data:`FEATURES` or :data:`DEPRECATED`.
    voxel_area : float
        Area of a pixel: TotalEnergy is energy times it.
    voxel_array_shift : float
        Added to the values before they are squared, where they may be negative.
    """
    smallest, largest = span(values)
    mean = float(np.add.reduce(values)) / values.size  # what numpy.mean does
    low, q1, median, q3, high = _quantiles(values, smallest, largest)
    m2, m3, m4, absolute, energy = _moments(values, mean, float(voxel_array_shift))
    share = _histogram(levels, n_levels, 1) / levels.size
    share = share[share > 0]
    found = {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": float(-np.sum(share * np.log2(share + _EPS))),
        "InterquartileRange": q3 - q1,
        "Kurtosis": m4 / m2**2 if m2 else 0.0,
        "Maximum": largest,
        "Mean": mean,
        "MeanAbsoluteDeviation": absolute,
        "Median": median,
        "Minimum": smallest,
        "Range": largest - smallest,
        "RobustMeanAbsoluteDeviation": float(_robust_deviation(values, low, high)),
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": m3 / m2**1.5 if m2 else 0.0,
        "TotalEnergy": energy * voxel_area,
        "Uniformity": float(np.sum(share**2)),
        "Variance": m2,
        "StandardDeviation": float(np.sqrt(m2)),
    }
    return {name: found[name] for name in names}


def _quantiles(values: F64, smallest: float, largest: float) -> list[float]:
    """Linear between order statistics, rounded as numpy rounds."""
    places = [(values.size - 1) * q for q in _QUANTILES]
    ranks = np.array([min(int(place) + step, values.size - 1) for place in places for step in (0, 1)])
    found = _order_statistics(values, ranks, smallest, largest).reshape(-1, 2).tolist()
    parts = [place - int(place) for place in places]
    return [a + (b - a) * t if t < 0.5 else b - (b - a) * (1 - t) for (a, b), t in zip(found, parts, strict=True)]


def span(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest value; nan where one is nan."""
    return float(values.min()), float(values.max())


@numba.njit(cache=True, error_model="numpy")
def _histogram(levels, largest, first):  # type: ignore[no-untyped-def]
    """Pixels of each level from the first to the largest; neighbours, often alike, count in tables of their own."""
    counts = np.zeros((4, largest + 1), dtype=np.int32)
    last = levels.size - levels.size % 4
    for k in range(0, last, 4):
        for lane in range(4):
            counts[lane, np.uint32(levels[k + lane])] += 1
    for k in range(last, levels.size):
        counts[0, levels[k]] += 1
    return (counts[0] + counts[1] + counts[2] + counts[3])[first:]


@numba.njit(cache=True, error_model="numpy")
def _order_statistics(values, ranks, smallest, largest):  # type: ignore[no-untyped-def]
    """Values of these ranks (ascending): only the cells of a fine histogram in which they lie are sorted."""
    n_cells = max(min(values.size // 8, 2048), 1)
    scale = n_cells / (largest - smallest) if largest > smallest else 0.0
    cell = np.empty(values.size, dtype=np.int32)
    for k in range(values.size):
        cell[k] = min(np.int32((values[k] - smallest) * scale), np.int32(n_cells - 1))
    count = _histogram(cell, n_cells - 1, 0)
    start = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(count)))
    wanted = np.full(n_cells, -1, dtype=np.int64)
    is_wanted = np.zeros(n_cells, dtype=np.uint8)
    n_wanted = 0
    home = np.empty(ranks.size, dtype=np.int64)
    for r in range(ranks.size):
        home[r] = np.searchsorted(start, ranks[r], side="right") - 1
        if wanted[home[r]] < 0:
            wanted[home[r]] = n_wanted
            is_wanted[home[r]] = 1
            n_wanted += count[home[r]]
    members = np.empty(n_wanted, dtype=np.float64)
    filled = wanted.copy()
    for k in range(values.size):
        if is_wanted[np.uint32(cell[k])]:
            members[filled[cell[k]]] = values[k]
            filled[cell[k]] += 1
    out = np.empty(ranks.size, dtype=np.float64)
    for r in range(ranks.size):
        c = home[r]
        first = wanted[c]
        if r == 0 or home[r - 1] != c:
            members[first : filled[c]].sort()
        out[r] = members[first + ranks[r] - start[c]]
    return out


@numba.njit(cache=True, error_model="numpy")
def _moments(values, mean, shift):  # type: ignore[no-untyped-def]
    """Central moments 2 to 4, mean absolute deviation and energy, summed in lanes side by side."""
    sums = np.zeros(5 * _LANES, dtype=np.float64)
    for start in range(0, values.size, _LANES):
        block = values[start : start + _LANES]
        for j in range(block.size):
            d = block[j] - mean
            d2 = d * d
            shifted = block[j] + shift
            sums[j] += d2
            sums[_LANES + j] += d2 * d
            sums[2 * _LANES + j] += d2 * d2
            sums[3 * _LANES + j] += abs(d)
            sums[4 * _LANES + j] += shifted * shifted
    m2, m3, m4, absolute, energy = sums.reshape((5, _LANES)).sum(axis=1)
    return m2 / values.size, m3 / values.size, m4 / values.size, absolute / values.size, energy


@numba.njit(cache=True, error_model="numpy")
def _robust_deviation(values, low, high):  # type: ignore[no-untyped-def]
    """Mean absolute deviation of the values from low to high, both included, from their own mean."""
    sums = np.zeros(2 * _LANES, dtype=np.float64)
    for start in range(0, values.size, _LANES):
        block = values[start : start + _LANES]
        for j in range(block.size):
            inside = (block[j] >= low) & (block[j] <= high)
            sums[j] += block[j] if inside else 0.0
            sums[_LANES + j] += 1.0 if inside else 0.0
    n = sums[_LANES:].sum()
    mean = sums[:_LANES].sum() / n
    sums[:] = 0.0
    for start in range(0, values.size, _LANES):
        block = values[start : start + _LANES]
        for j in range(block.size):
            inside = (block[j] >= low) & (block[j] <= high)
            sums[j] += abs(block[j] - mean) if inside else 0.0
    return sums.sum() / n
