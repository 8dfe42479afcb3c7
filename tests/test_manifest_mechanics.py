"""Manifests: both spellings, every table format, ids as text, labels settled, nothing dropped."""

import gzip
import json

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from cemrad.features.case import PictureKey
from cemrad.features.errors import CohortError
from cemrad.features.settings import parse_settings
from cemrad.pipeline.cohorts import manifest, phantom
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.labels import count_labels
from cemrad.pipeline.masks.via import ViaMask

COLUMNS = [
    "patient_id",
    "lesion_id",
    "laterality",
    "view",
    "image_type",
    "image_path",
    "mask_path",
    "malignancy",
    "age",
]


@pytest.fixture
def folder(tmp_path):
    """Two pictures with masks, to be named by manifests."""
    rng = np.random.default_rng(3)
    mask = np.zeros((24, 20), np.uint8)
    mask[6:18, 5:15] = 255
    for name in ("le", "rc"):
        PIL.Image.fromarray(rng.integers(0, 255, (24, 20), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        PIL.Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
    return tmp_path


def _row(patient="007", lesion="1", side="L", view="CC", kind="LE", malignancy="benign", age="57", **more):
    name = "le" if kind == "LE" else "rc"
    values = [patient, lesion, side, view, kind, f"{name}.png", f"{name}_mask.png", malignancy, age]
    return dict(zip(COLUMNS, values, strict=True)) | more


def _read(folder, rows, name="manifest.csv", sep=",", **settings):
    pd.DataFrame(rows).to_csv(folder / name, index=False, sep=sep)
    return read(Settings(path=folder / name, **settings))


def test_a_written_phantom_is_read_back_whole(tmp_path):
    settings = phantom.Settings(n_patients=3, rows=128, columns=104)
    made = phantom.read(settings)
    found = read(Settings(path=phantom.write(settings, tmp_path / "phantom")))
    assert found.failures == ()
    assert [case.case_id for case in found.cases] == [case.case_id for case in made.cases]
    for ours, theirs in zip(found.cases, made.cases, strict=True):
        assert (ours.patient_id, ours.laterality, ours.lesion_id) == (
            theirs.patient_id, theirs.laterality, theirs.lesion_id,
        )  # fmt: skip
        assert ours.labels == theirs.labels
        assert ours.clinical == {name: theirs.clinical[name] for name in ("age", "density")}
        assert set(ours.pictures) == set(theirs.pictures)
        for key, picture in ours.pictures.items():
            image, expected = picture.image.read(), theirs.pictures[key].image.read()
            np.testing.assert_array_equal(image.pixels, expected.pixels)
            np.testing.assert_array_equal(picture.mask.read(image), theirs.pictures[key].mask.read(expected))


def test_rows_of_one_lesion_make_one_case(folder):
    cohort = _read(folder, [_row(), _row(kind="CM"), _row(side="right", kind="DM", view="mlo_2", site="A")])
    left, right = cohort.cases
    assert (left.case_id, left.patient_id, left.laterality) == ("007_L_1", "007", "L")
    assert set(left.pictures) == {PictureKey("LE", "CC"), PictureKey("RC", "CC")}
    assert (left.labels, left.clinical) == ({"malignancy": "benign"}, {"age": 57})
    assert set(right.pictures) == {PictureKey("LE", "MLO2")}
    assert right.info == {"site": "A"}
    assert cohort.counts == {"rows": 3, "cases": 2, "patients": 1, "breasts": 2, "images": 2}


@pytest.mark.parametrize("patient", ["007", "NA", "1e5", "None", "nan", "1.0", "TRUE", "ä,b;c", 'say "no"'])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet"])
def test_ids_are_text_in_every_format(folder, patient, suffix):
    frame = pd.DataFrame([_row(patient)])
    path = folder / f"manifest{suffix}"
    if suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    (case,) = read(Settings(path=path)).cases
    assert case.patient_id == patient
    assert case.clinical == {"age": 57}


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_line_ends_and_byte_order_marks(folder, sep, end, mark):
    lines = [sep.join(COLUMNS), sep.join(_row().values()), sep.join(_row(kind="RC").values()), sep * 8, ""]
    (folder / "m.csv").write_bytes((mark + end.join(lines)).encode())
    (case,) = read(Settings(path=folder / "m.csv")).cases
    assert (case.patient_id, len(case.pictures)) == ("007", 2)


def test_numbers_in_excel_and_parquet_stay_plain(folder):
    frame = pd.DataFrame([_row(7, age=57)])
    frame.to_excel(folder / "m.xlsx", index=False)
    frame.to_parquet(folder / "m.parquet")
    for name in ("m.xlsx", "m.parquet"):
        (case,) = read(Settings(path=folder / name)).cases
        assert (case.patient_id, case.clinical["age"]) == ("7", 57)


def test_the_spelling_of_pyradiomics(folder):
    rows = [{"Image": f"{name}.png", "Mask": f"{name}_mask.png", "Label": 255, "Site": "A"} for name in ("le", "rc")]
    cohort = _read(folder, rows)
    assert [case.case_id for case in cohort.cases] == ["le", "rc"]
    assert [case.patient_id for case in cohort.cases] == ["le", "rc"]
    assert all(set(case.pictures) == {PictureKey("IMG")} for case in cohort.cases)
    assert cohort.cases[0].info == {"Site": "A"}
    assert cohort.cases[0].pictures[PictureKey("IMG")].mask.label == 255
    assert [note.code for note in cohort.notes] == ["manifest.patient_per_row"]


@pytest.mark.parametrize("column", ["patient_id", "Patient", "PatientID", "ID"])
def test_a_column_of_patients_is_found(folder, column):
    rows = [{"Image": f"{name}.png", "Mask": f"{name}_mask.png", column: "x"} for name in ("le", "rc")]
    cohort = _read(folder, rows)
    assert {case.patient_id for case in cohort.cases} == {"x"}
    assert cohort.notes == ()


def test_several_labels_of_one_mask_are_several_cases(folder):
    rows = [{"Image": "le.png", "Mask": "le_mask.png", "Label": label, "patient_id": "x"} for label in (1, 2)]
    assert [case.case_id for case in _read(folder, rows).cases] == ["le_1", "le_2"]


def test_one_row_per_image_of_the_long_spelling(folder):
    cohort = _read(folder, [_row(), _row(kind="RC")], one_row_per="image")
    assert [case.case_id for case in cohort.cases] == ["le", "rc"]
    assert [case.info["image_type"] for case in cohort.cases] == ["LE", "RC"]
    assert {case.breast_id for case in cohort.cases} == {"007|L"}


def test_a_given_case_id_wins(folder):
    rows = [{"Image": "le.png", "Mask": "le_mask.png", "case_id": "my 1"}]
    assert _read(folder, rows).cases[0].case_id == "my 1"


def test_laterality_and_lesion_may_be_absent(folder):
    rows = [{"patient_id": "x", "image_type": "LE", "view": "", "image_path": "le.png", "mask_path": ""}]
    cohort = _read(folder, rows)
    assert cohort.cases[0].case_id == "x_1"
    assert cohort.cases[0].pictures[PictureKey("LE")].mask is None
    assert [note.code for note in cohort.notes] == ["manifest.no_mask"]


def test_the_most_severe_finding_wins_and_is_counted(folder):
    cohort = _read(folder, [_row(malignancy="normal"), _row(kind="RC", malignancy="Malignant")])
    assert cohort.cases[0].labels == {"malignancy": "malignant"}
    assert [(note.code, note.count, note.items) for note in cohort.notes] == [("label.severity", 1, ("007_L_1",))]


def test_other_labels_must_agree(folder):
    rows = [_row(malignancy="malignant", ER="positive"), _row(kind="RC", malignancy="malignant", ER="negative")]
    cohort = _read(folder, rows)
    assert cohort.cases[0].labels == {"malignancy": "malignant", "er": None}
    assert [(f.code, f.state) for f in cohort.failures] == [("label.conflict", "warned")]


def test_receptors_of_a_benign_lesion_are_left_out(folder):
    cohort = _read(folder, [_row(**{"HER2 status": "0", "Nodal status": "positive"})])
    assert cohort.cases[0].labels == {"malignancy": "benign", "her2": None, "nodal": "positive"}
    assert [f.code for f in cohort.failures] == ["label.needs_cancer"]


def test_labels_and_clinical_values_by_name(folder):
    row = _row(outcome="1", weight="70.5", **{"Patient Age": "58"})
    (case,) = _read(folder, [row], labels=("outcome",), clinical=("weight",)).cases
    assert case.labels == {"outcome": 1, "malignancy": "benign"}
    assert case.clinical == {"weight": 70.5}
    assert case.info == {"age": "57", "Patient Age": "58"}


@pytest.mark.parametrize(
    ("columns", "message"), [({"labels": ("outcom",)}, "outcome"), ({"clinical": ("agee",)}, "age")]
)
def test_a_named_column_that_is_not_there(folder, columns, message):
    with pytest.raises(CohortError, match=f"did you mean '{message}'"):
        _read(folder, [_row(outcome="1")], **columns)


def test_two_columns_of_one_label(folder):
    row = _row(pathology="malignant")
    with pytest.raises(CohortError, match=r"'malignancy'.*'pathology'|'pathology'.*'malignancy'"):
        _read(folder, [row])
    assert _read(folder, [row], labels=("pathology",)).cases[0].labels == {"malignancy": "malignant"}


def test_levels_count_disagreements(folder):
    rows = [_row(), _row(lesion="2", malignancy="malignant"), _row(side="R", malignancy="")]
    found = {level.level: level for level in count_labels(_read(folder, rows).cases)}
    assert found["lesion"].values == {"benign": 1, "malignant": 1}
    assert (found["lesion"].missing, found["breast"].missing, found["patient"].missing) == (1, 1, 0)
    assert (found["breast"].values, found["breast"].mixed) == ({"malignant": 1}, 1)
    assert (found["patient"].values, found["patient"].mixed) == ({"malignant": 1}, 1)


def test_masks_may_be_contours(folder):
    attributes = {"name": "circle", "cx": 10, "cy": 12, "r": 5}
    entry = {"filename": "le.png", "size": 1, "regions": [{"shape_attributes": attributes}]}
    (folder / "via.json").write_text(json.dumps({"le.png1": entry}), encoding="utf-8")
    cohort = _read(folder, [_row(mask_path="via.json"), _row(kind="RC", mask_path="via.json")])
    (case,) = cohort.cases
    ((key, picture),) = case.pictures.items()
    assert (key, type(picture.mask)) == (PictureKey("LE", "CC"), ViaMask)
    assert picture.mask.read(picture.image.read()).sum() == pytest.approx(np.pi * 25, rel=0.05)
    assert [(f.code, f.picture) for f in cohort.failures] == [("mask.missing", "RC_CC")]


def test_a_root_may_be_named(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "le.png").rename(elsewhere / "le.png")
    row = _row(image_path="le.png")
    assert [f.code for f in _read(folder, [row]).failures] == ["file.missing"]
    assert _read(folder, [row], root=elsewhere).failures == ()
    row = _row(image_path=str(elsewhere / "le.png"))
    assert [f.code for f in _read(folder, [row]).failures] == ["path.outside_root"]
    assert _read(folder, [row], root=elsewhere).failures == ()


def test_backslashes_are_separators(folder):
    (folder / "images").mkdir()
    (folder / "le.png").rename(folder / "images" / "le.png")
    assert _read(folder, [_row(image_path="images\\le.png")]).failures == ()


def test_a_lesion_with_and_without_a_side_is_said(folder):
    cohort = _read(folder, [_row(), _row(kind="RC", side="")])
    assert [case.case_id for case in cohort.cases] == ["007_L_1", "007_1"]
    assert [(note.code, note.items) for note in cohort.notes] == [("manifest.laterality_blank", ("007_1",))]


def test_a_case_id_that_lesions_do_not_need_is_kept(folder):
    cohort = _read(folder, [_row(case_id="C9"), _row(kind="RC", case_id="C9")])
    assert cohort.cases[0].info == {"manifest_case_id": "C9"}
    assert "case_id" not in cohort.case_frame()  # the name of the index in every file


def test_a_link_keeps_its_own_name(folder):
    (folder / "le.png").rename(folder / "blob")
    (folder / "le.png").symlink_to(folder / "blob")
    (case,) = _read(folder, [_row()]).cases
    (picture,) = case.pictures.values()
    assert picture.image.path == folder.resolve() / "le.png"
    assert picture.image.read().shape == (24, 20)


@pytest.mark.parametrize(("patient", "ids"), [("ID", ["a_le", "b_le"]), ("", ["P1_le", "P2_le"])])
def test_files_of_one_name_in_several_folders_are_several_cases(folder, patient, ids):
    rows = []
    for sub, name, file in (("P1", "a", "le"), ("P2", "b", "rc")):
        (folder / sub).mkdir()
        (folder / sub / "le.png").write_bytes((folder / f"{file}.png").read_bytes())
        rows.append({"Image": f"{sub}/le.png", "Mask": f"{file}_mask.png"} | ({patient: name} if patient else {}))
    cohort = _read(folder, rows)
    assert [case.case_id for case in cohort.cases] == ids
    assert cohort.failures == ()


def test_an_error_value_of_excel_is_an_empty_cell(folder):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    book.active.append([*list(_row().values())[:-1], "#N/A"])
    book.active["I2"].data_type = "e"
    book.save(folder / "m.xlsx")
    (case,) = read(Settings(path=folder / "m.xlsx")).cases
    assert case.clinical == {"age": None}


def test_a_damaged_archive_is_no_table(folder):
    content = bytearray(gzip.compress(b"patient_id,image_path\n" * 500))
    content[14:24] = b"\xff" * 10
    (folder / "m.csv.gz").write_bytes(content)
    with pytest.raises(CohortError, match=r"m\.csv\.gz: cannot be unpacked"):
        read(Settings(path=folder / "m.csv.gz"))


def test_settings_refuse_unknown_keys():
    from cemrad.features.errors import StudyError

    with pytest.raises(StudyError, match="did you mean 'one_row_per'"):
        parse_settings(manifest.Settings, {"path": "x.csv", "one_row": "image"}, where="study: cohort")
