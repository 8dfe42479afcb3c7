"""A run leaves what it promises, can be continued, and its exit code tells the truth."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.features.table import FeatureTable
from cemrad.models.bundle import Bundle
from cemrad.models.result import Result
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.predict import predict
from cemrad.pipeline.run import Run, run_study
from cemrad.pipeline.source import open_source
from cemrad.pipeline.study import parse_study

SMALL = {
    "schema_version": 1,
    "name": "small phantoms",
    "cohort": {"reader": "phantom", "n_patients": 24, "seed": 5},
    "features": {
        "families": {
            "radiomics": {
                "parameters": {"imageType": {"Original": {}}, "featureClass": {"firstorder": [], "glcm": []}}
            },
            "deep": {"network": "resnet18", "weights": "random", "size": 64},
        }
    },
    "evaluation": {"outer_folds": 3, "inner_folds": 2},
}
PROMISED = [
    "features.parquet", "features.csv", "cases.csv", "labels.csv", "failures.csv", "table.json", "predictions.parquet",
    "metrics.json", "shap.parquet", "model/model.cemrad", "model_card.md", "report.html", "report.json", "run.json",
    "inputs.csv", "guidelines.csv", "guidelines.md",
]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run_study(parse_study(SMALL | {"output": str(tmp_path_factory.mktemp("runs") / "small")}))


def test_a_run_leaves_what_the_docs_promise(done):
    folder = done.study.output
    assert [name for name in PROMISED if not (folder / name).is_file()] == []
    architecture = (Path(__file__).resolve().parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in PROMISED if f"`{name}`" not in architecture] == []
    assert done.exit_code == 0


def test_the_record_names_versions_counts_and_hashes(done):
    record = json.loads((done.study.output / "run.json").read_text(encoding="utf-8"))
    assert record["phantom"] is True
    assert record["versions"]["pyradiomics-bhklab"] == "3.1.4"
    assert record["counts"]["cases"] == len(done.cohort.cases)
    assert set(record["times_s"]) == {"extract", "evaluate", "train", "report"}
    assert len(record["sha256"]["features.parquet"]) == 64


def test_every_case_is_a_row(done):
    assert done.table.values.index.tolist() == [case.case_id for case in done.cohort.cases]


def test_missing_values_have_a_reason(done):
    values = done.table.values
    gaps = [(case_id, column) for column in values for case_id in values.index[values[column].isna()]]
    told = set(zip(done.table.failures["case_id"], done.table.failures["picture"], strict=True))
    silent = []
    for case_id, column in gaps:
        picture = column.split(":")[1]
        both = {picture, picture.replace("LERC", "LE"), picture.replace("LERC", "RC"), ""}
        if not told & {(case_id, name) for name in both}:
            silent.append((case_id, column))
    assert gaps, "the phantoms have missing views"
    assert silent == []


def test_a_result_survives_its_folder(done):
    again = Result.load(done.study.output)
    pd.testing.assert_frame_equal(again.metrics, done.result.metrics)
    assert set(again.crops) == set(done.result.crops)


def test_evaluation_continues_from_a_stored_table(done, tmp_path):
    study = open_source(done.study.output, (), output=str(tmp_path / "again"))
    run = Run.reopen(study, done.study.output)
    again = run.evaluate()
    pd.testing.assert_frame_equal(again.predictions, done.result.predictions)


def test_prediction_from_images_agrees_with_the_bundle_on_the_table(done, tmp_path):
    bundle = Bundle.load(done.study.output / "model" / "model.cemrad")
    cohort = phantom.read(phantom.Settings(n_patients=24, seed=5))
    predictions, table = predict(bundle, cohort, tmp_path, jobs=1)
    pd.testing.assert_frame_equal(predictions, bundle.predict(done.table))
    assert (tmp_path / "predictions.csv").is_file()
    shap = pd.read_parquet(tmp_path / "shap.parquet")
    sums = shap.groupby("case_id")["shap"].sum() + shap.groupby("case_id")["base"].first()
    assert (sums - shap.groupby("case_id")["margin"].first()).abs().max() < 1e-4
    units = pd.read_csv(tmp_path / "predictions_by_unit.csv").query("level == 'patient'").set_index("unit_id")
    highest = predictions.groupby("patient_id")["probability"].max()
    pd.testing.assert_series_equal(units["probability"], highest.loc[units.index], check_names=False)
    assert predictions["seen_in_training"].any()
    assert table.values.shape == done.table.values.shape


def test_new_phantoms_are_nobody_that_was_seen(done, tmp_path):
    bundle = Bundle.load(done.study.output / "model" / "model.cemrad")
    cohort = phantom.read(phantom.Settings(n_patients=3, seed=5, first_patient=25))
    predictions, _ = predict(bundle, cohort, tmp_path, jobs=1)
    assert not predictions["seen_in_training"].any()
    assert predictions["probability"].between(0, 1).all()


def test_commands_one_after_another_keep_the_record(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done.study.output, folder)
    run = Run.reopen(open_source(folder), folder)
    run.train()
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert set(record["times_s"]) == {"extract", "evaluate", "train", "report"}
    assert record["splits"] == done.result.folds
    assert len(record["commands"]) == 2
    assert Bundle.load(folder / "model" / "model.cemrad").record["performance"]


def test_other_settings_than_the_stored_table_was_made_with_are_refused(done):
    folder = done.study.output
    with pytest.raises(StudyError, match="another cohort than is asked for now"):
        Run.reopen(open_source(folder, ("cohort.seed=99",)), folder)
    with pytest.raises(StudyError, match="another set of features"):
        Run.reopen(open_source(folder, ("features.mask_rules.min_area_px=5",)), folder)


def test_the_run_of_another_study_is_not_overwritten(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done.study.output, folder)
    other = SMALL | {"cohort": {"reader": "phantom", "n_patients": 5}, "output": str(folder)}
    with pytest.raises(StudyError, match="holds a run with another cohort"):
        Run.start(parse_study(other))
    assert (folder / "report.html").is_file()


def test_a_new_run_of_the_same_study_begins_without_old_results(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done.study.output, folder)
    Run.start(parse_study(SMALL | {"output": str(folder)}))
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith("store/")} == {"run.json", "inputs.csv", ".lock"}


def test_predictions_do_not_go_into_a_run(done):
    bundle = Bundle.load(done.study.output / "model" / "model.cemrad")
    with pytest.raises(StudyError, match="not of earlier predictions"):
        predict(bundle, done.cohort, done.study.output)


def test_a_damaged_record_is_named(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done.study.output, folder)
    (folder / "run.json").write_text('{"study": ', encoding="utf-8")
    with pytest.raises(StudyError, match=r"run\.json: damaged"):
        open_source(folder)


def test_a_folder_with_other_things_is_not_written_into(tmp_path):
    (tmp_path / "holiday.txt").write_text("x", encoding="utf-8")
    with pytest.raises(StudyError, match="not a run"):
        Run.start(parse_study(SMALL | {"output": str(tmp_path)}))


def test_exit_codes_tell_failed_rows(tmp_path):
    phantom.write(phantom.Settings(n_patients=6, seed=5), tmp_path)
    masks = sorted((tmp_path / "masks").iterdir())
    study = parse_study(
        SMALL
        | {"cohort": {"reader": "manifest", "path": str(tmp_path / "manifest.csv")}, "output": str(tmp_path / "run")}
    )
    masks[0].write_bytes(b"not a picture")
    run = Run.start(study)
    run.extract()
    assert run.exit_code == 3
    for mask in masks:
        mask.write_bytes(b"not a picture")
    run = Run.start(study)
    run.extract()
    assert run.exit_code == 4
    assert len(FeatureTable.load(study.output).values) == len(run.cohort.cases)


def _cemrad(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from cemrad.pipeline.cli import main; main()", *words], capture_output=True, text=True
    )


def test_the_command_line_lists_its_verbs():
    shown = _cemrad("--help").stdout
    for verb in [
        "demo",
        "check",
        "masks",
        "extract",
        "merge",
        "evaluate",
        "train",
        "predict",
        "report",
        "run",
        "list",
        "doctor",
    ]:
        assert f" {verb} " in shown
    assert "not a medical device" in shown


def test_a_mistake_ends_with_one_message_and_2(tmp_path):
    (tmp_path / "study.yaml").write_text("schema_version: 1\nendpionts: [er]\n", encoding="utf-8")
    done = _cemrad("run", str(tmp_path / "study.yaml"))
    assert done.returncode == 2
    assert "did you mean 'endpoints'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_absent_source_is_named():
    done = _cemrad("check", "no-such-folder")
    assert done.returncode == 2
    assert "no such file or folder" in done.stderr


def test_doctor_finds_this_machine_well():
    done = _cemrad("doctor")
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout
