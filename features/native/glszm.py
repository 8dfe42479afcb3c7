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

_SMALL = 64  # zones up to this size are counted in a table, the few larger ones are sorted


def measure(zone_level: NDArray[np.int64], zone_size: NDArray[np.int64], n_levels: int) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    zone_level, zone_size : ndarray of int, shape (zones,)
        Level and number of pixels of each zone.
    n_levels : int
    """
    small = zone_size <= _SMALL
    place = (zone_level[small] - 1) * _SMALL + zone_size[small] - 1
    table = np.bincount(place, minlength=n_levels * _SMALL).reshape(n_levels, _SMALL)
    level, size, count = entries(table)
    key, number = np.unique(zone_size[~small] * (n_levels + 1) + zone_level[~small], return_counts=True)
    level = np.concatenate([level, (key % (n_levels + 1)).astype(np.float64)])
    size = np.concatenate([size, (key // (n_levels + 1)).astype(np.float64)])
    count = np.concatenate([count, number.astype(np.float64)])
    found: F64 = measure_matrix(level, size, count, n_levels)[ORDER]
    return found
