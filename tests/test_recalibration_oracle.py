"""Recalibration: the published coefficients, scikit-learn's, and what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError, LeakageError
from cemrad.models.irls import fit_logistic
from cemrad.models.recalibration import MIN_PERSONS, Recalibration
from sklearn.linear_model import LogisticRegression


@pytest.fixture(scope="module")
def synpm(reference):
    """20,000 predicted probabilities and outcomes of predRupdate, with the published figures."""
    folder = reference / "stats_reference" / "calibration"
    frame = pd.read_csv(folder / "synpm_model1_p_y.csv.gz")
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    margin = np.log(frame["p"] / (1 - frame["p"])).to_numpy()
    return margin, frame["y"].to_numpy(np.int64), expected


def _persons(n):
    return [f"p{i}" for i in range(n)]


def test_the_published_coefficients_are_found(synpm):
    margin, truth, expected = synpm
    moved = Recalibration.fit(margin, truth, _persons(len(truth)))
    assert (moved.intercept, moved.slope) == (pytest.approx(expected["full_digits_recomputed"]["CITL"], abs=1e-7), 1)
    both = Recalibration.fit(margin, truth, _persons(len(truth)), "logistic")
    assert both.slope == pytest.approx(expected["full_digits_recomputed"]["slope"], abs=1e-7)
    stated = expected["full_digits_recomputed"]["logistic_recalibration_intercept"]
    assert both.intercept == pytest.approx(stated, abs=1e-6)


def test_weighted_fits_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    truth = (rng.random(150) < 1 / (1 + np.exp(-x @ [1.0, -0.5, 0.2]))).astype(np.int64)
    weights = rng.integers(0, 4, (5, 150)).astype(float)
    found = fit_logistic(np.column_stack([np.ones(150), x * [1, 1000, 0.001]]), truth, weights)
    for row, w in zip(found, weights, strict=True):
        other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, truth, sample_weight=w)
        expected = [*other.intercept_, *other.coef_[0]]
        assert row * [1, 1, 1000, 0.001] == pytest.approx(expected, abs=2e-4)


def test_after_recalibration_the_site_is_calibrated():
    """On the fitted cases themselves the mean prediction is the prevalence, and ranks stay."""
    rng = np.random.default_rng(1)
    margin = rng.normal(size=400)
    truth = (rng.random(400) < 1 / (1 + np.exp(-(1.5 + 0.4 * margin)))).astype(np.int64)
    for kind in ("intercept", "logistic"):
        moved = Recalibration.fit(margin, truth, _persons(400), kind).apply(margin)
        assert (1 / (1 + np.exp(-moved))).mean() == pytest.approx(truth.mean(), abs=1e-8)
        assert (np.argsort(moved) == np.argsort(margin)).all()


def test_it_refuses_to_be_judged_on_whom_it_saw():
    margin, truth = np.linspace(-1, 1, 60), np.tile([0, 1], 30)
    made = Recalibration.fit(margin, truth, _persons(60), "logistic")
    new = [f"q{i}" for i in range(60)]
    assert made.held_out_margin(margin, new) == pytest.approx(made.apply(margin))
    with pytest.raises(LeakageError, match=r"fitted on 1 of the persons it is judged on: \['p7'\]"):
        made.held_out_margin(margin, [*new[:-1], "p7"])
    again = Recalibration.restore(json.loads(json.dumps(made.state())))
    assert again == made


def test_what_cannot_be_fitted_is_refused_with_its_reason():
    margin, truth = np.linspace(-1, 1, 60), np.tile([0, 1], 30)
    with pytest.raises(EvaluationError, match="needs 20 patients of each class: there are 15 with a positive"):
        Recalibration.fit(margin, truth, [f"p{i % 30}" for i in range(60)], "logistic")  # lesions are not patients
    assert MIN_PERSONS == {"intercept": 10, "logistic": 20}
    with pytest.raises(EvaluationError, match="separate the classes"):
        Recalibration.fit(margin, (margin > 0).astype(np.int64), _persons(60), "logistic")
    with pytest.raises(EvaluationError, match="no recalibration 'isotonic'; there are: intercept, logistic"):
        Recalibration.fit(margin, truth, _persons(60), "isotonic")
    with pytest.raises(EvaluationError, match="1 of 60 cases have no prediction"):
        Recalibration.fit(np.where(margin > 0.99, np.nan, margin), truth, _persons(60))
    for state in ({}, {"kind": "logistic", "intercept": float("nan"), "slope": 1, "persons": []}, {"kind": 3}):
        with pytest.raises(EvaluationError, match="not a stored recalibration"):
            Recalibration.restore(state)


def test_log_odds_that_hardly_vary_are_no_separation():
    """Far from 0 beside their spread, they are nearly a second intercept; the score equations must still hold."""
    rng = np.random.default_rng(5)
    margin = -1.5 + 0.002 * rng.normal(size=300)
    truth = (rng.random(300) < 0.18).astype(np.int64)
    columns = np.column_stack([np.ones(300), margin])
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=40).astype(float)
    found = fit_logistic(columns, truth, weights)
    assert np.isfinite(found).all()
    for beta, weight in zip(found, weights, strict=True):
        gap = (truth - 1 / (1 + np.exp(-columns @ beta))) * weight
        assert abs(gap.sum()) < 1e-6
        assert abs(gap @ (margin - margin.mean())) < 1e-8
