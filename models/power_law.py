"""The inverse power law of a learning curve, and what it says about more patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .metrics import Array

RISING, FLAT, UNCLEAR, UNKNOWN = "rising", "flat", "unclear", "unknown"
HELPS, HARDLY, MOST_HIDDEN = 0.02, 0.01, 0.05
"""AUC that twice as many patients must promise for more cases to help, and below which they hardly would; and what a
flat curve may at most have gained over its second half."""
_LEAST_POINTS = 4
_POWERS = np.linspace(0.1, 2.0, 39)


class PowerLaw(NamedTuple):
    """``AUC = plateau - scale * n ** -power``."""

    plateau: float
    scale: float
    power: float

    def at(self, n: float) -> float:
        """The AUC to be expected of `n` persons."""
        return float(self.plateau - self.scale * n**-self.power)


def power_law(n: Sequence[float], auc: Sequence[float]) -> PowerLaw | None:
    """The inverse power law through a learning curve, by least squares; None for fewer than four points.

    After Figueroa et al. 2012 (doi 10.1186/1472-6947-12-8): points count by their number of persons. The plateau
    lies between 0.5 and 1, and the curve never falls.

    Examples
    --------
    >>> law = power_law([50, 100, 200, 400], [0.9 - 2 / n**0.5 for n in (50, 100, 200, 400)])
    >>> round(law.plateau, 6), round(law.scale, 6), round(law.power, 6)
    (0.9, 2.0, 0.5)
    """
    size, area = np.asarray(n, dtype=float), np.asarray(auc, dtype=float)
    if len(size) < _LEAST_POINTS:
        return None
    weight = size / size.sum()
    best, least = None, math.inf
    for power in _POWERS:
        x = size**-power
        mean_x, mean_y = float(weight @ x), float(weight @ area)
        slope = float(weight @ ((x - mean_x) * (area - mean_y)) / (weight @ (x - mean_x) ** 2))
        scale = max(0.0, -slope)
        plateau = mean_y + scale * mean_x
        if plateau > 1:  # a plateau of 1: the scale alone is free
            plateau, scale = 1.0, _scale_to(1.0, x, area, weight)
        elif plateau < 0.5:
            plateau, scale = 0.5, _scale_to(0.5, x, area, weight)
        loss = float(weight @ (area - plateau + scale * x) ** 2)
        if loss < least - 1e-15:
            best, least = PowerLaw(plateau, scale, float(power)), loss
    return best


def _scale_to(plateau: float, x: Array, area: Array, weight: Array) -> float:
    """The scale of a curve whose plateau is given."""
    return max(0.0, float((weight @ (x * (plateau - area))) / (weight @ x**2)))


def verdict(law: PowerLaw | None, n: float, gain_low: float, gain_high: float) -> str:
    """Whether more patients would help: ``rising``, ``flat``, ``unclear`` or ``unknown``.

    Rising if twice as many promise at least 0.02 and the curve has risen for sure over its second half; flat if they
    promise less than 0.01 and the second half has brought less than 0.05 for sure.

    Parameters
    ----------
    law : PowerLaw, optional
    n : float
        Persons that there are.
    gain_low, gain_high : float
        Interval of the gain over the second half; NaN where there is none.
    """
    if law is None:
        return UNKNOWN
    promised = law.at(2 * n) - law.at(n)
    if promised < HARDLY and gain_high < MOST_HIDDEN:
        return FLAT
    return RISING if promised >= HELPS and gain_low > 0 else UNCLEAR
