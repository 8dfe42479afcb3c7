"""Neighbourhood grey tone difference (IBSI 3.10, IPET): how far pixels differ from the mean of their neighbours.

Definitions: Amadasun and King 1989, doi 10.1109/21.44046; IBSI reference manual 3.10; pyradiomics ``ngtdm``.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

FEATURES = {"Busyness": "NQ30", "Coarseness": "QCDE", "Complexity": "HDEZ", "Contrast": "65HE", "Strength": "1X9X"}
"""Feature to IBSI code, in pyradiomics' order."""

FLAT = 1e6
"""Coarseness of a region without differences."""


def measure(neighbours: F64) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    neighbours : ndarray, shape (levels, 2)
        Pixels of level i + 1, and the sum of their absolute differences from the mean of their neighbours; a pixel
        without neighbours adds no difference, but counts, as in pyradiomics.
    """
    found: F64 = _features(neighbours)
    return found


@numba.njit(cache=True, error_model="numpy")
def _features(neighbours):  # type: ignore[no-untyped-def]
    there = np.flatnonzero(neighbours[:, 0])
    if there.size == 0:
        return np.full(5, np.nan)
    number, s, level = neighbours[there, 0], neighbours[there, 1], there + 1.0
    n_levels, n = number.size, number.sum()
    p = number / n
    ps, total = 0.0, 0.0
    for i in range(n_levels):
        ps += p[i] * s[i]
        total += s[i]
    variance = distance = complexity = strength = 0.0
    for i in range(n_levels):
        for j in range(n_levels):
            d = level[i] - level[j]
            variance += p[i] * p[j] * d * d
            distance += abs(level[i] * p[i] - level[j] * p[j])
            complexity += abs(d) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j])
            strength += (p[i] + p[j]) * d * d
    busyness = ps / distance if distance != 0.0 else 0.0
    coarseness = 1 / ps if ps != 0.0 else FLAT
    contrast = variance * total / n / (n_levels * (n_levels - 1)) if n_levels > 1 else 0.0
    return np.array([busyness, coarseness, complexity / n, contrast, strength / total if total != 0.0 else 0.0])
