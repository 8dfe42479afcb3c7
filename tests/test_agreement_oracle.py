"""Intraclass correlations against Shrout and Fleiss, R's psych and pingouin, and their laws."""

import json

import numpy as np
import pandas as pd
import pytest
from cemrad.models.agreement import intraclass, mean_squares

FORMS = {"ICC1": "1,1", "ICC2": "2,1", "ICC3": "3,1", "ICC1k": "1,k", "ICC2k": "2,k", "ICC3k": "3,k"}
WINE = {
    "ICC(1,1)": "1,1",
    "ICC(A,1)=ICC2": "2,1",
    "ICC(C,1)=ICC3": "3,1",
    "ICC(1,k)": "1,k",
    "ICC(A,k)": "2,k",
    "ICC(C,k)": "3,k",
}


@pytest.fixture
def folder(reference):
    return reference / "stats_reference" / "icc"


def ratings(path, subject, rater, value):
    return pd.read_csv(path).pivot_table(index=subject, columns=rater, values=value).to_numpy(float)[:, :, None]


def numbers(x, form):
    found = intraclass(x, form)
    return [found.icc[0], found.low[0], found.high[0]]


@pytest.mark.parametrize("name", FORMS)
def test_shrout_and_fleiss(folder, name):
    expected = json.loads((folder / "expected.json").read_text())["shrout_fleiss_1979"]
    x = ratings(folder / "shrout_fleiss_1979.csv", "target", "judge", "rating")
    found = numbers(x, FORMS[name])
    assert found == pytest.approx(expected["four_digits_recomputed"][name], abs=5e-5)
    assert np.round(found, 2).tolist() == expected[name]


def test_mean_squares_and_their_ratios(folder):
    expected = json.loads((folder / "expected.json").read_text())["shrout_fleiss_1979"]
    ms = mean_squares(ratings(folder / "shrout_fleiss_1979.csv", "target", "judge", "rating"))
    digits = expected["four_digits_recomputed"]
    for value, name in zip(ms, ("MSB", "MSW", "MSJ", "MSE"), strict=False):
        assert value[0] == pytest.approx(digits[name], abs=5e-5)
    ratios = [ms.between[0] / ms.within[0], ms.between[0] / ms.error[0], ms.between[0] / ms.error[0]]
    assert np.round(ratios, 1).tolist() == expected["F"]


@pytest.mark.parametrize("name", WINE)
def test_pingouin(folder, name):
    expected = json.loads((folder / "expected.json").read_text())["pingouin_wine"]
    found = numbers(ratings(folder / "pingouin_icc.csv", "Wine", "Judge", "Scores"), WINE[name])
    assert np.round(found[0], 3) == expected[name][0]
    assert np.round(found[1:], 2).tolist() == expected[name][1:]


def test_the_interval_covers_the_truth():
    """Random subjects and random raters: 95 % of the intervals of form 2,1 hold the true 0.7, within the binomial's."""
    rng = np.random.default_rng(0)
    n, k, runs = 30, 4, 2000
    subject, rater, noise = rng.normal(size=(n, 1, runs)), rng.normal(size=(1, k, runs)), rng.normal(size=(n, k, runs))
    x = np.sqrt(0.7) * subject + np.sqrt(0.1) * rater + np.sqrt(0.2) * noise
    found = intraclass(x)
    assert np.median(found.icc) == pytest.approx(0.7, abs=0.03)
    assert 0.93 < np.mean((found.low <= 0.7) & (found.high >= 0.7)) < 0.97


def test_many_features_are_each_alone():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 3, 600)) + rng.normal(size=(12, 1, 600))
    together = intraclass(x)
    for at in (0, 255, 256, 599):
        alone = intraclass(x[:, :, [at]])
        expected = [together.icc[at], together.low[at], together.high[at]]
        assert [alone.icc[0], alone.low[0], alone.high[0]] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize("k", [2, 3, 5, 7])
def test_exact_agreement_is_exactly_one(form, k):
    values = np.random.default_rng(2).normal(size=(9, 1, 50)) * 10.0 ** np.arange(-25, 25)
    found = intraclass(np.repeat(values, k, axis=1), form)
    for part in (found.icc, found.low, found.high):
        assert (part == 1).all()


def test_a_rater_who_adds_a_constant_disagrees_absolutely_and_is_consistent():
    values = np.random.default_rng(3).normal(size=(20, 1, 1))
    x = np.concatenate([values, values + 2.0], axis=1)
    assert intraclass(x, "3,1").icc[0] == pytest.approx(1, abs=1e-12)
    assert intraclass(x, "2,1").icc[0] < 0.6


def test_a_subject_that_one_rater_lacks_is_left_out_of_that_feature():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(10, 3, 2)) + 2 * rng.normal(size=(10, 1, 2))
    gaps = x.copy()
    gaps[4, 1, 0] = np.nan
    found, without, whole = intraclass(gaps), intraclass(np.delete(x, 4, axis=0)), intraclass(x)
    assert found.n.tolist() == [9, 10]
    assert [found.icc[0], found.low[0]] == pytest.approx([without.icc[0], without.low[0]], abs=1e-12)
    assert [found.icc[1], found.low[1]] == pytest.approx([whole.icc[1], whole.low[1]], abs=1e-12)


def test_what_has_no_agreement_to_speak_of_is_missing():
    x = np.random.default_rng(5).normal(size=(5, 2, 4))
    x[:, :, 0] = 3.0  # the same value everywhere
    x[1:, 0, 1] = np.nan  # one complete subject
    x[:, 1, 2] = np.nan  # none
    found = intraclass(x)
    assert np.isnan(found.icc).tolist() == [True, True, True, False]
    assert np.isnan(found.low).tolist() == [True, True, True, False]
    assert found.n.tolist() == [5, 1, 0, 5]
    with pytest.raises(ValueError, match="agreement needs two raters, there are 1"):
        intraclass(x[:, :1])
