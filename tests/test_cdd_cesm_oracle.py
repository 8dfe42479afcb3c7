"""CDD-CESM's own tables: every count that was taken from them by other means, and a join that loses nothing."""

import pytest
from cemrad.pipeline.cdd_cesm_notes import copied_shift
from cemrad.pipeline.cdd_cesm_tables import by_breast, pairs, read_tables
from cemrad.pipeline.cohorts.cdd_cesm import Settings, read
from cemrad.pipeline.labels import count_labels

COUNTS = {
    "images": 2006,
    "patients": 326,
    "breasts": 566,
    "pairs": 1003,
    "regions": 2971,
    "images_with_regions": 1233,
    "regions_polygon": 2028,
    "regions_ellipse": 598,
    "regions_circle": 331,
    "regions_polyline": 10,
    "regions_point": 4,
}

# Counted on the published tables with other code; two are also stated in the data set's own notes.
NOTES = {
    "name.padded": 5,
    "name.type_spelling": 1003,
    "view.second": 4,
    "birads.composite": 81,
    "birads.parts": 28,
    "label.pair": 83,
    "label.breast": 50,
    "label.patient": 58,
    "label.malignant_birads_1": 19,
    "label.malignant_birads_2": 9,
    "label.normal_birads_6": 6,
    "contour.negative": 9,
    "contour.polyline": 10,
    "contour.point": 4,
    "contour.normal": 8,
    "contour.missing_malignant": 11,
    "contour.missing": 24,
    "contour.shifted": 255,
    "spacing.none": 2006,
    "image.none": 2006,
}


@pytest.fixture(scope="module")
def folder(realdata):
    return realdata / "cdd-cesm" / "tables"


@pytest.fixture(scope="module")
def cohort(folder):
    return read(Settings(path=folder))


@pytest.fixture(scope="module")
def tables(folder):
    return read_tables(folder)


def test_counts(cohort):
    assert {name: cohort.counts[name] for name in COUNTS} == COUNTS


@pytest.mark.parametrize("code", NOTES)
def test_every_exception_is_counted_and_named(cohort, code):
    (note,) = [note for note in cohort.notes if note.code == code]
    assert note.count == NOTES[code]
    assert len(note.items) in (0, note.count)
    assert note.items or code in ("spacing.none", "image.none")


def test_names_that_are_known(cohort):
    items = {note.code: note.items for note in cohort.notes}
    assert set(items["name.padded"]) == {"P3_L_CM_CC", "P4_L_DM_MLO", "P4_L_CM_MLO", "P10_R_DM_CC", "P10_R_DM_MLO"}
    assert set(items["view.second"]) == {"P99_L_DM_MLO_2", "P99_L_CM_MLO_2", "P281_L_DM_MLO2", "P281_L_CM_MLO2"}
    assert {name.rsplit("_", 2)[0] for name in items["contour.normal"]} == {"P138_L", "P140_L", "P156_L", "P201_R"}


def test_the_drawing_style_warning(cohort):
    (note,) = [note for note in cohort.notes if note.code == "contour.style"]
    assert "WARNING" in note.text
    assert 0.96 <= float(note.text.split("AUC of ")[1].split(":")[0]) <= 0.98


def test_shifts_between_low_energy_and_recombined(cohort, tables):
    (note,) = [note for note in cohort.notes if note.code == "contour.shifted"]
    assert "of 532 " in note.text
    assert "277 are aligned" in note.text
    contours = tables.contours
    assert copied_shift(contours["P6_L_DM_MLO"].regions, contours["P6_L_CM_MLO"].regions) == (-82, 96)


def test_nothing_is_lost_in_a_join(tables, cohort):
    names = [annotation.name for annotation in tables.annotations]
    assert len(set(names)) == len(names) == 2006
    assert sum(map(len, by_breast(tables.annotations).values())) == 2006
    assert 2 * len(pairs(tables.annotations)) == 2006
    counts = cohort.counts
    assert counts["contours_matched"] + counts["contours_unmatched"] == counts["images_with_regions"]
    assert counts["contours_matched"] + counts["images_without_regions"] == counts["images"]
    assert counts["contours_unmatched"] == 0
    assert counts["files_matched"] + counts["files_missing"] == counts["images"]
    assert tables.failures == ()
    assert all(annotation.agrees for annotation in tables.annotations)


def test_labels_by_level(cohort):
    found = {level.level: level for level in count_labels(cohort.cases)}
    assert found["breast"].values == {"benign": 194, "normal": 189, "malignant": 183}
    assert found["patient"].values == {"malignant": 179, "benign": 105, "normal": 42}


def test_labels_by_image(folder):
    by_image = read(Settings(path=folder, one_row_per="image"))
    assert len(by_image.cases) == 2006
    (lesion,) = [level for level in count_labels(by_image.cases) if level.level == "lesion"]
    assert lesion.values == {"normal": 757, "malignant": 662, "benign": 587}


def test_density_is_known_for_every_breast_that_states_one(tables, cohort):
    stated = {annotation.breast for annotation in tables.annotations if annotation.density}
    known = {case.case_id for case in cohort.cases if case.clinical["density"] is not None}
    assert known == stated
    assert {case.clinical["age"] is not None for case in cohort.cases} == {True}


def test_the_four_originals(realdata, tmp_path):
    for name in ("tables", "original-p40"):
        for source in (realdata / "cdd-cesm" / name).iterdir():
            (tmp_path / source.name).symlink_to(source)
    found = read(Settings(path=tmp_path))
    assert [case.case_id for case in found.cases] == ["P40_R", "P40_L"]
    assert all(sorted(key.name for key in case.pictures) == ["LE_MLO", "RC_MLO"] for case in found.cases)
    assert found.counts["files_matched"] == 4
    missing = [failure for failure in found.failures if failure.code == "file.missing"]
    assert len(missing) == len(found.failures) == 2006 - 4
    assert len({failure.case_id for failure in missing}) == 566
    assert {failure.case_id for failure in missing} >= {"P40_R", "P1_L"}


def test_resized_pictures_are_refused(realdata):
    """The 512-pixel copies bear the names of the originals, and the contours do not fit them."""
    found = read(Settings(path=realdata / "cdd-cesm"))
    assert [case.case_id for case in found.cases] == ["P40_R", "P40_L"]
    (note,) = [note for note in found.notes if note.code == "image.not_original"]
    assert note.count == 317
    assert sum(failure.code == "image.not_original" for failure in found.failures) == 317
