"""ROC and precision-recall curves against scikit-learn, the table's own areas, and a closed form for the band."""

import numpy as np
import pandas as pd
import pytest
from cemrad.models.heldout import HeldOut, quantile
from cemrad.models.intervals import auprc, bootstrap_weights, cv_auc
from cemrad.models.operating_curves import GRID, MOST_RECALLS, precision_recall_rows, recall_levels, roc_rows
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve


def make_held(n, seed, *, folds=1, repeats=1, digits=9, signal=1.0):
    """Patients with one unit each, in every repeat dealt anew."""
    rng = np.random.default_rng(seed)
    truth = np.tile((rng.random(n) < 0.4).astype(np.int64), repeats)
    score = np.round(1 / (1 + np.exp(-rng.normal(signal * truth, 1))), digits)
    repeat = np.repeat(np.arange(repeats), n)
    fold = np.concatenate([rng.permutation(np.arange(n) % folds) for _ in range(repeats)])
    return HeldOut(truth, score, score > 0.5, repeat, fold, np.tile(np.arange(n), repeats))


def rows_of(make, held, draws=200):
    return pd.DataFrame(make(held, bootstrap_weights(held.person, draws, 1)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 9])
def test_one_model_has_the_curve_of_scikit_learn(seed, digits):
    held = make_held(80, seed, digits=digits)
    found = rows_of(roc_rows, held)
    x, y, _ = roc_curve(held.truth, held.probability, drop_intermediate=False)
    assert found["sensitivity"].to_numpy() == pytest.approx(np.interp(GRID, x, y), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 9])
def test_its_precision_is_that_of_scikit_learn_at_every_recall(seed, digits):
    held = make_held(80, seed, digits=digits)
    found = rows_of(precision_recall_rows, held)
    precision, recall, _ = precision_recall_curve(held.truth, held.probability)
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # from the highest threshold on
    expected = [precision[np.searchsorted(recall, at - 1e-9)] for at in found["recall"]]
    assert found["precision"].to_numpy() == pytest.approx(expected, abs=1e-12)
    area = (np.diff(found["recall"], prepend=0) * found["precision"]).sum()
    assert area == pytest.approx(average_precision_score(held.truth, held.probability), abs=1e-12)


@pytest.mark.parametrize(("folds", "repeats"), [(1, 1), (5, 1), (4, 3)])
def test_the_areas_are_those_of_the_table(folds, repeats):
    held = make_held(97, 3, folds=folds, repeats=repeats, digits=2)
    found = rows_of(precision_recall_rows, held)
    area = (np.diff(found["recall"], prepend=0) * found["precision"]).sum()
    assert area == pytest.approx(auprc(held, np.ones((1, len(held.truth))))[0], abs=1e-12)
    curve = rows_of(roc_rows, held)
    # On a grid of 51 points, whose curve jumps between them, the area is known within one step.
    assert np.trapezoid(curve["sensitivity"], curve["false_positive_rate"]) == pytest.approx(
        cv_auc(held).estimate, abs=0.02
    )


def test_the_band_of_a_sensitivity_that_leaves_no_other_choice_is_a_binomial_one():
    """All negatives alike: at 1 - specificity 0 the sensitivity is a share of the positives, each a patient."""
    truth = np.repeat([1, 0], [60, 90]).astype(np.int64)
    score = np.concatenate([np.repeat([0.9, 0.1], [42, 18]), np.full(90, 0.5)])
    zeros = np.zeros(150, dtype=np.int64)
    found = rows_of(roc_rows, HeldOut(truth, score, score > 0.5, zeros, zeros, np.arange(150)), draws=4000)
    first, share = found.iloc[0], 42 / 60
    assert first["sensitivity"] == pytest.approx(share)
    half = quantile(59) * np.sqrt(share * (1 - share) / 60)
    assert (first["high"] - first["low"]) / 2 == pytest.approx(half, rel=0.06)
    assert (found["low"] <= found["sensitivity"]).all()
    assert (found["sensitivity"] <= found["high"]).all()


def test_bands_narrow_with_more_patients_and_widen_for_folds():
    def width(held, make, column):
        rows = rows_of(make, held)
        middle = rows[(rows[column] > 0.2) & (rows[column] < 0.8)]
        return (middle["high"] - middle["low"]).mean()

    for make, column in ((roc_rows, "false_positive_rate"), (precision_recall_rows, "recall")):
        few, many = (width(make_held(n, 5), make, column) for n in (60, 600))
        assert many < 0.6 * few
        assert width(make_held(60, 5, folds=5), make, column) > few


def test_what_cannot_be_said_is_not():
    one_class = make_held(20, 0)
    one_class = HeldOut(np.zeros_like(one_class.truth), *(getattr(one_class, n) for n in
                        ("probability", "called", "repeat", "fold", "person")))  # fmt: skip
    assert rows_of(roc_rows, one_class).empty
    assert rows_of(precision_recall_rows, one_class).empty
    few = make_held(6, 4)
    assert few.truth.sum() < 3
    assert rows_of(roc_rows, few)["low"].isna().all()
    alone = make_held(12, 1, folds=12)
    alone = HeldOut(*(getattr(alone, n) for n in ("truth", "probability", "called", "repeat", "fold", "person")), True)
    assert rows_of(precision_recall_rows, alone)["high"].isna().all()


def test_a_large_cohort_does_not_make_a_large_table():
    held = make_held(3000, 1)
    assert len(recall_levels(held)) == MOST_RECALLS
    assert recall_levels(held)[-1] == 1
