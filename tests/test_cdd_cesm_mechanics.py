"""CDD-CESM as users keep it: names and layouts of folders, and tables that are not whole."""

import json

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from cemrad.features.case import PictureKey
from cemrad.features.errors import CohortError
from cemrad.pipeline.cdd_cesm_notes import copied_shift
from cemrad.pipeline.cohorts.cdd_cesm import Settings, read
from cemrad.pipeline.contour import Region

HEADER = [
    "Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings", "View", "Tags",
    "Machine", "Pathology Classification/ Follow up",
]  # fmt: skip
ROWS = [
    ["P1_L_DM_MLO", 1, "L", "DM", 46, "C", "4", "Distortion ", "MLO", "suspicious", 1, "Malignant"],
    ["P1_L_CM_MLO ", 1, "L", "CESM", 46, "_", "3$2", "Mass$Cyst", "MLO", "mass", 1, "Benign"],
    ["P1_L_DM_MLO_2", 1, "L", "DM", 46, "_", "4", "Distortion", "MLO", "suspicious", 1, "Malignant"],
    ["P2_R_DM_CC", 2, "R", "DM", 61, "B", "1", "Normal", "CC", "normal", 2, "Normal"],
    ["P2_R_CM_CC", 2, "R", "CESM", 61, "_", "1", "Normal", "CC", "normal", 2, "Normal"],
]
STEMS = [row[0].strip() for row in ROWS]
BOOK, CONTOURS = "Radiology-manual-annotations.xlsx", "Radiology_hand_drawn_segmentations_v2.csv"


def _book(path, rows=ROWS, header=HEADER):
    frame = pd.DataFrame(rows, columns=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
        return
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"x": [1]}).to_excel(writer, sheet_name="mass_description", index=False)
        frame.to_excel(writer, sheet_name="all", index=False)


def _contours(path, sizes=None):
    circle = json.dumps({"name": "circle", "cx": 30, "cy": 20, "r": 8})
    small = json.dumps({"name": "circle", "cx": 10, "cy": 10, "r": 4})
    rows = [("P1_L_DM_MLO", circle), ("P1_L_DM_MLO", small), ("P1_L_CM_MLO", circle)]
    frame = pd.DataFrame(
        [[f"{stem}.jpg", (sizes or {}).get(stem, 0), "{}", 1, 0, shape, "{}"] for stem, shape in rows],
        columns=["#filename", "file_size", "file_attributes", "region_count", "region_id",
                 "region_shape_attributes", "region_attributes"],
    )  # fmt: skip
    frame.to_csv(path, index=False)


def _images(folder, layout, stems=STEMS):
    """Images in a layout; the sizes of their files by stem."""
    sizes = {}
    for stem in stems:
        path = folder / layout(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.full((50, 60), 90, np.uint8)).save(path)
        sizes[stem] = path.stat().st_size
    return sizes


def _official(stem):
    kind = "Low energy" if "_DM_" in stem else "Subtracted"
    return f"{kind} images of CDD-CESM/{stem}.jpg"


LAYOUTS = {
    "official": _official,
    "below CDD-CESM": lambda stem: f"CDD-CESM/{_official(stem)}",
    "as downloaded": lambda stem: f"PKG - CDD-CESM/CDD-CESM/{_official(stem)}",
    "flat": lambda stem: f"images/{stem}.jpg",
    "blank before the ending": lambda stem: f"images/{stem} .jpg",
    "upper case ending": lambda stem: f"{stem}.JPG",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_images(tmp_path, layout):
    sizes = _images(tmp_path, LAYOUTS[layout])
    _book(tmp_path / BOOK)
    _contours(tmp_path / CONTOURS, sizes)
    cohort = read(Settings(path=tmp_path))
    assert cohort.failures == ()
    first, second = cohort.cases
    assert (first.case_id, first.patient_id, first.laterality, first.breast_id) == ("P1_L", "P1", "L", "P1|L")
    assert {key.name for key in first.pictures} == {"LE_MLO", "RC_MLO", "LE_MLO2"}
    assert first.labels == {"malignancy": "malignant"}
    assert first.clinical == {"age": 46, "density": "C"}
    assert first.info["birads"] == "4"
    assert second.labels == {"malignancy": "normal"}
    assert all(picture.mask is None for picture in second.pictures.values())
    picture = first.pictures[PictureKey("LE", "MLO")]
    area = picture.mask.read(picture.image.read()).sum()
    assert area == pytest.approx(np.pi * (64 + 16), rel=0.05)
    assert first.pictures[PictureKey("LE", "MLO2")].mask is None


@pytest.mark.parametrize(
    "name",
    [
        "Radiology-manual-annotations.xlsx",
        "Radiology manual annotations.xlsx",
        "Radiology_manual_annotations.xlsx",
        "sub/Radiology manual annotations (1).xlsx",
        "Radiology manual annotations.csv",
        "Radiology_manual_annotations_all.csv",
    ],
)
@pytest.mark.parametrize("contours", [CONTOURS, "Radiology_hand_drawn_segmentations.csv"])
def test_names_of_the_tables(tmp_path, name, contours):
    _book(tmp_path / name)
    _contours(tmp_path / contours)
    (tmp_path / "~$Radiology manual annotations.xlsx").write_bytes(b"a lock file")
    cohort = read(Settings(path=tmp_path))
    assert (cohort.counts["images"], cohort.counts["regions"]) == (5, 3)
    assert [case.pictures for case in cohort.cases] == [{}, {}]
    assert [note.code for note in cohort.notes if note.code.startswith("image.")] == ["image.none"]


def test_without_contours_no_note_speaks_of_them(tmp_path):
    _book(tmp_path / BOOK)
    cohort = read(Settings(path=tmp_path))
    assert cohort.counts["regions"] == 0
    assert not [note for note in cohort.notes if note.code.startswith("contour.")]


def test_masks_of_the_same_names_are_not_taken_for_images(tmp_path):
    sizes = _images(tmp_path, LAYOUTS["flat"])
    _images(tmp_path, lambda stem: f"masks/{stem}.jpg")
    _book(tmp_path / BOOK)
    _contours(tmp_path / CONTOURS, sizes)
    cohort = read(Settings(path=tmp_path))
    assert {p.image.path.parent.name for case in cohort.cases for p in case.pictures.values()} == {"images"}


def test_a_missing_image_is_one_failure_of_its_picture(tmp_path):
    sizes = _images(tmp_path, LAYOUTS["flat"], [stem for stem in STEMS if not stem.startswith("P2")][:-1])
    _book(tmp_path / BOOK)
    _contours(tmp_path / CONTOURS, sizes)
    cohort = read(Settings(path=tmp_path))
    assert [case.case_id for case in cohort.cases] == ["P1_L"]
    told = [(f.case_id, f.picture, f.code) for f in cohort.failures]
    assert told[0] == ("P1_L", "LE_MLO2", "file.missing")
    assert {(case_id, code) for case_id, _, code in told[1:]} == {("P2_R", "file.missing")}
    assert len(told) == len(set(told)) == 3
    assert "P1_L_DM_MLO_2" in cohort.failures[0].reason
    assert cohort.counts["files_missing"] == 3


def test_contours_stay_on_the_bytes_they_were_drawn_on(tmp_path):
    sizes = _images(tmp_path, LAYOUTS["flat"])
    _book(tmp_path / BOOK)
    _contours(tmp_path / CONTOURS, sizes | {"P1_L_CM_MLO": 123456})
    cohort = read(Settings(path=tmp_path))
    assert {key.name for key in cohort.cases[0].pictures} == {"LE_MLO", "LE_MLO2"}
    assert [(f.code, f.picture, f.state) for f in cohort.failures] == [("image.not_original", "RC_MLO", "failed")]
    allowed = read(Settings(path=tmp_path, accept_resaved=True))
    assert {key.name for key in allowed.cases[0].pictures} == {"LE_MLO", "RC_MLO", "LE_MLO2"}
    assert [(f.code, f.state) for f in allowed.failures] == [("image.not_original", "warned")]


def test_one_row_per_image_and_the_largest_region(tmp_path):
    sizes = _images(tmp_path, LAYOUTS["flat"])
    _book(tmp_path / BOOK)
    _contours(tmp_path / CONTOURS, sizes)
    cohort = read(Settings(path=tmp_path, one_row_per="image", regions="largest"))
    assert [case.case_id for case in cohort.cases] == STEMS
    assert [case.labels["malignancy"] for case in cohort.cases][:2] == ["malignant", "benign"]
    assert cohort.cases[1].clinical["density"] == "C"
    assert cohort.cases[1].info["birads"] == "3"
    picture = cohort.cases[0].pictures[PictureKey("IMG")]
    assert picture.mask.read(picture.image.read()).sum() == pytest.approx(np.pi * 64, rel=0.05)


def test_rows_that_cannot_be_used_are_failures(tmp_path):
    strange = [["P3_L_XX_CC", *ROWS[0][1:]], ["P3_L_DM_CC", *ROWS[0][1:-1], "Perhaps"]]
    _book(tmp_path / BOOK, [*ROWS, *strange])
    cohort = read(Settings(path=tmp_path))
    assert [f.code for f in cohort.failures] == ["image_name.unknown", "label.unknown"]
    assert cohort.counts["images"] == 5


def test_a_row_that_contradicts_its_name_is_noted(tmp_path):
    _book(tmp_path / BOOK, [*ROWS[:-1], ["P2_R_CM_CC", 2, "L", *ROWS[4][3:]]])
    (note,) = [note for note in read(Settings(path=tmp_path)).notes if note.code == "name.mismatch"]
    assert note.items == ("P2_R_CM_CC",)


def test_tables_that_are_something_else(tmp_path):
    with pytest.raises(CohortError, match="no CDD-CESM workbook"):
        read(Settings(path=tmp_path))
    _book(tmp_path / BOOK, header=["Image", *HEADER[1:]])
    with pytest.raises(CohortError, match="image_name"):
        read(Settings(path=tmp_path))
    _book(tmp_path / BOOK, [*ROWS, ROWS[0]])
    with pytest.raises(CohortError, match="P1_L_DM_MLO again"):
        read(Settings(path=tmp_path))


def test_a_shift_is_the_one_that_most_regions_share():
    def circles(*centres, r=5.0):
        return tuple(Region("circle", (float(x),), (float(y),), r, r) for x, y in centres)

    first = circles((10, 10), (40, 40), (80, 10))
    assert copied_shift(first, circles((13, 12), (43, 42), (80, 10))) == (3, 2)
    assert copied_shift(first, circles((10, 10), r=6.0)) is None
    assert copied_shift(circles((0, 0)), circles((5, 0), (-5, 0))) == (-5, 0)
