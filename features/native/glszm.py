"""Grey level size zones (IBSI 3.8, 9SAK): connected pixels of one level, by eight neighbours.

Definitions: IBSI reference manual 3.8 and pyradiomics ``glszm``.
"""

from __future__ import annotations

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
    n_levels = small.shape[0]
    found = entries(small)
    if level.size:
        key, number = np.unique(size.astype(np.int64) * (n_levels + 1) + level, return_counts=True)
        large = key % (n_levels + 1), key // (n_levels + 1), number
        found = tuple(np.concatenate([few, many]) for few, many in zip(found, large, strict=True))
    values: F64 = measure_matrix(*found, n_levels)[ORDER]
    return values
