"""Grey level dependence (IBSI 3.11, REK0, neighbouring grey level dependence): neighbours of like level.

Definitions: IBSI reference manual 3.11 and pyradiomics ``gldm``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .emphasis import MEASURES, measure_dense

F64 = NDArray[np.float64]

FEATURES = {
    "DependenceEntropy": "FCBV",
    "DependenceNonUniformity": "Z87G",
    "DependenceNonUniformityNormalized": "OKJI",
    "DependenceVariance": "DNX2",
    "GrayLevelNonUniformity": "FP8K",
    "GrayLevelVariance": "1PFV",
    "HighGrayLevelEmphasis": "OAE7",
    "LargeDependenceEmphasis": "IMOQ",
    "LargeDependenceHighGrayLevelEmphasis": "9QMG",
    "LargeDependenceLowGrayLevelEmphasis": "NBZI",
    "LowGrayLevelEmphasis": "TL9H",
    "SmallDependenceEmphasis": "SODN",
    "SmallDependenceHighGrayLevelEmphasis": "JA6D",
    "SmallDependenceLowGrayLevelEmphasis": "EQ3F",
}
"""Feature to IBSI code, in pyradiomics' order."""

MEASURE = {
    "DependenceEntropy": "entropy",
    "DependenceNonUniformity": "size_nonuniformity",
    "DependenceNonUniformityNormalized": "size_nonuniformity_normalised",
    "DependenceVariance": "size_variance",
    "GrayLevelNonUniformity": "level_nonuniformity",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelEmphasis": "high",
    "LargeDependenceEmphasis": "large",
    "LargeDependenceHighGrayLevelEmphasis": "large_high",
    "LargeDependenceLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelEmphasis": "low",
    "SmallDependenceEmphasis": "small",
    "SmallDependenceHighGrayLevelEmphasis": "small_high",
    "SmallDependenceLowGrayLevelEmphasis": "small_low",
}
"""Feature to the measure of its matrix that it is."""

ORDER = [MEASURES.index(MEASURE[name]) for name in FEATURES]


def measure(dependence: NDArray[np.int32]) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    dependence : ndarray, shape (levels, neighbours + 1)
        Pixels of level i + 1 with j dependent neighbours.
    """
    found: F64 = measure_dense(dependence[None])[0, ORDER]
    return found
