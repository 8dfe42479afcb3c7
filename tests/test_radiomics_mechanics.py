"""The radiomics family: settings, parameter files, and what becomes of regions it cannot measure."""

import datetime
import json
import logging

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.families import radiomics
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.settings import parse_settings

KEY = PictureKey("RC", "CC")
FIRST_ORDER = {"featureClass": {"firstorder": None}}


def settings(**values):
    return parse_settings(radiomics.Settings, values, where="radiomics")


def disc(side=48, radius=12):
    rows, columns = np.ogrid[:side, :side]
    return (rows - side // 2) ** 2 + (columns - side // 2) ** 2 < radius**2


def noise(side=48, seed=0):
    return np.random.default_rng(seed).integers(0, 4096, (side, side)).astype(np.uint16)


def extract(pixels, mask, spacing_mm=None, **values):
    pictures = {KEY: Picture(ArrayImage(pixels, spacing_mm), None if mask is None else ArrayMask(mask))}
    family = radiomics.Family(settings(**values), MaskRules())
    (row,) = family.extract([Case("A", "P", pictures=pictures)])
    return row


def codes(row):
    return [(failure.stage, failure.code, failure.state) for failure in row.failures]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"presett": "cem-2d"}, "unknown key 'presett'; did you mean 'preset'"),
        ({"preset": "cem2d"}, "no radiomics preset 'cem2d'; did you mean 'cem-2d'"),
        ({"preset": "cem-2d", "parameters": FIRST_ORDER}, "give only one of preset, parameters"),
        ({"parameter_file": "absent.yaml"}, "absent.yaml: no such parameter file"),
        ({"parameters": {"featureClass": {"shape": None}}}, "asks for nothing that a 2-D image has"),
        ({"parameters": {"featureClass": {"glmc": None}}}, "pyradiomics refuses the parameters"),
        ({"parameters": {"imageTypes": {"Original": {}}}}, "pyradiomics refuses the parameters"),
        ({"parameters": {"setting": {"binWidth": -1}}}, "pyradiomics refuses the parameters"),
        ({"parameters": {"setting": {"binCount": 1}}}, "binCount 1 is not between 2 and 1024"),
        ({"parameters": {"setting": {"binCount": 5000}}}, "binCount 5000 is not between 2 and 1024"),
        ({"parameters": {"setting": {"binCount": "32"}}}, "binCount: '32' is no number"),
        ({"parameters": {"imageType": {"Original": {"binCount": 1}}}}, "Original: binCount 1 is not between"),
        ({"parameters": {"setting": {"resampledPixelSpacing": 0.5}}, "units": "mm"}, "expected a list such as"),
        ({"parameters": {"setting": {"label": datetime.date(2024, 1, 31)}}}, "no number, text or list"),
        ({"parameter_file": 3}, "parameter_file: expected a path, got 3"),
        ({"parameters": {"setting": [1]}}, "setting: expected keys and values"),
        ({"parameters": {"setting": {"resampledPixelSpacing": [1, 1]}}}, "resampledPixelSpacing is in millimetres"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(values, message):
    with pytest.raises(StudyError, match="radiomics") as caught:
        settings(**values)
    assert message in str(caught.value)


def test_a_file_for_volumes_is_taken_as_it_is_and_what_is_left_out_is_said(tmp_path):
    """The sections that the parameter files of most CT and MR studies have."""
    path = tmp_path / "ct.yaml"
    path.write_text(
        "imageType:\n  Original: {}\n  LoG: {sigma: [1, 2.5]}\n  LBP3D: {}\n"
        "featureClass:\n  shape:\n  shape2D:\n  firstorder: []\n  glcm: [Contrast, Correlation]\n"
        "setting:\n  binWidth: 25\n  force2D: true\n  label: 7\n  correctMask: true\n  voxelArrayShift: 1000\n"
        "voxelSetting:\n  kernelRadius: 2\n",
        encoding="utf-8",
    )
    asked = settings(parameter_file=path)
    family = radiomics.Family(asked, MaskRules())
    (row,) = family.extract([Case("A", "P", pictures={KEY: Picture(ArrayImage(noise() % 256), ArrayMask(disc()))})])
    features = [name.split(":")[2] for name in row.values]
    assert row.failures == []
    assert len(features) == 9 + 3 * (18 + 2)
    assert {"original_shape2D_Perimeter", "log-sigma-2-5-mm-3D_glcm_Contrast"} <= set(features)
    notes = family.provenance()["notes"]
    assert [note.split(": ")[1].split()[1] for note in notes] == ["shape", "LBP3D", "slices"]


def test_a_parameter_file_becomes_part_of_the_settings(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(FIRST_ORDER), encoding="utf-8")
    read = settings(parameter_file=path)
    path.unlink()
    again = settings(**json.loads(read.model_dump_json(exclude_unset=True)))
    assert again.asked() == FIRST_ORDER


def test_a_key_that_a_parameter_file_states_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("setting: {binWidth: 25}\nfeatureClass: {firstorder: }\nsetting: {binWidth: 5}\n")
    with pytest.raises(StudyError, match=r"twice\.yaml: line 1: the same key twice: setting"):
        settings(parameter_file=path)


def test_the_3d_shape_class_is_off_in_every_preset():
    family = radiomics.Family(settings(), MaskRules())
    features = {name.split(":")[2] for name in family.columns([KEY])}
    assert not any("_shape_" in feature for feature in features)
    assert len(features) == 1404


@pytest.mark.parametrize(
    ("pixels", "mask", "expected"),
    [
        (noise(), None, ("mask", "mask.missing", "failed")),
        (noise(), np.zeros((48, 48), bool), ("mask", "mask.empty", "failed")),
        (noise(), disc(48, 4), ("mask", "mask.too_small", "failed")),
        (noise(), disc(50), ("mask", "geometry.size", "failed")),
        (np.full((48, 48), np.nan), disc(), ("image", "pixel.nonfinite", "failed")),
        (np.where(disc(), 7, noise()), disc(), ("radiomics", "roi.constant", "failed")),
        (np.zeros((48, 48), np.uint8), disc(), ("radiomics", "roi.constant", "failed")),
    ],
)
def test_a_picture_that_cannot_be_measured_is_one_failure(pixels, mask, expected):
    row = extract(pixels, mask)
    assert row.values == {}
    assert codes(row) == [expected]
    assert row.failures[0].picture == "RC_CC"


def test_a_mask_over_the_whole_image_is_measured_and_warned():
    row = extract(noise(), np.ones((48, 48), bool))
    assert codes(row) == [("mask", "mask.full_image", "warned")]
    assert len(row.values) == 1404


def test_separate_parts_are_measured_together_and_counted():
    mask = np.zeros((48, 48), bool)
    mask[4:16, 4:16] = mask[16:24, 16:24] = mask[30:40, 30:40] = True  # the first two touch at a corner
    row = extract(noise(), mask, parameters={"featureClass": {"shape2D": ["PixelSurface"]}})
    assert codes(row) == [("mask", "mask.components", "warned")]
    assert "2 separate parts" in row.failures[0].reason
    assert list(row.values.values()) == [144 + 64 + 100]


def test_too_many_grey_levels_cost_only_the_image_that_has_them():
    """At width 25 a hot pixel of 65,535 makes 2,622 levels; the filtered image is binned more coarsely."""
    pixels = noise() % 200
    pixels[24, 24] = 65_535
    parameters = {"imageType": {"Original": {}, "Logarithm": {"binWidth": 1000}}, **FIRST_ORDER}
    row = extract(pixels, disc(), parameters=parameters)
    assert codes(row) == [("radiomics", "bins.too_many", "failed")]
    assert "original: 2622 grey levels in the region, at most 1024" in row.failures[0].reason
    assert {name.split(":")[2].split("_")[0] for name in row.values} == {"logarithm"}
    assert len(row.values) == 18


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("native", "log-sigma-60-0-mm-3D: 1 features left out: 48 x 48 px are too few for it"),
        ("pyradiomics", "pyradiomics left out log-sigma-60-0-mm-3D_firstorder_Mean"),
    ],
)
def test_features_that_pyradiomics_leaves_out_are_named(engine, reason):
    """LoG needs an image larger than its sigma; pyradiomics only logs a warning."""
    parameters = {"imageType": {"Original": {}, "LoG": {"sigma": [60.0]}}, "featureClass": {"firstorder": ["Mean"]}}
    row = extract(noise(), disc(), parameters=parameters, engine=engine)
    assert codes(row) == [("radiomics", "feature.missing", "failed")]
    assert row.failures[0].reason == reason
    assert list(row.values) == ["radiomics:RC_CC:original_firstorder_Mean"]


@pytest.mark.parametrize("engine", ["native", "pyradiomics"])
def test_values_that_are_not_finite_are_named_and_the_others_kept(monkeypatch, engine):
    from cemrad.features.native import firstorder
    from radiomics.firstorder import RadiomicsFirstOrder

    monkeypatch.setattr(RadiomicsFirstOrder, "getKurtosisFeatureValue", lambda self: np.array([np.inf]))
    measured = firstorder.measure
    monkeypatch.setattr(firstorder, "measure", lambda *a, **k: measured(*a, **k) | {"Kurtosis": np.inf})
    row = extract(noise(), disc(), parameters=FIRST_ORDER, engine=engine)
    assert codes(row) == [("radiomics", "feature.nonfinite", "failed")]
    assert row.failures[0].reason == "not a finite number: original_firstorder_Kurtosis"
    assert len(row.values) == 17


@pytest.mark.parametrize("engine", ["native", "pyradiomics"])
def test_a_region_that_re_segmentation_empties_says_so(engine):
    parameters = FIRST_ORDER | {"setting": {"resegmentRange": [5000.0, 6000.0]}}
    row = extract(noise(), disc(), parameters=parameters, engine=engine)
    assert codes(row) == [("mask", "roi.resegmented", "failed")]
    assert "re-segmentation keeps 0.0% of the region, at least 50% is asked for" in row.failures[0].reason


def test_a_region_that_pyradiomics_refuses_says_its_reason():
    parameters = FIRST_ORDER | {"setting": {"resegmentRange": [5000.0, 6000.0]}}
    row = extract(noise(), disc(), parameters=parameters, engine="pyradiomics", min_kept=0)
    assert codes(row) == [("radiomics", "radiomics.refused", "failed")]
    assert "Resegmentation excluded too many voxels" in row.failures[0].reason


def test_millimetres_are_never_invented():
    row = extract(noise(), disc(), units="mm", parameters=FIRST_ORDER)
    assert codes(row) == [("radiomics", "spacing.missing", "failed")]


def test_one_bad_picture_leaves_the_other_as_it_was():
    good = Picture(ArrayImage(noise()), ArrayMask(disc()))
    bad = Picture(ArrayImage(noise()), ArrayMask(disc(50)))
    family = radiomics.Family(settings(parameters=FIRST_ORDER), MaskRules())
    other = PictureKey("LE", "CC")
    alone, both = family.extract(
        [Case("A", "P", pictures={KEY: good}), Case("B", "P", pictures={other: bad, KEY: good})]
    )
    assert both.values == alone.values
    assert codes(both) == [("mask", "geometry.size", "failed")]


def test_nothing_is_printed_and_the_users_own_logging_is_left_alone(capfd, caplog):
    before = logging.getLogger("radiomics").level
    with caplog.at_level(logging.DEBUG):
        extract(noise(), disc(), parameters={"imageType": {"LoG": {"sigma": [60.0]}}, **FIRST_ORDER})
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert [
        r for r in caplog.records if r.name.startswith(("radiomics", "pykwalify")) and r.levelno > logging.DEBUG
    ] == []
    assert logging.getLogger("radiomics").level == before


def test_provenance_is_json_and_says_what_the_numbers_depend_on():
    record = radiomics.Family(settings(), MaskRules()).provenance()
    assert json.loads(json.dumps(record)) == record
    assert record["units"] == "px"
    assert record["parameters"]["setting"]["binCount"] == 32
    assert record["engine"].startswith("native ")
    assert set(record["versions"]) >= {"numba", "SimpleITK", "numpy"}
    reference = radiomics.Family(settings(engine="pyradiomics"), MaskRules()).provenance()
    assert reference["engine"] == "pyradiomics"
    assert set(reference["versions"]) >= {"pyradiomics-bhklab", "SimpleITK", "numpy"}
