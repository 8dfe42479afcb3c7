"""Who is held out: by site, date, part, share or person; refused where a person would be torn or a side is poor."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.models.evaluate import evaluate
from cemrad.models.intervals import HeldOut, cv_auc, cv_auc_difference, heldout_auc, influence
from cemrad.models.metrics import delong
from cemrad.models.outer import OuterSettings, deal
from cemrad.models.rows import Rows
from cemrad.models.units import held_out
from cemrad.reports.page import write_report


@pytest.fixture(scope="module")
def cohort(make_table):
    """60 patients of three sites, seen from 2018 to 2022, two parts."""
    table, labels = make_table(60, seed=5)
    number = table.cases["patient_id"].str[1:].astype(int)
    more = {
        "site": number.map(lambda i: f"site {i % 3}"),
        "exam_date": number.map(lambda i: f"{2018 + i // 15}-0{1 + i % 9}-11"),
        "part": np.where(number < 40, "train", "test"),
    }
    return replace(table, cases=table.cases.assign(**more)), labels


def rows_of(cohort):
    table, labels = cohort
    truth = (labels["malignancy"] == "malignant").to_numpy(np.int64)
    x = table.values.to_numpy(float)
    return Rows(x, truth, tuple(table.values.index), tuple(table.cases["patient_id"]), tuple(table.values.columns))


def dealt(cohort, cases=None, **settings):
    cases = cohort[0].cases if cases is None else cases
    return deal(rows_of(cohort), cases, OuterSettings(**settings), n_folds=5, n_repeats=2, seed=1)


def test_each_site_is_held_out_in_turn(cohort):
    made = dealt(cohort, by="site", column="site")
    assert (made.n_folds, made.n_repeats, made.training_only.sum()) == (3, 1, 0)
    for fold in range(3):
        fit, held = made.sides(0, fold)
        assert set(cohort[0].cases["site"].iloc[held]) == {f"site {fold}"}
        assert f"site {fold}" not in set(cohort[0].cases["site"].iloc[fit])


def test_a_stated_part_is_held_out(cohort):
    made = dealt(cohort, by="column", column="part", held_out=["test"])
    fit, held = made.sides(0, 0)
    assert made.n_folds == 1
    assert set(cohort[0].cases["part"].iloc[held]) == {"test"}
    assert set(cohort[0].cases["part"].iloc[fit]) == {"train"}


def test_persons_first_seen_from_a_day_on_are_held_out_with_all_their_cases(cohort):
    made = dealt(cohort, by="date", column="exam_date", since="2020-06-01")
    _, held = made.sides(0, 0)
    assert cohort[0].cases["exam_date"].iloc[held].min() >= "2020-06-01"
    cases = cohort[0].cases.copy()
    several = cases["patient_id"].duplicated(keep="first") & cases["patient_id"].eq("P001")
    assert several.any()
    cases.loc[several, "exam_date"] = "2022-01-01"  # a later lesion of a patient whom the models know
    later = dealt(cohort, cases, by="date", column="exam_date", since="2020-06-01")
    assert (later.assignment == made.assignment).all()


def test_a_share_is_drawn_by_person(cohort):
    made = dealt(cohort, by="share", share=0.25)
    fit, held = made.sides(0, 0)
    owners = np.array(made.persons)
    assert not set(owners[fit]) & set(owners[held])
    assert 0.15 < len(set(owners[held])) / 60 < 0.35
    assert made.n_repeats == 1


def test_each_person_is_held_out_in_turn(cohort):
    made = dealt(cohort, by="person")
    assert made.n_folds == 60
    assert all(len({made.persons[i] for i in made.sides(0, fold)[1]}) == 1 for fold in range(60))


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({}, {"by": "site", "column": "sight"}, "no column 'sight'; there are: 'patient_id'"),
        ({"site": "one"}, {"by": "site", "column": "site"}, "all cases have the same site"),
        ({"site": ""}, {"by": "site", "column": "site"}, "site is empty for 1 of"),
        ({"site": "elsewhere"}, {"by": "site", "column": "site"}, "1 persons would be on both sides.*'P0"),
        ({"exam_date": "31.01.2020"}, {"by": "date", "column": "exam_date", "since": "2020-06-01"}, "not a date like"),
        ({}, {"by": "date", "column": "exam_date", "since": "2030-06-01"}, "held out are of one class"),
        ({}, {"by": "date", "column": "exam_date", "since": "2000-06-01"}, "2 patients of each class to learn from"),
        ({}, {"by": "column", "column": "part", "held_out": ["tset"]}, "no case has part 'tset'; there are: 'test'"),
    ],
)
def test_what_cannot_be_split_is_refused_with_its_reason(cohort, change, settings, words):
    cases = cohort[0].cases.copy()
    for name, value in change.items():
        at = slice(None) if value == "one" else cases.index[cases["patient_id"].duplicated()][:1]
        cases.loc[at, name] = value
    with pytest.raises(EvaluationError, match=words):
        dealt(cohort, cases, **settings)


@pytest.mark.parametrize(
    "settings",
    [{"by": "site"}, {"by": "column", "column": "part"}, {"by": "date", "column": "d"}, {"by": "nobody"}],
)
def test_half_a_setting_is_refused(settings):
    with pytest.raises(ValueError, match=r"column|held_out|isoformat|folds"):
        OuterSettings(**settings)


@pytest.fixture(scope="module")
def evaluated(cohort, quick):
    def run(**settings):
        changed = quick.model_copy(update={"split": OuterSettings(**settings), "arms": ("radiomics", "fused")})
        return evaluate(*cohort, ["malignancy"], changed)

    return run


def test_a_held_out_part_is_judged_by_one_model(cohort, evaluated, tmp_path):
    result = evaluated(by="column", column="part", held_out=["test"])
    table = cohort[0]
    test = set(table.cases.index[table.cases["part"] == "test"])
    assert set(result.predictions["case_id"]) == test
    assert result.folds["malignancy"]["n_training_only"] == len(table.cases) - len(test)
    stated = result.endpoints["malignancy"]
    assert stated["n"] == len(test)
    assert stated["n_positive"] == (cohort[1].loc[sorted(test), "malignancy"] == "malignant").sum()
    assert stated["n_patients"] == table.cases.loc[sorted(test), "patient_id"].nunique()
    assert "More repeats narrow them" not in write_report(result, tmp_path / "r.html").read_text(encoding="utf-8")
    reasons = result.exclusions.set_index("case_id")["reason"]
    assert set(reasons.index) == set(table.cases.index) - test
    assert set(reasons) == {"split.training: on the training side, never held out"}
    metrics = result.metrics.set_index(["level", "arm", "metric"])
    row = metrics.loc["patient", "fused", "auc"]
    assert row["method"].startswith("one fixed model on new patients")
    assert row["low"] < row["estimate"] < row["high"]
    for metric in ("sensitivity", "specificity", "auprc", "brier"):
        assert metrics.loc["patient", "fused", metric]["low"] < metrics.loc["patient", "fused", metric]["high"]


def test_without_folds_the_interval_is_delongs():
    """One row per person, one model: the clustered variance is DeLong's, and the interval no narrower."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 300)
    score = truth + rng.normal(size=300)
    nothing = np.zeros(300, dtype=np.int64)
    held = HeldOut(truth, score, score > 0.5, nothing, nothing, np.arange(300))
    area, parts = influence(held)
    areas, covariance = delong(truth, score[:, None])
    assert area == pytest.approx(areas[0], abs=1e-12)
    assert (parts**2).sum() == pytest.approx(covariance[0, 0], rel=0.02)
    found, narrow = cv_auc(held), heldout_auc(truth, score)
    assert found.low <= narrow.low < narrow.high <= found.high


def test_sites_and_persons_are_judged_on_all_cases(cohort, evaluated):
    for settings in ({"by": "site", "column": "site"}, {"by": "person"}):
        result = evaluated(**settings)
        assert set(result.predictions["case_id"]) == set(cohort[0].cases.index)
        row = result.metrics.set_index(["level", "arm", "metric"]).loc["breast", "fused", "auc"]
        if settings["by"] == "site":
            assert row["low"] < row["estimate"] < row["high"]
        else:
            assert np.isnan([row["low"], row["high"]]).all()
            assert row["method"].startswith("no interval: each patient is judged by a model of her own")
            assert result.differences["p"].isna().all()
        assert row["estimate"] > 0.6
        chance = result.metrics.set_index(["level", "arm", "metric"]).loc["breast", "fused", "auc_chance"]["estimate"]
        assert 0.45 < chance < 0.65


def test_persons_held_out_one_by_one_are_ranked_together():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 50)
    frame = pd.DataFrame(
        {
            "repeat": 0, "fold": np.arange(50), "case_id": [f"c{i}" for i in range(50)], "breast_id": "b",
            "patient_id": [f"p{i}" for i in range(50)], "truth": truth,
            "probability": 0.5 * truth + rng.random(50), "threshold": 0.7,
        }
    )  # fmt: skip
    held = held_out(frame, "lesion")
    assert held.pooled
    assert cv_auc(held).estimate == pytest.approx(heldout_auc(held.truth, held.probability).estimate, abs=1e-12)
    assert np.isnan(cv_auc(held).low)
    assert not held_out(frame.assign(fold=np.arange(50) // 10), "lesion").pooled
    assert isinstance(held, HeldOut)


def test_of_persons_in_turn_no_difference_is_claimed():
    """A model that states its training side's base rate ranks every pair of patients the wrong way around."""
    truth = np.arange(40) % 2
    rng = np.random.default_rng(3)
    base = (truth.sum() - truth) / 39
    both = [
        HeldOut(truth, score, score > 0.5, np.zeros(40, dtype=int), np.arange(40), np.arange(40), pooled=True)
        for score in (rng.random(40), base)
    ]
    assert cv_auc(both[1]).estimate == 0
    assert np.isnan(cv_auc(both[1]).high)
    found = cv_auc_difference(*both)
    assert found.estimate > 0.3
    assert np.isnan(found.p)
