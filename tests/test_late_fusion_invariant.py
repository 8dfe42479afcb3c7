"""Late fusion, balance and search: laws that hold whatever the data."""

import json
from dataclasses import replace

import numpy as np
import pytest
from cemrad.features.errors import BundleError
from cemrad.models import blend
from cemrad.models.balance import fit_balanced, oversampled
from cemrad.models.blend import Blend, join
from cemrad.models.bundle import Bundle
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.explain import explain
from cemrad.models.learner import probability
from cemrad.models.learners import SHELF as LEARNERS
from cemrad.models.train import train
from cemrad.models.tuning import tune
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

RULES = ("mean", "average", "vote", "stacked")
FEW = {
    "xgboost": {"n_rounds": [20], "max_depth": [2]},
    "random_forest": {"n_trees": 20, "max_depth": [3]},
    "mlp": {"hidden": [[4]], "max_iterations": 20},
}


def _learner(name):
    part = LEARNERS.take(name)
    return part.Learner(part.Settings(**FEW.get(name, {})))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(120, 6))
    y = (x[:, 0] + x[:, 3] + rng.normal(size=120) > 0.8).astype(np.int64)
    return x, y


@pytest.fixture(scope="module")
def parts(data):
    x, y = data
    learner = _learner("xgboost")
    return [learner.fit(x[:, at], y, learner.candidates()[0], 1) for at in (slice(0, 4), slice(4, 6))]


def _blend(rule, parts, data):
    x, y = data
    margins = np.column_stack([parts[0].margin(x[:, :4]), parts[1].margin(x[:, 4:])])
    return join(rule, "xgboost", parts, [4, 2], margins, y), margins


def test_a_rule_is_what_its_name_says(parts, data):
    x, y = data
    mean, margins = _blend("mean", parts, data)
    np.testing.assert_allclose(mean.margin(x), margins.mean(axis=1), atol=1e-12)
    average, _ = _blend("average", parts, data)
    np.testing.assert_allclose(expit(average.margin(x)), expit(margins).mean(axis=1), atol=1e-9)
    vote, _ = _blend("vote", parts, data)
    votes = (margins >= vote.cuts).sum(axis=1)
    np.testing.assert_allclose(expit(vote.margin(x)), (votes + 0.5) / 3, atol=1e-12)
    assert set(votes) == {0, 1, 2}


def test_stacking_is_a_logistic_regression_where_no_weight_wants_to_be_negative():
    rng = np.random.default_rng(1)
    margins = rng.normal(size=(4000, 2))
    y = (rng.random(4000) < expit(0.7 * margins[:, 0] + 0.3 * margins[:, 1] - 0.4)).astype(np.int64)
    weights, intercept = blend._stacked(margins, y)
    same = LogisticRegression(C=1.0, tol=1e-10).fit(margins, y)  # its ridge is 1 in the sum of the losses, ours too
    np.testing.assert_allclose([*weights, intercept], [*same.coef_[0], same.intercept_[0]], atol=2e-4)
    weights, _ = blend._stacked(np.column_stack([margins[:, 0], -margins[:, 1]]), y)
    assert weights[0] > 0
    assert weights[1] == 0


@pytest.mark.parametrize("rule", RULES)
def test_shap_values_of_a_blend_add_up_and_sum_to_the_shapley_values_of_its_models(rule, parts, data):
    x, _ = data
    made, margins = _blend(rule, parts, data)
    values, base = explain(made, x)  # raises where they do not add up
    start = np.column_stack([parts[0].explain(x[:, :4])[1], parts[1].explain(x[:, 4:])[1]])
    alone = [made.join(np.column_stack(pair)) for pair in ((margins[:, 0], start[:, 1]), (start[:, 0], margins[:, 1]))]
    whole = made.join(margins)
    first = ((alone[0] - base) + (whole - alone[1])) / 2
    np.testing.assert_allclose(values[:, :4].sum(axis=1), first, atol=1e-5)


@pytest.mark.parametrize("name", LEARNERS.names())
@pytest.mark.parametrize("rule", RULES)
def test_a_blend_is_restored_bit_for_bit(rule, name, data):
    x, y = data
    learner = _learner(name)
    models = [learner.fit(x[:, at], y, learner.candidates()[0], 1) for at in (slice(0, 4), slice(4, 6))]
    margins = np.column_stack([models[0].margin(x[:, :4]), models[1].margin(x[:, 4:])])
    made = join(rule, name, models, [4, 2], margins, y)
    again = blend.restore(made.state())
    assert (again.margin(x) == made.margin(x)).all()
    assert again.state() == made.state()


DAMAGE = [
    {"kind": "pickle"}, {"sizes": [4, 3]}, {"weights": [1.0]}, {"parts": []}, {"parts": [["xgboost", "!"]]},
    {"parts": [["pickle", ""]]},
]  # fmt: skip


@pytest.mark.parametrize("change", DAMAGE)
def test_a_damaged_blend_is_refused(change, parts, data):
    state = json.loads(_blend("mean", parts, data)[0].state())
    with pytest.raises(BundleError):
        blend.restore(json.dumps(state | change).encode())


@pytest.mark.parametrize("name", LEARNERS.names())
@pytest.mark.parametrize("balance", ["weights", "oversample"])
def test_balanced_classes_leave_probabilities_those_of_the_cohort(name, balance, data):
    x, _ = data
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 4))
    y = (rng.random(600) < expit(x[:, 0] - 2.4)).astype(np.int64)
    learner = _learner(name)
    usual = learner.candidates()[0]
    plain = learner.fit(x, y, usual, 1)
    balanced = fit_balanced(learner, name, x, y, usual, 1, balance)
    gap = probability(balanced.margin(x)).mean() - y.mean()
    assert abs(gap) < 0.06  # without the way back it would be near 0.4
    assert not np.allclose(balanced.margin(x), plain.margin(x))
    assert isinstance(balanced, Blend)


def test_a_weight_of_two_is_a_case_that_comes_twice(data):
    """Checked where nothing is random: a logistic regression."""
    x, y = data
    learner, params = _learner("logistic"), {"inverse_penalty": 0.1}
    twice = learner.fit(np.vstack([x, x]), np.tile(y, 2), params, 1)
    heavy = learner.fit(x, y, params, 1, np.full(len(y), 2.0))
    np.testing.assert_allclose(heavy.coefficients, twice.coefficients, atol=1e-5)
    assert not np.allclose(heavy.coefficients, learner.fit(x, y, params, 1).coefficients, atol=1e-3)


def test_oversampling_adds_only_the_rarer_class():
    y = np.array([1] * 30 + [0] * 7)
    rows = oversampled(y, 3)
    assert (rows[:37] == np.arange(37)).all()
    assert (y[rows[37:]] == 0).all()
    assert (y[rows] == 0).sum() == 30


def test_late_fusion_shares_its_models_with_the_arms_of_one_block(make_table):
    table, labels = make_table(40, seed=3)
    settings = EvaluationSettings(fusion="mean", learner_settings=FEW["xgboost"], scoring={"n_bootstrap": 100})
    found = evaluate(table, labels, ["malignancy"], settings)
    margins = found.predictions.pivot_table(index="case_id", columns="arm", values="margin")
    np.testing.assert_allclose(margins["fused"], (margins["radiomics"] + margins["deep"]) / 2, atol=1e-9)
    shares = (
        found.shap.groupby(["arm", "case_id"])["shap"].sum() + found.shap_base.set_index(["arm", "case_id"])["base"]
    )
    np.testing.assert_allclose(
        shares, found.shap_base.set_index(["arm", "case_id"])["margin"].loc[shares.index], atol=1e-4
    )


@pytest.mark.parametrize("rule", RULES)
def test_a_bundle_keeps_a_blend(rule, make_table, tmp_path):
    table, labels = make_table(40, seed=3)
    settings = EvaluationSettings(fusion=rule, balance="weights", learner_settings=FEW["xgboost"])
    made = train(table, labels, ["malignancy"], settings, arm="fused+clinical")
    made.save(tmp_path / "m.cemrad")
    again = Bundle.load(tmp_path / "m.cemrad")
    first, second = made.predict(table), again.predict(table)
    assert (first["margin"] == second["margin"]).all()
    assert set(made.models[0].training["params"]) == {"radiomics", "deep", "clinical"}
    explained = again.explain(table).groupby("case_id").agg({"shap": "sum", "base": "first", "margin": "first"})
    np.testing.assert_allclose(explained["shap"] + explained["base"], explained["margin"], atol=1e-4)


def test_a_block_without_a_varying_column_refuses_the_arm_by_name(make_table):
    table, labels = make_table(40, seed=3)
    values = table.values.assign(**dict.fromkeys(table.columns_of("deep"), 1.0))
    settings = EvaluationSettings(fusion="mean", learner_settings=FEW["xgboost"], scoring={"n_bootstrap": 100})
    found = evaluate(replace(table, values=values), labels, ["malignancy"], settings)
    assert found.provenance["arms_refused"]["malignancy"]["fused"].endswith("in the block deep")
    assert "radiomics" in set(found.predictions["arm"])


@pytest.mark.parametrize("name", LEARNERS.names())
def test_optuna_proposes_what_the_learner_takes_and_stays_within_its_budget(name, data):
    x, y = data
    learner = _learner(name)
    tried = []

    def loss_of(params):
        tried.append(dict(params))
        margin = learner.fit(x, y, params, 1).margin(x)
        return float(np.logaddexp(0, margin).mean() - (y * margin).mean())

    best = tune(learner, "optuna", 5, 7, loss_of)
    assert len(tried) == 5
    assert tried[0] == learner.candidates()[0]
    assert set(tried[1]) == set(tried[0])
    assert best.loss == min(best.loss, loss_of(tried[0]))
    again = list(tried[:5])
    tried.clear()
    tune(learner, "optuna", 5, 7, loss_of)
    assert tried == again
    json.dumps(tried)


def test_a_preset_yields_to_what_is_stated():
    fast = EvaluationSettings(preset="fast")
    assert (fast.inner_folds, fast.n_candidates) == (3, 2)
    assert EvaluationSettings(preset="fast", inner_folds=4).inner_folds == 4
    thorough = EvaluationSettings(preset="thorough")
    assert (thorough.search, thorough.repeats) == ("optuna", 5)
    assert EvaluationSettings.model_validate(thorough.model_dump(mode="json")) == thorough
