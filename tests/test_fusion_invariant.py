"""Fusion inside a fold: nothing that is held out, and no arrangement of columns, can change what is fitted."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from cemrad.features.errors import EvaluationError, LeakageError, StudyError, UnknownPartError
from cemrad.models.arm import possible_arms
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings, Job, run_fold
from cemrad.models.folds import Split, split
from cemrad.models.fusion import fit_arms
from cemrad.models.learners import SHELF as LEARNERS
from cemrad.models.metrics import auc
from cemrad.models.result import ARMS
from cemrad.models.rows import Rows
from cemrad.models.selectors import SHELF as SELECTORS
from cemrad.models.selectors.relevance import Selector, Settings, ranked, relevance
from scipy import stats
from scipy.stats import rankdata


def _job(table, labels, **changes):
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels))
    rows = design.rows
    made = split(rows.case_ids, rows.persons, rows.y, n_folds=5, seed=1)
    if changes:
        object.__setattr__(design, "rows", Rows(**(vars(rows) | changes)))
    return Job(design, made, 0, 0)


def _fingerprint(outcome):
    """Every number that was fitted in a fold."""
    return {
        arm: (part.fitted.features, part.fitted.model.state(), *_fixed(part.fitted))
        for arm, part in outcome.arms.items()
    }


def _fixed(fitted):
    return fitted.threshold, dict(fitted.thresholds), dict(fitted.params)


FEW = {
    "xgboost": {"n_rounds": [20, 30], "max_depth": [2]},
    "random_forest": {"n_trees": 20, "max_depth": [3]},
    "mlp": {"hidden": [[4]], "max_iterations": 20},
}
RULES, BALANCES = ("early", "mean", "average", "vote", "stacked"), ("none", "weights", "oversample")


def _settings():
    """Every pair of selector, learner, fusion rule and balance in as few settings as there are selectors x rules."""
    learners = LEARNERS.names()
    for at, selector in enumerate(SELECTORS.names()):
        for number, rule in enumerate(RULES):
            learner = learners[(at + number) % len(learners)]
            yield {
                "learner": learner,
                "selector": selector,
                "fusion": rule,
                "balance": BALANCES[(at + 2 * number) % len(BALANCES)],
                **({"search": "optuna", "n_candidates": 2} if (at + number) % 5 == 0 else {"n_candidates": 1}),
                "inner_folds": 2,
                "learner_settings": FEW.get(learner, {}),
            }


SETTINGS = list(_settings())


def test_every_pair_of_parts_is_tried():
    parts = {"learner": LEARNERS.names(), "selector": SELECTORS.names(), "fusion": RULES, "balance": BALANCES}
    for one, other in combinations(parts, 2):
        tried = {(item[one], item[other]) for item in SETTINGS}
        assert tried == set(product(parts[one], parts[other])), (one, other)


@pytest.mark.parametrize("item", SETTINGS, ids=lambda item: f"{item['selector']}-{item['learner']}-{item['fusion']}")
def test_garbage_in_held_out_rows_changes_nothing_fitted(make_table, item):
    """Features and labels of all held-out cases are replaced; every fitted number stays bit-identical."""
    table, labels = make_table(40, seed=3)
    job = _job(table, labels)
    settings = EvaluationSettings(**item)
    arms = ("fused+clinical",)  # every block is in it
    clean = _fingerprint(run_fold(job, arms, settings))
    _, held = job.split.sides(0, 0)
    rng = np.random.default_rng(9)
    x, y = job.design.rows.x.copy(), job.design.rows.y.copy()
    x[held] = rng.normal(size=(len(held), x.shape[1])) * 1e6
    x[held[:3]] = np.nan
    y[held] = 1 - y[held]
    spoilt = _job(table, labels, x=x, y=y)._replace(split=job.split)
    assert _fingerprint(run_fold(spoilt, arms, settings)) == clean


@pytest.mark.parametrize("n_held", [1, 5])
def test_the_number_of_held_out_rows_changes_nothing_fitted(make_table, quick, n_held):
    """A step over training and held-out rows together (a mean, a rank) would depend on how many are held out."""
    job = _job(*make_table(40, seed=3))
    fit, held = job.split.sides(0, 0)
    assert len(held) > n_held
    keep = np.sort(np.concatenate([fit, held[:n_held]]))
    rows, made = job.design.rows.take(keep), job.split
    fewer = replace(job.design, rows=rows)
    part = Split(rows.case_ids, rows.persons, made.assignment[:, keep])
    shrunk = run_fold(Job(fewer, part, 0, 0), ARMS, quick)
    whole = run_fold(job, ARMS, quick)
    assert _fingerprint(shrunk) == _fingerprint(whole)
    for arm, outcome in shrunk.arms.items():
        assert (outcome.margin == whole.arms[arm].margin[:n_held]).all()


def test_the_law_would_catch_a_step_that_looks_at_all_cases(make_table, monkeypatch):
    """The canary: a selector that peeks at the held-out side is seen by the comparison above."""
    table, labels = make_table(40, seed=3)
    job = _job(table, labels)
    _, held = job.split.sides(0, 0)
    settings = EvaluationSettings(learner_settings={"n_rounds": [20], "max_depth": [2]})
    seen = {}

    def peek(self, x, y, persons=()):
        whole = seen["rows"]
        return np.argsort(-np.abs(whole.x[:, : x.shape[1]].mean(axis=0)))[:3]

    monkeypatch.setattr(Selector, "choose", peek)
    seen["rows"] = Rows(**(vars(job.design.rows) | {"x": np.nan_to_num(job.design.rows.x)}))
    clean = _fingerprint(run_fold(job, ["radiomics"], settings))
    x = np.nan_to_num(job.design.rows.x)
    x[held, 20] = 1e6
    seen["rows"] = Rows(**(vars(job.design.rows) | {"x": x}))
    assert _fingerprint(run_fold(job, ["radiomics"], settings)) != clean


def test_a_feature_that_gives_the_label_away_only_where_it_is_held_out_is_worth_nothing(make_table, quick):
    table, labels = make_table(60, effect=0.0, seed=4)
    job = _job(table, labels)
    rows, (_, held) = job.design.rows, job.split.sides(0, 0)
    x = rows.x.copy()
    x[held, 0] = rows.y[held] * 10.0
    planted = run_fold(_job(table, labels, x=x)._replace(split=job.split), ["radiomics"], quick).arms["radiomics"]
    plain = run_fold(job, ["radiomics"], quick).arms["radiomics"]
    assert planted.fitted.features == plain.fitted.features
    assert abs(auc(rows.y[held], planted.margin) - auc(rows.y[held], plain.margin)) <= 0.02
    x[:, 0] = rows.y * 10.0
    known = run_fold(_job(table, labels, x=x)._replace(split=job.split), ["radiomics"], quick).arms["radiomics"]
    assert auc(rows.y[held], known.margin) >= 0.99


def test_a_model_refuses_to_be_evaluated_on_whom_it_has_seen(make_table, quick):
    job = _job(*make_table(40, seed=3))
    rows = job.design.rows
    fit, held = job.split.sides(0, 0)
    model = fit_arms(rows.take(fit), ["deep"], quick, 1)[0]["deep"]
    assert np.isfinite(model.held_out_margin(rows.take(held))).all()
    with pytest.raises(LeakageError, match="fitted on 1 of the persons"):
        model.held_out_margin(rows.take(np.append(held, fit[0])))


def test_features_are_found_by_name_not_by_place(make_table, quick):
    job = _job(*make_table(40, seed=3))
    rows = job.design.rows
    fit, held = job.split.sides(0, 0)
    model = fit_arms(rows.take(fit), ["fused"], quick, 1)[0]["fused"]
    order = np.random.default_rng(0).permutation(len(rows.columns))
    turned = Rows(**(vars(rows) | {"x": rows.x[:, order], "columns": tuple(rows.columns[i] for i in order)}))
    assert (model.held_out_margin(rows.take(held)) == model.held_out_margin(turned.take(held))).all()


def test_a_block_with_many_columns_does_not_drown_the_other(make_table, quick):
    table, labels = make_table(40, seed=3, n_columns=400)
    few = [name for name in table.values if not name.startswith("deep") or name in table.columns_of("deep")[:12]]
    object.__setattr__(table, "values", table.values[few])
    job = _job(table, labels)
    features = run_fold(job, ["fused"], quick).arms["fused"].fitted.features
    assert sum(name.startswith("deep") for name in features) >= 5


def test_constant_columns_are_out_and_an_arm_of_nothing_else_is_refused(make_table, quick):
    table, labels = make_table(40, seed=3)
    for name in table.columns_of("clinical"):
        table.values[name] = 1.0
    table.values[table.columns_of("deep")[0]] = 7.0
    job = _job(table, labels)
    outcome = run_fold(job, ARMS, quick)
    assert outcome.refused == {"clinical": "no column varies within the training side of a fold"}
    assert set(outcome.arms) == set(ARMS) - {"clinical"}
    used = {name for part in outcome.arms.values() for name in part.fitted.features}
    assert not used & {*table.columns_of("clinical"), table.columns_of("deep")[0]}


def test_a_training_side_with_one_class_is_refused(make_table, quick):
    rows = _job(*make_table(20, seed=3)).design.rows
    with pytest.raises(EvaluationError, match="2 patients of each class"):
        fit_arms(rows.take(np.flatnonzero(rows.y == 1)), ["deep"], quick, 1)


def test_arms_follow_from_families():
    columns = ["radiomics:RC_CC:a", "deep:RC_CC:b"]
    possible, absent = possible_arms(columns)
    assert possible == ["radiomics", "deep", "fused"]
    assert absent["fused+clinical"] == "no clinical columns"


def test_settings_name_parts_that_exist():
    with pytest.raises((StudyError, UnknownPartError, ValueError), match="did you mean 'xgboost'"):
        EvaluationSettings(learner="xgbost")
    with pytest.raises(ValueError, match="unknown key 'n_fetures'; did you mean 'n_features'"):
        EvaluationSettings(selector_settings={"n_fetures": 3})
    with pytest.raises(ValueError, match="did you mean 'fused'"):
        EvaluationSettings(arms=("fussed",))


@pytest.mark.parametrize("name", LEARNERS.names())
def test_every_learner_keeps_its_contract(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6))
    y = (x[:, 0] + 0.5 * rng.normal(size=80) > 0).astype(np.int64)
    x[rng.random(x.shape) < 0.1] = np.nan
    part = LEARNERS.take(name)
    learner = part.Learner(part.Settings())
    for params in learner.candidates():
        model = learner.fit(x, y, params, seed=5)
        again = part.restore(model.state())
        assert (again.margin(x) == model.margin(x)).all()
        assert again.state() == model.state() == learner.fit(x, y, params, seed=5).state()
        assert model.gains().shape == (6,)
        assert model.gains().argmax() == 0
        shap, base = model.explain(x)
        np.testing.assert_allclose(base + shap.sum(axis=1), model.margin(x), atol=1e-4)
        assert auc(y, model.margin(x)) > 0.8


@pytest.mark.parametrize("name", SELECTORS.names())
def test_every_selector_keeps_its_contract(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 50))
    y = (x[:, 7] > 0).astype(np.int64)
    part = SELECTORS.take(name)
    kept = part.Selector(part.Settings()).choose(x, y)
    assert len(set(kept.tolist())) == len(kept) > 0
    assert 7 in kept
    assert len(part.Selector(part.Settings()).choose(x[:, :0], y)) == 0


def test_near_copies_and_rare_values_are_dropped():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 12))
    y = (x[:, 0] > 0).astype(np.int64)
    x[:, 1] = np.exp(x[:, 0] + 0.01 * rng.normal(size=100))  # the same ranks, nearly
    x[:, 2] = np.where(np.arange(100) < 4, x[:, 0], 0.0)  # one value in 96 of 100
    x[:60, 3] = np.nan
    kept = Selector(Settings(n_features=12)).choose(x, y).tolist()
    assert kept[0] in (0, 1)
    assert not {0, 1} <= set(kept)
    assert not {2, 3} & set(kept)


def test_ranks_and_relevance_agree_with_scipy():
    rng = np.random.default_rng(2)
    columns = rng.integers(0, 6, size=(30, 50)).astype(float)
    columns[rng.random(columns.shape) < 0.2] = np.nan
    y = rng.integers(0, 2, 50)
    ranks, commonest = ranked(columns)
    for row, rank, most in zip(columns, ranks, commonest, strict=True):
        known = ~np.isnan(row)
        np.testing.assert_array_equal(rank[known], rankdata(row[known]))
        assert np.isnan(rank[~known]).all()
        assert most == np.unique(row[known], return_counts=True)[1].max()
    continuous = rng.normal(size=(20, 50))
    continuous[rng.random(continuous.shape) < 0.2] = np.nan
    for row, z in zip(continuous, relevance(ranked(continuous)[0], y), strict=True):
        known = ~np.isnan(row)
        test = stats.mannwhitneyu(
            row[known & (y == 1)], row[known & (y == 0)], method="asymptotic", use_continuity=False
        )
        assert z == pytest.approx(stats.norm.isf(test.pvalue / 2), abs=1e-9)


def test_selection_from_thousands_of_columns_is_fast():
    import time

    x = np.random.default_rng(0).normal(size=(200, 5000))
    y = np.random.default_rng(1).integers(0, 2, 200)
    started = time.process_time()
    Selector(Settings()).choose(x, y)
    assert time.process_time() - started < 2.0  # about 0.2 s; a loop over columns takes many
