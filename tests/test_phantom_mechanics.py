"""The phantom cohort as a reader and a writer: counts, sizes, files, refusals."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import CohortError, StudyError
from cemrad.features.mask import MaskRules
from cemrad.features.settings import parse_settings
from cemrad.features.table import read_text_csv
from cemrad.pipeline.cohorts import phantom
from PIL import Image as PngImage


@pytest.fixture(scope="module")
def settings():
    return phantom.Settings(n_patients=5, seed=1, rows=200, columns=160, missing_view_rate=0.5)


@pytest.fixture(scope="module")
def folder(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    phantom.write(settings, folder)
    return folder


def test_counts_are_those_of_the_cases():
    cohort = phantom.read(phantom.Settings())
    images = {(c.breast_id, key) for c in cohort.cases for key in c.pictures}
    assert cohort.phantom
    assert cohort.counts == {
        "images": len(images),
        "patients": 60,
        "breasts": len({c.breast_id for c in cohort.cases}),
        "lesions": len(cohort.cases),
    }
    assert all(c.case_id == f"{c.patient_id}_{c.laterality}_{c.lesion_id}" for c in cohort.cases)


def test_truth_has_a_row_per_case():
    cohort, truth = phantom.read(phantom.Settings()), phantom.truth(phantom.Settings())
    assert truth.index.tolist() == [case.case_id for case in cohort.cases]
    stated = cohort.labels()["malignancy"] == "malignant"
    assert (truth["label_malignancy"] == stated).all()


def test_written_pixels_are_the_pixels(settings, folder):
    rows = read_text_csv(folder / "manifest.csv").set_index(
        ["patient_id", "laterality", "lesion_id", "image_type", "view"]
    )
    assert rows.index.is_unique
    n_pictures = 0
    for case in phantom.read(settings).cases:
        for key, picture in case.pictures.items():
            row = rows.loc[(case.patient_id, case.laterality, case.lesion_id, key.image_type, key.view)]
            image, mask = picture.read(MaskRules())
            stored = np.asarray(PngImage.open(folder / row["image_path"]))
            assert stored.dtype == np.uint16
            np.testing.assert_array_equal(stored, image.pixels)
            stored_mask = np.asarray(PngImage.open(folder / row["mask_path"]))
            assert set(np.unique(stored_mask)) == {0, 255}
            np.testing.assert_array_equal(stored_mask == 255, mask)
            n_pictures += 1
    assert len(rows) == n_pictures
    assert len(list((folder / "images").iterdir())) == phantom.read(settings).counts["images"]
    assert len(list((folder / "masks").iterdir())) == n_pictures


def test_written_values_are_the_values(settings, folder):
    rows = read_text_csv(folder / "manifest.csv")
    for case in phantom.read(settings).cases:
        mine = rows[(rows["patient_id"] == case.patient_id) & (rows["laterality"] == case.laterality)]
        row = mine[mine["lesion_id"] == case.lesion_id].iloc[0]
        for name, value in {**case.labels, **case.clinical, **case.info}.items():
            assert row[name] == ("" if value is None else str(value)), name


def test_written_truth_is_the_truth(settings, folder):
    stored = pd.read_csv(folder / "truth.csv", index_col="case_id")
    truth = phantom.truth(settings)
    assert stored.index.tolist() == truth.index.tolist()
    numbers = truth.columns.drop("patient_id")
    np.testing.assert_allclose(stored[numbers], truth[numbers].astype(float), rtol=1e-12)


def test_a_folder_in_use_is_refused(settings, folder):
    with pytest.raises(CohortError, match="not empty"):
        phantom.write(settings, folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_patient": 3}, "did you mean 'n_patients'"),
        ({"effects": {"depe": 0}}, "did you mean 'deep'"),
        ({"rows": 50}, "rows"),
        ({"prevalence": 1.0}, "prevalence"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(StudyError, match=message):
        parse_settings(phantom.Settings, values, where="study: cohort")


@pytest.mark.parametrize(("rows", "columns"), [(128, 96), (256, 256), (300, 201), (3000, 2400)])
def test_every_size_can_be_drawn(rows, columns):
    case = phantom.read(phantom.Settings(n_patients=1, rows=rows, columns=columns, missing_view_rate=0)).cases[0]
    key, picture = next(iter(case.pictures.items()))
    image, mask = picture.read(MaskRules(min_area_px=30))
    assert key.name == "LE_CC"
    assert image.shape == (rows, columns)
    share = mask.sum() / (np.pi * rows**2)  # of the square of the radius in rows
    assert 0.030**2 < share < 0.056**2


def test_a_patient_has_one_nodal_status():
    settings = phantom.Settings(n_patients=60, seed=11)
    cohort, drawn = phantom.read(settings), phantom.truth(settings)
    stated = cohort.labels()["nodal"].dropna()
    patient = drawn["patient_id"].loc[stated.index]
    assert stated.groupby(patient).nunique().eq(1).all()
    spread = drawn.groupby("patient_id")["label_nodal"].max()
    assert (stated == "positive").eq(patient.map(spread) == 1).all()
    assert (drawn["label_nodal"].loc[stated.index] != (stated == "positive")).any(), "no patient of two fates was drawn"
