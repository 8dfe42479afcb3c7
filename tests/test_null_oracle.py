"""Nothing to find, at the reference size of 200 cases and 1,000 features: what an evaluation must not find there."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.features.table import FeatureTable
from cemrad.models.audit import Outcome, fold_pipeline
from cemrad.models.audit_null import (
    check_noise,
    check_permuted,
    deal_folds,
    judge_coverage,
    judge_mean,
    reference_noise,
    repeat,
    shuffle_labels,
    signatures,
)
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings
from cemrad.models.folds import seed_of
from cemrad.models.intervals import heldout_auc
from cemrad.models.rows import Rows
from scipy import stats

LIGHT = {"learner": "logistic", "n_candidates": 1}


def _pipeline(rows, settings):
    ids = list(rows.case_ids)
    cases = pd.DataFrame({"patient_id": rows.persons, "laterality": "", "lesion_id": "", "breast_id": ids}, index=ids)
    table = FeatureTable(pd.DataFrame(rows.x, index=ids, columns=list(rows.columns)), cases)
    labels = pd.DataFrame({"malignancy": np.where(rows.y == 1, "malignant", "benign")}, index=ids)
    return fold_pipeline(lay_out(table, labels, resolve_endpoint("malignancy", labels)), ["radiomics"], settings)


def _mean(rows, settings, n):
    made = [reference_noise(["radiomics"], seed=seed_of(7, i)) for i in range(n)]
    return repeat(_pipeline(rows, settings), deal_folds, made, seed=7, jobs=2)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [LIGHT, {}], ids=["logistic", "default"])
def test_sixty_noise_tables_and_their_mean_auc(settings):
    """LK2: 60 repeats of 200 x 1,000 noise, cross-validated: a mean AUC within 0.475 and 0.525."""
    found = _mean(reference_noise(["radiomics"]), EvaluationSettings(**settings), 60)
    assert not np.isnan(found.aucs).any()
    assert found.aucs.mean() == pytest.approx(0.5, abs=0.025)
    assert judge_mean("noise", found.aucs, 0.025, "", "").state == "passed"


@pytest.mark.slow
def test_a_hold_out_interval_covers_no_knowledge():
    """LK3: DeLong's interval of 67 held-out cases covers 0.5 in at least 89 of 100 noise tables."""

    covered = []
    for i in range(100):
        rows = reference_noise(["radiomics"], seed=seed_of(8, i))
        fit, held = deal_folds(rows, seed_of(8, "repeat", i), n_folds=3).sides(0, 0)
        margin = _pipeline(rows, EvaluationSettings(**LIGHT))(rows, fit, held, i).margin
        found = heldout_auc(rows.y[held], margin)
        covered.append(found.low <= 0.5 <= found.high)
    assert sum(covered) >= 89
    assert judge_coverage(np.array(covered, dtype=float), "").state == "passed"


def test_the_bound_of_the_coverage_is_the_binomial_one():
    """89 of 100: the largest number that a coverage of 0.95 falls short of in less than 1 % of audits."""
    assert judge_coverage(np.r_[np.ones(89), np.zeros(11)], "").state == "passed"
    assert judge_coverage(np.r_[np.ones(88), np.zeros(12)], "").state == "failed"
    assert stats.binom.cdf(88, 100, 0.95) < 0.01 < stats.binom.cdf(89, 100, 0.95)


def test_a_mean_is_allowed_its_monte_carlo_error_and_no_more():
    rng = np.random.default_rng(0)
    aucs = 0.5 + 0.06 * rng.normal(size=25)
    found = judge_mean("noise", aucs, 0.025, "", "")
    low, high = stats.t.interval(0.99, 24, loc=aucs.mean(), scale=stats.sem(aucs))
    assert found.limit == pytest.approx(0.025 + (high - low) / 2)
    assert found.state == "passed"
    assert judge_mean("noise", aucs + 0.1, 0.025, "", "").state == "failed"
    assert judge_mean("noise", np.array([np.nan, 0.5]), 0.025, "", "").state == "not applicable"


@pytest.mark.parametrize("bad", [0.5, 1.0])
def test_labels_that_cannot_be_dealt_are_no_model_and_no_end_of_the_audit(bad):
    rows = reference_noise(["radiomics"], n=40, n_columns=3)
    calls = iter(range(1000))

    def deal(rows, seed):
        if bad == 1 or next(calls) % 2:
            raise EvaluationError("a side lacks a class")
        return deal_folds(rows, seed)

    def pipeline(rows, fit, held, seed):
        return Outcome("", rows.x[held, 0])

    mean, uniform, found = check_permuted(pipeline, deal, rows, n=6, seed=1)
    if bad == 1:
        assert [check.state for check in (mean, uniform, found)] == ["not applicable"] * 3
    else:
        assert mean.text.endswith("3 could not be fitted")
        assert found.state == "finding"


def test_labels_are_dealt_by_person():
    """Persons of one size keep labels that were one person's; the number of positive cases stays."""
    rows = signatures(["radiomics"], seed=3)
    dealt = shuffle_labels(rows, 1)
    per_person = dealt.y.reshape(-1, 4)
    assert (per_person.min(axis=1) == per_person.max(axis=1)).all()
    assert dealt.y.sum() == rows.y.sum()
    assert 0.2 < (dealt.y != rows.y).mean() < 0.8
    counts = np.zeros(40)
    for seed in range(400):
        counts += shuffle_labels(rows, seed).y.reshape(-1, 4)[:, 0]
    assert stats.chisquare(counts).pvalue > 0.001


def test_p_values_of_an_honest_model_are_uniform():
    """120 null data sets with ties and clusters: Kolmogorov-Smirnov against a uniform distribution."""

    def honest(rows, fit, held, seed):
        from cemrad.models.audit import Outcome

        return Outcome("", np.round(rows.x[held, 0]))

    made = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(30), rng.integers(1, 4, 30))
        x = rng.normal(size=(len(person), 2))
        ids = tuple(f"c{i}" for i in range(len(person)))
        truth = rng.permutation(np.arange(30) % 2)[person]
        made.append(Rows(x, truth, ids, tuple(f"p{i}" for i in person), ("radiomics:IMG:a", "radiomics:IMG:b")))
    found = repeat(honest, lambda rows, seed: deal_folds(rows, seed, n_folds=2), made, seed=1)
    assert stats.kstest(found.p_values, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_the_audit_of_a_default_study_passes_noise():
    rows = reference_noise(["radiomics"], n=120, n_columns=200)
    found = check_noise(_pipeline(rows, EvaluationSettings()), deal_folds, rows, n=20, seed=3, jobs=2)
    assert [check.state for check in found] == ["passed", "passed"]
