"""Filters against the response maps of IBSI 2, scikit-image, NumPy and closed forms.

IBSI 2's maps are of volumes. Map 2.c is a 2-D filter and is compared slice by slice. Wavelets are separable: the
product's 2-D filter does two axes at once, and the third by a plane that is constant along its other axis. Maps 2.a
and 2.b are the product's Laplacian on three axes. Maps 1 (mean) and 7 (rotation invariant) are of filters that the
product doesn't have.
"""

import numpy as np
import pytest
import SimpleITK
from cemrad.features.native import filter_pointwise, ibsi
from cemrad.features.native.box import Box
from cemrad.features.native.filter_gradient import gradient_filter
from cemrad.features.native.filter_lbp import lbp_filter
from cemrad.features.native.filter_log import log_filter
from cemrad.features.native.filter_wavelet import wavelet_filter
from skimage.feature import local_binary_pattern

SPACING = (2.0, 2.0)
RULE = 0.01  # IBSI 2: every voxel within 1 % of the map's range


@pytest.fixture(scope="module")
def volume(reference):
    def read(folder, name):
        image = SimpleITK.ReadImage(str(reference / "ibsi" / folder / f"{name}.nii.gz"))
        return SimpleITK.GetArrayFromImage(image).astype(np.float64)

    return read


def everywhere(plane):
    return Box(0, plane.shape[0], 0, plane.shape[1])


def deviation(found, stated):
    """Largest difference, as a part of the range of the map."""
    return np.abs(found - stated).max() / np.ptp(stated)


@pytest.mark.parametrize(
    ("name", "phantom", "sigma_mm", "boundary"),
    [("2_a", "impulse", 3.0, "constant"), ("2_b", "checkerboard", 5.0, "reflect")],
)
def test_laplacian_of_gaussian_on_three_axes_equals_the_map(volume, name, phantom, sigma_mm, boundary):
    found = ibsi.laplacian(volume("ibsi2_phantoms", phantom), [sigma_mm / 2.0] * 3, boundary)
    assert deviation(found, volume("ibsi2_response_maps", f"{name}-ValidCRM")) < 0.0005


def test_laplacian_of_gaussian_in_two_dimensions_equals_the_map(volume):
    stated = volume("ibsi2_response_maps", "2_c-ValidCRM")
    slices = volume("ibsi2_phantoms", "checkerboard")
    found = np.stack([ibsi.log_filter(plane, everywhere(plane), 5.0, SPACING) for plane in slices])
    assert deviation(found, stated) < 0.0005


def test_pyradiomics_laplacian_is_sigma_squared_times_the_map(volume):
    """ITK's recursive filter, scale-normalised: within IBSI's rule once divided by sigma squared in pixels."""
    stated = volume("ibsi2_response_maps", "2_c-ValidCRM")
    slices = volume("ibsi2_phantoms", "checkerboard")
    found = np.stack([log_filter(plane, everywhere(plane), 5.0, SPACING) for plane in slices])
    assert deviation(found / 2.5**2, stated) < RULE
    assert deviation(found, stated) > RULE


def band(plane, wavelet, name):
    return dict(wavelet_filter(plane, everywhere(plane), wavelet, start_level=0, n_levels=1))[f"wavelet-{name}"]


def along_slices(volume, wavelet, letter):
    """One-dimensional filter along the first axis: each line becomes a plane that is constant across."""
    width, flat = 64, volume.reshape(len(volume), -1)
    found = np.empty_like(flat)
    for start in range(0, flat.shape[1], width):
        plane = np.repeat(flat[:, start : start + width], width, axis=1)
        found[:, start : start + width] = band(plane, wavelet, f"L{letter}")[:, width // 2 :: width] / np.sqrt(2)
    return found.reshape(volume.shape)


@pytest.mark.parametrize(
    ("name", "phantom", "wavelet", "bands"), [("5_a_1", "impulse", "db2", "LHL"), ("6_a_1", "sphere", "coif1", "HHL")]
)
def test_wavelet_bands_equal_the_map(volume, name, phantom, wavelet, bands):
    slices = volume("ibsi2_phantoms", phantom)
    in_plane = np.stack([band(plane, wavelet, bands[:2]) for plane in slices])
    found = along_slices(in_plane, wavelet, bands[2])
    assert deviation(found, volume("ibsi2_response_maps", f"{name}-ValidCRM")) < 1e-6


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(7).integers(0, 4096, (70, 90)).astype(np.float64)


@pytest.mark.parametrize("box", [Box(0, 70, 0, 90), Box(30, 41, 40, 44), Box(0, 5, 80, 90)])
@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_laplacian_in_a_box_is_that_of_the_whole_image(picture, box, sigma):
    whole = ibsi.laplacian(picture, [sigma, sigma])
    assert np.array_equal(ibsi.log_filter(picture, box, sigma, (1.0, 1.0)), whole[box.slices])


def test_laplacian_of_a_paraboloid_is_its_second_derivative():
    """x^2 + y^2 has Laplacian 4 everywhere, whatever the sigma; a kernel that ends at four sigma lacks 0.55 % of it."""
    y, x = np.mgrid[-60:61, -60:61].astype(np.float64)
    found = ibsi.log_filter(x**2 + y**2, Box(60, 61, 60, 61), 3.0, (1.0, 1.0))
    assert found[0, 0] == pytest.approx(4.0, rel=0.006)


def test_gradient_equals_central_differences_of_numpy(picture):
    spacing = (0.5, 0.25)
    rows, columns = np.gradient(picture, *spacing)
    box = Box(20, 50, 10, 70)
    found = gradient_filter(picture, box, spacing, use_spacing=True)
    np.testing.assert_allclose(found, np.hypot(rows, columns)[box.slices], rtol=1e-6)


@pytest.mark.parametrize("method", ["uniform", "default"])
def test_local_binary_pattern_equals_scikit_image(picture, method):
    box, mask = Box(0, 60, 5, 90), np.random.default_rng(1).random((60, 85)) > 0.3
    found = lbp_filter(picture, box, mask, radius=1, n_samples=8, method=method)
    stated = local_binary_pattern(picture.astype(np.int64), P=8, R=1, method=method)
    assert np.array_equal(found, stated[box.slices][mask])


@pytest.mark.parametrize(
    ("name", "at_half"),
    [
        ("square", 250.0),
        ("square_root", 1000 * np.sqrt(0.5)),
        ("logarithm", 1000 * np.log(501) / np.log(1001)),
        ("exponential", np.sqrt(1000.0)),
    ],
)
def test_pointwise_filters_keep_the_largest_value_and_have_their_closed_form(name, at_half):
    values = np.array([0.0, 500.0, 1000.0])
    found = getattr(filter_pointwise, name)(values, 1000.0)
    at_zero = 1.0 if name == "exponential" else 0.0
    np.testing.assert_allclose(found, [at_zero, at_half, 1000.0], rtol=1e-12)
