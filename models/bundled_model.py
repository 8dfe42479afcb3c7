"""A model of a bundle: the learner's state with the features, ranges, threshold and limits that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..features.errors import BundleError
from ..features.table import ColumnName, FeatureTable
from .blend import restorer
from .bundle_file import sha256
from .design import IMAGE_FAMILIES
from .explain import explain
from .harmonise import Harmoniser, sites_of
from .learner import Array, Fitted
from .novelty import Novelty
from .rows import bounded


@dataclass(frozen=True, eq=False)
class BundledModel:
    """The model of one endpoint.

    Parameters
    ----------
    endpoint, title, positive, level : str
        As in a Result's endpoints.
    features : tuple of str
        Columns it takes, in its order.
    low, high : ndarray, shape (n_features,)
        Range of each in training; NaN where it had no value.
    threshold : float
        Probability from which a case is called positive.
    thresholds : mapping of str to float
        Those that held a stated sensitivity in training; empty in a bundle that was stored before there were any.
    learner : str
        Part that fitted it and can restore it; ``blend`` for several models in one.
    fitted : Fitted
    training : mapping
        Counts, chosen parameters and inner log loss.
    wanted : str or mapping
        The endpoint as the study named it, so that labels of another cohort are read alike.
    calibration : mapping or None
        How the probabilities of the inner folds agree with the truth; None where it was not stated.
    novelty : Novelty or None
        What tells how far a case is from the training cases; None in bundles of schema 1.
    line : tuple of float
        Intercept and slope of a recalibration: the margin is intercept + slope x that of the learner.
    harmoniser : Harmoniser or None
        What takes the effect of a case's site out of its features first.
    """

    endpoint: str
    title: str
    positive: str
    level: str
    features: tuple[str, ...]
    low: Array
    high: Array
    threshold: float
    thresholds: Mapping[str, float]
    learner: str
    fitted: Fitted
    training: Mapping[str, Any]
    wanted: str | Mapping[str, str] = ""
    calibration: Mapping[str, Any] | None = None
    novelty: Novelty | None = None
    line: tuple[float, float] = (0.0, 1.0)
    harmoniser: Harmoniser | None = None

    def margin(self, x: Array) -> Array:
        """Log odds, shape (n,), of features (n, n_features); recalibrated where the model was."""
        intercept, slope = self.line
        margin = self.fitted.margin(x)
        return margin if self.line == (0.0, 1.0) else intercept + slope * margin

    def explain(self, x: Array) -> tuple[Array, Array]:
        """SHAP values (n, n_features) and base values (n,) that add up to :meth:`margin`."""
        values, base = explain(self.fitted, x)
        intercept, slope = self.line
        return (values, base) if self.line == (0.0, 1.0) else (slope * values, intercept + slope * base)

    def inputs(self, table: FeatureTable) -> tuple[Array, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Its features, and which cases have any value among those of every image block.

        Raises
        ------
        BundleError
            If columns are missing.
        EvaluationError
            If features are harmonised for a site, and a case has none or one that was not trained on.
        """
        _require_columns(self.features, table.values.columns.tolist())
        x = bounded(table.values.reindex(columns=list(self.features)).to_numpy(dtype=np.float64))
        families = {ColumnName.parse(name).family for name in self.features}.intersection(IMAGE_FAMILIES)
        known = ~np.isnan(x)
        usable = np.asarray(known.any(axis=1))
        for family in sorted(families):
            mine = [name.startswith(f"{family}:") for name in self.features]
            usable &= known[:, mine].any(axis=1)
        return (self.harmoniser.apply_to(x, self.features, table) if self.harmoniser else x), usable

    def unharmonised(self, table: FeatureTable) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which cases are predicted as they are although features are harmonised, as their site was not trained on."""
        if self.harmoniser is None:
            return np.zeros(len(table.values), dtype=bool)
        return self.harmoniser.passed(sites_of(table.cases, self.harmoniser.settings.column))

    @property
    def suffix(self) -> str:
        """Ending of the file that holds its state."""
        return str(restorer(self.learner).SUFFIX)

    def stated(self, name: str, state: bytes) -> dict[str, Any]:
        """What a manifest says about it; `name` is the member that holds its `state`."""
        intercept, slope = self.line
        return {
            "endpoint": self.endpoint, "title": self.title, "positive": self.positive, "level": self.level,
            "threshold": self.threshold, "thresholds": dict(self.thresholds),
            "learner": self.learner, "file": name, "sha256": sha256(state),
            "features": list(self.features), "low": _plain(self.low), "high": _plain(self.high),
            "training": dict(self.training), "wanted": self.wanted, "calibration": self.calibration,
            "novelty": None if self.novelty is None else self.novelty.state(),
            "line": {"intercept": intercept, "slope": slope},
            "harmoniser": None if self.harmoniser is None else self.harmoniser.stated(),
        }  # fmt: skip

    @classmethod
    def restore(cls, item: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> Self:
        """What :meth:`stated` gave, with its model from the members; raises BundleError where they do not fit."""
        state = members.get(str(item["file"]), b"")
        if sha256(state) != item["sha256"]:
            raise BundleError(
                f"{where}: the model of {item['endpoint']} was altered or is missing; get the bundle again"
            )
        features = tuple(map(str, item["features"]))
        fitted: Fitted = restorer(str(item["learner"])).restore(state)
        if len(fitted.gains()) != len(features):
            raise BundleError(
                f"{where}: the model of {item['endpoint']} does not take the {len(features)} features listed"
            )
        low, high = (np.array(item[name], dtype=np.float64) for name in ("low", "high"))
        if not low.shape == high.shape == (len(features),):
            raise BundleError(f"{where}: the ranges of {item['endpoint']} do not fit its {len(features)} features")
        threshold = float(item["threshold"])
        thresholds = {str(name): float(value) for name, value in item.get("thresholds", {}).items()}
        for value in (threshold, *thresholds.values()):
            if not 0 <= value <= 1:
                raise BundleError(f"{where}: a threshold of {item['endpoint']} is {value}, not a probability")
        harmoniser = item.get("harmoniser")
        novelty, stated = item.get("novelty"), item.get("line", {"intercept": 0.0, "slope": 1.0})
        line = float(stated["intercept"]), float(stated["slope"])
        if not (np.isfinite(line).all() and line[1] > 0):
            raise BundleError(f"{where}: the recalibration of {item['endpoint']} is {line}, not a rising line")
        return cls(
            endpoint=str(item["endpoint"]),
            title=str(item["title"]),
            positive=str(item["positive"]),
            level=str(item["level"]),
            features=features,
            low=low,
            high=high,
            threshold=threshold,
            thresholds=thresholds,
            learner=str(item["learner"]),
            fitted=fitted,
            training=dict(item["training"]),
            wanted=item.get("wanted") or str(item["endpoint"]),
            calibration=item.get("calibration"),
            novelty=None if novelty is None else Novelty.restore(novelty, len(features)),
            line=line,
            harmoniser=None if harmoniser is None else Harmoniser.restore(harmoniser, features),
        )


def _require_columns(features: Sequence[str], columns: Sequence[str]) -> None:
    """Every feature is a column, or its family is there and its whole picture is not."""
    names = [ColumnName.parse(name) for name in columns]
    families, pictures = {name.family for name in names}, {name[:2] for name in names}
    there = set(columns)
    absent = [
        name
        for name in features
        if name not in there and ((key := ColumnName.parse(name)).family not in families or key[:2] in pictures)
    ]
    if absent:
        shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
        raise BundleError(
            f"the table lacks {len(absent)} columns of the model: {shown}; extract with the bundle's settings"
        )


def _plain(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
