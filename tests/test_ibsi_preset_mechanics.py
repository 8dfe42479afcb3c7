"""The preset ibsi in a study: its columns, its settings, and what it refuses."""

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.families import radiomics
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.settings import parse_settings

KEY = PictureKey("RC", "CC")


def extract(**given):
    rng = np.random.default_rng(4)
    pixels, mask = rng.integers(0, 4096, (70, 80)).astype(np.uint16), np.zeros((70, 80), dtype=bool)
    mask[20:50, 25:60] = True
    settings = parse_settings(radiomics.Settings, given, where="radiomics")
    family = radiomics.Family(settings, MaskRules())
    picture = Picture(ArrayImage(pixels, (0.1, 0.1)), ArrayMask(mask))
    (row,) = family.extract([Case("A", "P", pictures={KEY: picture})])
    return family, row


def test_the_preset_gives_its_855_columns():
    family, row = extract(preset="ibsi")
    assert row.failures == []
    assert list(row.values) == family.columns([KEY])
    assert len(row.values) == 855
    kurtosis = "radiomics:RC_CC:wavelet-LH_firstorder_Kurtosis"
    excess = "radiomics:RC_CC:wavelet-LH_firstorder_excess_kurtosis"
    assert row.values[excess] == row.values[kurtosis] - 3
    assert "IBSI" in str(family.identity()["engine"])


def test_rules_change_the_identity_and_the_numbers():
    plain, before = extract(preset="ibsi")
    narrow, after = extract(preset="ibsi", ibsi={"resegment_range": [500, 3500]})
    assert plain.identity() != narrow.identity()
    name = "radiomics:RC_CC:original_firstorder_Minimum"
    assert before.values[name] < 500 <= after.values[name]
    area = "radiomics:RC_CC:original_shape2D_PixelSurface"
    assert before.values[area] == after.values[area] == 30 * 35


def test_rules_hold_beside_other_parameters():
    parameters = {"featureClass": {"firstorder": ["Kurtosis"]}, "setting": {"binWidth": 25}}
    _, row = extract(parameters=parameters, ibsi={"resegment_sigma": 3})
    assert [name.split("_")[-1] for name in row.values] == ["Kurtosis", "kurtosis"]


def test_too_little_left_after_re_segmentation_is_a_failure_of_the_case():
    _, row = extract(preset="ibsi", ibsi={"resegment_range": [0, 1000]})
    assert row.values == {}
    assert [failure.code for failure in row.failures] == ["roi.resegmented"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "ibsi", "engine": "pyradiomics"}, "other definitions"),
        ({"preset": "ibsi", "engine": "verify"}, "other definitions"),
        ({"preset": "ibsi", "ibsi": {"resegment_range": [5, 5]}}, "first limit must be lower"),
        ({"preset": "ibsi", "ibsi": {"resegmnt_sigma": 3}}, "did you mean 'resegment_sigma'"),
        ({"parameters": {"setting": {"resegmentRange": [0, 9]}}, "ibsi": {}}, "resegment_range"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(StudyError, match=message):
        parse_settings(radiomics.Settings, given, where="radiomics")
