"""Each filter of the native engine against what pyradiomics uses for it, over the whole image."""

import numpy as np
import pytest
import SimpleITK
from cemrad.features.native import filter_pointwise
from cemrad.features.native.box import Box
from cemrad.features.native.filter_gradient import gradient_filter
from cemrad.features.native.filter_lbp import lbp_filter
from cemrad.features.native.filter_log import log_filter
from cemrad.features.native.filter_wavelet import wavelet_filter, wavelet_names
from cemrad.features.native.whole import Whole
from radiomics import imageoperations

pytestmark = pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern`:UserWarning")

# An inner region, the whole of an odd-sized image, and a region in a corner.
PLACES = [
    ((501, 400), Box(200, 260, 100, 151)),
    ((151, 140), Box(0, 151, 0, 140)),
    ((101, 90), Box(0, 60, 40, 90)),
]
TYPES = ["uint8", "uint16", "float64"]


def picture(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, 300, shape) if dtype == "float64" else rng.integers(0, 250, shape)
    pixels[::3] = pixels[0, 0]  # equal neighbours: ties are where rounding shows
    return pixels.astype(dtype)


def image(pixels, spacing):
    made = SimpleITK.GetImageFromArray(pixels.astype(np.float64))
    made.SetSpacing(spacing[::-1])
    return made


def given(generator, box):
    return {name: SimpleITK.GetArrayFromImage(found)[box.slices] for found, name, _ in generator}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "box"), PLACES)
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 0.5)])
def test_log_is_itks_to_the_last_bit(shape, box, spacing, dtype):
    pixels = picture(shape, dtype)
    for sigma in (0.8, 1.0, 2.5, 5.0):
        expected = given(imageoperations.getLoGImage(image(pixels, spacing), None, sigma=[sigma]), box)
        (expected,) = expected.values()
        found = log_filter(pixels, box, sigma, spacing)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "box"), PLACES)
@pytest.mark.parametrize(
    ("wavelet", "start", "levels"),
    [("coif1", 0, 1), ("db3", 1, 2), ("bior2.8", 0, 3), ("haar", 2, 1), ("rbio3.9", 0, 2)],
)
def test_wavelet_is_pywavelets(shape, box, dtype, wavelet, start, levels):
    pixels = picture(shape, dtype)
    settings = {"wavelet": wavelet, "start_level": start, "level": levels}
    expected = given(imageoperations.getWaveletImage(image(pixels, (1.0, 1.0)), None, **settings), box)
    found = dict(wavelet_filter(pixels, box, wavelet, start_level=start, n_levels=levels))
    assert list(found) == list(expected) == wavelet_names(levels)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-14 * 4**levels * np.abs(pixels).max())


def test_every_family_of_wavelets_is_served():
    import pywt

    pixels, box = picture((120, 110), "uint16"), Box(30, 60, 40, 70)
    for name in pywt.wavelist(kind="discrete"):
        expected = given(imageoperations.getWaveletImage(image(pixels, (1.0, 1.0)), None, wavelet=name), box)
        found = dict(wavelet_filter(pixels, box, name, start_level=0, n_levels=1))
        for band, values in expected.items():
            np.testing.assert_allclose(found[band], values, rtol=0, atol=1e-9, err_msg=f"{name} {band}")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "box"), PLACES)
@pytest.mark.parametrize("use_spacing", [True, False])
def test_gradient_is_itks_to_the_last_bit(shape, box, dtype, use_spacing):
    pixels, spacing = picture(shape, dtype), (0.7, 0.5)
    found = gradient_filter(pixels, box, spacing, use_spacing=use_spacing)
    expected = given(
        imageoperations.getGradientImage(image(pixels, spacing), None, gradientUseSpacing=use_spacing), box
    )
    np.testing.assert_array_equal(found, expected["gradient"])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "box"), PLACES)
@pytest.mark.parametrize(
    ("radius", "n_samples", "method"), [(1, 8, "uniform"), (2.5, 11, "default"), (3, 16, "uniform")]
)
def test_lbp_is_scikit_images(shape, box, dtype, radius, n_samples, method):
    pixels = picture(shape, dtype)
    mask = np.random.default_rng(1).random(box.shape) > 0.3
    settings = {"lbp2DRadius": radius, "lbp2DSamples": n_samples, "lbp2DMethod": method}
    expected = given(imageoperations.getLBP2DImage(image(pixels, (1.0, 1.0)), None, **settings), box)["lbp-2D"][mask]
    found = lbp_filter(pixels, box, mask, radius=radius, n_samples=n_samples, method=method)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("Square", filter_pointwise.square),
        ("SquareRoot", filter_pointwise.square_root),
        ("Logarithm", filter_pointwise.logarithm),
        ("Exponential", filter_pointwise.exponential),
    ],
)
def test_pointwise_filters_are_pyradiomics(name, function, dtype):
    shape, box = PLACES[0]
    pixels = picture(shape, dtype)
    pixels[400, 300] = pixels.max() + 5  # the scale comes from outside the region
    whole = Whole(pixels, box, np.ones(box.shape, dtype=bool), (1.0, 1.0))
    (expected,) = given(getattr(imageoperations, f"get{name}Image")(image(pixels, (1.0, 1.0)), None), box).values()
    np.testing.assert_allclose(function(whole.values, whole.largest), expected.ravel(), rtol=1e-14)
