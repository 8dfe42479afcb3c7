"""Radiomics against outside truth: pyradiomics called directly, IBSI consensus values, closed forms."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import radiomics
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from radiomics.featureextractor import RadiomicsFeatureExtractor

KEY = PictureKey("RC", "CC")
# What the preset promises, written out here so that a change of the file is seen.
CEM_2D = {
    "imageType": {
        "Original": {},
        "LoG": {"sigma": [1.0, 2.0, 3.0, 5.0]},
        "Wavelet": {"wavelet": "coif1"},
        **{name: {} for name in ("Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D")},
    },
    "featureClass": dict.fromkeys(("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")),
    "setting": {"binCount": 32, "additionalInfo": False},
}


def measure(pixels, mask, spacing_mm=None, rules=None, **settings):
    picture = Picture(ArrayImage(pixels, spacing_mm), ArrayMask(mask))
    family = radiomics.Family(radiomics.Settings(**settings), rules or MaskRules())
    (row,) = family.extract([Case("A", "P", pictures={KEY: picture})])
    assert [failure for failure in row.failures if failure.state == "failed"] == []
    assert list(row.values) == family.columns([KEY])
    return {name.split(":", 2)[2]: value for name, value in row.values.items()}


def direct(image, mask, parameters):
    found = RadiomicsFeatureExtractor(parameters).execute(image, mask)
    return {name: float(value) for name, value in found.items()}


def assert_equals_direct_call(image_path: Path, mask_path: Path):
    image = SimpleITK.ReadImage(str(image_path))
    drawn = SimpleITK.ReadImage(str(mask_path)) > 127
    expected = direct(image, drawn, CEM_2D)
    pixels, mask = SimpleITK.GetArrayFromImage(image), SimpleITK.GetArrayFromImage(drawn) == 1
    found = measure(pixels, mask)
    assert list(found) == list(expected)
    assert len(found) == 1404
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9, atol=0)


def pairs(realdata: Path, n: int):
    masks = realdata / "cdd-cesm" / "pairs-512" / "masks"
    paths = sorted((realdata / "cdd-cesm" / "pairs-512" / "images").iterdir())
    return [(path, masks / path.name) for path in paths[:: len(paths) // n][:n]]


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning", "ignore::RuntimeWarning")
def test_three_real_pairs_equal_pyradiomics_called_directly(realdata):
    for image, mask in pairs(realdata, 3):
        assert_equals_direct_call(image, mask)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning", "ignore::RuntimeWarning")
def test_ten_real_pairs_equal_pyradiomics_called_directly(realdata):
    for image, mask in pairs(realdata, 10):
        assert_equals_direct_call(image, mask)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning", "ignore::RuntimeWarning")
def test_fixed_bin_width_does_not_overflow_on_8_bit_pixels():
    """pyradiomics computes the last bin edge in the image's type: 252 + 50 wraps to 46 in 8 bits."""
    pixels = np.zeros((40, 40), dtype=np.uint8)
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 10:30] = True
    pixels[mask] = np.linspace(6, 252, 400).round().astype(np.uint8)
    parameters = {"featureClass": {"firstorder": None, "glcm": None}, "setting": {"binWidth": 25}}
    plain = parameters | {"setting": {"binWidth": 25, "additionalInfo": False}}
    drawn = SimpleITK.GetImageFromArray(mask.astype(np.uint8))

    found = measure(pixels, mask, parameters=parameters)
    wide = direct(SimpleITK.GetImageFromArray(pixels.astype(float)), drawn, plain)
    wrapped = direct(SimpleITK.GetImageFromArray(pixels), drawn, plain)

    assert found == pytest.approx(wide, rel=1e-12)
    levels = np.floor(pixels[mask] / 25).astype(int)
    shares = np.unique_counts(levels).counts / 400
    assert len(shares) == 11
    assert found["original_firstorder_Entropy"] == pytest.approx(-(shares * np.log2(shares)).sum(), rel=1e-9)
    assert wrapped["original_firstorder_Entropy"] < 0.9 * found["original_firstorder_Entropy"]


def test_texture_of_the_ibsi_digital_phantom_slice_by_slice(reference):
    """Aggregation "2D, averaged" of IBSI: each slice on its own, then the mean. Rule: 3 significant digits."""
    folder = reference / "ibsi"
    voxels = pd.read_csv(folder / "digital_phantom" / "ibsi1_phantom_voxels.csv")
    shape = tuple(int(voxels[axis].max()) + 1 for axis in ("z", "y", "x"))
    place = voxels.z.to_numpy(), voxels.y.to_numpy(), voxels.x.to_numpy()
    grey, mask = np.zeros(shape), np.zeros(shape, dtype=bool)
    grey[place], mask[place] = voxels.intensity, voxels["mask"].astype(bool)
    parameters = {
        "featureClass": dict.fromkeys(("glcm", "glrlm", "glszm", "gldm", "ngtdm")),
        "setting": {"binWidth": 1},
    }
    rules = MaskRules(min_area_px=1, min_extent_px=1)
    slices = [
        measure(one_grey, one_mask, rules=rules, parameters=parameters)
        for one_grey, one_mask in zip(grey, mask, strict=True)
    ]
    mean = pd.DataFrame(slices).mean()
    stated = pd.read_csv(folder / "pyradiomics_3.0.1_vs_ibsi1_digital_phantom.csv")
    stated = stated[stated["mode"] == "single-slice mean"]
    assert len(stated) == 74
    wrong = []
    for row in stated.itertuples():
        found = mean[f"original_{row.pyradiomics_class}_{row.pyradiomics_feature}"]
        if abs(float(f"{found:.3g}") - row.ibsi_value) > row.ibsi_tolerance + 1e-12:
            wrong.append((row.ibsi_tag, found, row.ibsi_value))
    assert wrong == []


def test_shape_of_rectangles_has_its_closed_form(reference):
    table = pd.read_csv(reference / "ibsi" / "shape2d_analytic.csv")
    rectangles = table[table["case"].str.startswith("rectangle")]
    asked = {"featureClass": {"shape2D": sorted(rectangles["feature"].unique())}}
    assert len(asked["featureClass"]["shape2D"]) == 10
    for (name, spacing), rows in rectangles.groupby(["case", "pixel_spacing_mm"]):
        height, width = (int(side) for side in name.split()[1].split("x"))
        mask = np.zeros((height + 20, width + 14), dtype=bool)
        mask[10 : 10 + height, 7 : 7 + width] = True
        pixels = np.random.default_rng(0).integers(0, 255, mask.shape).astype(np.uint8)
        found = measure(pixels, mask, (spacing, spacing), parameters=asked, units="mm")
        for row in rows.itertuples():
            assert found[f"original_shape2D_{row.feature}"] == pytest.approx(row.closed_form, rel=1e-9), row


def test_spacing_of_rows_and_columns_is_not_swapped():
    """40 rows 2 mm apart and 20 columns 1 mm apart: 80 mm high and 20 mm wide."""
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:50, 10:30] = True  # 40 rows, 20 columns
    pixels = np.random.default_rng(1).normal(size=mask.shape)
    asked = {"featureClass": {"shape2D": ["MajorAxisLength", "MinorAxisLength"]}}
    found = measure(pixels, mask, (2.0, 1.0), parameters=asked, units="mm")
    rows_sd, columns_sd = 2 * math.sqrt((40**2 - 1) / 12), math.sqrt((20**2 - 1) / 12)
    assert found["original_shape2D_MajorAxisLength"] == pytest.approx(4 * rows_sd, rel=1e-9)
    assert found["original_shape2D_MinorAxisLength"] == pytest.approx(4 * columns_sd, rel=1e-9)
    in_pixels = measure(pixels, mask, (2.0, 1.0), parameters=asked)
    assert in_pixels["original_shape2D_MajorAxisLength"] == pytest.approx(2 * rows_sd, rel=1e-9)
