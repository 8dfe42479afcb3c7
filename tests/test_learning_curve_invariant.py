"""Learning curve: nested shares of the training side, the evaluation's own held-out cases, and nothing that leaks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import evaluate
from cemrad.models.folds import split
from cemrad.models.learning_curve import (
    LEARNING_CURVE_COLUMNS,
    LEARNING_FIT_COLUMNS,
    LearningCurveSettings,
    Piece,
    fit_piece,
    share_of,
)
from cemrad.models.power_law import FLAT, RISING, UNCLEAR, UNKNOWN, PowerLaw, power_law, verdict
from cemrad.models.rows import Rows
from cemrad.models.scoring import ScoringSettings
from scipy.optimize import curve_fit


@pytest.fixture(scope="module")
def laid_out(make_table):
    table, labels = make_table(60, seed=3)
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels))
    rows = design.rows
    return design, split(rows.case_ids, rows.persons, rows.y, n_folds=4, seed=1)


def fingerprint(outcome):
    return {
        arm: (model.features, model.model.state(), model.threshold, dict(model.params))
        for arm, model in outcome.fitted.items()
    }


@pytest.mark.parametrize("fraction", [0.4, 0.85])
def test_garbage_in_held_out_rows_changes_nothing_fitted(laid_out, quick, fraction):
    """The law of the evaluation: whatever is held out, the share of the training side and its models stay."""
    design, made = laid_out
    rows, (_, held) = design.rows, made.sides(0, 0)
    piece = Piece(design, made, 0, 0, fraction, 0)
    clean = fit_piece(piece, ["fused"], quick)
    rng = np.random.default_rng(9)
    x, y = rows.x.copy(), rows.y.copy()
    x[held] = rng.normal(size=(len(held), x.shape[1])) * 1e6
    y[held] = 1 - y[held]
    spoilt = fit_piece(
        piece._replace(design=replace(design, rows=Rows(**(vars(rows) | {"x": x, "y": y})))), ["fused"], quick
    )
    assert fingerprint(spoilt) == fingerprint(clean)
    assert not clean.fitted["fused"].persons & {rows.persons[at] for at in held}


def test_garbage_in_the_rest_of_the_training_side_changes_nothing_fitted_either(laid_out, quick):
    """A model of a share has seen that share alone."""
    design, made = laid_out
    rows, (fit, _) = design.rows, made.sides(0, 0)
    piece = Piece(design, made, 0, 0, 0.55, 0)
    clean = fit_piece(piece, ["radiomics"], quick)
    rest = [at for at in fit.tolist() if rows.persons[at] not in clean.fitted["radiomics"].persons]
    assert rest
    x = rows.x.copy()
    x[rest] = 1e9
    spoilt = piece._replace(design=replace(design, rows=Rows(**(vars(rows) | {"x": x}))))
    assert fingerprint(fit_piece(spoilt, ["radiomics"], quick)) == fingerprint(clean)


def test_shares_are_nested_of_whole_persons_and_of_both_classes_alike(laid_out):
    design, made = laid_out
    rows, (fit, _) = design.rows, made.sides(0, 1)
    positive = {p for p, y in zip(rows.persons, rows.y, strict=True) if y}
    before = set()
    for fraction in (0.25, 0.4, 0.55, 0.7, 0.85, 1.0):
        chosen = share_of(rows, fit, fraction, seed=5)
        assert before <= set(chosen.tolist()) <= set(fit.tolist())
        before = set(chosen.tolist())
        persons, all_persons = ({rows.persons[at] for at in side} for side in (chosen, fit))
        assert all((rows.persons[at] in persons) == (at in before) for at in fit)
        for group in (positive, all_persons - positive):
            assert len(persons & group) == int(np.ceil(fraction * len(all_persons & group) - 1e-9))
    assert share_of(rows, fit, 0.4, seed=6).tolist() != share_of(rows, fit, 0.4, seed=5).tolist()
    assert share_of(rows, fit, 1.0, seed=6).tolist() == fit.tolist()


@pytest.fixture(scope="module")
def settings(quick):
    curve = LearningCurveSettings(fractions=(0.03, 0.3, 0.5, 0.75), repeats=2)
    scoring = ScoringSettings(n_bootstrap=100, further=())
    changes = {"outer_folds": 4, "arms": ("clinical", "radiomics"), "audit": False, "scoring": scoring}
    return quick.model_copy(update=changes | {"learning_curve": curve})


def test_the_curve_ends_where_the_evaluation_is_whatever_the_jobs(make_table, settings):
    table, labels = make_table(60, seed=3)
    steps = []
    found = evaluate(
        table, labels, ["malignancy"], settings, jobs=2, progress=lambda *step: steps.append(step)
    )  # fmt: skip
    curve, fit = found.tables["learning_curve"], found.tables["learning_curve_fit"]
    assert list(curve.columns) == LEARNING_CURVE_COLUMNS
    assert list(fit.columns) == LEARNING_FIT_COLUMNS
    assert curve["fraction"].tolist() == [0.03, 0.3, 0.5, 0.75, 1.0]
    assert curve["arm"].unique().tolist() == ["radiomics"]
    main = found.metrics.query("arm == 'radiomics' and metric == 'auc' and level == 'lesion'").iloc[0]
    assert curve.iloc[-1][["estimate", "low", "high"]].tolist() == main[["estimate", "low", "high"]].tolist()
    assert curve["n_persons"].is_monotonic_increasing
    assert curve.iloc[-1]["n_persons"] == 45
    assert np.isnan(curve.iloc[0]["estimate"])
    assert curve.iloc[0]["method"].startswith("not estimable: a model needs 2 patients of each class")
    assert curve.iloc[1:]["estimate"].between(0.4, 1).all()
    assert (curve.iloc[1:]["low"] < curve.iloc[1:]["estimate"]).all()
    assert [step for step in steps if step[2] == "learning curve"][-1] == (32, 32, "learning curve")
    assert fit["from_fraction"].item() == 0.5
    gain = curve.iloc[-1]["estimate"] - curve.iloc[2]["estimate"]
    assert fit["gain"].item() == pytest.approx(gain, abs=1e-12)
    again = evaluate(table, labels, ["malignancy"], settings).tables
    pd.testing.assert_frame_equal(again["learning_curve"], curve, check_exact=True)
    pd.testing.assert_frame_equal(again["learning_curve_fit"], fit, check_exact=True)


def test_no_curve_unless_it_is_asked_for(make_table, quick):
    plain = quick.model_copy(update={"arms": ("clinical",), "audit": False})
    found = evaluate(*make_table(40, seed=3), ["malignancy"], plain)
    assert "learning_curve" not in found.tables
    assert found.tables["sample_size"]["arm"].tolist() == ["clinical"]


@pytest.mark.parametrize("fractions", [(0.5,), (0.0, 1.0), (0.5, 1.2), (0.5, 0.5)])
def test_fractions_that_make_no_curve_are_refused(fractions):
    with pytest.raises(ValueError, match=r"fractions|at least 2"):
        LearningCurveSettings(fractions=fractions)


@pytest.mark.parametrize("truth", [(0.85, 3.0, 0.7), (0.95, 1.0, 0.35), (0.7, 5.0, 1.0)])
def test_the_power_law_is_that_of_a_least_squares_solver(truth):
    """Against scipy's solver of nonlinear least squares with the same weights."""
    n = np.array([30, 50, 80, 120, 200, 320.0])
    noise = 0.004 * np.array([1, -1, 0.5, 0.3, -0.6, 0.2])
    auc = truth[0] - truth[1] * n ** -truth[2] + noise
    law = power_law(n, auc)
    reference, _ = curve_fit(
        lambda n, a, b, c: a - b * n**-c, n, auc, p0=truth, sigma=n**-0.5, bounds=([0.5, 0, 0.1], [1, 99, 2])
    )
    for at in (30, 100, 320, 640):
        assert law.at(at) == pytest.approx(PowerLaw(*reference).at(at), abs=0.002)


def test_a_verdict_says_whether_more_patients_would_help():
    rising = power_law([50, 100, 200, 400], [0.6, 0.68, 0.74, 0.78])
    assert verdict(rising, 400, 0.01, 0.1) == RISING
    assert verdict(rising, 400, -0.01, 0.1) == UNCLEAR
    assert verdict(rising, 400, np.nan, np.nan) == UNCLEAR
    flat = power_law([50, 100, 200, 400], [0.8, 0.79, 0.81, 0.8])
    assert verdict(flat, 400, -0.02, 0.03) == FLAT
    assert verdict(flat, 400, -0.06, 0.12) == UNCLEAR, "so wide an interval says nothing"
    assert flat.at(400) == pytest.approx(0.8, abs=0.01)
    falling = power_law([50, 100, 200, 400], [0.8, 0.75, 0.7, 0.6])
    assert falling.scale == 0
    assert power_law([50, 100, 200], [0.6, 0.7, 0.75]) is None
    assert verdict(None, 100, 0.2, 0.3) == UNKNOWN
    assert power_law([10, 20, 40, 80], [0.7, 0.85, 0.95, 1.0]).plateau <= 1


def test_a_curve_below_chance_still_passes_through_its_points():
    n = [25, 40, 60, 100]
    for area in ([0.380, 0.400, 0.415, 0.434], [0.400, 0.420, 0.425, 0.430], [0.45, 0.45, 0.45, 0.45]):
        law = power_law(n, area)
        assert 0.5 <= law.plateau <= 1
        assert [law.at(size) for size in n] == pytest.approx(area, abs=0.015)
