"""Rejection of false positives: a small booster on a candidate's network score, place, shape and radiomics.

It is fitted on what one network drew on patients from whom the network had not learned, so it knows the mistakes that
the network makes on new patients, and it knows no patient whom the network's masks are made for.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from ..features.errors import BundleError, WeightsError
from ..features.settings import Settings
from .learners.xgboost import FittedTrees, grow, restore


class RejectionSettings(Settings):
    """When candidates are sorted out, and how carefully."""

    use: bool = Field(default=True, description="whether a booster is fitted at all")
    keep: float = Field(default=0.95, gt=0, le=1, description="share of true candidates that the threshold must keep")
    min_candidates: int = Field(default=8, ge=2, description="fewest true and fewest false ones to learn from")
    rounds: int = Field(default=60, ge=1, description="trees, of depth 2")


@dataclass(frozen=True, eq=False)
class Rejector:
    """A fitted booster and the score below which a candidate is a false positive.

    Parameters
    ----------
    trees : FittedTrees
    features : tuple of str
    threshold : float
    n_true, n_false : int
        Candidates that it was fitted on.
    """

    trees: FittedTrees
    features: tuple[str, ...]
    threshold: float
    n_true: int
    n_false: int

    def scores(self, rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Probability of a lesion for each candidate, as :func:`~.segmenter_regions.describe_candidates` gives them."""
        if not rows:
            return np.zeros(0)
        return np.asarray(expit(self.trees.margin(_matrix(rows, self.features))))

    def as_record(self) -> dict[str, Any]:
        """JSON values; the booster as base64 of its UBJ."""
        return {
            "trees": base64.b64encode(self.trees.state()).decode("ascii"),
            "features": list(self.features),
            "threshold": self.threshold,
            "n_true": self.n_true,
            "n_false": self.n_false,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Rejector:
        """What :meth:`as_record` made; raises WeightsError for anything else."""
        try:
            trees = restore(base64.b64decode(record["trees"], validate=True))
            features = tuple(map(str, record["features"]))
            made = cls(trees, features, float(record["threshold"]), int(record["n_true"]), int(record["n_false"]))
        except (BundleError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"the booster that rejects false positives is damaged: {error}") from None
        if trees.n_features != len(features):
            raise WeightsError("the booster that rejects false positives does not fit its features")
        return made


def fit_rejector(
    rows: Sequence[Mapping[str, float]],
    is_lesion: Sequence[bool],
    persons: Sequence[str],
    settings: RejectionSettings,
    seed: int,
) -> Rejector | None:
    """Fit a booster; None where there is too little to learn from.

    The threshold keeps the stated share of the true candidates by scores that leave their own person out.

    Parameters
    ----------
    rows : sequence of mapping
        One per candidate, all with the same keys.
    is_lesion : sequence of bool
    persons : sequence of str
    settings : RejectionSettings
    seed : int
    """
    y = np.asarray(is_lesion, dtype=np.int64)
    n_true, n_false = int(y.sum()), int((1 - y).sum())
    if not settings.use or min(n_true, n_false) < settings.min_candidates or len(set(persons)) < 4:
        return None
    names = tuple(rows[0])
    x = _matrix(rows, names)
    held_out = np.empty(len(y))
    folds = GroupKFold(min(5, len(set(persons))), shuffle=True, random_state=seed % 2**31)
    for learn, rest in folds.split(x, y, groups=list(persons)):
        if len(set(y[learn].tolist())) < 2:
            return None
        held_out[rest] = expit(_fit(x[learn], y[learn], settings, seed).margin(x[rest]))
    threshold = float(np.quantile(held_out[y == 1], 1 - settings.keep, method="lower"))
    return Rejector(_fit(x, y, settings, seed), names, threshold, n_true, n_false)


def _fit(x: NDArray[np.float64], y: NDArray[np.int64], settings: RejectionSettings, seed: int) -> FittedTrees:
    options = {"eta": 0.1, "max_depth": 2, "min_child_weight": 2.0, "lambda": 3.0, "subsample": 0.8}
    return grow(x, y, options, settings.rounds, seed)


def _matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
