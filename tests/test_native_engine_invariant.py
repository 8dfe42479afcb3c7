"""The native engine gives pyradiomics' numbers, whatever the mask, the settings and the pixels."""

import numpy as np
import pytest
import SimpleITK
from cemrad.features.errors import CaseError
from cemrad.features.native.engine import NativeEngine
from cemrad.features.reference import ReferenceEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHAPE = (64, 57)
IMAGES = {
    "Original": {},
    "LoG": {"sigma": [1.0, 2.5]},
    "Wavelet": {"wavelet": "coif1"},
    **{name: {} for name in ("Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D")},
}
CLASSES = dict.fromkeys(("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"))


@st.composite
def pictures(draw):
    """Noise, ramps, few levels, flat areas; 8 to 16 bits and floats, also below zero."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    kind = draw(st.sampled_from(["noise", "smooth", "few", "flat"]))
    pixels = rng.normal(size=SHAPE)
    if kind == "smooth":
        pixels = np.cumsum(np.cumsum(pixels, axis=0), axis=1)
    elif kind == "few":
        pixels = rng.integers(0, 4, SHAPE).astype(float)
    elif kind == "flat":
        pixels[:, :30] = 0.0
    pixels = (pixels - pixels.min()) / np.ptp(pixels)
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
    top = {"uint8": 255, "uint16": 65535, "int16": 4000}.get(dtype, 1000.0)
    low = -1000 if dtype in ("int16", "float32", "float64") and draw(st.booleans()) else 0
    return (low + pixels * (top - low)).astype(dtype)


@st.composite
def masks(draw):
    """Discs with holes, several parts, single rows, few scattered pixels; anywhere, also over the border."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    mask = np.zeros(SHAPE, dtype=bool)
    for _ in range(draw(st.integers(1, 3))):
        row, column, radius = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1]), rng.uniform(2, 25)
        mask |= np.hypot(rows - row, columns - column) <= radius
    shape = draw(st.sampled_from(["disc", "ring", "holes", "row", "full", "few"]))
    if shape == "ring":
        mask &= ~np.roll(mask, (3, 2), axis=(0, 1))
    elif shape == "holes":
        mask &= rng.random(SHAPE) > 0.25
    elif shape == "row":
        mask[rng.integers(0, SHAPE[0])] = True
    elif shape == "full":
        mask[:] = True
    elif shape == "few":
        mask = rng.random(SHAPE) < rng.uniform(0.0005, 0.02)
    return mask


BINS = st.one_of(
    st.builds(lambda n: {"binCount": n}, st.sampled_from([2, 8, 32, 64])),
    st.builds(lambda width: {"binWidth": width}, st.sampled_from([5, 12.5, 25, 100])),
)
TEXTURE = st.fixed_dictionaries(
    {},
    optional={
        "distances": st.sampled_from([[1], [2], [1, 3]]),
        "weightingNorm": st.sampled_from(["manhattan", "euclidean", "infinity", "no_weighting"]),
        "symmetricalGLCM": st.booleans(),
        "gldm_a": st.sampled_from([0, 1, 3]),
        "voxelArrayShift": st.sampled_from([0, 300]),
        "label": st.sampled_from([1, 7]),
    },
)
PICTURE = st.sampled_from(
    [
        {},
        {"normalize": True, "normalizeScale": 100, "removeOutliers": 3},
        {"resegmentRange": [-3, 3], "resegmentMode": "sigma"},
        {"resegmentRange": [0.2, 0.95], "resegmentMode": "relative", "resegmentShape": True},
        {"resegmentRange": [10], "resegmentMode": "absolute"},
        {"resampledPixelSpacing": [0.7, 0.9], "interpolator": "sitkLinear"},
        {"resampledPixelSpacing": [1.3, 0], "padDistance": 3},
        {"preCrop": True, "padDistance": 2},
        {"minimumROISize": 200},
    ]
)


def outcome(engine, pixels, mask, spacing):
    try:
        return engine.measure(pixels, mask, spacing)
    except CaseError as error:
        return type(error), error.code


def require_same(parameters, pixels, mask, spacing=(1.0, 1.0)):
    native, reference = NativeEngine(parameters, 1024), ReferenceEngine(parameters, 1024)
    assert native.names == reference.names
    found, expected = (outcome(engine, pixels, mask, spacing) for engine in (native, reference))
    refused = [isinstance(result[0], type) for result in (found, expected)]
    assert refused[0] == refused[1], (found, expected)
    if refused[0]:
        return
    assert list(found[0]) == list(expected[0])
    assert [code for code, _ in found[1]] == [code for code, _ in expected[1]]
    for name, value in expected[0].items():
        # MCC is the root of an eigenvalue: where that is 0, pyradiomics gives the root of its rounding.
        near_zero = 5e-8 if name.endswith("_MCC") else 1e-12
        assert found[0][name] == pytest.approx(value, rel=1e-9, abs=near_zero), name


PROPERTY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@PROPERTY
@given(pictures(), masks(), BINS, TEXTURE)
def test_any_mask_any_pixels(pixels, mask, bins, texture):
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    require_same({"imageType": IMAGES, "featureClass": CLASSES, "setting": bins | texture}, pixels, mask)


@PROPERTY
@given(pictures(), masks(), BINS, PICTURE, st.sampled_from([(1.0, 1.0), (0.5, 0.8)]))
def test_any_preparation_of_the_picture(pixels, mask, bins, picture, spacing):
    images = {name: IMAGES[name] for name in ("Original", "LoG", "Wavelet")}
    asked = {"imageType": images, "featureClass": CLASSES, "setting": bins | picture}
    require_same(asked, pixels, mask, spacing)


@PROPERTY
@given(
    pictures(),
    masks(),
    st.sampled_from(["haar", "db4", "sym5", "coif3", "bior3.5", "rbio2.2", "dmey"]),
    st.integers(0, 1),
    st.integers(1, 2),
    st.sampled_from([{}, {"lbp2DRadius": 2, "lbp2DSamples": 12}, {"lbp2DMethod": "default"}]),
)
def test_any_filter_setting(pixels, mask, wavelet, start, level, lbp):
    images = {
        "Wavelet": {"wavelet": wavelet, "start_level": start, "level": level, "binCount": 16},
        "LBP2D": {"binWidth": 1, **lbp},
        "Gradient": {"gradientUseSpacing": False},
        "LoG": {"sigma": [0.6, 4]},
    }
    classes = {"firstorder": ["Mean", "Entropy", "Skewness"], "glcm": ["Contrast", "MCC"], "glszm": None}
    require_same({"imageType": images, "featureClass": classes}, pixels, mask, (0.5, 0.8))


def test_what_is_not_asked_is_what_pyradiomics_takes():
    pixels = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[20:40, 10:30] = True
    require_same({"featureClass": CLASSES}, pixels, mask)
    require_same(
        {"imageType": {"Original": {}}, "featureClass": {"firstorder": [], "glcm": ["Id", "Idm"]}}, pixels, mask
    )


def test_a_direction_along_which_every_line_meets_the_region_once_is_left_out_of_runs():
    pixels = np.random.default_rng(3).integers(0, 256, SHAPE).astype(np.uint8)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[np.arange(5, 25), np.arange(30, 50)] = True  # of the four directions, one diagonal alone
    asked = {"imageType": {"Original": {}}, "featureClass": {"glrlm": None}, "setting": {"binCount": 8}}
    expected = ReferenceEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))[0]
    assert NativeEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))[0] == pytest.approx(expected, rel=1e-9)
