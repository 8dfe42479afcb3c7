"""The audit as a command and as part of every evaluation."""

import json

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.models.audit import AUDIT_COLUMNS
from cemrad.models.audit_study import Depth, lay_out_again
from cemrad.models.confounders import CONFOUNDER_COLUMNS
from cemrad.models.evaluate import evaluate
from cemrad.models.result import Result
from cemrad.pipeline import audit as audit_module
from cemrad.pipeline.cli import app
from typer.testing import CliRunner

LIGHT = [
    "-s", "evaluation.n_candidates=1", "-s", "evaluation.outer_folds=3", "-s", "evaluation.inner_folds=2",
    "-s", "evaluation.learner=logistic", "-s", "jobs=1",
]  # fmt: skip


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    malignant = np.arange(36) % 2
    frame = pd.DataFrame(rng.normal(size=(36, 25)), columns=[f"f{i}" for i in range(25)])
    frame["f0"] += 2 * malignant
    frame.insert(0, "case_id", [f"case{i}" for i in range(36)])
    frame["malignancy"] = np.where(malignant, "malignant", "benign")
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    monkeypatch.setattr(audit_module, "QUICK", Depth(n_folds=1, n_permutations=5, n_noise=2, n_views=2))


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_evaluation_is_audited_lightly_and_a_copy_fails_the_command(source, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    assert _run("evaluate", source, "-o", folder, *LIGHT).exit_code == 0
    light = Result.load(folder).tables
    assert list(light["audit"].columns) == AUDIT_COLUMNS
    assert list(light["confounders"].columns) == CONFOUNDER_COLUMNS
    assert set(light["audit"]["check"].head(2)) == {"row garbage", "duplicate person"}
    assert "Leak audit" in (folder / "report.html").read_text(encoding="utf-8")

    done = _run("audit", folder, *LIGHT)
    assert done.exit_code == 0, done.output
    written = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert written["depth"]["n_permutations"] == 5
    states = {row["check"]: row["state"] for row in written["audit"]}
    assert states["permuted labels"] == states["planted feature"] == "passed"
    assert states["shuffled voxels"] == "not applicable"
    assert {row["check"] for row in written["audit"]} == set(Result.load(folder).tables["audit"]["check"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Is anything found once the labels are shuffled among patients?" in page

    copied(source)
    monkeypatch.setattr(audit_module, "audit_endpoints", lambda *_, **__: [])
    done = _run("audit", source, "-o", tmp_path / "copied", *LIGHT)
    assert done.exit_code == 3
    copies = Result.load(tmp_path / "copied").tables["audit"].query("check == 'duplicate person'").iloc[0]
    assert copies["state"] == "failed"
    assert "'case4' and 'case9'" in copies["text"]
    assert "1 check failed" in (tmp_path / "copied" / "report.html").read_text(encoding="utf-8")


def copied(source):
    """One row of features under two ids."""
    frame = pd.read_csv(source)
    frame.loc[9, frame.columns[1:-1]] = frame.loc[4, frame.columns[1:-1]]
    frame.to_csv(source, index=False)


def test_the_audit_can_be_left_out(source, tmp_path):
    assert _run("evaluate", source, "-o", tmp_path / "run", "-s", "evaluation.audit=false", *LIGHT).exit_code == 0
    assert "audit" not in Result.load(tmp_path / "run").tables
    assert "This result was not audited" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_an_endpoint_that_was_not_evaluated_is_evaluated_before_it_is_audited(source, tmp_path):
    frame = pd.read_csv(source)
    frame.assign(relapse=np.roll(np.arange(36) // 2 % 2, 1)).to_csv(source, index=False)
    folder, more = tmp_path / "run", ["-s", "cohort.labels=[relapse]", "-s", "evaluation.audit=false"]
    assert _run("evaluate", source, "-e", "malignancy", "-o", folder, *more, *LIGHT).exit_code == 0
    done = _run("audit", folder, "-e", "relapse", *LIGHT, "-s", "evaluation.audit=false")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    assert set(Result.load(folder).endpoints) == {"relapse"}
    assert "relapse" in set(Result.load(folder).tables["audit"]["endpoint"])


def test_a_result_without_an_endpoint_is_not_audited_for_it(make_table, quick):
    settings = quick.model_copy(update={"arms": ("clinical",), "outer_folds": 3})
    table, labels = make_table(40, seed=2)
    result = evaluate(table, labels, ["malignancy"], settings)
    with pytest.raises(EvaluationError, match="nothing of endpoint er; evaluate it first"):
        lay_out_again(table, labels, ["malignancy", "er"], settings, result)


def test_another_output_folder_is_claimed_and_holds_the_table(source, tmp_path):
    run, mine, foreign = tmp_path / "run", tmp_path / "mine", tmp_path / "foreign"
    light = [*LIGHT, "-s", "evaluation.audit=false"]
    assert _run("evaluate", source, "-o", run, *light).exit_code == 0
    foreign.mkdir()
    for name in ("labels.csv", "report.html"):
        (foreign / name).write_text("mine", encoding="utf-8")
    assert _run("evaluate", run, "-o", foreign, *light).exit_code != 0
    assert {path.name: path.read_text("utf-8") for path in foreign.iterdir() if path.suffix} == {
        "labels.csv": "mine",
        "report.html": "mine",
    }
    assert _run("train", run, "-o", mine, *light).exit_code == 0
    for name in ("features.parquet", "labels.csv"):
        assert (mine / name).read_bytes() == (run / name).read_bytes()
    assert _run("evaluate", run, "-o", mine, *light).exit_code == 0
    assert not (mine / "model" / "model.cemrad").exists()  # a new run begins without what an earlier one made

    other = tmp_path / "other.csv"
    pd.read_csv(source).head(30).to_csv(other, index=False)
    assert _run("evaluate", other, "-o", tmp_path / "other", *light).exit_code == 0
    refused = _run("evaluate", run, "-o", tmp_path / "other", *light)
    assert "holds a run with another cohort" in f"{refused.exception} {refused.output}".replace("\n", " ")
