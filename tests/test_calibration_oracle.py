"""Calibration against published figures, and against probabilities whose calibration is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.models.calibration import SEPARATED, calibrate
from cemrad.models.heldout import HeldOut
from cemrad.models.intervals import bootstrap_weights
from cemrad.models.metrics import auc


def _held(truth, chance, person=None):
    nothing = np.zeros(len(truth), dtype=np.int64)
    person = np.arange(len(truth)) if person is None else person
    return HeldOut(truth, chance, chance >= 0.5, nothing, nothing, person)


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "stats_reference"


def test_the_figures_of_predrupdate_are_found(folder):
    """ST7: SYNPM, 20,000 cases; 5e-5 to what is printed, and to all digits where they were recomputed."""
    frame = pd.read_csv(folder / "calibration" / "synpm_model1_p_y.csv.gz")
    stated = json.loads((folder / "calibration" / "expected.json").read_text(encoding="utf-8"))
    truth, chance = frame["y"].to_numpy(np.int64), frame["p"].to_numpy()
    held = _held(truth, chance)
    found = calibrate(held, bootstrap_weights(held.person, 40, 1)).metrics
    values = {"AUC": auc(truth, chance)} | {
        name: found[metric].estimate
        for name, metric in [
            ("O:E", "oe"),
            ("calibration_intercept(offset model)", "calibration_in_the_large"),
            ("calibration_slope", "calibration_slope"),
            ("Brier", "brier"),
        ]
    }
    for name, value in values.items():
        printed = stated["published"][name]
        assert value == pytest.approx(printed[0] if isinstance(printed, list) else printed, abs=5e-5), name
    digits = stated["full_digits_recomputed"]
    assert found["oe"].estimate == pytest.approx(digits["O:E"], abs=1e-9)
    assert found["calibration_in_the_large"].estimate == pytest.approx(digits["CITL"], abs=1e-7)
    assert found["calibration_slope"].estimate == pytest.approx(digits["slope"], abs=1e-7)
    # Its intervals are Wald's; 40 draws know a standard error to about a ninth.
    for name, metric in [("calibration_intercept(offset model)", "calibration_in_the_large"), ("O:E", "oe")]:
        low, high = stated["published"][name][1:]
        assert found[metric].high - found[metric].low == pytest.approx(high - low, rel=0.35)


def test_a_fitted_risk_is_calibrated_on_its_own_cases(folder):
    """df_binary of dcurves: a logistic model's own risk has O:E 1, CITL 0, slope 1; the stated Brier score."""
    frame = pd.read_csv(folder / "dca" / "df_binary.csv")
    truth = (frame["cancer"].astype(str).str.upper() == "TRUE").to_numpy(np.int64)
    held = _held(truth, frame["cancerpredmarker"].to_numpy())
    found = calibrate(held, bootstrap_weights(held.person, 100, 1)).metrics
    assert found["oe"].estimate == pytest.approx(1, abs=1e-5)
    assert found["calibration_in_the_large"].estimate == pytest.approx(0, abs=1e-5)
    assert found["calibration_slope"].estimate == pytest.approx(1, abs=1e-5)
    assert found["brier"].estimate == pytest.approx(0.08492909779701738, abs=1e-6)


def test_a_known_distortion_is_measured():
    """Log odds halved and moved by 1: slope 2, and the smooth curve is the true one; ICI is its distance."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, 40_000)
    truth = (rng.random(40_000) < 1 / (1 + np.exp(-true))).astype(np.int64)
    told = 1 / (1 + np.exp(-(0.5 * true + 1)))
    held = _held(truth, told)
    found = calibrate(held, bootstrap_weights(held.person, 10, 1), n_groups=10)
    assert found.metrics["calibration_slope"].estimate == pytest.approx(2, abs=0.05)
    distance = np.abs(told - 1 / (1 + np.exp(-true))).mean()
    assert found.metrics["ici"].estimate == pytest.approx(distance, abs=0.005)
    curve = pd.DataFrame(found.curve)
    expected = 1 / (1 + np.exp(-2 * (np.log(curve["predicted"] / (1 - curve["predicted"])) - 1)))
    assert (curve["observed"] - expected).abs().max() < 0.03
    assert ((curve["low"] <= curve["observed"]) & (curve["observed"] <= curve["high"])).all()
    groups = curve[curve["kind"] == "group"]
    assert (groups["n"] == 4000).all()
    assert groups["n_positive"].sum() == truth.sum()


def test_intervals_count_patients_and_know_the_folds():
    rng = np.random.default_rng(2)
    chance = rng.uniform(0.05, 0.95, 120)
    truth = (rng.random(120) < chance).astype(np.int64)
    held = _held(truth, chance)
    weights = bootstrap_weights(held.person, 400, 3)
    four = HeldOut(**{name: np.repeat(value, 4) for name, value in vars(held).items() if name != "pooled"})
    one, other = calibrate(held, weights), calibrate(four, np.repeat(weights, 4, axis=1))
    folds = calibrate(replace(held, fold=np.arange(120) % 5), weights)
    for name, item in one.metrics.items():
        assert other.metrics[name][:3] == pytest.approx(item[:3], rel=1e-5), name
        assert item.low < item.estimate < item.high
        times = {"calibration_in_the_large": 1.0, "calibration_slope": 1.5}.get(name)
        if times is not None:  # the base rate is what every fold's model learned
            widened = folds.metrics[name].high - folds.metrics[name].low
            assert widened == pytest.approx(times * (item.high - item.low))
    assert one.metrics["calibration_in_the_large"].low < 0 < one.metrics["calibration_in_the_large"].high


def test_what_has_no_value_says_why():
    truth = np.tile([0, 1], 30)
    apart = _held(truth, 0.2 + 0.6 * truth + np.linspace(0, 0.1, 60))
    weights = bootstrap_weights(apart.person, 50, 1)
    found = calibrate(apart, weights)
    for metric in ("calibration_slope", "ici"):
        assert found.metrics[metric].method == f"not estimable: {SEPARATED}"
    assert found.metrics["oe"].low < found.metrics["oe"].estimate < found.metrics["oe"].high
    assert {row["kind"] for row in found.curve} == {"group"}
    same = calibrate(_held(truth, np.full(60, 0.4)), weights).metrics
    assert same["oe"].estimate == pytest.approx(1.25)
    assert same["calibration_slope"].method == same["ici"].method == "not estimable: all probabilities are alike"
    assert same["calibration_in_the_large"].estimate == pytest.approx(np.log(0.5 / 0.5) - np.log(0.4 / 0.6))
    one_class = calibrate(_held(np.ones(60, dtype=np.int64), np.linspace(0.1, 0.9, 60)), weights)
    assert {item.method for item in one_class.metrics.values()} == {"not estimable: one class only"}
    assert one_class.curve == []
    few = _held(np.array([0, 1] * 4), np.linspace(0.2, 0.8, 8), np.arange(8) // 4)
    assert "fewer than 3 patients" in calibrate(few, np.ones((5, 8))).metrics["oe"].method
