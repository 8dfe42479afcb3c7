"""An external evaluation judges a bundle as it is, on persons it has not seen, and counts how often."""

import errno
import inspect
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import BundleError, EvaluationError, LeakageError, StudyError
from cemrad.features.fingerprint import PIXELS, join
from cemrad.features.table import FeatureTable
from cemrad.features.training_ids import KEY, TrainingIds
from cemrad.models.external import evaluate_external
from cemrad.models.intervals import heldout_auc
from cemrad.models.result import Result
from cemrad.models.train import train
from cemrad.pipeline import ledger
from cemrad.reports.page import write_report


@pytest.fixture(scope="module")
def cohort(make_table):
    return make_table(70, seed=2, effect=1.5)


@pytest.fixture(scope="module")
def bundle(cohort, quick):
    settings = quick.model_copy(update={"arms": ("fused",)})
    return train(*cohort, ["malignancy", "er"], settings, pictures={"case000": ["one picture"]})


@pytest.fixture(scope="module")
def site(make_table):
    return _elsewhere(*make_table(50, seed=8, effect=1.5))


def _elsewhere(table, labels):
    """The same cases as those of persons and cases of another hospital."""
    cases = table.cases.assign(
        patient_id="N" + table.cases["patient_id"], breast_id="N" + table.cases["breast_id"]
    ).set_axis("N" + table.cases.index)
    return FeatureTable(table.values.set_axis(cases.index), cases), labels.set_axis(cases.index)


@pytest.fixture(scope="module")
def judged(bundle, site, quick):
    return evaluate_external(bundle, *site, quick, bundle_sha256="f" * 64, name="site B")


def _metric(result, metric, endpoint="malignancy", level="lesion"):
    return result.metrics.set_index(["endpoint", "level", "metric"]).loc[(endpoint, level, metric)]


def test_predictions_and_thresholds_are_the_bundle_s_own(bundle, site, judged):
    told = bundle.predict(site[0]).set_index(["endpoint", "case_id"])
    mine = judged.predictions.set_index(["endpoint", "case_id"])
    assert len(mine) == len(site[1]) + site[1]["er"].notna().sum()
    for column in ("probability", "margin", "threshold"):
        np.testing.assert_array_equal(mine[column], told.loc[mine.index, column])
    novel = judged.tables["novelty"].set_index(["endpoint", "case_id"])
    np.testing.assert_array_equal(novel["ood_distance"], told.loc[novel.index, "ood_distance"])


def test_every_metric_is_that_of_one_fixed_model(judged):
    rows = judged.predictions.query("endpoint == 'malignancy'")
    truth, chance = rows["truth"].to_numpy(dtype=np.int64), rows["probability"].to_numpy()
    called = chance >= rows["threshold"].to_numpy()
    assert _metric(judged, "auc").estimate == pytest.approx(heldout_auc(truth, chance).estimate, abs=1e-12)
    assert _metric(judged, "sensitivity").estimate == pytest.approx(called[truth == 1].mean())
    assert _metric(judged, "specificity").estimate == pytest.approx(1 - called[truth == 0].mean())
    assert _metric(judged, "brier").estimate == pytest.approx(((chance - truth) ** 2).mean())
    known = judged.metrics.query("metric != 'auc_chance'")
    assert known["low"].notna().all()
    assert not known["method"].str.contains("Nadeau").any(), "no factor for overlapping training sides"
    assert known.query("metric == 'auc'")["method"].str.startswith("one fixed model on new patients").all()
    assert judged.folds["malignancy"]["by"] == "external"


def test_the_labels_teach_nothing(bundle, site, quick, judged):
    turned = site[1].assign(malignancy=site[1]["malignancy"].map({"malignant": "benign", "benign": "malignant"}))
    other = evaluate_external(bundle, site[0], turned, quick, endpoints=["malignancy"])
    mine = judged.predictions.query("endpoint == 'malignancy'").reset_index(drop=True)
    columns = ["case_id", "probability", "margin", "threshold"]
    pd.testing.assert_frame_equal(other.predictions[columns], mine[columns], check_exact=True)
    assert _metric(other, "auc").estimate == pytest.approx(1 - _metric(judged, "auc").estimate, abs=1e-12)


def test_there_is_no_argument_to_choose_a_threshold_or_a_calibration():
    names = set(inspect.signature(evaluate_external).parameters)
    assert not [name for name in names if "thresh" in name or "calib" in name or "cut" in name]


def test_known_patients_are_an_error_that_names_them(bundle, cohort, quick):
    with pytest.raises(LeakageError, match=r"knows 70 of the 70 persons.*'P000'.*--leave-out-known.*prefix"):
        evaluate_external(bundle, *cohort, quick)


def _mixed(cohort, site):
    """The new site, and the first two cases of the training cohort."""
    first = cohort[0].take(list(cohort[0].values.index[:2]))
    table = FeatureTable(pd.concat([site[0].values, first.values]), pd.concat([site[0].cases, first.cases]))
    return table, pd.concat([site[1], cohort[1].iloc[:2]])


def test_known_patients_are_left_out_on_demand_as_rows(bundle, cohort, site, quick, judged):
    table, labels = _mixed(cohort, site)
    with pytest.raises(LeakageError):
        evaluate_external(bundle, table, labels, quick)
    found = evaluate_external(bundle, table, labels, quick, leave_out_known=True)
    pd.testing.assert_frame_equal(found.metrics, judged.metrics, check_exact=True)
    left_out = found.exclusions[found.exclusions["reason"].str.startswith("known.")]
    assert set(left_out.query("endpoint == 'malignancy'")["case_id"]) == set(cohort[0].values.index[:2])
    assert found.provenance["external"]["left_out_known"] == 2
    n = len(found.predictions.query("endpoint == 'er'")) + (found.exclusions["endpoint"] == "er").sum()
    assert n == len(table.values), "every case is judged or has a reason"


def test_a_training_case_under_another_id_is_known_by_its_features(bundle, cohort, site, quick):
    table, labels = _mixed(cohort, site)
    cases = table.cases.assign(patient_id=["X" + patient for patient in table.cases["patient_id"]])
    with pytest.raises(LeakageError, match="known.content"):
        evaluate_external(bundle, replace(table, cases=cases), labels, quick)


def test_a_training_picture_under_another_id_is_known(bundle, site, quick):
    first = site[0].values.index[0]
    evaluate_external(bundle, *site, quick, pictures={first: ["another picture"]})
    with pytest.raises(LeakageError, match=r"knows 1 of the 50 persons of this cohort \('NP000'\): known.content"):
        evaluate_external(bundle, *site, quick, pictures={first: ["one picture"]})


def test_whom_a_column_ties_to_a_known_patient_is_known(bundle, cohort, site, quick):
    table, labels = _mixed(cohort, site)
    exams = [str(i) for i in range(len(table.cases))]
    exams[-1] = exams[0] = "same exam"
    tied = replace(table, cases=table.cases.assign(exam=exams))
    settings = quick.model_copy(update={"same_person": ("exam",)})
    found = evaluate_external(bundle, tied, labels, settings, leave_out_known=True)
    assert site[0].values.index[0] not in set(found.predictions["case_id"])


def test_an_endpoint_without_labels_is_a_row_that_says_so(bundle, site, quick):
    found = evaluate_external(bundle, site[0], site[1][["malignancy"]], quick)
    row = _metric(found, "auc", "er")
    assert np.isnan(row["estimate"])
    assert row["method"].startswith("not estimable: endpoint 'er' needs the label column")
    assert list(found.provenance["endpoints_not_estimable"]) == ["er"]
    with pytest.raises(EvaluationError, match="no endpoint can be judged: er: endpoint 'er' needs"):
        evaluate_external(bundle, site[0], site[1][["malignancy"]], quick, endpoints=["er"])
    with pytest.raises(StudyError, match="no endpoint 'erx'; it has malignancy, er"):
        evaluate_external(bundle, *site, quick, endpoints=["erx"])


@pytest.mark.parametrize(
    ("wanted", "endpoint", "positive", "column", "words"),
    [
        ("molecular_subtype", "molecular_subtype=luminal", "luminal", "Subtype", ["Luminal A", "Luminal B", "TNBC"]),
        ("axillary_burden", "axillary_burden", "positive nodes >= 3", "axillary_burden", ["pN0", "pN2a"]),
    ],
)
def test_labels_that_define_the_endpoint_otherwise_judge_nothing(
    bundle, site, quick, wanted, endpoint, positive, column, words
):
    model = replace(bundle.models[0], wanted=wanted, endpoint=endpoint, positive=positive)
    stated = pd.DataFrame({column: np.resize(words, len(site[1]))}, index=site[1].index, dtype=object)
    with pytest.raises(EvaluationError, match=f"{endpoint}: the labels of this cohort define it otherwise"):
        evaluate_external(replace(bundle, models=(model,)), site[0], stated, quick)


def test_lesions_are_reduced_as_in_the_bundle_s_own_evaluation(bundle, site, quick):
    record = dict(bundle.record)
    record["settings"] = record["settings"] | {"scoring": record["settings"]["scoring"] | {"aggregate": "mean"}}
    found = evaluate_external(replace(bundle, record=record), *site, quick, endpoints=["malignancy"])
    rows = found.predictions.groupby("patient_id").agg({"truth": "max", "probability": "mean"})
    mean = heldout_auc(rows["truth"].to_numpy(dtype=np.int64), rows["probability"].to_numpy()).estimate
    assert _metric(found, "auc", level="patient").estimate == pytest.approx(mean, abs=1e-12)
    assert found.provenance["evaluation"]["scoring"]["aggregate"] == "mean"


@pytest.mark.parametrize("by_picture", [False, True])
def test_whom_a_step_before_the_bundle_has_seen_is_known(bundle, site, quick, by_picture):
    pixels = [join({"RC_CC": f"{at:064x}"}) for at in site[0].cases["patient_id"].factorize()[0]]
    ids = TrainingIds.of([] if by_picture else ["NP003"], [f"{3:064x}"] if by_picture else [])
    table = replace(site[0], cases=site[0].cases.assign(**{PIXELS: pixels}))
    seen, unseen = (
        replace(table, provenance={"masks": [{KEY: replace(ids, out_of_fold=flag).as_record()}]})
        for flag in (False, True)
    )
    with pytest.raises(LeakageError, match=r"1 of the 50 persons of this cohort \('NP003'\): known.step"):
        evaluate_external(bundle, seen, site[1], quick)
    found = evaluate_external(bundle, seen, site[1], quick, endpoints=["malignancy"], leave_out_known=True)
    assert set(site[0].cases["patient_id"]) - set(found.predictions["patient_id"]) == {"NP003"}
    evaluate_external(bundle, unseen, site[1], quick, endpoints=["malignancy"])


def test_a_cohort_of_one_class_has_a_sensitivity_and_no_auc(bundle, site, quick):
    cancers = site[0].take(list(site[1].index[site[1]["malignancy"] == "malignant"]))
    found = evaluate_external(bundle, cancers, site[1], quick, endpoints=["malignancy"])
    assert _metric(found, "auc")["method"] == "not estimable: one class only"
    assert _metric(found, "specificity")["method"].startswith("not estimable")
    assert 0 < _metric(found, "sensitivity").estimate <= 1


def test_a_single_case_is_judged_without_intervals(bundle, site, quick):
    found = evaluate_external(bundle, site[0].take([site[0].values.index[0]]), site[1], quick, endpoints=["malignancy"])
    assert len(found.predictions) == 1
    assert _metric(found, "brier")["method"].startswith("no interval: fewer than 3 patients")


def test_another_extraction_is_refused(cohort, site, quick):
    def extracted(table, width):
        return replace(table, provenance={"families": {"radiomics": {"parameters": {"binCount": width}}}})

    made = train(extracted(cohort[0], 32), cohort[1], ["malignancy"], quick)
    assert evaluate_external(made, extracted(site[0], 32), site[1], quick)
    with pytest.raises(BundleError, match="other settings or weights"):
        evaluate_external(made, extracted(site[0], 64), site[1], quick)


def test_phantom_on_either_side_makes_a_phantom_result(bundle, site, quick, judged):
    assert not judged.phantom
    assert evaluate_external(replace(bundle, phantom=True), *site, quick).phantom
    simulated = replace(site[0], provenance={"phantom": True})
    assert evaluate_external(bundle, simulated, site[1], quick).phantom


def test_the_report_says_what_was_judged(judged, tmp_path):
    opened = {"bundle": "m.cemrad", "times_opened": 3, "times_opened_any_bundle": 4, "ledger": "m.json"}
    told = judged.provenance | {"external": judged.provenance["external"] | opened}
    replace(judged, provenance=told).save(tmp_path)
    text = write_report(Result.load(tmp_path), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "external evaluation of the bundle <bdi>m.cemrad</bdi>" in text
    assert "f" * 64 in text
    assert "opened for this very bundle 3 times" in text
    assert "held out in fold" not in text
    plain = judged.provenance | {"external": {}}
    replace(judged, provenance=plain, tables={}).save(tmp_path)
    assert (
        "external evaluation" not in write_report(Result.load(tmp_path), tmp_path / "r.html").read_text("utf-8").lower()
    )


def test_the_ledger_counts_bundle_and_cohort(tmp_path):
    path = tmp_path / "m.cemrad"
    for bundle, cohort, same, any_bundle in [
        ("a", "x", 1, 1), ("a", "x", 2, 2), ("b", "x", 1, 3), ("a", "y", 1, 1), ("a", "x", 3, 4),
    ]:  # fmt: skip
        found = ledger.count_opening(path, tmp_path / "out", bundle, cohort, 9)
        assert (found["times_opened"], found["times_opened_any_bundle"]) == (same, any_bundle)
    assert found["ledger"] == "m.cemrad.evaluations.json"
    assert len(json.loads((tmp_path / found["ledger"]).read_text())["evaluations"]) == 5


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_ledger_that_cannot_stand_beside_the_bundle_stands_with_the_results(tmp_path, monkeypatch, code):
    def refuse(folder, writers):
        if folder == tmp_path:
            raise OSError(code, "not to be written", str(folder))
        return whole(folder, writers)

    whole = ledger.write_whole
    monkeypatch.setattr(ledger, "write_whole", refuse)
    found = ledger.count_opening(tmp_path / "m.cemrad", tmp_path / "out", "a", "x", 9)
    assert found["ledger"] == "bundle.evaluations.json"
    assert (tmp_path / "out" / "bundle.evaluations.json").is_file()


def test_a_full_disk_is_not_taken_for_a_closed_folder(tmp_path, monkeypatch):
    def refuse(folder, writers):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(ledger, "write_whole", refuse)
    with pytest.raises(OSError, match="No space left"):
        ledger.count_opening(tmp_path / "m.cemrad", tmp_path / "out", "a", "x", 9)


def test_a_damaged_ledger_is_not_overwritten(tmp_path):
    path = tmp_path / "m.cemrad.evaluations.json"
    path.write_text('{"evaluations": [{"bundle_sha256": 7}]}')
    with pytest.raises(StudyError, match="not a ledger"):
        ledger.count_opening(tmp_path / "m.cemrad", tmp_path, "a", "x", 9)
    assert "7" in path.read_text()
