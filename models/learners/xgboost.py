"""Gradient-boosted trees (xgboost), shallow and regularised, missing values handled by the trees."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...features.errors import BundleError
from ...features.settings import Settings as BaseSettings
from ..learner import Array, Choice, Params, Range

SUFFIX = "ubj"
_FLOAT32_MAX = 3.0e38
_IMPORTING = threading.Lock()


class Settings(BaseSettings):
    """What is tried in the inner folds (tuples), and what is fixed."""

    max_depth: tuple[int, ...] = Field(default=(2, 3), min_length=1)
    n_rounds: tuple[int, ...] = Field(default=(60, 120), min_length=1, description="trees")
    learning_rate: tuple[float, ...] = Field(default=(0.05,), min_length=1)
    min_child_weight: tuple[float, ...] = Field(default=(2.0,), min_length=1, description="sum of p (1 - p) in a leaf")
    reg_lambda: float = Field(default=3.0, ge=0)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    max_bin: int = Field(default=64, ge=2)


class Learner:
    """Boosted trees on the logistic loss.

    Classes are not reweighted, so that probabilities keep their meaning; imbalance is met by the
    threshold. The booster starts from the training side's prevalence.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def candidates(self) -> list[dict[str, Any]]:
        """Every combination of the tuples in the settings."""
        s = self.settings
        names = ("max_depth", "n_rounds", "learning_rate", "min_child_weight")
        grid = product(s.max_depth, s.n_rounds, s.learning_rate, s.min_child_weight)
        return [dict(zip(names, values, strict=True)) for values in grid]

    def space(self) -> dict[str, Range | Choice]:
        """Depth, trees, their rate and the smallest leaf."""
        return {
            "max_depth": Range(1, 6, whole=True),
            "n_rounds": Range(20, 300, log=True, whole=True),
            "learning_rate": Range(0.01, 0.3, log=True),
            "min_child_weight": Range(0.5, 20, log=True),
        }

    def fit(
        self, x: Array, y: NDArray[np.int64], params: Params, seed: int, weights: Array | None = None
    ) -> FittedTrees:
        """Fit one booster, single-threaded, so that any number of workers gives the same trees."""
        s = self.settings
        options = {
            "eta": params["learning_rate"],
            "max_depth": params["max_depth"],
            "min_child_weight": params["min_child_weight"],
            "lambda": s.reg_lambda,
            "subsample": s.subsample,
            "colsample_bytree": s.colsample_bytree,
            "max_bin": s.max_bin,
        }
        return grow(x, y, options, params["n_rounds"], seed, weights)


def grow(
    x: Array, y: NDArray[np.int64], options: Params, n_rounds: int, seed: int, weights: Array | None = None
) -> FittedTrees:
    """Trees on the logistic loss, single-threaded, starting from the training side's prevalence."""
    import xgboost as xgb

    fixed = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "nthread": 1,
        "seed": seed % 2**31,
        "base_score": float(np.average(y, weights=weights)),
    }
    data = xgb.DMatrix(_bounded(x), label=y, weight=weights, nthread=1)
    return FittedTrees(xgb.train({**fixed, **options}, data, num_boost_round=n_rounds), x.shape[1])


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """A booster and the number of features that it takes."""

    booster: Any
    n_features: int

    def margin(self, x: Array) -> Array:
        """Log odds, computed by xgboost in single precision."""
        import xgboost as xgb

        data = xgb.DMatrix(_bounded(x), nthread=1)
        return np.asarray(self.booster.predict(data, output_margin=True), dtype=np.float64)

    def gains(self) -> Array:
        """Total gain of each feature's splits."""
        found = self.booster.get_score(importance_type="total_gain")
        return np.array([float(found.get(f"f{i}", 0.0)) for i in range(self.n_features)])

    def explain(self, x: Array) -> tuple[Array, Array]:
        """Path-dependent TreeSHAP (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9)."""
        explainer = _tree_explainer()(self.booster)
        values = np.asarray(explainer.shap_values(_bounded(x)), dtype=np.float64)
        return values, np.full(len(x), float(np.ravel(explainer.expected_value)[0]))

    def explain_against(self, x: Array, background: Array) -> tuple[Array, Array]:
        """Interventional TreeSHAP (same source): what is not known takes the values of each background case in turn.

        A missing value of a background case is a value like any other: the trees send it their own way.
        """
        explainer = _tree_explainer()(
            _one_by_one(self.booster), data=_bounded(background), feature_perturbation="interventional"
        )
        values = np.asarray(explainer.shap_values(_bounded(x), check_additivity=False), dtype=np.float64)
        return values, np.full(len(x), float(np.ravel(explainer.expected_value)[0]))

    @property
    def n_nodes(self) -> int:
        """Nodes of all its trees: what explaining a case costs."""
        return sum(tree.count("\n") for tree in self.booster.get_dump())

    def interactions(self, x: Array) -> Array:
        """SHAP interaction values, shape (n, n_features, n_features), computed by xgboost in single precision."""
        import xgboost as xgb

        found = self.booster.predict(xgb.DMatrix(_bounded(x), nthread=1), pred_interactions=True)
        return np.asarray(found[:, :-1, :-1], dtype=np.float64)

    def state(self) -> bytes:
        """The booster in xgboost's UBJ format."""
        return bytes(self.booster.save_raw("ubj"))


def restore(state: bytes) -> FittedTrees:
    """The booster of :meth:`FittedTrees.state`.

    Raises
    ------
    BundleError
        If the bytes are not a booster, or one whose trees xgboost would follow out of its memory.
    """
    import xgboost as xgb

    if not state.startswith(b"{L"):  # UBJ object; xgboost would guess at anything else
        raise BundleError("a model is not an xgboost UBJ file; the bundle is damaged or was tampered with")
    try:
        booster = xgb.Booster({"nthread": 1})
        booster.load_model(bytearray(state))
        model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
        n_features = int(booster.num_features())
        sound = all(_is_sound(tree, n_features) for tree in model["trees"])
    except (xgb.core.XGBoostError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"a model is not an xgboost UBJ file: {(str(error).splitlines() or [''])[0]}") from None
    if not sound:
        raise BundleError("a tree of a model points out of bounds; the bundle is damaged or was tampered with")
    return FittedTrees(booster, n_features)


def _is_sound(tree: Mapping[str, Any], n_features: int) -> bool:
    """Whether each node is a leaf or has two children further on, and splits a feature that there is.

    xgboost itself follows these numbers unchecked.
    """
    left, right, feature = (np.array(tree[name]) for name in ("left_children", "right_children", "split_indices"))
    if not left.shape == right.shape == feature.shape == (max(len(left), 1),) or tree.get("categories_nodes"):
        return False
    node = np.arange(len(left))
    leaf = (left == -1) & (right == -1)
    inner = (left > node) & (left < len(left)) & (right > node) & (right < len(left))
    return bool(((leaf | inner) & (feature >= 0) & (feature < n_features)).all())


def _one_by_one(booster: Any) -> Any:
    """The same trees as rounds of one each: shap reads no rounds of several trees, and their sum is the same."""
    import xgboost as xgb

    stated = json.loads(booster.save_raw("json"))
    model = stated["learner"]["gradient_booster"]["model"]
    if model["gbtree_model_param"]["num_parallel_tree"] == "1":
        return booster
    model["gbtree_model_param"]["num_parallel_tree"] = "1"
    model["iteration_indptr"] = list(range(len(model["trees"]) + 1))
    copy = xgb.Booster({"nthread": 1})
    copy.load_model(bytearray(json.dumps(stated).encode()))
    return copy


def _bounded(x: Array) -> Array:
    """Values that xgboost can hold: it keeps single precision and refuses what becomes infinite there."""
    return np.clip(x, -_FLOAT32_MAX, _FLOAT32_MAX)


def _tree_explainer() -> Any:
    # Filters of warnings belong to the process: one thread at a time.
    with _IMPORTING, warnings.catch_warnings():
        # shap's plots set colours in a way that matplotlib deprecates.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    return shap.TreeExplainer
