"""Odd tables of features and labels: each has a stated rule or one clear message, and no case is lost."""

import resource
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import CohortError, EvaluationError, StudyError, TableError
from cemrad.features.table import FeatureTable
from cemrad.models.bundle import Bundle
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.external import evaluate_external
from cemrad.models.learners import SHELF as LEARNERS
from cemrad.models.rows import MOST
from cemrad.models.selectors import SHELF as SELECTORS
from cemrad.models.train import train
from cemrad.pipeline.cohorts.table import Settings, read


@pytest.fixture(scope="module")
def cohort(make_table):
    table, labels = make_table(40, n_columns=10, seed=2, effect=1.5)
    values = table.values[table.columns_of("radiomics")]
    return FeatureTable(values, table.cases), labels


@pytest.fixture(scope="module")
def plain(quick):
    scoring = quick.scoring.model_copy(update={"n_bootstrap": 100, "further": ()})
    return quick.model_copy(update={"arms": ("radiomics",), "outer_folds": 3, "scoring": scoring})


def _odd(n, y):
    """Columns that no model should stumble over."""
    rng = np.random.default_rng(0)
    return {
        "constant": np.full(n, 3.0),
        "empty": np.full(n, np.nan),
        "single": np.where(np.arange(n) == 3, 1.0, np.nan),
        "huge": rng.normal(size=n) * 1e300,
        "spike": np.where(np.arange(n) == 5, 1.7e308, rng.normal(size=n)),
        "tiny": rng.normal(size=n) * 1e-310,
        "gap": np.where(y, 1.0, np.nan),
        "steady": 1e6 + rng.normal(size=n) * 1e-11,
    }


@pytest.fixture(scope="module")
def odd(cohort):
    table, labels = cohort
    columns = _odd(len(labels), (labels["malignancy"] == "malignant").to_numpy())
    values = table.values.assign(**{f"radiomics:RC_CC:{name}": column for name, column in columns.items()})
    copy = values.iloc[:, 0]
    return replace(table, values=values.assign(**{"radiomics:RC_CC:copy": copy, "radiomics:RC_CC:copy2": copy}))


@pytest.mark.parametrize("selector", SELECTORS.names())
def test_every_selector_takes_odd_columns(cohort, odd, plain, selector):
    chain = {"steps": [{"name": "variance"}, {"name": "spearman"}, {"name": "anova"}]}
    given = {"selector": selector, "selector_settings": chain if selector == "chain" else {}, "learner": "logistic"}
    made = train(odd, cohort[1], ["malignancy"], plain.model_copy(update=given | {"learner_settings": {}}))
    chosen = {name.split(":")[2] for name in made.models[0].features}
    assert not chosen & {"constant", "empty"}
    found = made.predict(odd)
    assert found["probability"].notna().all()
    assert np.isfinite(found["ood_distance"]).all()


@pytest.mark.parametrize("learner", LEARNERS.names())
def test_every_learner_takes_odd_columns_and_says_what_it_bounded(cohort, odd, plain, learner, caplog, tmp_path):
    given = {"selector": "none", "selector_settings": {}, "learner": learner, "learner_settings": {}}
    made = train(odd, cohort[1], ["malignancy"], plain.model_copy(update=given))
    beyond = {name: int((odd.values[name].abs() > MOST).sum()) for name in odd.values}
    assert made.record["values_out_of_bounds"] == {name: n for name, n in beyond.items() if n}
    assert "of 2 columns lie beyond 1e+30" in caplog.text
    made.save(tmp_path / "m.cemrad")
    again = Bundle.load(tmp_path / "m.cemrad")
    pd.testing.assert_frame_equal(again.predict(odd), made.predict(odd), check_exact=True)
    assert np.isfinite(made.explain(odd)["shap"]).all()


def test_an_evaluation_takes_odd_columns(cohort, odd, plain):
    settings = plain.model_copy(update={"learner": "logistic", "learner_settings": {}})
    found = evaluate(odd, cohort[1], ["malignancy"], settings)
    assert len(found.predictions) == len(odd.values)
    assert len(found.provenance["values_out_of_bounds"]) == 2
    assert np.isfinite(found.shap["shap"]).all()


def test_a_case_that_holds_what_no_training_case_held_is_predicted_and_called(cohort, plain, make_table):
    made = train(*make_table(120, n_columns=6, seed=3, effect=1.5), ["malignancy"], plain, arm="radiomics")
    table = make_table(20, n_columns=6, seed=4)[0]
    values = table.values.copy()
    values.loc["case000", list(made.models[0].features)] = 1e300
    found = made.predict(replace(table, values=values))
    assert found["probability"].notna().all()
    assert found["ood"].tolist()[0] == "far"
    assert found["n_out_of_range"].tolist()[0] == len(made.models[0].features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.assign(**{v.columns[0]: np.inf}), "infinite values in .*make them missing, with a failure"),
        (lambda v: v.assign(**{v.columns[0]: "high"}), "not numbers: .*a label or a category is no feature"),
        (lambda v: pd.concat([v, v.iloc[:, :1]], axis=1), "columns must be unique; more than once"),
        (lambda v: v.rename(columns={v.columns[0]: "entropy"}), "'entropy' is not named family:picture:feature"),
    ],
)
def test_tables_that_are_none_are_refused_by_column(cohort, change, message):
    with pytest.raises(TableError, match=message):
        FeatureTable(change(cohort[0].values), cohort[0].cases)


def test_a_case_without_patient_is_refused(cohort):
    """It would be a person that equals nobody, not even herself."""
    nobody = cohort[0].cases.assign(patient_id=[None, *cohort[0].cases["patient_id"][1:]])
    with pytest.raises(TableError, match="1 cases have no patient id \\('case000'\\)"):
        replace(cohort[0], cases=nobody)


def test_infinite_cells_of_a_file_are_missing_with_a_failure(tmp_path):
    rows = pd.DataFrame({"case_id": ["a", "b"], "f": ["inf", "1"], "g": ["1", "-Infinity"], "malignant": [0, 1]})
    rows.to_csv(tmp_path / "t.csv", index=False)
    table = read(Settings(path=tmp_path / "t.csv")).table
    assert int(table.values.isna().sum().sum()) == 2
    assert table.failures["code"].tolist() == ["feature.infinite"] * 2
    rows.assign(f=["high", "low"]).to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(CohortError, match="not numeric, so not features: f"):
        read(Settings(path=tmp_path / "u.csv"))


def _labels(index, values, name="malignancy"):
    return pd.DataFrame({name: values}, index=index, dtype=object)


def test_labels_that_say_nothing_or_nonsense_are_rows(cohort, plain):
    table, labels = cohort
    values = labels["malignancy"].to_numpy(dtype=object).copy()
    values[:4] = [np.nan, None, np.inf, "perhaps"]
    found = evaluate(table, _labels(table.values.index, values), ["malignancy"], plain)
    reasons = dict(zip(found.exclusions["case_id"], found.exclusions["reason"], strict=True))
    assert [reasons[f"case{i:03d}"].split(":")[0] for i in range(4)] == [
        "label.missing", "label.missing", "label.unreadable", "label.unreadable",
    ]  # fmt: skip
    assert len(found.predictions) + len(reasons) == len(table.values)


def test_labels_in_words_need_their_positive_class(cohort, plain):
    table, labels = cohort
    words = _labels(table.values.index, labels["malignancy"].map({"malignant": "high", "benign": "low"}), "risk")
    with pytest.raises(StudyError, match="name the positive one, for example risk=low"):
        evaluate(table, words, ["risk"], plain)
    named = evaluate(table, words, ["risk=high"], plain)
    usual = evaluate(table, labels, ["malignancy"], plain)
    truths = [found.predictions.set_index("case_id")["truth"].sort_index() for found in (named, usual)]
    pd.testing.assert_series_equal(*truths)


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda t, y: t.take(list(y.index[y == "malignant"])), r"3 folds need .* 0 with a negative case"),
        (lambda t, y: t.take(list(t.values.index[:1])), "3 folds need 3 patients of each class"),
        (lambda t, y: t.take([]), "0 with a positive and 0 with a negative case"),
        (
            lambda t, y: replace(t, values=t.values * np.nan),
            r"0 with a negative .*cases left out, \d+ of them: features.missing: no radiomics value",
        ),
        (lambda t, y: replace(t, values=t.values.fillna(0) * 0), "no column varies within the training side"),
    ],
    ids=["one class", "one case", "no case", "all missing", "all constant"],
)
def test_cohorts_that_teach_nothing_say_why(cohort, plain, take, message):
    table = take(cohort[0], cohort[1]["malignancy"])
    with pytest.raises(EvaluationError, match=message):
        evaluate(table, cohort[1], ["malignancy"], plain)
    with pytest.raises(EvaluationError, match="2 patients of each class|no column varies"):
        train(table, cohort[1], ["malignancy"], plain)


def _few(cohort, n_of_each):
    """So many patients of each class, one lesion each."""
    first = ~cohort[0].cases["patient_id"].duplicated()
    y = cohort[1]["malignancy"][first]
    ids = [*y.index[y == "malignant"][:n_of_each], *y.index[y == "benign"][:n_of_each]]
    return cohort[0].take(ids)


def test_three_patients_in_a_test_fold_have_metrics_and_wide_intervals(cohort, plain):
    found = evaluate(_few(cohort, 6), cohort[1], ["malignancy"], plain.model_copy(update={"outer_folds": 4}))
    assert found.predictions.groupby("fold").size().tolist() == [3, 3, 3, 3]
    row = found.metrics.set_index(["level", "metric"]).loc[("lesion", "auc")]
    assert row["high"] - row["low"] > 0.5
    assert not found.predictions["probability"].isna().any()


def test_a_held_out_part_of_one_class_is_refused_and_judged_only_from_outside(cohort, plain):
    """A fold of one class has no AUC of its own; where all that is held out is of one, nothing has."""
    table, labels = cohort
    part = np.where(labels["malignancy"] == "malignant", "x", "y")
    one_lesion = _few(cohort, 12)
    cases = one_lesion.cases.assign(part=pd.Series(part, index=labels.index)[one_lesion.values.index])
    cases.loc[cases.index[0], "part"] = "y"
    held_out = EvaluationSettings(
        **plain.model_dump(exclude={"split"}), split={"by": "column", "column": "part", "held_out": ["x"]}
    )
    with pytest.raises(EvaluationError, match="held out are of one class: an AUC needs both"):
        evaluate(replace(one_lesion, cases=cases), labels, ["malignancy"], held_out)


def test_ten_thousand_columns_are_evaluated_trained_and_applied(cohort, plain):
    labels = cohort[1]
    rng = np.random.default_rng(1)
    x = rng.normal(size=(len(labels), 10_000))
    x[:, :5] += 2 * (labels["malignancy"] == "malignant").to_numpy()[:, None]
    names = [f"radiomics:RC_CC:f{i:05d}" for i in range(x.shape[1])]
    table = FeatureTable(pd.DataFrame(x, index=labels.index, columns=names), cohort[0].cases)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = evaluate(table, labels, ["malignancy"], plain)
    assert found.metrics.set_index(["level", "metric"]).loc[("lesion", "auc"), "estimate"] > 0.8
    made = train(table, labels, ["malignancy"], plain)
    assert made.predict(table)["probability"].notna().all()
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 500, "a table of 7 MB"


def test_an_external_cohort_of_odd_values_loses_nobody(cohort, odd, plain):
    made = train(odd, cohort[1], ["malignancy"], plain)
    cases = odd.cases.assign(patient_id="N" + odd.cases["patient_id"], breast_id="N" + odd.cases["breast_id"])
    values = odd.values * np.random.default_rng(2).uniform(0.5, 1.0, odd.values.shape)
    values.iloc[0] = np.nan
    values.iloc[1, :] = -1e300
    found = evaluate_external(made, FeatureTable(values, cases), cohort[1], plain)
    assert len(found.predictions) + len(found.exclusions) == len(values)
    assert found.exclusions["reason"].tolist() == ["features.missing: no radiomics value"]
