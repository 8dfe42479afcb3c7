"""The stability stage: replicates of a cohort, failures as rows, what more perturbation does, and the command."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask
from cemrad.features.perturbation import parse_perturbation
from cemrad.features.table import FeatureTable, read_parquet
from cemrad.models.replicates import ORIGINAL, STABILITY_COLUMNS, Replicates
from cemrad.pipeline import cli
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.extract import FeatureSettings
from cemrad.pipeline.run import Run
from cemrad.pipeline.stability import SECOND, measure_again, measure_stability
from cemrad.pipeline.study import parse_study
from PIL import Image as PngImage

CLASSES = {
    "firstorder": ["Mean", "Entropy", "Energy"],
    "shape2D": ["MeshSurface", "Perimeter", "Sphericity"],
    "glcm": ["Contrast", "Correlation"],
}
FAMILIES = {"radiomics": {"parameters": {"setting": {"binCount": 16}, "featureClass": CLASSES}}}
SETTINGS = FeatureSettings(families=FAMILIES)
ONE_LESION = {"second_lesion_rate": 0.0}
SMALL = {"reader": "phantom", "n_patients": 6} | ONE_LESION


@pytest.fixture(scope="module")
def cohort():
    return phantom.read(phantom.Settings(n_patients=6, **ONE_LESION))


def again(cohort, *texts, **more):
    drawn = [how for text in texts for how in parse_perturbation(text)]
    return measure_again(cohort, SETTINGS, drawn, **more)


def icc(found):
    return found.stability.set_index("column")["icc"]


def study(folder, **more):
    values = {
        "schema_version": 1,
        "cohort": SMALL,
        "features": {"families": FAMILIES},
        "output": str(folder),
        "jobs": 1,
    }
    return parse_study(values | more)


def test_no_perturbation_is_perfect_agreement(cohort):
    found = again(cohort, "dilate:0px", "contour:0%*2", "shift:0px")
    assert found.replicates["replicate"].nunique() == 5
    assert found.exit_code == 0
    for name in ("icc", "low", "high"):
        assert (found.stability[name] == 1).all()


def test_more_perturbation_never_raises_the_median_agreement(cohort):
    for kind in ("contour", "dilate"):
        medians = [icc(again(cohort, f"{kind}:{amount}%")).median() for amount in (2, 8, 30)]
        assert medians[0] > medians[1] > medians[2]


def test_a_dilation_is_seen_by_shape(cohort):
    """A tenth further out: the area grows by 21 %, the mean grey value hardly moves."""
    frame = again(cohort, "dilate:10%").replicates
    found = {}
    for name in ("shape2D_MeshSurface", "firstorder_Mean"):
        column = f"radiomics:LE_CC:original_{name}"
        wide = frame.pivot_table(index="case_id", columns="replicate", values=column).dropna()
        found[name] = (wide["dilate:10%"] / wide[ORIGINAL]).to_numpy()
        assert len(wide) >= 4
    assert found["shape2D_MeshSurface"] == pytest.approx(1.21, abs=0.06)
    assert found["firstorder_Mean"] == pytest.approx(1, abs=0.1)


def test_replicates_do_not_depend_on_what_is_beside_them(cohort):
    one, many = again(cohort, "contour:10%"), again(cohort, "dilate:5%", "contour:10%")
    pd.testing.assert_frame_equal(
        one.replicates.query("replicate == 'contour:10%'").reset_index(drop=True),
        many.replicates.query("replicate == 'contour:10%'").reset_index(drop=True),
    )
    other = again(cohort, "contour:10%", seed=1)
    assert not other.replicates.equals(one.replicates)


def test_a_replicate_that_fails_is_a_row_with_its_reason(cohort):
    found = again(cohort, "erode:90%")
    assert found.exit_code == 3
    told = found.failures[found.failures["state"] == "failed"]
    assert set(told["replicate"]) == {"erode:90%"}
    assert set(told["code"]) <= {"mask.too_small", "mask.perturbed_away"}
    assert set(told["case_id"]) == {case.case_id for case in cohort.cases}
    values = found.replicates.query("replicate == 'erode:90%'").drop(columns=["case_id", "replicate"])
    assert values.isna().all(axis=None)
    assert (found.stability["n_cases"] == 0).all()
    assert found.stability["icc"].isna().all()


def test_a_second_reader_is_a_replicate(cohort):
    case = cohort.cases[0]
    others = again(cohort, second=cohort).replicates
    assert others["replicate"].unique().tolist() == [ORIGINAL, SECOND]
    assert (icc(again(cohort, second=cohort)) == 1).all()
    missing = Cohort("second", cohort.cases[1:])
    found = again(cohort, second=missing)
    assert set(found.failures.query("state == 'failed'")["code"]) == {"reader.case_missing"}
    assert set(found.failures.query("state == 'failed'")["case_id"]) == {case.case_id}
    stranger = Cohort("other", (Case("nobody", "p"),))
    with pytest.raises(StudyError, match="none of these cases: nobody there"):
        again(cohort, second=stranger)


def test_a_cohort_without_pictures_is_refused(make_table):
    table, _ = make_table(10)
    brought = Cohort("table", tuple(Case(name, name) for name in table.values.index), table=table)
    with pytest.raises(StudyError, match="brings a feature table and no pictures"):
        again(brought, "dilate:5%")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with its table, and the stability of its cases, made by the command line."""
    folder = tmp_path_factory.mktemp("stability") / "run"
    run = Run.start(study(folder))
    run.extract()
    code = command("stability", str(folder), "-p", "contour:10%*2", "-p", "erode:95%", "-j", "1")
    return folder, code


def command(*words):
    before, sys.argv = sys.argv, ["cemrad", *words]
    try:
        cli.app()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def test_the_command_writes_what_it_found(written):
    folder, code = written
    assert code == 3  # the erosion leaves too little
    out = folder / "stability"
    frame, stability = read_parquet(out / "replicates.parquet"), read_parquet(out / "table_stability.parquet")
    table = FeatureTable.load(folder)
    names = [ORIGINAL, "contour:10%#1", "contour:10%#2", "erode:95%"]
    assert frame["replicate"].unique().tolist() == names
    measured = table.columns_of("radiomics")
    assert frame.columns.tolist() == ["case_id", "replicate", *measured]
    original = frame.query(f"replicate == '{ORIGINAL}'").set_index("case_id")[measured]
    np.testing.assert_array_equal(original.to_numpy(), table.values[measured].to_numpy())
    Replicates.of(frame).require_of(table)
    assert stability.columns.tolist() == STABILITY_COLUMNS
    assert pd.read_csv(out / "stability.csv").columns.tolist() == STABILITY_COLUMNS
    failures = pd.read_csv(out / "failures.csv")
    assert {"mask.too_small", "mask.perturbed_away"} & set(failures["code"])
    record = json.loads((out / "stability.json").read_text())
    assert record["phantom"]
    assert [item["name"] for item in record["perturbations"]] == names[1:]


def test_what_is_there_already_is_not_computed_again(written):
    folder, _ = written
    out = folder / "stability"
    before = (out / "replicates.parquet").read_bytes()
    assert command("stability", str(folder), "-p", "contour:10%*2", "-p", "erode:95%", "-j", "1") == 3
    assert (out / "replicates.parquet").read_bytes() == before
    effort = json.loads((out / "stability.json").read_text())["effort"]
    n_pictures = sum(len(case.pictures) for case in phantom.read(phantom.Settings(n_patients=6, **ONE_LESION)).cases)
    assert effort["units_stored"] == 3 * n_pictures  # the originals' too: the store is the run's own
    assert effort["units_computed"] == n_pictures  # what failed is tried again


def test_a_run_evaluates_with_its_replicates(written, monkeypatch):
    folder, _ = written
    path = folder / "stability" / "replicates.parquet"
    stored = study(folder, evaluation={"stability": {"replicates": str(path)}})
    assert stored.evaluation.stability.replicates == path
    monkeypatch.chdir(folder)
    near = study(folder, evaluation={"stability": {"replicates": "stability/replicates.parquet"}})
    assert near.evaluation.stability.replicates == path
    missing = study(folder, evaluation={"stability": {"replicates": str(folder / "none.parquet")}})
    with pytest.raises(StudyError, match="not a table of replicates"):
        Run.reopen(missing, folder).train()


def test_a_folder_with_other_things_is_left_alone(cohort, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StudyError, match="not empty and not of an earlier"):
        measure_stability(study(tmp_path / "run"), tmp_path, perturbations=["dilate:5%"])
    with pytest.raises(StudyError, match="given twice: dilate:5%"):
        measure_stability(study(tmp_path / "run"), tmp_path / "out", perturbations=["dilate:5%", "dilate:5%"])


def test_real_lesions_agree_under_small_changes(realdata):
    """Ten lesions of CDD-CESM: an outline redrawn by 2 % of the radius changes less than one by 20 %."""
    folder = realdata / "cdd-cesm" / "pairs-512"
    if not folder.is_dir():
        pytest.skip("the real data hold no pairs-512")
    cases = []
    for path in sorted(folder.glob("images/*_CM_CC.jpg"))[:10]:
        pixels, mask = (
            np.asarray(PngImage.open(folder / part / path.name).convert("L")) for part in ("images", "masks")
        )
        picture = Picture(ArrayImage(pixels), ArrayMask(mask > 127))
        cases.append(Case(path.stem, path.stem, pictures={PictureKey("RC", "CC"): picture}))
    real = Cohort("real", tuple(cases))
    little, much = again(real, "contour:2%*2"), again(real, "contour:20%*2")
    assert (little.stability["n_cases"] >= 8).all()
    assert icc(little).median() > 0.9
    assert icc(little).median() > icc(much).median()
