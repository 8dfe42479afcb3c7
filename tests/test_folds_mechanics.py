"""Folds: by person, deterministic, and refused where there are too few."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError, LeakageError, TableError
from cemrad.models.folds import Split, seed_of, split
from cemrad.models.persons import persons_of


def _cohort(seed, n=40, share=0.4):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), rng.integers(1, 4, n))
    truth = (rng.random(len(person)) < share).astype(np.int64)
    return [f"c{i}" for i in range(len(person))], [f"p{i}" for i in person], truth


@pytest.mark.parametrize("seed", range(8))
def test_no_person_is_on_both_sides_and_every_case_is_held_out_once(seed):
    ids, persons, truth = _cohort(seed)
    made = split(ids, persons, truth, n_folds=5, n_repeats=3, seed=seed)
    owners = np.array(persons)
    for repeat in range(3):
        held_out = []
        for fold in range(5):
            fit, held = made.sides(repeat, fold)
            assert not set(owners[fit]) & set(owners[held])
            assert set(truth[fit]) == {0, 1}
            assert set(truth[held]) == {0, 1}
            held_out += held.tolist()
        assert sorted(held_out) == list(range(len(ids)))


def test_the_same_seed_gives_the_same_split_and_another_another():
    ids, persons, truth = _cohort(1)
    one, same, other = (split(ids, persons, truth, n_folds=5, seed=seed) for seed in (3, 3, 4))
    assert one.sha256 == same.sha256
    assert one.sha256 != other.sha256


def test_the_fingerprint_does_not_depend_on_the_order_of_cases():
    ids, persons, truth = _cohort(1)
    made = split(ids, persons, truth, n_folds=5)
    turned = Split(tuple(ids[::-1]), tuple(persons[::-1]), made.assignment[:, ::-1])
    assert turned.sha256 == made.sha256


def test_repeats_differ():
    ids, persons, truth = _cohort(1)
    made = split(ids, persons, truth, n_folds=5, n_repeats=2)
    assert (made.assignment[0] != made.assignment[1]).any()


def test_too_few_patients_of_a_class_is_an_error_that_counts_them():
    ids, persons = list("abcdefgh"), list("aabcdefg")
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    with pytest.raises(EvaluationError, match="there are 3 with a positive and 4 with a negative case"):
        split(ids, persons, truth, n_folds=4)


def test_a_split_that_tears_a_person_apart_cannot_be_made():
    with pytest.raises(LeakageError, match="'p'"):
        Split(("a", "b"), ("p", "p"), np.array([[0, 1]]))


def test_patients_that_share_an_id_elsewhere_are_one_person():
    cases = pd.DataFrame(
        {"patient_id": ["A", "B", "C", "D", "E"], "exam": ["1", "2", "1", "", ""], "other": ["x", "y", "z", "y", ""]},
        index=list("vwxyz"),
    )
    assert persons_of(cases).tolist() == ["A", "B", "C", "D", "E"]
    assert persons_of(cases, ["exam", "other"]).tolist() == ["A", "B", "A", "B", "E"]
    chained = cases.assign(other=["x", "x", "q", "q", ""])
    assert persons_of(chained, ["exam", "other"]).tolist() == ["A", "A", "A", "A", "E"]
    with pytest.raises(TableError, match="examm"):
        persons_of(cases, ["examm"])


def test_empty_cells_of_any_kind_tie_nobody():
    cases = pd.DataFrame({"patient_id": list("ABCDEF"), "exam": [None, None, np.nan, np.nan, pd.NA, pd.NA]})
    assert persons_of(cases, ["exam"]).tolist() == list("ABCDEF")
    numbers = cases.assign(exam=[np.nan, 7.0, np.nan, 7.0, np.nan, 8.0])
    assert persons_of(numbers, ["exam"]).tolist() == list("ABCBEF")


def test_seeds_depend_on_purpose_not_on_order():
    assert seed_of(1, "er", 0) != seed_of(1, "er", 1) != seed_of(2, "er", 1)
