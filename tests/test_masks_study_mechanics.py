"""A study without masks, from images to report; its masks reviewed, reopened, exported, compared and audited."""

import json
import re
import shutil

import pandas as pd
import pytest
from cemrad.features.errors import LeakageError, StudyError
from cemrad.features.training_ids import TrainingIds
from cemrad.models.result import Result
from cemrad.pipeline.audit import Audited, unseen_masks
from cemrad.pipeline.cli import app
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.mask_folder import MaskFolder
from cemrad.pipeline.run import Run
from cemrad.pipeline.shards import Shard, shard_study
from cemrad.pipeline.source import open_source
from cemrad.reports.words import IMAGE_TYPES
from typer.testing import CliRunner

from .small_segmenter import save_network

N_PATIENTS = 10
CLASSES = {"firstorder": ["Mean", "Entropy"], "shape2D": ["MeshSurface", "Sphericity"]}
STUDY = {
    "schema_version": 1,
    "name": "no masks",
    "cohort": {"reader": "manifest", "path": "bare.csv"},
    "masks": {"source": "enhancement"},
    "features": {"families": {"radiomics": {"parameters": {"setting": {"binCount": 16}, "featureClass": CLASSES}}}},
    "evaluation": {
        "outer_folds": 2,
        "n_candidates": 1,
        "arms": ["radiomics"],
        "selector_settings": {"n_features": 4},
        "learner_settings": {"max_depth": [2], "n_rounds": [10], "max_bin": 32},
        "scoring": {"n_bootstrap": 100, "further": []},
        "audit": False,
    },
    "jobs": 1,
}


def _cemrad(*arguments, code=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def _study(folder, name="study.yaml", **changes):
    path = folder / name
    path.write_text(json.dumps(STUDY | changes))  # JSON is YAML
    return path


def _section(path):
    """The words of the report's section on masks."""
    (body,) = re.findall(r'<section[^>]*id="masks".*?</section>', path.read_text(), re.DOTALL)
    return re.sub(r"\s+([.,;)])", r"\1", " ".join(re.sub(r"<[^>]+>", " ", body).split()))


def _drawn(run):
    (folder,) = (run / "drawn_masks").iterdir()
    return folder


def _times(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "masks").iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Phantom pictures of one view as files, with a manifest that names masks and one that names none."""
    folder = tmp_path_factory.mktemp("cohort") / "phantom"
    manifest = phantom.write(phantom.Settings(n_patients=N_PATIENTS, rows=160, columns=128), folder)
    rows = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    rows = rows[rows["view"] == "CC"]
    rows.to_csv(manifest, index=False)
    rows.drop(columns="mask_path").to_csv(folder / "bare.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """The folder of a run of the study without masks."""
    _cemrad("run", _study(folder), "-o", folder / "out")
    return folder / "out"


def _take_drawn(run, output, name="enhancement"):
    """Put the run's drawn masks into another output folder: drawing there goes on where it was."""
    drawn = _drawn(run)
    shutil.copytree(drawn, output / "drawn_masks" / drawn.name.replace("enhancement", name))
    return output


@pytest.fixture
def mine(run, tmp_path):
    """A copy of the run that a test may change."""
    shutil.copytree(run, tmp_path / "out")
    return tmp_path / "out"


def test_images_alone_become_a_report_that_says_who_drew(run):
    n = len(MaskFolder.open(_drawn(run)).rows)
    told = Result.load(run).provenance["masks"]["used"]
    assert told["sources"] == {"automatic": n}
    assert (told["drawer"]["source"], told["folder"]) == ("enhancement", _drawn(run).name)
    record = json.loads((run / "run.json").read_text())["masks"]
    assert record["used"] == told
    assert (run / record["folder"]).samefile(_drawn(run))
    text = _section(run / "report.html")
    assert f"{n} of {n} masks were drawn automatically by enhancement." in text
    assert "How good its masks are is not known" in text
    assert "cemrad masks review" in text
    assert "Dice" not in text
    assert "masks that enhancement drew, and no reader looked at" in (run / "report.html").read_text()


def test_without_a_drawer_the_check_says_that_there_are_no_masks(folder):
    output = _cemrad("check", _study(folder, "undrawn.yaml", masks=None), "--no-decode")
    assert "pictures without a mask, as the table has no column mask_path" in output


def test_a_run_goes_on_with_masks_that_are_there(folder, run, tmp_path):
    """Of `cemrad masks draw` with the same output, or of a run that was interrupted while it drew."""
    output = _take_drawn(run, tmp_path / "out")
    before = _times(_drawn(output))
    _cemrad("extract", _study(folder), "-o", output)
    assert _times(_drawn(output)) == before


def test_a_second_run_draws_nothing_again(folder, mine):
    before = _times(_drawn(mine))
    _cemrad("run", _study(folder), "-o", mine)
    assert _times(_drawn(mine)) == before
    assert json.loads((mine / "run.json").read_text())["effort"]["units_computed"] == 0


def test_a_run_is_reopened_with_the_masks_that_it_measured(run, mine, tmp_path):
    before = _times(_drawn(mine))
    _cemrad("evaluate", mine, "-s", "evaluation.seed=3")
    assert _times(_drawn(mine)) == before
    assert Result.load(mine).provenance["masks"] == Result.load(run).provenance["masks"]
    _cemrad("evaluate", mine, "-o", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "drawn_masks").exists()
    assert _section(tmp_path / "elsewhere" / "report.html") == _section(run / "report.html")


def test_a_readers_verdict_is_honoured_by_the_next_run(folder, mine):
    drawn = _drawn(mine)
    place = next(iter(MaskFolder.open(drawn).rows))
    (drawn / "review.csv").write_text(f"case_id,picture,region,verdict\n{place[0]},{place[1]},,reject\n")
    with pytest.raises(StudyError, match="verdicts on them, were changed after the features were extracted"):
        _cemrad("evaluate", mine)
    before = _times(drawn)
    _cemrad("run", _study(folder), "-o", mine)
    assert _times(drawn) == before
    found = Result.load(mine)
    assert found.provenance["masks"]["used"]["sources"]["none"] == 1
    rejected = found.failures[found.failures["code"] == "mask.rejected"]
    assert list(zip(rejected["case_id"], rejected["picture"], strict=True)) == [place]
    assert "1 picture has no mask" in _section(mine / "report.html")
    _cemrad("evaluate", mine)


def test_other_settings_draw_into_another_folder(folder, mine):
    first = _drawn(mine)
    (first / "review.csv").write_text("case_id,picture,region,verdict\n")
    _cemrad("masks", "draw", _study(folder), "-o", mine, "-s", "masks.lesions=best")
    folders = sorted((mine / "drawn_masks").iterdir())
    assert len(folders) == 2
    assert first in folders
    assert (first / "review.csv").is_file()


def test_where_readers_drew_too_the_report_says_how_good_the_masks_are(folder, run, tmp_path):
    _take_drawn(run, tmp_path / "out")
    study = _study(
        folder, "all.yaml",
        cohort={"reader": "manifest", "path": "manifest.csv"},
        masks={"source": "enhancement", "pictures": "all"},
    )  # fmt: skip
    _cemrad("run", study, "-o", tmp_path / "out")
    found = Result.load(tmp_path / "out")
    summary = found.tables["mask_summary"].query("metric == 'dice' and counted == 'all' and view == ''")
    text = _section(tmp_path / "out" / "report.html")
    assert set(summary["masks"]) == {"enhancement"}
    assert "Overlap with the manual masks" in text
    assert "is not known" not in text
    assert summary.set_index("image_type").loc["RC", "mean"] > 0.3
    for row in summary.itertuples():
        assert f"enhancement {IMAGE_TYPES[row.image_type]} {row.n} 0 {row.mean:.2f} [" in text


def test_new_cases_are_predicted_from_pictures_alone(folder, run, tmp_path):
    _take_drawn(run, tmp_path / "new")
    _cemrad("predict", run / "model" / "model.cemrad", _study(folder), "-o", tmp_path / "new")
    found = pd.read_csv(tmp_path / "new" / "predictions.csv")
    assert found["probability"].notna().all()


def test_the_masks_are_reviewed_and_exported(folder, mine, tmp_path):
    _cemrad("masks", "review", _study(folder), _drawn(mine))
    page = (_drawn(mine) / "review.html").read_text()
    assert "drawn by <bdi>enhancement</bdi>" in page
    study = _study(folder, masks={"folder": str(_drawn(mine))})
    _cemrad("masks", "export", study, "-o", tmp_path / "exported")
    back = open_source(tmp_path / "exported" / "manifest.csv", ())
    rows = pd.read_csv(tmp_path / "exported" / "manifest.csv", dtype=str)
    assert back.cohort.reader == "manifest"
    assert rows["mask_path"].notna().sum() == len(MaskFolder.open(_drawn(mine)).rows)


def test_shards_read_masks_that_were_drawn_before(folder, mine, tmp_path):
    study = open_source(_study(folder), (), output=str(tmp_path / "none"))
    with pytest.raises(StudyError, match="draw them first, with `cemrad masks draw`"):
        shard_study(study, Shard(1, 2))
    made = shard_study(open_source(_study(folder), (), output=str(mine)), Shard(1, 2))
    assert made.masks.source is None
    assert made.masks.folder.samefile(_drawn(mine))


ARMS = {"classic": {"source": "enhancement"}, "carried": {"source": "transferred"}}
WITH_MASKS = {"cohort": {"reader": "manifest", "path": "manifest.csv"}, "masks": None, "mask_arms": ARMS}


@pytest.fixture(scope="module")
def malignant(folder):
    """The same cohort, with malignant lesions only."""
    rows = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    rows.assign(malignancy="malignant").to_csv(folder / "malignant.csv", index=False)
    return {"reader": "manifest", "path": "malignant.csv"}


@pytest.mark.slow
def test_arms_of_masks_are_compared(folder, run, tmp_path):
    _take_drawn(run, tmp_path / "out", "classic")
    output = _cemrad("masks", "compare", _study(folder, "arms.yaml", **WITH_MASKS), "-o", tmp_path / "out")
    assert "classic" in output
    endpoints = Result.load(tmp_path / "out").tables["mask_endpoints"]
    assert set(endpoints["masks"]) == {"manual", "classic", "carried"}
    text = _section(tmp_path / "out" / "report.html")
    assert "were carried over from the other picture of the view" in text
    assert "by enhancement" in text


@pytest.mark.parametrize("endpoints", [pytest.param("none named", marks=pytest.mark.slow), "one class only"])
def test_masks_are_compared_without_an_endpoint_and_the_report_says_why(folder, malignant, run, tmp_path, endpoints):
    _take_drawn(run, tmp_path / "out", "classic")
    changes = {"endpoints": []} if endpoints == "none named" else {"cohort": malignant}
    _cemrad("masks", "compare", _study(folder, "arms.yaml", **WITH_MASKS | changes), "-o", tmp_path / "out")
    found = Result.load(tmp_path / "out")
    assert set(found.tables["mask_summary"]["masks"]) == {"classic", "carried"}
    assert set(found.tables["mask_agreement"]["masks"]) == {"classic", "carried"}
    assert found.tables["mask_endpoints"]["auc"].isna().all()
    text = _section(tmp_path / "out" / "report.html")
    assert "Agreement of features" in text
    if endpoints == "none named":
        assert "No endpoint is compared: the study names no endpoint." in text
    else:
        told = found.tables["mask_endpoints"]
        assert set(told["masks"]) == {"manual", "classic", "carried"}
        assert told["method"].str.startswith("not estimable: ").all()
        assert "patients of each class" in text


def test_masks_of_a_network_that_knows_none_of_the_patients_pass_the_audit(folder, tmp_path):
    save_network(tmp_path, 1, TrainingIds.of(["somebody else"]))
    changes = {"masks": {"source": "unet", "path": str(tmp_path), "device": "cpu"}}
    study = _study(folder, "unet.yaml", **changes, evaluation=STUDY["evaluation"] | {"audit": True})
    _cemrad("run", study, "-o", tmp_path / "out")
    found = Result.load(tmp_path / "out")
    (row,) = found.tables["audit"].query("check == 'automatic masks'").to_dict("records")
    assert row["state"] == "passed"
    assert f"{found.provenance['masks']['used']['sources']['automatic']} masks by 1 trained models" in row["text"]
    assert "by U-Net of cemrad masks train" in _section(tmp_path / "out" / "report.html")


def test_masks_of_a_model_that_had_seen_a_patient_are_a_leak(folder, mine, tmp_path):
    drawn = MaskFolder.open(_drawn(mine))
    ids = TrainingIds.of([next(iter(drawn.rows.values())).patient_id])
    for row in tuple(drawn.rows.values()):
        drawn.put(row, drawn.regions.get(row.place, ()), model=ids)
    drawn.save()
    study = open_source(_study(folder, "seen.yaml", masks={"folder": str(drawn.path)}), (), output=str(tmp_path / "o"))
    run = Run.start(study)
    table = run.extract()
    (check,) = unseen_masks(Audited(study, run.cohort, run.labels, table, Result.load(mine)))
    assert (check.check, check.state) == ("automatic masks", "failed")
    assert "by models that had seen persons whom they drew" in check.text
    with pytest.raises(LeakageError, match="mask"):
        run.evaluate()
