"""Features that vary: the variance after scaling to 0 to 1 reaches a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.settings import Settings as BaseSettings
from ..selector import OfSettings

Array = NDArray[np.float64]


class Settings(BaseSettings):
    """What counts as variation."""

    threshold: float = Field(default=0.01, ge=0, le=0.25, description="least variance of the values scaled to 0 to 1")


class Selector(OfSettings):
    """Keeps what varies, without a look at the outcome.

    Variances of raw features have units and cannot be compared; each feature is brought to the range 0 to 1 first.
    Of features that all fall short, the one that varies most is kept.
    """

    settings: Settings

    def _chosen(self, x: Array, y: NDArray[np.int64], persons: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the features to keep, in their order."""
        low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
        span = np.where(high > low, high - low, 1.0)
        scaled = (x - low) / span
        known = ~np.isnan(scaled)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, scaled, 0.0).sum(axis=0) / n
        variance = np.where(known, (scaled - mean) ** 2, 0.0).sum(axis=0) / n
        kept = np.flatnonzero(variance >= self.settings.threshold)
        return kept if len(kept) else np.array([int(variance.argmax())])
