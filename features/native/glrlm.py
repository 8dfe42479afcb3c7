"""Grey level run lengths (IBSI 3.7, TP0I): rows of pixels of one level, averaged over directions.

Definitions: IBSI reference manual 3.7 and pyradiomics ``glrlm``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .emphasis import MEASURES, measure_dense

F64 = NDArray[np.float64]

FEATURES = {
    "GrayLevelNonUniformity": "R5YN",
    "GrayLevelNonUniformityNormalized": "OVBL",
    "GrayLevelVariance": "8CE5",
    "HighGrayLevelRunEmphasis": "G3QZ",
    "LongRunEmphasis": "W4KF",
    "LongRunHighGrayLevelEmphasis": "3KUM",
    "LongRunLowGrayLevelEmphasis": "IVPO",
    "LowGrayLevelRunEmphasis": "V3SW",
    "RunEntropy": "HJ9O",
    "RunLengthNonUniformity": "W92Y",
    "RunLengthNonUniformityNormalized": "IC23",
    "RunPercentage": "9ZK5",
    "RunVariance": "SXLW",
    "ShortRunEmphasis": "22OV",
    "ShortRunHighGrayLevelEmphasis": "GD3A",
    "ShortRunLowGrayLevelEmphasis": "HTZT",
}
"""Feature to IBSI code, in pyradiomics' order."""

MEASURE = {
    "GrayLevelNonUniformity": "level_nonuniformity",
    "GrayLevelNonUniformityNormalized": "level_nonuniformity_normalised",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelRunEmphasis": "high",
    "LongRunEmphasis": "large",
    "LongRunHighGrayLevelEmphasis": "large_high",
    "LongRunLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelRunEmphasis": "low",
    "RunEntropy": "entropy",
    "RunLengthNonUniformity": "size_nonuniformity",
    "RunLengthNonUniformityNormalized": "size_nonuniformity_normalised",
    "RunPercentage": "percentage",
    "RunVariance": "size_variance",
    "ShortRunEmphasis": "small",
    "ShortRunHighGrayLevelEmphasis": "small_high",
    "ShortRunLowGrayLevelEmphasis": "small_low",
}
"""Feature to the measure of its matrix that it is."""

ORDER = [MEASURES.index(MEASURE[name]) for name in FEATURES]


def measure(runs: NDArray[np.int32], *, weights: F64 | None) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    runs : ndarray, shape (directions, levels, lengths)
        How many runs of level i + 1 and length j + 1 there are.
    weights : ndarray, shape (directions,), optional
        Add the directions up with these weights, instead of averaging features over them.
    """
    matrices = runs if weights is None else np.tensordot(weights, runs, axes=1)[None]
    found = measure_dense(matrices)
    found = found[~np.isnan(found[:, 0])]
    if len(found) == 0:
        return np.full(len(FEATURES), np.nan)
    mean: F64 = found.mean(axis=0)[ORDER]
    return mean
