"""Selectors against definitions, published toy values and the libraries that others use."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.models.selectors import cfs, chain, lasso, mrmr, rfe, spearman, stability, variance
from scipy.stats import spearmanr
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import minmax_scale


def cohort(n=120, n_features=40, seed=0):
    """Two features that matter, near copies of them, and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_features))
    y = (1.5 * x[:, 0] - 1.5 * x[:, 1] + rng.normal(size=n) > 0).astype(np.int64)
    x[:, 2] = x[:, 0] + 0.05 * rng.normal(size=n)
    x[:, 3] = x[:, 1] + 0.05 * rng.normal(size=n)
    return x, y


def test_mrmr_gives_the_published_toy_values(reference):
    folder = reference / "stats_reference" / "mrmr"
    expected = json.loads((folder / "expected.json").read_text())["toy"]
    table = pd.read_csv(folder / "toy.csv")
    names = list(table.columns[1:])
    x, y = table[names].to_numpy(float), table["y"].to_numpy(np.int64)
    levels = mrmr.levels_of(x, 0.5)
    found = dict(zip(names, mrmr.information(levels, y), strict=True))
    assert found == pytest.approx(expected["relevance_bits"], abs=1e-12)
    with_first = dict(zip(names, mrmr.information(levels, levels[:, 0]), strict=True))
    assert with_first["x2_near_copy_of_x1"] == pytest.approx(expected["mi_x1_x2"], abs=1e-12)
    assert with_first["x3"] == pytest.approx(expected["mi_x1_x3"], abs=1e-12)
    order = mrmr.Selector(mrmr.Settings(n_features=5)).choose(x, y)
    assert [names[i] for i in order] == expected["MID_order"]
    relevant = np.argsort(-np.array(list(found.values())), kind="stable")
    assert [names[i] for i in relevant] == expected["max_relevance_order"]


def test_mutual_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    levels, other = rng.integers(0, 3, (50, 6)), rng.integers(0, 2, 50)
    expected = [mutual_info_score(column, other) / np.log(2) for column in levels.T]
    np.testing.assert_allclose(mrmr.information(levels, other), expected, atol=1e-12)


@pytest.mark.parametrize("criterion", ["difference", "quotient"])
def test_mrmr_does_not_take_a_near_copy_second(criterion):
    x, y = cohort()
    first, second = mrmr.Selector(mrmr.Settings(n_features=2, criterion=criterion)).choose(x, y)
    assert {int(first) % 2, int(second) % 2} == {0, 1}
    assert max(first, second) < 4


@pytest.mark.parametrize("keep", ["distinct", "relevant"])
def test_no_two_kept_features_are_alike_and_every_dropped_one_has_its_like(keep):
    x, y = cohort(n_features=700)  # more than one block
    x[:, 600:] = x[:, :100] + 0.2 * np.random.default_rng(2).normal(size=(len(x), 100))
    kept = spearman.Selector(spearman.Settings(max_correlation=0.8, keep=keep)).choose(x, y)
    rho = np.abs(spearmanr(x)[0])
    among = rho[np.ix_(kept, kept)]
    assert among[~np.eye(len(kept), dtype=bool)].max() <= 0.8
    dropped = np.setdiff1d(np.arange(700), kept)
    assert len(dropped) >= 100
    assert (rho[np.ix_(dropped, kept)].max(axis=1) > 0.8).all()


def test_of_two_alike_the_more_relevant_stays():
    x, y = cohort()
    x[:, 2] = x[:, 0] + 0.7 * np.random.default_rng(3).normal(size=len(x))
    kept = spearman.Selector(spearman.Settings(max_correlation=0.7, keep="relevant")).choose(x, y).tolist()
    assert 0 in kept
    assert 2 not in kept


def test_variance_is_that_of_scikit_learn_after_scaling():
    x, y = cohort()
    x *= 10.0 ** np.arange(-10, 30)
    x[5:, 7] = 0.0
    expected = VarianceThreshold(0.03).fit(minmax_scale(x)).get_support()
    found = variance.Selector(variance.Settings(threshold=0.03)).choose(x, y)
    assert found.tolist() == np.flatnonzero(expected).tolist()
    assert 0 < len(found) < 40


def test_cfs_finds_the_subset_of_the_largest_merit():
    x, y = cohort(n_features=9, seed=4)
    rho = np.abs(spearmanr(np.column_stack([x, y]))[0])

    def merit(subset):
        at = list(subset)
        return rho[at, -1].sum() / np.sqrt(rho[np.ix_(at, at)].sum())

    subsets = [s for k in range(1, 10) for s in itertools.combinations(range(9), k)]
    best = max(subsets, key=merit)
    found = cfs.Selector(cfs.Settings()).choose(x, y)
    assert merit(found) == pytest.approx(merit(best), rel=1e-9)
    assert set(found.tolist()) == set(best)


def test_lasso_keeps_what_matters_and_little_else():
    x, y = cohort(n=200)
    x = np.delete(x, [2, 3], axis=1)
    kept = lasso.Selector(lasso.Settings(rule="1se")).choose(x, y).tolist()
    assert set(kept[:2]) == {0, 1}
    assert len(kept) <= 12
    everything = lasso.Selector(lasso.Settings()).choose(x, y)
    assert len(everything) >= len(kept)


def test_lasso_keeps_one_feature_where_nothing_can_be_cross_validated():
    x, y = cohort()
    assert len(lasso.Selector(lasso.Settings()).choose(x, y, ["one"] * len(y))) == 1


@pytest.mark.parametrize("settings", [{}, {"folds": 3}, {"model": "xgboost"}])
def test_elimination_ends_with_what_matters(settings):
    x, y = cohort(n=200)
    kept = rfe.Selector(rfe.Settings(n_features=4, **settings)).choose(x, y).tolist()
    assert {0, 2} & set(kept)
    assert {1, 3} & set(kept)
    assert len(kept) == 4 or "folds" in settings


def test_stability_selection_keeps_what_matters_and_within_its_bound_of_noise():
    x, y = cohort(n=200)
    x = np.delete(x, [2, 3], axis=1)
    settings = stability.Settings(n_entering=4, share=0.8)
    assert set(stability.Selector(settings).choose(x, y).tolist()) == {0, 1}
    n_by_chance = []
    for seed in range(20):  # noise alone: at most 4^2 / (0.6 * 200) of 200 features are expected
        rng = np.random.default_rng(seed)
        shares = stability.Selector(settings).shares(rng.normal(size=(100, 200)), rng.integers(0, 2, 100))
        n_by_chance.append((shares >= 0.8).sum())
    assert np.mean(n_by_chance) <= 4**2 / (0.6 * 200)


def test_halves_keep_a_person_together(monkeypatch):
    x, y = cohort(n=60)
    persons = [f"p{i // 3}" for i in range(60)]
    seen = []
    monkeypatch.setattr(stability, "_first_in", lambda x, y, n: seen.append(len(x)) or np.array([0]))
    stability.Selector(stability.Settings(n_pairs=3)).shares(x, y, persons)
    assert seen == [30] * 6


def test_a_chain_is_its_steps_one_after_the_other():
    x, y = cohort()
    x[:, 9] = np.where(np.arange(len(x)) == 0, 1.0, 0.0)
    steps = [{"name": "variance", "threshold": 0.02}, {"name": "spearman"}, {"name": "anova", "n_features": 3}]
    kept = chain.Selector(chain.Settings(steps=tuple(steps))).choose(x, y).tolist()
    assert len(kept) == 3
    assert len({i % 2 for i in kept[:2]}) == 2  # no near copy
    assert 9 not in kept


def test_a_chain_refuses_unknown_steps_and_itself():
    with pytest.raises((StudyError, ValueError), match="did you mean 'variance'"):
        chain.Settings(steps=({"name": "varience"},))
    with pytest.raises((StudyError, ValueError), match="other than chain"):
        chain.Settings(steps=({"name": "chain"},))
    with pytest.raises((StudyError, ValueError), match="step 1 .anova.*n_feature"):
        chain.Settings(steps=({"name": "anova", "n_feature": 3},))


def test_cross_validation_inside_a_selector_keeps_persons_together():
    from cemrad.models.folds import inner_sides

    _, y = cohort(n=60)
    persons = [f"p{i // 4}" for i in range(60)]
    for fit, held in inner_sides(persons, y, 5, 0):
        assert not {persons[i] for i in fit} & {persons[i] for i in held}
    assert len(inner_sides((), y, 5, 0)) == 5
    assert inner_sides(["one"] * 60, y, 5, 0) == []
