"""SHAP values against exact ones."""

import json

import numpy as np
import pytest
import xgboost as xgb
from cemrad.features.errors import EvaluationError
from cemrad.models.explain import explain
from cemrad.models.learners import logistic
from cemrad.models.learners import xgboost as trees


@pytest.mark.parametrize("rule", ["AND", "OR"])
def test_exact_values_of_and_and_or(reference, rule):
    """One depth-2 tree that holds the rule exactly; values from shap's own notebook."""
    expected = json.loads((reference / "stats_reference" / "shap" / "expected.json").read_text(encoding="utf-8"))[rule]
    x = np.zeros((100, 4))
    x[:50, 0] = 1
    x[:25, 1] = 1
    x[50:75, 1] = 1
    y = x[:, 0] * x[:, 1] if rule == "AND" else np.maximum(x[:, 0], x[:, 1])
    options = {
        "objective": "reg:squarederror", "max_depth": 2, "eta": 1.0, "lambda": 0.0, "tree_method": "exact",
        "base_score": float(y.mean()), "min_child_weight": 0.0, "nthread": 1,
    }  # fmt: skip
    model = trees.FittedTrees(xgb.train(options, xgb.DMatrix(x, label=y), 1), 4)
    values, base = explain(model, np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    np.testing.assert_allclose(base, expected["base"], atol=1e-6)
    np.testing.assert_allclose(values, [expected["x=1111"], expected["x=0000"]], atol=1e-6)


def _data(n=150, p=12):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p))
    y = (x[:, 0] - x[:, 1] + rng.normal(size=n) > 0).astype(np.int64)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y


def test_trees_agree_with_xgboosts_own_contributions():
    x, y = _data()
    learner = trees.Learner(trees.Settings())
    model = learner.fit(x, y, learner.candidates()[-1], seed=1)
    values, base = explain(model, x)
    own = model.booster.predict(xgb.DMatrix(x), pred_contribs=True)
    np.testing.assert_allclose(values, own[:, :-1], atol=1e-6)
    np.testing.assert_allclose(base, own[:, -1], atol=1e-6)


def test_of_a_linear_model_the_values_are_exact():
    """Shapley values of a linear function with independent features: coefficient x (value - mean)."""
    x, y = _data()
    model = logistic.Learner(logistic.Settings()).fit(x, y, {"inverse_penalty": 0.1}, seed=1)
    values, base = explain(model, x)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    moved = x.copy()
    moved[:, 3] = np.nan_to_num(x[:, 3]) + 1
    step = model.explain(moved)[0][:, 3] - model.explain(np.where(np.isnan(x), 0, x))[0][:, 3]
    np.testing.assert_allclose(step, model.coefficients[3] / model.standard.scale[3], atol=1e-12)
    np.testing.assert_allclose(base + values.sum(axis=1), model.margin(x), atol=1e-12)


def test_values_that_do_not_add_up_are_refused():
    class Wrong:
        def explain(self, x):
            return np.full(x.shape, 0.001), np.zeros(len(x))

        def margin(self, x):
            return np.zeros(len(x))

    with pytest.raises(EvaluationError, match=r"miss the margin by 0\.003"):
        explain(Wrong(), np.zeros((2, 3)))
