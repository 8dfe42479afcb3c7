"""Accounts of single cases: neighbours by another library, changes of the call of models whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cemrad.models.account import Seen, join_accounts
from cemrad.models.accounts import SHELF, counterfactuals, likeness, neighbours, permutation
from cemrad.models.arm import FittedArm, OutOfFold
from cemrad.models.learners import xgboost
from cemrad.models.novelty import Novelty
from cemrad.models.outcome import ArmOutcome
from cemrad.models.rows import Rows
from scipy.special import expit, logit
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

NAMES = ("radiomics:RC_CC:original_glcm_Contrast", "deep:LE_CC:resnet18_0001", "clinical:case:age")


class Line:
    """A linear model: what changes its call can be computed on paper."""

    def __init__(self, weights, intercept=0.0):
        self.weights, self.intercept = np.array(weights, dtype=float), intercept

    def margin(self, x):
        return np.nan_to_num(x) @ self.weights + self.intercept

    def gains(self):
        return np.abs(self.weights)


def look(model, train, new, *, shap=None, threshold=0.5, repeat=0, persons=None, truth=None):
    """What an account sees of a model of these features."""
    names = NAMES[: train.shape[1]]
    truth = np.arange(len(train)) % 2 if truth is None else truth
    rows, held = (
        Rows(x, np.arange(len(x)) % 2, tuple(f"{kind}{i}" for i in range(len(x))), who, names)
        for kind, x, who in (
            ("t", train, persons or tuple(f"P{i}" for i in range(len(train)))),
            ("n", new, tuple(f"N{i}" for i in range(len(new)))),
        )
    )
    margin = model.margin(train)
    known = OutOfFold(margin, truth, np.zeros(len(train), int), rows.persons, rows.case_ids)
    fitted = FittedArm("fused", names, model, threshold, {}, {}, 0.5, frozenset(rows.persons), known)
    shap = np.ones_like(new) if shap is None else shap
    outcome = ArmOutcome(fitted, np.arange(len(new)), model.margin(new), new, shap, np.zeros(len(new)))
    job = SimpleNamespace(design=SimpleNamespace(name="malignancy"), repeat=repeat, fold=0)
    return Seen(job, "fused", rows, held, outcome, 7)


def test_neighbours_are_those_of_scikit_learn_in_the_space_that_the_gains_weigh():
    rng = np.random.default_rng(0)
    train, new = rng.normal(size=(50, 3)) * [1, 20, 0.1], rng.normal(size=(6, 3)) * [1, 20, 0.1]
    found = neighbours.account(look(Line([1.0, 0.5, -2.0]), train, new))
    scaler, weights = StandardScaler().fit(train), np.sqrt(np.array([1.0, 0.5, 2.0]) / 3.5)
    near = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train) * weights)
    distances, at = near.kneighbors(scaler.transform(new) * weights)
    assert found["neighbour"].tolist() == [f"t{i}" for i in at.ravel()]
    np.testing.assert_allclose(found["distance"], distances.ravel(), rtol=1e-9)
    among, _ = NearestNeighbors(n_neighbors=2).fit(scaler.transform(train) * weights).kneighbors()
    np.testing.assert_allclose(found["usual"], np.median(among[:, 0]), rtol=1e-9)
    assert found["truth"].tolist() == [int(i) % 2 for i in at.ravel()]
    np.testing.assert_allclose(found["probability"], expit(train[at.ravel()] @ [1.0, 0.5, -2.0]), rtol=1e-9)


def test_a_person_is_no_neighbour_of_herself():
    rng = np.random.default_rng(1)
    train = rng.normal(size=(12, 2))
    seen = look(Line([1.0, 1.0]), train, train[:1], persons=("N0",) * 3 + tuple(f"P{i}" for i in range(9)))
    found = neighbours.account(seen)
    assert not set(found["neighbour"]) & {"t0", "t1", "t2"}
    assert len(found) == 5


def test_where_nothing_gained_every_feature_counts_alike():
    train = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = neighbours.account(look(Line([0.0, 0.0]), train, np.array([[0.0, 0.9]])))
    assert found["neighbour"].iloc[0] == "t2"


def test_the_smallest_change_of_a_line_is_the_first_observed_value_beyond_its_crossing():
    grid = np.linspace(-2, 2, 41)
    train = np.column_stack([grid, grid[::-1], np.full(41, 0.5)])
    new = np.array([[-1.0, 0.2, 0.5], [1.5, 1.0, 0.5]])
    model = Line([2.0, 0.5, 1.0], -0.3)
    found = counterfactuals.account(look(model, train, new, threshold=0.6))
    cut = logit(0.6)
    for case_id, x in zip(("n0", "n1"), new, strict=True):
        called = x @ model.weights - 0.3 >= cut
        expected = []
        for place in (0, 1):
            margin = (x @ model.weights - x[place] * model.weights[place]) - 0.3 + grid * model.weights[place]
            ok = grid[(margin >= cut) != called]
            if len(ok):
                to = ok[np.abs(ok - x[place]).argmin()]
                expected.append((NAMES[place], to, (to - x[place]) / grid.std()))
        mine = found[found["case_id"] == case_id]
        expected.sort(key=lambda item: abs(item[2]))
        assert mine["feature"].tolist() == [name for name, _, _ in expected]
        np.testing.assert_allclose(mine["to"], [to for _, to, _ in expected])
        np.testing.assert_allclose(mine["change"], [change for *_, change in expected])
        assert mine["set"].tolist() == list(range(1, len(expected) + 1))


def test_a_change_of_a_known_tree_ends_just_beyond_its_split():
    x = np.repeat(np.arange(20.0), 5)[:, None] @ np.array([[1.0, 0.0]])
    y = (x[:, 0] >= 12).astype(int)
    learner = xgboost.Learner(xgboost.Settings(subsample=1.0, colsample_bytree=1.0, min_child_weight=(0.0,)))
    model = learner.fit(x, y, {"learning_rate": 0.5, "max_depth": 1, "min_child_weight": 0.0, "n_rounds": 20}, 0)
    new = np.array([[3.0, 0.0], [15.0, 0.0]])
    found = counterfactuals.account(look(model, x, new, truth=y))
    assert found["to"].tolist() == [12.0, 11.0]
    assert set(found["feature"]) == {NAMES[0]}
    assert ((found["probability"] >= 0.5) == [True, False]).all()


def test_two_together_where_none_alone_is_enough_and_none_smaller_than_needed():
    grid = np.linspace(-1, 1, 21)
    train = np.column_stack([grid, grid, grid])
    new = np.array([[-1.0, -1.0, 1.0]])
    found = counterfactuals.account(look(Line([1.0, 1.0, 0.01], -1.25), train, new))
    assert found["step"].tolist() == [1, 2]
    assert set(found["set"]) == {1}
    assert found["to"].sum() == pytest.approx(1.3)  # the first sum of two grid values from 1.24 on
    assert found["probability"].tolist() == pytest.approx([expit(1.3 + 0.01 - 1.25)] * 2)


class Gate:
    """Positive where the second and the third feature are high; the first moves the margin most, and does not help."""

    def margin(self, x):
        return np.where((x[:, 1] > 0.5) & (x[:, 2] > 0.5), 2.0, -4.0 + x[:, 0] + 0.5 * x[:, 1])

    def gains(self):
        return np.ones(3)


def test_a_step_that_turns_out_not_to_be_needed_is_left_out():
    grid = np.linspace(-1, 1, 21)
    train = np.column_stack([grid, grid, grid])
    found = counterfactuals.account(look(Gate(), train, np.zeros((1, 3))))
    assert found["feature"].tolist() == list(NAMES[1:])
    assert found["to"].tolist() == pytest.approx([0.6, 0.6])
    assert found["probability"].tolist() == pytest.approx([expit(2.0)] * 2)


def test_it_says_so_where_nothing_within_the_training_range_changes_the_call():
    grid = np.linspace(-1, 1, 21)
    train = np.column_stack([grid, grid, grid])
    found = counterfactuals.account(look(Line([1.0, 1.0, 0.5], -9.0), train, np.array([[-1.0, 0.0, 0.0]])))
    assert found[["set", "step", "feature"]].to_numpy().tolist() == [[0, 0, ""]]
    assert found["probability"].iloc[0] == pytest.approx(expit(2.5 - 9.0))


def test_only_features_that_moved_the_case_are_tried_and_a_missing_value_counts_from_the_median():
    grid = np.linspace(-1, 1, 21)
    train = np.column_stack([grid, grid])
    shap = np.array([[0.5, 0.0]])
    found = counterfactuals.account(look(Line([1.0, 9.0], -0.5), train, np.array([[np.nan, 0.0]]), shap=shap))
    assert found["feature"].tolist() == [NAMES[0]]
    assert np.isnan(found["value"].iloc[0])
    assert found["change"].iloc[0] == pytest.approx(0.5 / grid.std())


def test_novelty_is_that_of_the_training_side_and_names_the_least_usual_features():
    rng = np.random.default_rng(4)
    train, new = rng.normal(size=(150, 3)), np.array([[0.0, 0.1, -0.1], [9.0, 0.0, -4.0], [0.0, np.nan, 0.0]])
    seen = look(Line([1.0, 1.0, 1.0]), train, new)
    found = likeness.account(seen)
    expected = Novelty.fit(train, seen.train.persons, seen.seed)
    first = found[found["rank"] == 1]
    np.testing.assert_allclose(first["distance"], expected.distance(new), rtol=1e-12)
    assert first["called"].tolist() == ["", "far", ""]
    assert first[["limit_unusual", "limit_far"]].drop_duplicates().to_numpy().tolist() == [list(expected.limits)]
    strange = found[found["case_id"] == "n1"]
    assert strange["feature"].tolist() == [NAMES[0], NAMES[2], NAMES[1]]
    np.testing.assert_allclose(strange["score"], StandardScaler().fit(train).transform(new)[1][[0, 2, 1]])


@pytest.mark.parametrize("name", ["calibrated", "neighbours", "likeness", "counterfactuals"])
def test_they_are_taken_in_the_first_repeat_alone_and_have_their_columns(name):
    rng = np.random.default_rng(5)
    train, new = rng.normal(size=(30, 3)), rng.normal(size=(4, 3))
    part = SHELF.take(name)
    model = Line([1.0, 1.0, 1.0])
    found = part.account(look(model, train, new))
    assert found.columns.tolist() == part.COLUMNS
    assert set(found["case_id"]) == {"n0", "n1", "n2", "n3"}
    again = part.account(look(model, train, new, repeat=1))
    assert again.empty
    assert again.columns.tolist() == part.COLUMNS
    assert isinstance(found, pd.DataFrame)


def test_accounts_of_an_arm_that_does_not_stand_are_left_out():
    """Where an arm could be fitted in some folds only, the others have accounts of the nearest arm."""
    empty = {name: pd.DataFrame(columns=list(SHELF.take(name).COLUMNS)) for name in SHELF.names()}
    folds = [
        empty | {"permutation": pd.DataFrame([("er", arm, 0, fold, "f", 0.6, 0.7)], columns=permutation.COLUMNS)}
        for fold, arm in enumerate(("fused", "radiomics", "radiomics"))
    ]
    assert join_accounts(folds, {"er": "radiomics"})["permutation"]["fold"].tolist() == [1, 2]
    assert join_accounts(folds, {})["permutation"].empty
