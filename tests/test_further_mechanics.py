"""Further tables of an evaluation: complete, consistent with its metrics, stored, and left out where asked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.models.evaluate import evaluate
from cemrad.models.further import COLUMNS
from cemrad.models.result import ARMS, Result
from cemrad.models.scoring import PAIRS, ScoringSettings


@pytest.fixture(scope="module")
def cohort(make_table):
    table, labels = make_table(90, seed=4)
    number = table.cases["patient_id"].str[1:].astype(int)
    vendor = number.map(lambda i: "AB"[i % 2] if i else "rare")
    return replace(table, cases=table.cases.assign(vendor=vendor)), labels


@pytest.fixture(scope="module")
def result(cohort, quick):
    scoring = quick.scoring.model_copy(update={"subgroups": ("vendor", "age"), "subgroup_cuts": {"age": (55.0,)}})
    return evaluate(*cohort, ["malignancy"], quick.model_copy(update={"scoring": scoring}))


def test_tables_have_their_columns_and_every_arm(result):
    assert set(COLUMNS) <= set(result.tables)
    for name, columns in COLUMNS.items():
        frame = result.tables[name]
        assert list(frame.columns) == columns
        assert set(ARMS) - {"clinical"} <= set(frame["arm"])
    assert set(result.tables["calibration"]["level"]) == {"lesion", "breast", "patient"}
    assert set(result.tables["reclassification"]["level"]) == set(result.tables["subgroups"]["level"]) == {"lesion"}
    assert len(result.tables["reclassification"]) == len(PAIRS) * 2 * 3
    curve = result.tables["decision_curve"]
    assert curve.groupby(["level", "arm"]).size().eq(60).all()
    assert (curve["threshold"].min(), curve["threshold"].max()) == (0.01, 0.6)


def test_they_agree_with_the_metrics(result):
    keys = ["endpoint", "level", "arm"]
    brier = result.tables["calibration"].query("metric == 'brier'").set_index(keys)["estimate"]
    other = result.metrics.query("metric == 'brier'").set_index(keys)["estimate"]
    pd.testing.assert_series_equal(brier, other, check_exact=True)
    groups = result.tables["subgroups"]
    shown = groups[groups["auc"].notna()]
    assert (shown["auc_low"] <= shown["auc"]).all()
    assert groups.groupby(["arm", "column"])["n"].sum().eq(result.endpoints["malignancy"]["n"]).all()
    assert (groups.dropna(subset="p_holm")["p_holm"] >= groups.dropna(subset="p_holm")["p_interaction"]).all()
    assert (groups["n_tests"] == 2 * len(ARMS)).all()
    assert set(groups.loc[groups["column"] == "age", "group"]) == {"below 55", "55 and above"}
    rare = groups[groups["group"] == "rare"]
    assert len(rare) == len(ARMS)
    assert rare["method"].str.startswith("not estimated").all()


def test_differences_have_a_p_value_that_agrees_with_their_interval(result):
    found = result.differences
    assert found["p"].between(0, 1).all()
    assert ((found["p"] < 0.05) == ((found["low"] > 0) | (found["high"] < 0))).all()
    assert (found["p_holm"] >= found["p"]).all()
    smallest = found.loc[found.groupby("level")["p"].idxmin()]
    assert smallest["p_holm"].to_numpy() == pytest.approx(np.minimum(1, len(PAIRS) * smallest["p"]))


def test_they_are_stored_with_the_result(result, tmp_path):
    result.save(tmp_path)
    again = Result.load(tmp_path)
    for name, frame in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame, check_dtype=False)


def test_they_can_be_left_out_and_an_unknown_column_is_refused_before_anything_is_fitted(cohort, quick):
    def with_scoring(**changes):
        return quick.model_copy(update={"scoring": ScoringSettings(**changes), "arms": ("radiomics",)})

    found = evaluate(*cohort, ["malignancy"], with_scoring(further=["decision_curve"], n_bootstrap=100))
    assert set(found.tables) & set(COLUMNS) == {"decision_curve"}
    with pytest.raises(StudyError, match="no column 'vendors'; did you mean 'vendor'"):
        evaluate(*cohort, ["malignancy"], with_scoring(subgroups=["vendors"]))
    with pytest.raises(ValueError, match="the smaller first"):
        ScoringSettings(decision_thresholds=(0.6, 0.1))


def test_a_share_of_votes_is_no_probability(cohort, quick):
    scoring = quick.scoring.model_copy(update={"aggregate": "vote"})
    found = evaluate(*cohort, ["malignancy"], quick.model_copy(update={"scoring": scoring, "arms": ("radiomics",)}))
    for name in ("calibration", "calibration_curve", "decision_curve"):
        assert set(found.tables[name]["level"]) == {"lesion"}
    brier = found.metrics.query("metric == 'brier'").set_index("level")
    assert brier["estimate"].notna().to_dict() == {"lesion": True, "breast": False, "patient": False}
    assert brier.loc["patient", "method"] == "not estimable: a share of votes is no probability"
