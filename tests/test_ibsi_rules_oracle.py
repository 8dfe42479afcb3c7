"""IBSI's definitions where pyradiomics has others, against SimpleITK, NumPy and values worked out by hand."""

import math

import numpy as np
import pytest
import scipy.stats
import SimpleITK
from cemrad.features.errors import MaskError, StudyError
from cemrad.features.native import ibsi
from cemrad.features.native.ibsi import IbsiRules
from cemrad.features.native.ibsi_engine import IbsiEngine
from cemrad.features.reference import ReferenceEngine
from cemrad.features.settings import parse_settings


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(3).normal(1000.0, 200.0, (37, 52))


@pytest.fixture(scope="module")
def disc():
    y, x = np.mgrid[:37, :52]
    return (y - 17.2) ** 2 + (x - 25.6) ** 2 < 12.3**2


def by_itk(values, spacing, new_spacing, interpolator, pad):
    """The same grid built in SimpleITK: both centres at one point, edge values continued."""
    image = SimpleITK.GetImageFromArray(np.pad(values.astype(np.float64), pad, mode="edge"))
    image.SetSpacing(spacing[::-1])
    image.SetOrigin([-pad * s for s in spacing[::-1]])
    size = [math.ceil(round(n * s / new, 9)) for n, s, new in zip(values.shape, spacing, new_spacing, strict=True)]
    origin = [
        (n - 1) / 2 * s - (m - 1) / 2 * new
        for n, s, m, new in zip(values.shape, spacing, size, new_spacing, strict=True)
    ]
    onto = SimpleITK.ResampleImageFilter()
    onto.SetSize(size[::-1])
    onto.SetOutputSpacing(new_spacing[::-1])
    onto.SetOutputOrigin(origin[::-1])
    onto.SetInterpolator(interpolator)
    return SimpleITK.GetArrayFromImage(onto.Execute(image))


@pytest.mark.parametrize(
    ("interpolation", "interpolator"), [("linear", SimpleITK.sitkLinear), ("cubic", SimpleITK.sitkBSpline)]
)
@pytest.mark.parametrize("new_spacing", [(2.0, 2.0), (0.7, 1.3), (0.094, 0.1), (0.5, 0.5)])
def test_resampling_equals_simpleitk_on_a_centred_grid(pixels, disc, interpolation, interpolator, new_spacing):
    spacing = (0.094, 0.094) if new_spacing[0] < 0.5 else (1.0, 0.9)
    found = ibsi.resample(pixels, disc, spacing, new_spacing, interpolation)
    expected = by_itk(pixels, spacing, new_spacing, interpolator, 12)
    assert found.pixels.shape == expected.shape
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-6)
    drawn = by_itk(disc, spacing, new_spacing, SimpleITK.sitkLinear, 12)
    clear = np.abs(drawn - 0.5) > 1e-9
    assert np.array_equal(found.mask[clear], drawn[clear] > 0.5)


def test_the_same_spacing_changes_nothing(pixels, disc):
    for how in ("linear", "cubic"):
        found = ibsi.resample(pixels, disc, (0.1, 0.1), (0.1, 0.1), how)
        np.testing.assert_allclose(found.pixels, pixels, rtol=1e-12)
        assert np.array_equal(found.mask, disc)


def test_a_whole_number_of_pixels_is_not_exceeded_by_rounding():
    """0.3 / 0.1 is 2.9999999999999996 and 0.7 / 0.1 is 6.999999999999999: neither loses nor gains a pixel."""
    mask = np.ones((10, 10), dtype=bool)
    assert ibsi.resample(mask, mask, (0.3, 0.7), (0.1, 0.1), "linear").mask.shape == (30, 70)
    assert ibsi.resample(mask, mask, (0.1, 0.1), (0.3, 0.7), "linear").mask.shape == (4, 2)


def test_resampling_keeps_the_centre_of_mass(disc):
    """Aligned at the centre: a disc stays where it was. Aligned at the corner it would move by half the difference."""
    found = ibsi.resample(disc, disc, (1.0, 1.0), (0.25, 0.25), "linear")
    before = np.argwhere(disc).mean(axis=0) - (np.array(disc.shape) - 1) / 2
    after = (np.argwhere(found.mask).mean(axis=0) - (np.array(found.mask.shape) - 1) / 2) * 0.25
    np.testing.assert_allclose(after, before, atol=0.02)
    assert found.mask.sum() / 16 == pytest.approx(disc.sum(), rel=0.02)


def test_only_an_integer_image_is_rounded(pixels, disc):
    whole = ibsi.resample(pixels.astype(np.int16), disc, (1.0, 1.0), (0.7, 0.7)).pixels
    assert np.array_equal(whole, np.rint(whole))
    real = ibsi.resample(pixels, disc, (1.0, 1.0), (0.7, 0.7)).pixels
    assert not np.array_equal(real, np.rint(real))


def test_a_mask_of_half_a_pixel_is_kept_and_less_is_lost():
    pixels, mask = np.zeros((1, 4)), np.array([[False, True, False, False]])
    assert ibsi.resample(pixels, mask, (1.0, 1.0), (1.0, 2.0), "linear").mask.tolist() == [[True, False]]
    dot = np.zeros((8, 8), dtype=bool)
    dot[3, 3] = True
    with pytest.raises(MaskError, match="no pixel of the mask"):
        ibsi.resample(np.zeros((8, 8)), dot, (1.0, 1.0), (4.0, 4.0))


def test_both_re_segmentations_hold_at_once_with_the_deviation_of_the_whole_region():
    values = np.array([[0.0] + [10.0] * 30 + [11.0, 12.0, 30.0, 200.0]])
    mask = np.ones(values.shape, dtype=bool)
    region = values[mask]
    low, high = region.mean() - 3 * region.std(), region.mean() + 3 * region.std()
    assert low < 0
    assert 30 < high < 200
    kept = ibsi.resegment(values, mask, IbsiRules(resegment_range=(10, 29), resegment_sigma=3))
    assert values[kept].tolist() == [10.0] * 30 + [11.0, 12.0]
    by_range = ibsi.resegment(values, mask, IbsiRules(resegment_range=(10, 30)))
    assert values[by_range].tolist() == [10.0] * 30 + [11.0, 12.0, 30.0]
    by_sigma = ibsi.resegment(values, mask, IbsiRules(resegment_sigma=3))
    assert values[by_sigma].tolist() == region[:-1].tolist()
    assert np.array_equal(ibsi.resegment(values, mask, IbsiRules()), mask)


def test_deviation_is_that_of_the_population():
    """Of 0, 0, 0, 4 the population's is 1.73 and the sample's 2.0: at 1.6 deviations 4 lies outside the first only."""
    values = np.array([[0.0, 0.0, 0.0, 4.0]])
    kept = ibsi.resegment(values, np.ones((1, 4), dtype=bool), IbsiRules(resegment_sigma=1.6))
    assert kept.tolist() == [[True, True, True, False]]


def test_a_region_without_pixels_is_refused():
    values = np.arange(9.0).reshape(3, 3)
    with pytest.raises(MaskError, match=r"keeps 1 of the 9 pixels"):
        ibsi.resegment(values, values >= 0, IbsiRules(resegment_range=(3, 3.5)))


def test_rules_refuse_limits_in_the_wrong_order():
    with pytest.raises(StudyError, match="first limit must be lower"):
        parse_settings(IbsiRules, {"resegment_range": [9, 2]}, where="ibsi")
    with pytest.raises(StudyError, match="resegment_sigma"):
        parse_settings(IbsiRules, {"resegment_sigma": 0}, where="ibsi")


def test_fixed_bin_number_equals_a_histogram_of_numpy(pixels):
    values = pixels.ravel()
    for bin_count in (2, 8, 32, 64):
        levels, n_levels = ibsi.discretise(values, bin_count=bin_count)
        assert n_levels == bin_count
        assert np.bincount(levels)[1:].tolist() == np.histogram(values, bin_count)[0].tolist()
    assert ibsi.discretise(np.full(5, 3.0), bin_count=8)[0].tolist() == [1] * 5


def test_fixed_bin_size_starts_at_the_origin_of_ct_configuration_c():
    """IBSI 1, configuration C: range -1000 to 400 HU, 25 HU a bin. Bin 1 is [-1000, -975)."""
    values = np.array([-1000.0, -975.1, -975.0, 0.0, 399.0, 400.0])
    levels, n_levels = ibsi.discretise(values, bin_width=25.0, origin=-1000.0)
    assert levels.tolist() == [1, 1, 2, 41, 56, 57]
    assert n_levels == 57
    assert ibsi.discretise(values[3:], bin_width=25.0, origin=-1000.0)[0].tolist() == [41, 56, 57]
    assert ibsi.discretise(values[3:], bin_width=25.0)[0].tolist() == [1, 16, 17]


def test_axis_lengths_are_those_of_the_sample_covariance():
    """The 74 voxels of IBSI's digital phantom have 9.2449 over N and 9.3076 over N - 1; the consensus is 9.31."""
    y, x = np.mgrid[:9, :4]
    places = np.stack([y.ravel(), x.ravel()]).astype(float)
    expected = 4 * np.sqrt(np.linalg.eigvalsh(np.cov(places)))
    raw = 4 * np.sqrt(np.linalg.eigvalsh(np.cov(places, bias=True)))
    names = ["original_shape2D_MinorAxisLength", "original_shape2D_MajorAxisLength"]
    found = ibsi.convert(dict(zip(names, raw.tolist(), strict=True)), 36)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-12)
    phantom = ibsi.convert({"original_shape2D_MinorAxisLength": 9.2449}, 74)
    assert float(f"{phantom['original_shape2D_MinorAxisLength']:.3g}") == 9.31


TEXTURE = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
AXES = ("original_shape2D_MajorAxisLength", "original_shape2D_MinorAxisLength")


def asked(classes=("shape2D", "firstorder", *TEXTURE), **setting):
    return {"imageType": {"Original": {}}, "featureClass": dict.fromkeys(classes), "setting": setting}


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(11)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=(90, 110)), 2)
    y, x = np.mgrid[:90, :110]
    mask = (y - 44.7) ** 2 / 30**2 + (x - 51.2) ** 2 / 38**2 < 1
    return (2000 + 3000 * smooth).astype(np.int16), mask


@pytest.mark.parametrize(
    ("interpolator", "itk"), [("sitkLinear", SimpleITK.sitkLinear), ("sitkBSpline", SimpleITK.sitkBSpline)]
)
def test_the_preset_equals_pyradiomics_after_ibsi_preprocessing(picture, interpolator, itk):
    """The recipe that reproduces IBSI's CT configurations B, D and E: prepare in SimpleITK, then pyradiomics twice."""
    pixels, mask = picture
    old, new = (0.1, 0.1), (0.1731, 0.1731)  # no value lies exactly between two integers
    rules = IbsiRules(resegment_range=(800, 3500), resegment_sigma=2)
    given = asked(binCount=32, resampledPixelSpacing=list(new), interpolator=interpolator)
    found, problems = IbsiEngine(given, 1024, rules).measure(pixels, mask, old)
    assert problems == []

    image = np.rint(by_itk(pixels, old, new, itk, 12))
    morphological = by_itk(mask, old, new, SimpleITK.sitkLinear, 12) >= 0.5
    x = image[morphological]
    intensity = morphological & (image >= 800) & (image <= 3500)
    intensity &= np.abs(image - x.mean()) <= 2 * x.std()
    assert 0.8 < intensity.sum() / morphological.sum() < 0.98
    kept = IbsiEngine(given, 1024, rules).kept_fraction(pixels, mask, old)
    assert kept == pytest.approx(intensity.sum() / morphological.sum(), rel=1e-12)
    expected, _ = ReferenceEngine(asked(["shape2D"]), 1024).measure(image, morphological, new)
    expected |= ReferenceEngine(asked(["firstorder", *TEXTURE], binCount=32), 1024).measure(image, intensity, new)[0]
    expected["original_firstorder_excess_kurtosis"] = scipy.stats.kurtosis(image[intensity])
    n = morphological.sum()
    expected |= {name: expected[name] * math.sqrt(n / (n - 1)) for name in AXES}

    assert found.keys() == expected.keys()
    assert len(found) == 103
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_fixed_bin_size_counts_from_the_lower_limit(picture):
    """pyradiomics counts from the smallest level of the region: it is given levels that begin at 1."""
    pixels, mask = picture
    low = int(pixels[mask].min())
    given = asked(TEXTURE, binWidth=100)
    at_minimum, _ = IbsiEngine(given, 1024, IbsiRules(resegment_range=(low, 9000))).measure(pixels, mask, (1.0, 1.0))
    binned = (pixels.astype(int) - low) // 100 + 1
    expected, _ = ReferenceEngine(asked(TEXTURE, binWidth=1), 1024).measure(binned, mask, (1.0, 1.0))
    assert at_minimum.keys() == expected.keys()
    for name, value in expected.items():
        assert at_minimum[name] == pytest.approx(value, rel=1e-9), name

    rules = IbsiRules(resegment_range=(low - 700, 9000))
    shifted, _ = IbsiEngine(given, 1024, rules).measure(pixels, mask, (1.0, 1.0))
    average = "original_glcm_JointAverage"
    assert shifted[average] == pytest.approx(at_minimum[average] + 7, rel=1e-9)
    unmoved = "original_glcm_Contrast"
    assert shifted[unmoved] == pytest.approx(at_minimum[unmoved], rel=1e-9)


def test_filters_see_the_whole_resampled_picture_and_not_its_region(picture):
    pixels, mask = picture
    given = {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {}},
        "featureClass": {"firstorder": ["Mean"]},
        "setting": {"binCount": 8},
    }
    rules = IbsiRules(resegment_range=(1500, 2500))
    found, _ = IbsiEngine(given, 1024, rules).measure(pixels, mask, (1.0, 1.0))
    inside = mask & (pixels >= 1500) & (pixels <= 2500)
    laplace = scipy.ndimage.gaussian_laplace(pixels.astype(float), 2.0, truncate=4.0, mode="reflect")
    assert len(found) == 6
    assert found["original_firstorder_Mean"] == pytest.approx(pixels[inside].mean(), rel=1e-12)
    assert found["log-sigma-2-0-mm-3D_firstorder_Mean"] == pytest.approx(laplace[inside].mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"resegmentRange": [0, 9]}, "resegment_range"),
        ({"interpolator": "sitkNearestNeighbor"}, "sitkLinear and sitkBSpline"),
    ],
)
def test_what_is_not_ibsi_is_refused(setting, message):
    with pytest.raises(StudyError, match=message):
        IbsiEngine(asked(**setting), 1024)
