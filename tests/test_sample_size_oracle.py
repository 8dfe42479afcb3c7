"""Sample size: the figures of the papers and of their authors' R package, and laws between the formulae."""

import numpy as np
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.models.metrics import auc as area
from cemrad.models.sample_size import (
    SAMPLE_SIZE_COLUMNS,
    Needed,
    Offer,
    SampleSizeSettings,
    expected_shrinkage,
    max_r2,
    needed,
    r2_of_auc,
    supported,
    survey,
)


def test_chagas_disease_of_the_paper():
    """Riley et al., doi 10.1002/sim.7992: 24 parameters, prevalence 0.174, R2 0.288: 662 patients, EPP 4.8.

    The example of `pmsampsize`'s help page; the prediction error is of doi 10.1136/bmj.m441 and not among its three.
    """
    found = needed(24, 0.174, 0.288)
    assert (found.shrinkage, found.optimism, found.overall_risk) == (623, 662, 221)
    assert pytest.approx(4.8, abs=0.005) == 662 * 0.174 / 24


def test_pre_eclampsia_of_the_paper():
    """Riley et al., doi 10.1136/bmj.m441: 30 parameters, 5 % with the outcome, R2 15 % of its largest value 0.33."""
    assert max_r2(0.05) == pytest.approx(0.33, abs=0.005)
    found = needed(30, 0.05, 0.05)
    assert (found.overall_risk, found.prediction_error, found.shrinkage) == (73, 544, 5249)
    assert found.n == 5249
    assert pytest.approx(8.75, abs=0.005) == 5249 * 0.05 / 30


@pytest.mark.parametrize(("prevalence", "largest"), [(0.5, 0.75), (0.4, 0.74), (0.3, 0.71), (0.2, 0.63), (0.1, 0.48), (0.05, 0.33), (0.01, 0.11)])  # fmt: skip  # noqa: E501
def test_largest_r2_of_the_paper(prevalence, largest):
    """The values listed in doi 10.1136/bmj.m441 for the largest Cox-Snell R2."""
    assert max_r2(prevalence) == pytest.approx(largest, abs=0.0055)


@pytest.mark.parametrize(
    ("auc", "prevalence", "candidates", "r2", "n"), [(0.78, 0.2, 30, 0.158, 1556), (0.81, 0.18, 6, 0.1818, 266)]
)
def test_r2_of_an_auc_is_what_pmsampsize_simulates(auc, prevalence, candidates, r2, n):
    """Outputs of `pmsampsize` 1.1.3 with `cstatistic`, which draws a million patients: its R2 varies by about 0.001."""
    assert r2_of_auc(auc, prevalence) == pytest.approx(r2, abs=0.002)
    assert needed(candidates, prevalence, r2).n == pytest.approx(n, abs=3)
    assert needed(candidates, prevalence, r2_of_auc(auc, prevalence)).n == pytest.approx(n, rel=0.01)


@pytest.mark.parametrize(("auc", "prevalence"), [(0.6, 0.5), (0.75, 0.3), (0.9, 0.1)])
def test_r2_of_an_auc_is_that_of_a_true_model(auc, prevalence):
    rng = np.random.default_rng(0)
    y = (rng.random(400_000) < prevalence).astype(np.int64)
    mu = np.sqrt(2) * {0.6: 0.2533471, 0.75: 0.6744898, 0.9: 1.2815516}[auc]
    z = rng.normal(size=len(y)) + mu * y
    logit = np.log(prevalence / (1 - prevalence)) + mu * z - mu**2 / 2
    assert area(y, logit) == pytest.approx(auc, abs=0.004)
    share = y.mean()
    null = share * np.log(share) + (1 - share) * np.log(1 - share)
    likelihood = np.mean(y * logit - np.logaddexp(0, logit))
    assert r2_of_auc(auc, prevalence) == pytest.approx(1 - np.exp(-2 * (likelihood - null)), abs=0.006)


def test_shrinkage_supported_and_needed_are_one_relation():
    for candidates in (3, 24, 300):
        n = needed(candidates, 0.3, 0.1).shrinkage
        assert expected_shrinkage(n, candidates, 0.1) == pytest.approx(0.9, abs=0.004)
        assert expected_shrinkage(10 * n, candidates, 0.1) > 0.98
    assert expected_shrinkage(100, 5000, 0.1) == 0
    assert supported(5249, 0.05, 0.05) == 30
    assert supported(5248, 0.05, 0.05) == 29
    assert supported(662, 0.174, 0.288) < 24, "the prediction error asks for more than the three of the package"
    for n in (50, 500, 5000):
        most = supported(n, 0.4, 0.2)
        found = needed(most + 1, 0.4, 0.2)
        assert max(found.shrinkage, found.optimism, found.prediction_error or 0) > n


def test_the_prediction_error_is_not_asked_of_more_candidates_than_it_was_found_for():
    assert needed(31, 0.2, 0.1).prediction_error is None
    assert Needed(10, None, 30, 20).n == 30


@pytest.mark.parametrize(
    ("candidates", "prevalence", "r2"), [(0, 0.3, 0.1), (5, 0.0, 0.1), (5, 1.0, 0.1), (5, 0.01, 0.2), (5, 0.3, 0.0)]
)
def test_impossible_models_are_refused(candidates, prevalence, r2):
    with pytest.raises(EvaluationError, match="no sample size|no model has"):
        needed(candidates, prevalence, r2)


def test_a_survey_has_a_row_per_endpoint_and_arm():
    offers = [Offer("malignancy", "radiomics", 300, 200, 500), Offer("er", "clinical", 80, 0, 3)]
    found = survey([*offers, Offer("malignancy", "clinical", 300, 200, 4)], SampleSizeSettings(auc=0.8))
    assert list(found.columns) == SAMPLE_SIZE_COLUMNS
    assert found["arm"].tolist() == ["radiomics", "clinical"]
    row = found.iloc[0]
    assert (row["n_events"], row["events_per_candidate"]) == (100, 0.2)
    assert row["needed"] == needed(500, 2 / 3, r2_of_auc(0.8, 2 / 3)).n
    assert np.isnan(row["prediction_error"])
    assert found.iloc[1]["prediction_error"] > 0
    assert survey([]).empty


@pytest.mark.parametrize(("prevalence", "auc"), [(0.5, 0.9), (0.2, 0.8), (0.1, 0.75)])
def test_more_patients_never_support_fewer_candidates(prevalence, auc):
    r2 = r2_of_auc(auc, prevalence)
    most = [supported(n, prevalence, r2) for n in range(100, 4000, 20)]
    assert most == sorted(most)
    enough = needed(30, prevalence, r2).n
    assert all(k < 30 for n, k in zip(range(100, 4000, 20), most, strict=True) if n < enough)
