"""Filters that look at one pixel at a time, scaled by the largest absolute value of the whole image.

Definitions: pyradiomics ``imageoperations`` (van Griethuysen et al., Cancer Res 2017). IBSI 2 has no pointwise filters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def square(values: F64, largest: float) -> F64:
    """``(x / sqrt(m))^2``, m the largest absolute value of the image."""
    squared: F64 = ((1 / np.sqrt(np.float64(largest))) * values) ** 2
    return squared


def square_root(values: F64, largest: float) -> F64:
    """``sign(x) sqrt(m |x|)``."""
    rooted: F64 = np.copysign(np.sqrt(np.abs(values) * np.float64(largest)), values)
    return rooted


def logarithm(values: F64, largest: float) -> F64:
    """``sign(x) m log(|x| + 1) / log(m + 1)``."""
    m = np.float64(largest)
    logs: F64 = np.copysign(np.log(np.abs(values) + 1), values) * (m / np.log(m + 1))
    return logs


def exponential(values: F64, largest: float) -> F64:
    """``exp(x log(m) / m)``."""
    m = np.float64(largest)
    grown: F64 = np.exp((np.log(m) / m) * values)
    return grown
