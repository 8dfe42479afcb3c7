"""Metrics against published values and other implementations."""

import json

import numpy as np
import pandas as pd
import pytest
from cemrad.models.delong import paired_test, unpaired_test
from cemrad.models.heldout import wilson_worth
from cemrad.models.intervals import HeldOut, auprc, bootstrap_weights, brier, cv_auc, heldout_auc, influence
from cemrad.models.metrics import (
    auc,
    average_precision,
    delong,
    holm,
    placements,
    sensitivity_threshold,
    youden_threshold,
)
from cemrad.models.rates import RATES, RATES_AT, cv_ratios
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

MARKERS = ("wfns", "s100b", "ndka")


@pytest.fixture(scope="module")
def asah(reference):
    folder = reference / "stats_reference" / "delong"
    frame = pd.read_csv(folder / "aSAH.csv")
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    truth = (frame["outcome"] == "Poor").to_numpy(dtype=np.int64)
    return truth, frame[list(MARKERS)].to_numpy(dtype=float), expected


def test_delong_agrees_with_proc(asah):
    """ST1: pROC's test suite, aSAH data; 1e-10."""
    truth, scores, expected = asah
    areas, covariance = delong(truth, scores)
    for i, one in enumerate(MARKERS):
        assert areas[i] == pytest.approx(expected["auc"][one], abs=1e-10)
        assert covariance[i, i] == pytest.approx(expected["delong_variance"][one], abs=1e-10)
    for pair, stated in expected["delong_covariance"].items():
        i, j = (MARKERS.index(name) for name in pair.split(","))
        assert covariance[i, j] == pytest.approx(stated, abs=1e-10)


def test_the_held_out_interval_is_delongs(asah, reference):
    truth, scores, expected = asah
    for name in ("ndka", "wfns (recomputed)", "s100b (recomputed)"):
        found = heldout_auc(truth, scores[:, MARKERS.index(name.split()[0])])
        assert (found.low, found.high) == pytest.approx(tuple(expected["ci95_delong"][name]), abs=1e-10)
    frame = pd.read_csv(reference / "stats_reference" / "delong" / "aSAH.csv")
    women = (frame["gender"] == "Female").to_numpy()
    found = heldout_auc(truth[women], scores[women, MARKERS.index("ndka")])
    assert found.estimate == pytest.approx(expected["auc_ndka_female"], abs=1e-10)
    stated = expected["ci95_delong"]["ndka | gender==Female"]
    assert (found.low, found.high) == pytest.approx(tuple(stated), abs=1e-10)


@pytest.mark.parametrize("pair", ["wfns,s100b", "wfns,ndka", "ndka,s100b"])
def test_paired_and_unpaired_tests_agree_with_proc(asah, pair):
    """ST1: Z, p and interval of the paired test; D and p of the unpaired one, with pROC's degrees of freedom."""
    truth, scores, expected = asah
    one, other = (scores[:, MARKERS.index(name)] for name in pair.split(","))
    paired, stated = paired_test(truth, one, other), expected["paired_test"][pair]
    assert (paired.statistic, paired.p) == pytest.approx((stated["Z"], stated["p"]), abs=1e-10)
    assert (paired.low, paired.high) == pytest.approx(tuple(stated["diff_ci95"]), abs=1e-10)
    apart, stated = unpaired_test(truth, one, truth, other), expected["unpaired_test"][pair]
    assert (apart.statistic, apart.p) == pytest.approx((stated["D"], stated["p"]), abs=1e-10)


def test_without_a_variance_there_is_no_p():
    truth = np.tile([0, 1], 10)
    alike = paired_test(truth, truth + 0.1, truth * 2.0)
    assert alike.difference == 0
    assert np.isnan(alike[1:]).all()
    assert np.isnan(unpaired_test(truth, truth * 1.0, truth, truth * 2.0).p)


@pytest.fixture(scope="module")
def tied():
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, 200), rng.integers(0, 20, 200) / 20


def test_areas_agree_with_scikit_learn(tied):
    truth, score = tied
    assert auc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    above, below = placements(truth, score)
    assert above.mean() == pytest.approx(below.mean(), abs=1e-12)
    weights = np.random.default_rng(1).integers(0, 4, (5, 200)).astype(float)
    expected = [average_precision_score(truth, score, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precision(truth, score, weights), expected, atol=1e-12)


def test_youdens_threshold_is_the_best_on_the_roc_curve(tied):
    truth, score = tied
    false, true, _ = roc_curve(truth, score)
    called = score >= youden_threshold(truth, score)
    found = called[truth == 1].mean() - called[truth == 0].mean()
    assert found == pytest.approx((true - false).max(), abs=1e-12)


@pytest.mark.parametrize("least", [0.8, 0.95, 1.0])
def test_a_sensitivity_threshold_is_the_highest_that_holds_it(tied, least):
    truth, score = tied
    _, true, cuts = roc_curve(truth, score, drop_intermediate=False)
    called = score >= sensitivity_threshold(truth, score, least)
    assert called[truth == 1].mean() >= least
    assert called.sum() == (score >= cuts[true >= least].max()).sum()


def test_holms_adjustment_is_that_of_r():
    """p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") and one with ties beyond 1."""
    assert holm(np.array([0.01, 0.02, 0.03, 0.04, 0.05])) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm(np.array([0.6, 0.001, 0.7])) == pytest.approx([1.0, 0.003, 1.0])


def _held(truth, score, person=None, fold=None):
    n = len(truth)
    person = np.arange(n) if person is None else person
    fold = np.zeros(n, int) if fold is None else fold
    return HeldOut(truth, score, score >= 0.5, np.zeros(n, dtype=np.int64), fold, person)


def test_of_one_fold_the_clustered_variance_is_delongs(tied):
    """One fold, one case per patient: Obuchowski's clustered variance is DeLong's but for (n - 1) / n."""
    truth, score = tied
    area, parts = influence(_held(truth, score))
    above, below = placements(truth, score)
    n1, n0 = len(above), len(below)
    assert area == pytest.approx(auc(truth, score), abs=1e-12)
    assert (parts**2).sum() == pytest.approx(above.var() / n1 + below.var() / n0, rel=1e-12)
    assert (parts**2).sum() == pytest.approx(delong(truth, score[:, None])[1][0, 0], rel=0.02)


def test_the_cross_validated_auc_is_the_pair_weighted_mean_of_folds(tied):
    truth, score = tied
    fold = np.random.default_rng(3).integers(0, 5, len(truth))
    pairs = [(truth[fold == k].sum() * (1 - truth[fold == k]).sum()) for k in range(5)]
    areas = [roc_auc_score(truth[fold == k], score[fold == k]) for k in range(5)]
    assert cv_auc(_held(truth, score, fold=fold)).estimate == pytest.approx(np.average(areas, weights=pairs), abs=1e-12)


def test_influence_agrees_with_leaving_patients_out(tied):
    """The infinitesimal jackknife of the code against the jackknife by brute force."""
    truth, score = tied
    person = np.arange(len(truth)) // 2
    fold = person % 5
    area, parts = influence(_held(truth, score, person, fold))
    left_out = []
    for patient in range(person.max() + 1):
        keep = person != patient
        left_out.append(influence(_held(truth[keep], score[keep], person[keep], fold[keep]))[0])
    n = len(left_out)
    jackknife = (n - 1) / n * ((np.array(left_out) - np.mean(left_out)) ** 2).sum()
    assert (parts**2).sum() == pytest.approx(jackknife, rel=0.05)


def test_brier_and_average_precision_agree_with_scikit_learn(tied):
    truth, score = tied
    held = _held(truth, score)
    one = np.ones((1, len(truth)))
    assert brier(held, one)[0] == pytest.approx(brier_score_loss(truth, score), abs=1e-12)
    assert auprc(held, one)[0] == pytest.approx(average_precision_score(truth, score), abs=1e-12)


def test_ratios_of_calls_agree_with_scikit_learn(tied):
    truth, score = tied
    held = _held(truth, score)
    found = cv_ratios(held, RATES | RATES_AT, bootstrap_weights(held.person, 200, 1))
    negative, false, missed, _ = confusion_matrix(truth, held.called).ravel()
    expected = {
        "ppv": precision_score(truth, held.called),
        "npv": precision_score(1 - truth, ~held.called),
        "f1": f1_score(truth, held.called),
        "balanced_accuracy": balanced_accuracy_score(truth, held.called),
        "sensitivity": recall_score(truth, held.called),
        "specificity": recall_score(1 - truth, ~held.called),
        "biopsies_avoided": 100 * negative / len(truth),
        "cancers_missed": 100 * missed / len(truth),
    }
    assert {name: item.estimate for name, item in found.items()} == pytest.approx(expected)
    assert negative + false == (truth == 0).sum()


def test_the_interval_of_a_predictive_value_is_that_of_a_share(tied):
    """One fold, one case per patient: Wilson's bounds lie t of their own standard errors off."""
    truth, score = tied
    held = _held(truth, score)
    found = cv_ratios(held, {"ppv": RATES["ppv"]}, bootstrap_weights(held.person, 4000, 1))["ppv"]
    n = held.called.sum()
    for bound in found[1:3]:
        errors = (found.estimate - bound) / np.sqrt(bound * (1 - bound) / n)
        assert abs(errors) == pytest.approx(stats.t.ppf(0.975, n - 1), rel=0.03)


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (3, 40), (20, 40), (40, 40)])
def test_an_interval_that_patients_bound_is_wilsons(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson_worth(hits / n, 0.0, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    half = 1.96 * np.sqrt(hits / n * (1 - hits / n) / (n / 2))  # worth half of them
    wider = stats.binomtest(hits // 2, n // 2).proportion_ci(method="wilson")
    if 0 < hits < n and hits % 2 == 0:
        assert wilson_worth(hits / n, half, n) == pytest.approx((wider.low, wider.high), abs=1e-4)


def test_bootstrap_weights_draw_whole_patients():
    person = np.array([0, 0, 1, 2, 2, 2])
    weights = bootstrap_weights(person, 500, seed=1)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert weights.mean() == pytest.approx(1.0, abs=0.1)
    assert (weights == bootstrap_weights(person, 500, seed=1)).all()
