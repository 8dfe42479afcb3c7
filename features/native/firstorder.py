"""First-order statistics of the grey values of a region (IBSI: intensity-based statistics, UHIW).

Definitions: IBSI reference manual 3.3 and pyradiomics ``firstorder``. Kurtosis is not the excess (IBSI subtracts 3);
entropy and uniformity are those of the discretised values (IBSI 3.4: TLU2, BJ5W).
"""

from __future__ import annotations

from collections.abc import Iterable

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
    ordered = np.sort(values)
    low, q1, median, q3, high = (_quantile(ordered, q) for q in (0.1, 0.25, 0.5, 0.75, 0.9))
    mean = float(np.mean(values))
    m2, m3, m4, absolute, energy = _moments(ordered, mean, float(voxel_array_shift))
    inner = ordered[np.searchsorted(ordered, low, "left") : np.searchsorted(ordered, high, "right")]
    share = np.bincount(levels)[1:] / levels.size
    share = share[share > 0]
    found = {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": float(-np.sum(share * np.log2(share + _EPS))),
        "InterquartileRange": q3 - q1,
        "Kurtosis": m4 / m2**2 if m2 else 0.0,
        "Maximum": float(ordered[-1]),
        "Mean": mean,
        "MeanAbsoluteDeviation": absolute,
        "Median": median,
        "Minimum": float(ordered[0]),
        "Range": float(ordered[-1] - ordered[0]),
        "RobustMeanAbsoluteDeviation": float(_deviation(inner, float(np.mean(inner)))),
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": m3 / m2**1.5 if m2 else 0.0,
        "TotalEnergy": energy * voxel_area,
        "Uniformity": float(np.sum(share**2)),
        "Variance": m2,
        "StandardDeviation": float(np.sqrt(m2)),
    }
    return {name: found[name] for name in names}


def _quantile(ordered: F64, q: float) -> float:
    """Linear between order statistics, rounded as numpy rounds."""
    place = (ordered.size - 1) * q
    k = int(place)
    if k + 1 >= ordered.size:
        return float(ordered[-1])
    part, a, b = place - k, float(ordered[k]), float(ordered[k + 1])
    return a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part)


@numba.njit(cache=True, error_model="numpy")
def _moments(values, mean, shift):  # type: ignore[no-untyped-def]
    """Central moments 2 to 4, mean absolute deviation and energy; sums of short blocks keep rounding small."""
    n = values.size
    m2 = m3 = m4 = absolute = energy = 0.0
    for start in range(0, n, 256):
        s2 = s3 = s4 = sa = se = 0.0
        for k in range(start, min(start + 256, n)):
            d = values[k] - mean
            d2 = d * d
            s2 += d2
            s3 += d2 * d
            s4 += d2 * d2
            sa += abs(d)
            shifted = values[k] + shift
            se += shifted * shifted
        m2 += s2
        m3 += s3
        m4 += s4
        absolute += sa
        energy += se
    return m2 / n, m3 / n, m4 / n, absolute / n, energy


@numba.njit(cache=True, error_model="numpy")
def _deviation(values, mean):  # type: ignore[no-untyped-def]
    total = 0.0
    for start in range(0, values.size, 256):
        part = 0.0
        for k in range(start, min(start + 256, values.size)):
            part += abs(values[k] - mean)
        total += part
    return total / values.size
