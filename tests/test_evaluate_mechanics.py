"""Evaluation: complete, reproducible, and plain about what it could not do."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError, StudyError
from cemrad.models import result as contract
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.explain import TOLERANCE
from cemrad.models.metrics import METRICS
from cemrad.models.result import ARMS
from cemrad.models.scoring import CHANCE

TABLES = ("predictions", "metrics", "differences", "chosen", "shap", "shap_base", "exclusions")


@pytest.fixture(scope="module")
def cohort(make_table):
    return make_table(60, seed=2)


@pytest.fixture(scope="module")
def result(cohort, quick):
    return evaluate(*cohort, ["malignancy", "er"], quick.model_copy(update={"repeats": 2}), name="test study")


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_the_columns_of_the_contract(result, name):
    columns = {"shap_base": contract.SHAP_BASE_COLUMNS, "exclusions": contract.EXCLUSION_COLUMNS}
    frame = getattr(result, name)
    assert list(frame.columns) == columns.get(name, getattr(contract, f"{name.rstrip('s').upper()}_COLUMNS", None))
    assert len(frame)
    if name == "metrics":
        frame = frame[frame["metric"] != CHANCE]
    assert not frame.isna().to_numpy()[:, [c not in ("value",) for c in frame.columns]].any()


def test_every_case_is_held_out_once_in_each_repeat_of_each_arm_or_excluded(result, cohort):
    table, labels = cohort
    for endpoint in ("malignancy", "er"):
        rows = result.predictions[result.predictions["endpoint"] == endpoint]
        counts = rows.groupby(["arm", "repeat"])["case_id"].agg(["size", "nunique"])
        assert len(counts) == 2 * len(ARMS)
        assert (counts == result.endpoints[endpoint]["n"]).all(axis=None)
        excluded = result.exclusions[result.exclusions["endpoint"] == endpoint]
        assert set(rows["case_id"]) | set(excluded["case_id"]) == set(table.values.index)
        assert not set(rows["case_id"]) & set(excluded["case_id"])


def test_truth_is_what_the_labels_say(result, cohort):
    rows = result.predictions.query("endpoint == 'er' and arm == 'fused' and repeat == 0").set_index("case_id")
    stated = cohort[1].loc[rows.index, "er"]
    assert (rows["truth"] == (stated == "positive")).all()


def test_metrics_are_there_for_every_endpoint_level_arm_and_metric(result):
    keys = result.metrics[["endpoint", "level", "arm", "metric"]]
    assert len(keys) == len(keys.drop_duplicates()) == 2 * 3 * len(ARMS) * (len(METRICS) + 1)
    found = result.metrics[result.metrics["metric"] != CHANCE]
    assert (found["low"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["high"]).all()
    chance = result.metrics[result.metrics["metric"] == CHANCE]
    assert chance["low"].isna().all()
    assert chance.groupby("level")["estimate"].mean().loc[["lesion"]].eq(0.5).all()
    assert chance["estimate"].between(0.4, 0.75).all()
    assert result.metrics.query("level == 'patient' and endpoint == 'malignancy'")["n"].eq(60).all()


def test_differences_compare_each_arm_with_what_it_is_made_of(result):
    pairs = set(zip(result.differences["arm"], result.differences["reference"], strict=True))
    assert {
        ("fused", "radiomics"),
        ("fused", "deep"),
        ("fused+clinical", "fused"),
        ("fused+clinical", "clinical"),
    } <= pairs
    auc = result.metrics.query("metric == 'auc'").set_index(["endpoint", "level", "arm"])["estimate"]
    for row in result.differences.itertuples():
        expected = auc[row.endpoint, row.level, row.arm] - auc[row.endpoint, row.level, row.reference]
        assert row.difference == pytest.approx(expected, abs=1e-12)


def test_shap_values_add_up_to_the_margin(result):
    keys = ["endpoint", "arm", "repeat", "fold", "case_id"]
    sums = result.shap.groupby(keys)["shap"].sum()
    base = result.shap_base.set_index(keys)
    assert len(base) == len(result.predictions)
    assert (base["base"] + sums.reindex(base.index) - base["margin"]).abs().max() <= TOLERANCE
    margins = result.predictions.set_index(keys)["margin"]
    assert (base["margin"] == margins.reindex(base.index)).all()


def test_shap_belongs_to_features_that_the_model_was_given(result, cohort):
    keys = ["endpoint", "arm", "repeat", "fold", "feature"]
    assert set(map(tuple, result.shap[keys].drop_duplicates().to_numpy())) == set(
        map(tuple, result.chosen[keys].to_numpy())
    )
    row = result.shap.iloc[17]
    value = cohort[0].values.loc[row["case_id"], row["feature"]]
    assert value == row["value"] or (np.isnan(value) and np.isnan(row["value"]))


def test_any_number_of_jobs_gives_the_same_result(result, cohort, quick):
    steps = []
    again = evaluate(
        *cohort, ["malignancy", "er"], quick.model_copy(update={"repeats": 2}), jobs=3,
        progress=lambda done, total, what: steps.append((done, total, what)),
    )  # fmt: skip
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name), check_exact=True)
    assert steps == [(i, 20, "folds") for i in range(1, 21)]


def test_an_endpoint_does_not_depend_on_the_others(result, cohort, quick):
    alone = evaluate(*cohort, ["er"], quick.model_copy(update={"repeats": 2}))
    both = result.predictions.query("endpoint == 'er'").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.predictions, both, check_exact=True)


def test_another_seed_gives_another_split(result, cohort, quick):
    other = evaluate(*cohort, ["er"], quick.model_copy(update={"seed": 1, "repeats": 2}))
    assert other.folds["er"]["sha256"] != result.folds["er"]["sha256"]


def test_folds_are_by_patient(result):
    for _, rows in result.predictions.groupby(["endpoint", "arm", "repeat"]):
        assert len(rows[["patient_id", "fold"]].drop_duplicates()) == rows["patient_id"].nunique()


def test_patients_tied_by_another_column_share_a_fold(cohort, quick):
    table, labels = cohort
    cases = table.cases.assign(accession=[f"x{int(p[1:]) // 2}" for p in table.cases["patient_id"]])
    tied = type(table)(table.values, cases, table.failures)
    found = evaluate(tied, labels, ["malignancy"], quick.model_copy(update={"same_person": ("accession",)}))
    rows = found.predictions.query("arm == 'fused'").set_index("case_id")
    pairs = set(zip(cases.loc[rows.index, "accession"], rows["fold"], strict=True))
    assert len(pairs) == cases["accession"].nunique() == 30
    assert found.endpoints["malignancy"]["n_patients"] == 30


def test_arms_without_their_families_are_left_out_and_said(cohort, quick):
    table, labels = cohort
    only = type(table)(table.values[table.columns_of("radiomics")], table.cases)
    found = evaluate(only, labels, ["malignancy"], quick)
    assert found.metrics["arm"].unique().tolist() == ["radiomics"]
    assert found.provenance["arms_left_out"]["fused+clinical"] == "no deep and no clinical columns"
    with pytest.raises(EvaluationError, match="fused: no deep columns"):
        evaluate(only, labels, ["malignancy"], quick.model_copy(update={"arms": ("fused",)}))


def test_an_endpoint_that_cannot_be_estimated_says_why_beside_one_that_can(cohort, quick):
    table, labels = cohort
    rare = labels.assign(rare=["1" if i < 3 else "0" for i in range(len(labels))])
    found = evaluate(table, rare, ["malignancy", "rare"], quick)
    rows = found.metrics[found.metrics["endpoint"] == "rare"]
    assert rows["estimate"].isna().all()
    assert rows["method"].str.startswith("not estimable: 5 folds need 5 patients of each class").all()
    assert found.endpoints["rare"]["n_positive"] == 3
    assert found.metrics.query("endpoint == 'malignancy'")["estimate"].notna().all()
    with pytest.raises(EvaluationError, match="no endpoint can be estimated: rare: 5 folds need"):
        evaluate(table, rare, ["rare"], quick)


def test_an_endpoint_whose_fold_cannot_be_fitted_does_not_stop_the_others(cohort, quick):
    """2 positive patients fill 2 folds, but leave one to learn from."""
    table, labels = cohort
    rare = labels.assign(rare=["1" if i in (0, len(labels) - 1) else "0" for i in range(len(labels))])
    settings = quick.model_copy(update={"outer_folds": 2})
    found = evaluate(table, rare, ["malignancy", "rare"], settings)
    rows = found.metrics[found.metrics["endpoint"] == "rare"]
    assert set(rows["arm"]) == set(ARMS)
    assert rows["estimate"].isna().all()
    assert rows["method"].str.startswith("not estimable: a model needs 2 patients of each class").all()
    assert "rare" in found.provenance["endpoints_not_estimable"]
    assert set(found.predictions["endpoint"]) == {"malignancy"}
    with pytest.raises(EvaluationError, match="no endpoint can be estimated: rare: a model needs"):
        evaluate(table, rare, ["rare"], settings)


def test_cases_without_an_image_block_are_excluded_from_every_arm(cohort, quick):
    table, labels = cohort
    values = table.values.copy()
    values.loc["case003", table.columns_of("deep")] = np.nan
    found = evaluate(type(table)(values, table.cases), labels, ["malignancy"], quick)
    assert found.exclusions.to_numpy().tolist() == [["malignancy", "case003", "features.missing: no deep value"]]
    assert "case003" not in set(found.predictions["case_id"])


def test_an_excluded_malignant_lesion_still_makes_its_patient_positive(cohort, quick):
    """Most severe wins, whether or not the most severe lesion could be measured."""
    table, labels = cohort
    malignant = labels["malignancy"] == "malignant"
    patients = table.cases["patient_id"]
    mixed = malignant.groupby(patients).transform("sum").eq(1) & (patients.groupby(patients).transform("size") > 1)
    lesions = table.values.index[mixed & malignant][:4]
    values = table.values.copy()
    values.loc[lesions, table.columns_of("radiomics")] = np.nan
    found = evaluate(type(table)(values, table.cases), labels, ["malignancy"], quick)
    assert sorted(found.exclusions["case_id"]) == sorted(lesions)
    rows = found.metrics.query("arm == 'fused' and metric == 'auc'").set_index("level")
    assert rows.loc["lesion", "n_positive"] == malignant.sum() - 4
    for level, ids in {"breast": table.cases["breast_id"], "patient": patients}.items():
        assert rows.loc[level, "n_positive"] == malignant.groupby(ids).any().sum()


def test_a_clinical_column_that_is_the_label_is_not_used(cohort, quick):
    table, labels = cohort
    truth = (labels["malignancy"] == "malignant").astype(float)
    leaking = table.values.assign(**{"clinical:case:malignancy": truth, "clinical:case:Pathology=malignant": truth})
    found = evaluate(type(table)(leaking, table.cases), labels, ["malignancy"], quick)
    assert found.provenance["columns_left_out"]["malignancy"] == [
        "clinical:case:malignancy",
        "clinical:case:Pathology=malignant",
    ]
    assert found.metrics.query("metric == 'auc' and arm == 'clinical'")["estimate"].max() < 0.95


def test_clinical_columns_that_a_stated_label_could_be_derived_from_are_not_used(cohort):
    table, labels = cohort
    subtype = pd.DataFrame({"Subtype": np.resize(["Luminal A", "Luminal B", "TNBC"], len(labels))}, index=labels.index)
    telling = [f"clinical:case:{name}" for name in ("er=positive", "PR", "HER2=3+", "Ki-67")]
    values = table.values.assign(**dict.fromkeys([*telling, "clinical:case:size_mm"], 1.0))
    for endpoint in resolve_endpoint("molecular_subtype", subtype).expand():
        design = lay_out(type(table)(values, table.cases), subtype, endpoint)
        assert design.left_out == tuple(telling)


def test_labels_are_found_by_case_whatever_their_order(cohort, quick, result):
    table, labels = cohort
    shuffled = labels.sample(frac=1, random_state=1)
    found = evaluate(table, shuffled, ["er"], quick.model_copy(update={"repeats": 2}))
    both = result.predictions.query("endpoint == 'er'").reset_index(drop=True)
    pd.testing.assert_frame_equal(found.predictions, both, check_exact=True)


def test_unknown_endpoints_are_refused_before_anything_is_fitted(cohort, quick):
    with pytest.raises(StudyError, match="no endpoint 'relapse'"):
        evaluate(*cohort, ["malignancy", "relapse"], quick)


def test_logistic_regression_can_take_the_place_of_the_trees(cohort):
    found = evaluate(*cohort, ["malignancy"], EvaluationSettings(learner="logistic", selector="none", arms=("fused",)))
    assert found.metrics.query("metric == 'auc' and level == 'lesion'")["estimate"].item() > 0.6
