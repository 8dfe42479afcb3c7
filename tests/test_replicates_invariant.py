"""Replicates: what is stable is decided on the training side of a fold alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError, TableError
from cemrad.models.agreement import intraclass
from cemrad.models.audit_study import lay_out_again
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings, Job, evaluate, run_fold
from cemrad.models.folds import split
from cemrad.models.replicates import (
    FOLD_COLUMNS,
    ORIGINAL,
    STABILITY_COLUMNS,
    Replicates,
    shares_stable,
    stability_table,
)
from cemrad.models.result import Result
from cemrad.models.train import train

NAMES = (ORIGINAL, "dilate:10%", "erode:10%", "contour:10%#1")
SHAKY = 8
"""The first columns of each family move by as much as they differ between cases."""


@pytest.fixture(scope="module")
def measured(make_table):
    """A table, its labels and replicates, as `cemrad stability` writes them."""
    table, labels = make_table(50, seed=3, missing=0.0)
    columns = table.columns_of("radiomics", "deep")
    rng = np.random.default_rng(5)
    rows = []
    for name in NAMES:
        values = table.values[columns].copy()
        if name != ORIGINAL:
            for family in ("radiomics", "deep"):
                of = table.columns_of(family)
                noise = np.where(np.arange(len(of)) < SHAKY, 1.0, 0.05)
                values[of] += noise * rng.normal(size=(len(values), len(of)))
        values.insert(0, "replicate", name)
        rows.append(values.rename_axis("case_id").reset_index())
    return table, labels, pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("replicates") / "replicates.parquet"
    return EvaluationSettings(
        n_candidates=1,
        outer_folds=3,
        selector="none",
        learner="logistic",
        scoring={"n_bootstrap": 100},
        stability={"replicates": path},
    )


def job_of(table, labels, frame):
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels)).measured_again(Replicates.of(frame))
    rows = design.rows
    return Job(design, split(rows.case_ids, rows.persons, rows.y, n_folds=5, seed=1), 0, 0)


def fingerprint(outcome):
    return {
        arm: (part.fitted.features, part.fitted.model.state(), part.fitted.threshold)
        for arm, part in outcome.arms.items()
    }


def test_a_long_table_becomes_cases_by_replicates():
    frame = pd.DataFrame(
        {
            "case_id": ["b", "a", "b", "a", "c"],
            "replicate": [ORIGINAL, ORIGINAL, "x", "x", "x"],
            "radiomics:RC_CC:f": [1.0, 2, 3, 4, 5],
        }
    )
    found = Replicates.of(frame)
    assert found.case_ids == ("b", "a", "c")
    np.testing.assert_array_equal(found.values[:, :, 0], [[1, 3], [2, 4], [np.nan, 5]])
    with pytest.raises(TableError, match="twice"):
        Replicates.of(pd.concat([frame, frame]))
    with pytest.raises(TableError, match="not a number .*'high'"):
        Replicates.of(frame.astype({"radiomics:RC_CC:f": object}).replace(5.0, "high"))
    with pytest.raises(TableError, match="lack the columns replicate"):
        Replicates.of(frame.drop(columns="replicate"))
    with pytest.raises(TableError, match="two replicates, there is original"):
        Replicates.of(frame[:2])


def test_stability_is_the_lower_bound_of_these_cases_alone(measured):
    table, _, frame = measured
    replicates = Replicates.of(frame, 0.8)
    ids = table.values.index[10:40]
    some = frame[frame["case_id"].isin(ids)]
    columns = table.columns_of("radiomics")
    by_case = [some[some["replicate"] == name].set_index("case_id").loc[list(ids), columns] for name in NAMES]
    expected = intraclass(np.stack(by_case, axis=1)).low >= 0.8
    assert replicates.stable(columns, ids).tolist() == expected.tolist()
    assert not expected[:SHAKY].any()
    assert expected[SHAKY:].all()
    assert replicates.stable(["clinical:case:age"], ids).tolist() == [True]
    assert not replicates.stable(columns, ["nobody"]).any()


def test_unstable_columns_are_never_in_a_model(measured, settings):
    table, labels, frame = measured
    outcome = run_fold(job_of(table, labels, frame), ["radiomics", "fused+clinical"], settings)
    shaky = {*table.columns_of("radiomics")[:SHAKY], *table.columns_of("deep")[:SHAKY]}
    for part in outcome.arms.values():
        assert part.fitted.features
        assert not shaky & set(part.fitted.features)
    assert set(table.columns_of("clinical")) <= set(outcome.arms["fused+clinical"].fitted.features)
    assert {row["family"]: row["n_stable"] for row in outcome.stable} == {"radiomics": 22, "deep": 22}
    plain = job_of(table, labels, frame)
    plain = plain._replace(design=plain.design.measured_again(None))
    without = run_fold(plain, ["radiomics"], settings)
    assert shaky & set(without.arms["radiomics"].fitted.features)
    assert without.stable == []


@pytest.mark.parametrize("garbage", ["noise", "missing", "gone"])
def test_garbage_in_replicates_of_held_out_cases_changes_nothing_fitted(measured, settings, garbage):
    table, labels, frame = measured
    job = job_of(table, labels, frame)
    clean = run_fold(job, ["radiomics", "fused"], settings)
    _, held = job.split.sides(0, 0)
    of_held = frame["case_id"].isin([job.design.rows.case_ids[i] for i in held]).to_numpy()
    spoilt = frame.copy()
    columns = [name for name in frame if ":" in name]
    if garbage == "gone":
        spoilt = frame[~of_held]
    else:
        noise = 1e6 * np.random.default_rng(7).normal(size=(of_held.sum(), len(columns)))
        spoilt.loc[of_held, columns] = noise if garbage == "noise" else np.nan
    again = run_fold(
        job._replace(design=job.design.measured_again(Replicates.of(spoilt))), ["radiomics", "fused"], settings
    )
    assert fingerprint(again) == fingerprint(clean)
    assert again.stable == clean.stable


def test_the_law_would_catch_a_filter_over_all_cases(measured, settings, monkeypatch):
    """The canary: agreement over every case of the file, held out or not."""
    table, labels, frame = measured
    job = job_of(table, labels, frame)
    stable = Replicates.stable
    monkeypatch.setattr(Replicates, "stable", lambda self, columns, case_ids: stable(self, columns, self.case_ids))
    clean = fingerprint(run_fold(job, ["radiomics"], settings))
    _, held = job.split.sides(0, 0)
    of_held = frame["case_id"].isin([job.design.rows.case_ids[i] for i in held])
    spoilt = frame.copy()
    spoilt.loc[of_held, table.columns_of("radiomics")[20:]] = np.random.default_rng(7).normal(size=(of_held.sum(), 10))
    spoilt = job._replace(design=job.design.measured_again(Replicates.of(spoilt)))
    assert fingerprint(run_fold(spoilt, ["radiomics"], settings)) != clean


def test_replicates_of_training_cases_do_matter(measured, settings):
    table, labels, frame = measured
    job = job_of(table, labels, frame)
    fit, _ = job.split.sides(0, 0)
    of_fit = frame["case_id"].isin([job.design.rows.case_ids[i] for i in fit])
    name = table.columns_of("radiomics")[20]
    spoilt = frame.copy()
    spoilt.loc[of_fit, name] = np.random.default_rng(7).normal(size=of_fit.sum())
    again = run_fold(job._replace(design=job.design.measured_again(Replicates.of(spoilt))), ["radiomics"], settings)
    assert name not in again.arms["radiomics"].fitted.features
    assert name in run_fold(job, ["radiomics"], settings).arms["radiomics"].fitted.features


def test_an_arm_without_a_stable_column_is_refused(measured, settings):
    table, labels, frame = measured
    spoilt = frame.copy()
    columns = table.columns_of("deep")
    spoilt[columns] = np.random.default_rng(7).normal(size=(len(spoilt), len(columns)))
    outcome = run_fold(job_of(table, labels, spoilt), ["radiomics", "deep"], settings)
    assert outcome.refused == {
        "deep": "no column varies and is stable under other masks within the training side of a fold"
    }


def test_an_evaluation_keeps_what_was_stable(measured, settings, tmp_path):
    table, labels, frame = measured
    result = evaluate(table, labels, ["malignancy"], settings, replicates=frame)
    result.save(tmp_path)
    tables = Result.load(tmp_path).tables
    stability, folds = tables["stability"], tables["stability_folds"]
    assert stability.columns.tolist() == STABILITY_COLUMNS
    assert folds.columns.tolist() == FOLD_COLUMNS
    assert set(stability["column"]) == set(table.columns_of("radiomics", "deep"))
    assert (stability["n_cases"] == len(table.values)).all()
    assert (folds["n_columns"] == 30).all()
    assert (folds["n_stable"] == 22).all()
    assert len(folds) == 3 * 2
    assert (folds["n_cases"] < len(table.values)).all()
    shaky = {*table.columns_of("radiomics")[:SHAKY], *table.columns_of("deep")[:SHAKY]}
    assert not shaky & set(result.chosen["feature"])
    [(design, _)] = lay_out_again(table, labels, ["malignancy"], settings, result, frame)
    assert design.rows.replicates is not None  # what is audited is what was evaluated
    assert not shaky & set(train(table, labels, ["malignancy"], settings, replicates=frame).models[0].features)


def test_nothing_goes_on_unfiltered_or_with_another_studys_replicates(measured, settings):
    table, labels, frame = measured
    with pytest.raises(EvaluationError, match="replicates were not given"):
        evaluate(table, labels, ["malignancy"], settings)
    with pytest.raises(EvaluationError, match="replicates were not given"):
        train(table, labels, ["malignancy"], settings)
    with pytest.raises(TableError, match="lack 1 columns of the table: radiomics:LE_CC:r000"):
        evaluate(table, labels, ["malignancy"], settings, replicates=frame.drop(columns="radiomics:LE_CC:r000"))
    with pytest.raises(TableError, match="share no case"):
        evaluate(table, labels, ["malignancy"], settings, replicates=frame.assign(case_id="x" + frame["case_id"]))
    moved = frame.copy()
    moved.loc[moved["replicate"] == ORIGINAL, "deep:LE_CC:d000"] += 1
    with pytest.raises(TableError, match="hold other values than the table for"):
        evaluate(table, labels, ["malignancy"], settings, replicates=moved)


def test_a_family_that_was_not_measured_again_passes(measured, settings):
    table, labels, frame = measured
    only = frame.drop(columns=table.columns_of("deep"))
    outcome = run_fold(job_of(table, labels, only), ["deep"], settings)
    assert set(table.columns_of("deep")) == set(outcome.arms["deep"].fitted.features)
    assert {row["family"] for row in outcome.stable} == {"radiomics"}


def test_shares_count_the_stable_by_family_and_class():
    frame = pd.DataFrame(
        {
            "column": [f"radiomics:RC_CC:original_{c}_{i}" for c in ("glcm", "firstorder") for i in range(3)],
            "family": "radiomics",
            "picture": "RC_CC",
            "feature_class": ["glcm"] * 3 + ["firstorder"] * 3,
            "icc": [0.9, 0.8, np.nan, 0.9, 0.95, 0.99],
            "low": [0.8, 0.7, np.nan, 0.75, 0.9, 0.98],
        }
    )
    found = shares_stable(frame).set_index("feature_class")
    assert found["n"].to_dict() == {"": 6, "firstorder": 3, "glcm": 3}
    assert found["n_stable"].to_dict() == {"": 4, "firstorder": 3, "glcm": 1}
    assert found.loc["", "share"] == pytest.approx(4 / 6)
    assert shares_stable(frame[:0]).empty


def test_a_table_of_stability_says_what_a_feature_is(measured):
    _, _, frame = measured
    renamed = frame.rename(columns={"radiomics:LE_CC:r000": "radiomics:LE_CC:wavelet-LH_glcm_Contrast"})
    found = stability_table(replace(Replicates.of(renamed))).set_index("column")
    row = found.loc["radiomics:LE_CC:wavelet-LH_glcm_Contrast"]
    assert (row["family"], row["picture"], row["feature_class"]) == ("radiomics", "LE_CC", "glcm")
    assert row["n_replicates"] == len(NAMES)
    assert row["low"] < row["icc"] < row["high"]
