"""Pre-flight: what is told of a cohort, which exit code it ends with, and which reader a path gets."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask
from cemrad.models.targets.malignancy import TARGET
from cemrad.pipeline.check import check, detect
from cemrad.pipeline.cli import app
from cemrad.pipeline.cohort import Cohort, Note
from cemrad.pipeline.cohorts import SHELF, phantom
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.labels import is_malignant, settle, settle_all
from cemrad.pipeline.run import exit_code
from typer.testing import CliRunner

PIXELS = np.arange(900, dtype=np.uint16).reshape(30, 30)
MASK = np.zeros((30, 30), bool)
MASK[5:20, 5:20] = True


def _case(name, *, pixels=PIXELS, mask=MASK, malignancy="benign", side="L", keys=("LE_CC", "RC_CC")):
    picture = Picture(ArrayImage(pixels), None if mask is None else ArrayMask(mask))
    pictures = {PictureKey.parse(key): picture for key in keys}
    return Case(name, name.split("_")[0], side, pictures=pictures, labels={"malignancy": malignancy})


def test_what_is_told_of_a_phantom():
    cohort = phantom.read(phantom.Settings(n_patients=4))
    report = check(cohort)
    assert report.exit_code == 0
    assert report.usable == len(cohort.cases)
    assert report.groups["patients"] == 4
    assert "PHANTOM" in report.lines()[0]
    assert len(report.pictures) == sum(len(case.pictures) for case in cohort.cases)
    assert all(fact.mask_area_px > 0 for fact in report.pictures)
    assert json.loads(json.dumps(report.as_dict()))["usable"] == report.usable


def test_groups_pairs_and_labels():
    cases = (
        _case("a_1"),
        _case("a_2", malignancy="malignant", keys=("LE_CC",)),
        _case("b_1", side="R", keys=("RC_MLO",)),
    )
    report = check(Cohort("c", cases))
    assert report.groups["most cases of one patient"] == 2
    assert report.pairs == {"low energy and recombined": 1, "only LE": 1, "only RC": 1}
    assert report.events == {"malignancy": 1}
    text = "\n".join(report.lines())
    assert "malignancy by patient: malignant 1, benign 1; missing 0, mixed 1" in text
    assert "3 of 3 cases have a picture and mask that can be read" in text


def test_a_failure_is_told_once_with_its_reason_and_code():
    cases = (_case("a"), _case("b", mask=np.zeros((30, 30), bool)), _case("c", mask=MASK[:-1]), _case("d", mask=None))
    report = check(Cohort("c", cases))
    told = {(f.case_id, f.code) for f in report.failures}
    assert told == {("b", "mask.empty"), ("c", "geometry.size"), ("d", "mask.missing")}
    assert len(report.failures) == 6  # each of a case's two pictures
    assert report.exit_code == 3
    assert report.usable == 1
    assert report.groups["pictures without a mask"] == 2
    assert any("mask.empty" in line for line in report.lines())


def test_nothing_left_is_exit_code_4():
    assert check(Cohort("c", (_case("a", mask=np.zeros((30, 30), bool)),))).exit_code == 4


TWO_PARTS = MASK.copy()
TWO_PARTS[24:28, 24:28] = True
SMALL = np.zeros((30, 30), bool)
SMALL[5:11, 5:11] = True
FLAT_LESION = np.where(MASK, 7, PIXELS)
FAMILIES = {
    "radiomics": {"parameters": {"featureClass": {"firstorder": ["Mean"]}}},
    "deep": {"weights": "random", "size": 32},
}
HANDCRAFTED = {"families": {"radiomics": FAMILIES["radiomics"]}}
PREDICTED = {
    "nothing amiss": ({}, {}, [], 0),
    "no mask": ({"mask": None}, {}, ["mask.missing"], 4),
    "empty mask": ({"mask": np.zeros((30, 30), bool)}, {}, ["mask.empty"], 4),
    "small mask": ({"mask": SMALL}, {}, ["mask.too_small"], 4),
    "small mask, by rules that allow it": ({"mask": SMALL}, {"mask_rules": {"min_area_px": 4}}, [], 0),
    "two parts": ({"mask": TWO_PARTS}, {}, ["mask.components"], 0),
    "full mask": ({"mask": np.ones((30, 30), bool)}, {}, ["mask.full_image"], 0),
    "flat lesion": ({"pixels": FLAT_LESION}, {}, ["roi.constant"], 3),
    "flat lesion, radiomics only": ({"pixels": FLAT_LESION}, HANDCRAFTED, ["roi.constant"], 4),
    "flat lesion, deep only": ({"pixels": FLAT_LESION}, {"families": {"deep": FAMILIES["deep"]}}, [], 0),
    "flat picture": ({"pixels": np.full((30, 30), 7)}, {}, ["roi.constant", "image.constant"], 4),
}


@pytest.mark.parametrize(("change", "study", "codes", "code"), PREDICTED.values(), ids=PREDICTED)
def test_check_predicts_extract(change, study, codes, code):
    cohort = Cohort("c", (_case("a", keys=("LE_CC",), **change),))
    settings = FeatureSettings.model_validate({"families": FAMILIES} | study)
    report, table = check(cohort, settings), extract(cohort, settings)
    assert [f.code for f in report.failures] == codes
    assert [asdict(f) for f in report.failures] == table.failures.to_dict("records")
    assert report.exit_code == exit_code(table) == code


def test_check_predicts_extract_where_only_some_cases_fail():
    cases = (_case("a", keys=("LE_CC",)), _case("b", mask=None, keys=("LE_CC",)))
    settings = FeatureSettings.model_validate({"families": FAMILIES})
    assert check(Cohort("c", cases), settings).exit_code == exit_code(extract(Cohort("c", cases), settings)) == 3


def test_a_clinical_value_that_is_no_number_is_told_before_extraction():
    cases = tuple(replace(_case(name), clinical={"age": age}) for name, age in (("a", 40), ("b", 50), ("c", "old")))
    settings = FeatureSettings.model_validate({"families": FAMILIES})
    report, table = check(Cohort("c", cases), settings), extract(Cohort("c", cases), settings)
    assert [f.code for f in report.failures] == table.failures["code"].tolist()
    assert report.exit_code == exit_code(table)
    assert check(Cohort("c", cases), FeatureSettings(clinical=False)).failures == ()


def test_without_decoding_no_pixel_is_read():
    class Refuses:
        def read(self):
            raise AssertionError("read")

    cohort = Cohort("c", (Case("a", "a", pictures={PictureKey("LE", "CC"): Picture(Refuses())}),))
    report = check(cohort, decode=False)
    assert (report.pictures, report.usable, report.exit_code) == ((), 1, 0)


def test_long_lists_are_cut_on_the_terminal_and_whole_in_json():
    names = tuple(f"case{k}" for k in range(40))
    report = check(Cohort("c", (_case("a"),), notes=(Note("some.note", "things", 40, names),)))
    assert any("and 32 more" in line for line in report.lines())
    assert report.as_dict()["notes"][0]["items"] == list(names)


def test_the_real_tables_are_told_with_their_counts(realdata):
    reader, settings = detect(realdata / "cdd-cesm" / "tables")
    assert reader == "cdd_cesm"
    part = SHELF.take(reader)
    report = check(part.read(part.Settings(**settings)))
    text = "\n".join(report.lines())
    for fact in (
        "2006  images",
        "326  patients",
        "566  breasts",
        "1003  pairs",
        "2971  regions",
        "1233  images_with_regions",
    ):
        assert fact in text
    for note in report.cohort.notes:
        assert note.code in text
    assert "P99_L_DM_MLO_2" in text
    assert not [word for word in text.replace("_", " ").split() if word in ("mm", "cm")]
    assert report.exit_code == 0


def test_failures_of_a_given_table_are_told(tmp_path):
    (tmp_path / "t.csv").write_text("case_id,a\nx,inf\ny,2\n", encoding="utf-8")
    reader, settings = detect(tmp_path / "t.csv")
    part = SHELF.take(reader)
    report = check(part.read(part.Settings(**settings)))
    assert (reader, report.exit_code, report.usable) == ("table", 3, 2)
    assert [f.code for f in report.failures] == ["feature.infinite"]


def test_which_reader_a_path_gets(tmp_path):
    PIL.Image.fromarray(PIXELS).save(tmp_path / "a.png")
    pd.DataFrame({"Image": ["a.png"], "Mask": ["a.png"]}).to_csv(tmp_path / "manifest.csv", index=False)
    pd.DataFrame({"case_id": ["a"], "entropy": [1]}).to_csv(tmp_path / "features.csv", index=False)
    assert detect(tmp_path / "manifest.csv") == ("manifest", {"path": str(tmp_path / "manifest.csv")})
    assert detect(tmp_path / "features.csv")[0] == "table"
    assert detect(tmp_path)[0] == "manifest"


@pytest.mark.parametrize("name", ["", "image.png", "bad.csv"])
def test_a_path_that_fits_no_reader(tmp_path, name):
    (tmp_path / "image.png").write_bytes(b"x")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError):
        detect(tmp_path / name)


@pytest.mark.parametrize(
    ("positive", "negative"), [("positive", "negative"), ("yes", "no"), (1, 0), ("cancer", "normal"), ("true", "-")]
)
def test_words_of_the_malignancy_target_mean_the_same_here(positive, negative):
    cases = (_case("a_1", malignancy=negative), _case("a_2", malignancy=positive), _case("b_1", malignancy=negative))
    report = check(Cohort("c", cases), decode=False)
    assert report.events == {"malignancy": 1}
    (patients,) = [level for level in report.labels if level.level == "patient"]
    assert patients.values == {str(positive): 1, str(negative): 1}
    assert settle_all({"malignancy": [negative], "er": [1]})[1] == {"er": "label.needs_cancer"}


def test_every_word_that_the_malignancy_target_accepts_has_a_severity():
    for word, truth in TARGET.words.items():
        assert is_malignant(word) is bool(truth)
        assert settle("malignancy", [word, "malignant"]).conflict is False
    assert settle("malignancy", ["B3", "malignant"]).conflict


def test_a_finding_that_no_target_reads_is_on_neither_side():
    cases = (_case("a", malignancy="B3"), _case("b", malignancy="malignant"))
    assert check(Cohort("c", cases), decode=False).events == {"malignancy": 0}


@pytest.fixture
def study_file(tmp_path):
    """A study of two pictures, one of them without a mask, whose rules allow the other's 36 pixels."""
    PIL.Image.fromarray(PIXELS).save(tmp_path / "a.png")
    PIL.Image.fromarray(SMALL.astype(np.uint8)).save(tmp_path / "m.png")
    rows = [{"case_id": "a", "image": "a.png", "mask": "m.png"}, {"case_id": "b", "image": "a.png", "mask": ""}]
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "study.yaml").write_text(
        "schema_version: 1\ncohort: {reader: manifest, path: manifest.csv}\n"
        f"features: {{mask_rules: {{min_area_px: 4}}}}\noutput: {tmp_path / 'run'}\n",
        encoding="utf-8",
    )
    return tmp_path / "study.yaml"


def test_the_verb_check_takes_the_rules_of_the_study(study_file):
    done = CliRunner().invoke(app, ["check", str(study_file)])
    assert done.exit_code == 3
    assert "mask.too_small" not in done.output
    assert "failed mask.missing" in done.output
    assert "1 of 2 cases" in done.output
    assert (
        CliRunner().invoke(app, ["check", str(study_file), "-s", "features.mask_rules.min_area_px=64"]).exit_code == 4
    )


def test_the_verb_masks_counts_what_it_wrote(study_file):
    done = CliRunner().invoke(app, ["masks", "write", str(study_file)])
    assert done.exit_code == 0
    assert "1 masks, 1 pictures without one, 0 failures" in done.output
