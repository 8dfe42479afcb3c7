"""Grey level size zones (IBSI 3.8, 9SAK): connected pixels of one level, by eight neighbours.

Definitions: IBSI reference manual 3.8 and pyradiomics ``glszm``.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from .emphasis import MEASURES, entries, measure_matrix

F64 = NDArray[np.float64]

FEATURES = {
    "GrayLevelNonUniformity": "JNSA",
    "GrayLevelNonUniformityNormalized": "Y1RO",
    "GrayLevelVariance": "BYLV",
    "HighGrayLevelZoneEmphasis": "5GN9",
    "LargeAreaEmphasis": "48P8",
    "LargeAreaHighGrayLevelEmphasis": "J17V",
    "LargeAreaLowGrayLevelEmphasis": "YH51",
    "LowGrayLevelZoneEmphasis": "XMSY",
    "SizeZoneNonUniformity": "4JP3",
    "SizeZoneNonUniformityNormalized": "VB3A",
    "SmallAreaEmphasis": "5QRC",
    "SmallAreaHighGrayLevelEmphasis": "HW1V",
    "SmallAreaLowGrayLevelEmphasis": "5RAI",
    "ZoneEntropy": "GU8N",
    "ZonePercentage": "P30P",
    "ZoneVariance": "3NSA",
}
"""Feature to IBSI code, in pyradiomics' order."""

MEASURE = {
    "GrayLevelNonUniformity": "level_nonuniformity",
    "GrayLevelNonUniformityNormalized": "level_nonuniformity_normalised",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelZoneEmphasis": "high",
    "LargeAreaEmphasis": "large",
    "LargeAreaHighGrayLevelEmphasis": "large_high",
    "LargeAreaLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelZoneEmphasis": "low",
    "SizeZoneNonUniformity": "size_nonuniformity",
    "SizeZoneNonUniformityNormalized": "size_nonuniformity_normalised",
    "SmallAreaEmphasis": "small",
    "SmallAreaHighGrayLevelEmphasis": "small_high",
    "SmallAreaLowGrayLevelEmphasis": "small_low",
    "ZoneEntropy": "entropy",
    "ZonePercentage": "percentage",
    "ZoneVariance": "size_variance",
}
"""Feature to the measure of its matrix that it is."""

ORDER = [MEASURES.index(MEASURE[name]) for name in FEATURES]


def measure(small: NDArray[np.int32], level: NDArray[np.int32], size: NDArray[np.int32]) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    small : ndarray, shape (levels, sizes)
        How many zones of level i + 1 and size j + 1 there are.
    level, size : ndarray, shape (zones,)
        Level and number of pixels of each zone that is larger.
    """
    found: F64 = _measure(small, level, size)[ORDER]
    return found


@numba.njit(cache=True, error_model="numpy")
def _measure(small, level, size):  # type: ignore[no-untyped-def]
    """The measures of small and large zones together, the large ones sorted by size and level."""
    n_levels = small.shape[0]
    levels, sizes, counts = entries(small)
    key = np.sort(size.astype(np.int64) * (n_levels + 1) + level)
    n = 0
    for k in range(key.size):
        n += 1 if k == 0 or key[k] != key[k - 1] else 0
    large = np.zeros((3, n))
    at = -1
    for k in range(key.size):
        if k == 0 or key[k] != key[k - 1]:
            at += 1
            large[0, at], large[1, at] = key[k] % (n_levels + 1), key[k] // (n_levels + 1)
        large[2, at] += 1
    return measure_matrix(
        np.concatenate((levels, large[0])),
        np.concatenate((sizes, large[1])),
        np.concatenate((counts, large[2])),
        n_levels,
    )
