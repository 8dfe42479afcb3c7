"""Subgroups: the test of a difference is DeLong's where DeLong's is right, and groups are what the columns say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.features.table import FeatureTable
from cemrad.models.delong import unpaired_test
from cemrad.models.heldout import HeldOut
from cemrad.models.subgroups import NOT_STATED, SEVERAL, compare_groups, groups_of, interaction, unit_groups
from scipy import stats


def _held(n, seed, effect=1.0, person=None, fold=None):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    chance = 1 / (1 + np.exp(-(effect * (truth - 0.5) + rng.normal(size=n))))
    zeros = np.zeros(n, dtype=np.int64)
    return HeldOut(
        truth, chance, chance > 0.5, zeros, zeros if fold is None else fold, np.arange(n) if person is None else person
    )


def _part(held, at):
    names = ("truth", "probability", "called", "repeat", "fold", "person")
    return replace(held, **{name: getattr(held, name)[at] for name in names})


def test_of_two_groups_the_test_is_delongs_unpaired_one():
    """One fold, one case per patient; the variance is DeLong's but for n / (n - 1)."""
    held = _held(300, 1)
    at = np.arange(300) < 140
    one, other = _part(held, at), _part(held, ~at)
    expected = unpaired_test(one.truth, one.probability, other.truth, other.probability)
    freedom = min(one.freedom, other.freedom)
    assert interaction([one, other]) == pytest.approx(2 * stats.t.sf(abs(expected.statistic), freedom), rel=0.02)


def test_without_an_interaction_the_p_value_is_uniform():
    """400 cohorts of 3 groups and clustered patients, no fold: 5 % are rejected, give or take 2.2."""
    found = []
    for seed in range(400):
        person = np.arange(180) // 2
        held = _held(180, seed, person=person)
        group = np.random.default_rng(10_000 + seed).integers(0, 3, 180)  # a patient may be in two groups
        found.append(interaction([_part(held, group == k) for k in range(3)]))
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.08
    assert stats.kstest(found, "uniform").pvalue > 0.005


def test_a_real_difference_is_found_and_folds_make_it_harder():
    strong, weak = _held(200, 5, effect=3.0), _held(200, 6, effect=0.0)
    weak = replace(weak, person=weak.person + 200)
    assert interaction([strong, weak]) < 1e-6
    folds = np.arange(200) % 5
    assert interaction([strong, weak]) < interaction([replace(strong, fold=folds), replace(weak, fold=folds)]) < 0.01
    assert np.isnan(interaction([strong]))
    assert np.isnan(interaction([strong, strong])), "the same patients twice: no variance of their difference"


def test_small_groups_are_rows_that_say_so():
    held = _held(100, 2)
    groups = np.where(np.arange(100) < 12, "rare", np.where(np.arange(100) < 60, "A", "B")).astype(object)
    groups[-1] = NOT_STATED
    rows = pd.DataFrame(compare_groups(held, groups.tolist(), 10)).set_index("group")
    assert rows.loc["rare", "method"] == "not estimated: fewer than 10 patients of a class"
    assert rows.loc[["rare", NOT_STATED], ["auc", "sensitivity", "p_interaction"]].isna().all(axis=None)
    assert (
        rows.loc["A", "p_interaction"]
        == rows.loc["B", "p_interaction"]
        == pytest.approx(interaction([_part(held, groups == "A"), _part(held, groups == "B")]))
    )
    assert rows["n"].to_dict() == {"A": 48, "B": 39, NOT_STATED: 1, "rare": 12}
    assert (rows.loc[["A", "B"], "auc_low"] < rows.loc[["A", "B"], "auc"]).all()


@pytest.fixture(scope="module")
def table():
    ids = [f"c{i}" for i in range(8)]
    cases = pd.DataFrame(
        {
            "patient_id": [f"p{i // 2}" for i in range(8)], "laterality": "L", "lesion_id": ids,
            "breast_id": [f"p{i // 2}|L" for i in range(8)],
            "vendor": ["A", "A", "B", "B", "A", "B", "", "B"],
            "age": ["40", "41", "52.5", "53", "60", "61", "", "70"],
        },
        index=ids,
    )  # fmt: skip
    nothing = np.nan
    values = pd.DataFrame(
        {
            "radiomics:IMG:f": np.arange(8.0),
            "clinical:case:density=B": [1, 1, 0, 0, 0, 0, nothing, 0],
            "clinical:case:density=C": [0, 0, 1, 1, 1, 1, nothing, 0],
            "clinical:case:bpe": [1, 2, 3, 4, 1, 2, 3, nothing],
            "clinical:case:size": np.arange(8.0),
        },
        index=ids,
    )
    return FeatureTable(values, cases)


def test_groups_are_what_the_columns_say(table):
    found = groups_of(table, ["vendor", "age", "density", "bpe", "size"], {"age": [50, 60]})
    assert found["vendor"].tolist() == ["A", "A", "B", "B", "A", "B", NOT_STATED, "B"]
    assert found["age"].tolist() == [
        "below 50", "below 50", "50 to below 60", "50 to below 60",
        "60 and above", "60 and above", NOT_STATED, "60 and above",
    ]  # fmt: skip
    assert found["density"].tolist() == ["B", "B", "C", "C", "C", "C", NOT_STATED, NOT_STATED]
    assert found["bpe"].tolist() == ["1", "2", "3", "4", "1", "2", "3", NOT_STATED]
    assert found["size"].tolist() == ["below 3.5"] * 4 + ["3.5 and above"] * 4
    patients = table.cases["patient_id"].tolist()
    assert unit_groups(found["vendor"], ["p2", "p0"], patients) == [SEVERAL, "A"]


@pytest.mark.parametrize(
    ("columns", "cuts", "words"),
    [
        (["vendr"], {}, "no column 'vendr'; did you mean 'vendor'"),
        (["vendor"], {"vendor": [3]}, "vendor is cut, but holds what is not a number"),
        (["vendor"], {"age": [3]}, "cuts are given for age, not among the columns"),
    ],
)
def test_what_is_no_column_is_refused(table, columns, cuts, words):
    with pytest.raises(StudyError, match=words):
        groups_of(table, columns, cuts)


def test_a_column_that_is_mostly_its_smallest_value_is_cut_above_it():
    ids = [f"c{i}" for i in range(100)]
    values = pd.DataFrame({"clinical:case:packyears": [0.0] * 60 + list(range(1, 41))}, index=ids)
    cases = pd.DataFrame(
        {"patient_id": ids, "breast_id": ids, "laterality": "L", "lesion_id": "1"}, index=ids, dtype=object
    )
    found = groups_of(FeatureTable(values, cases), ["packyears"], {})["packyears"]
    assert found.value_counts().to_dict() == {"below 1": 60, "1 and above": 40}
