"""Image files against a second decoder: pydicom for DICOM, SimpleITK and numpy for the rest."""

import numpy as np
import PIL.Image
import pydicom
import pytest
import SimpleITK
from cemrad.features.imagefile import ImageFile

PIXELS = (np.arange(48).reshape(6, 8) * 80).astype(np.uint16)


def _raw(path):
    """Pixels as pydicom gives them: no rescale, no inversion."""
    return pydicom.dcmread(path).pixel_array


def test_a_real_mammogram(realdata):
    header = pydicom.dcmread(realdata / "dicom" / "GH133.dcm", stop_before_pixels=True)
    image = ImageFile(realdata / "dicom" / "GH133.dcm").read()
    assert image.shape == (header.Rows, header.Columns) == (3062, 2394)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.max() < 2**header.BitsStored
    assert image.spacing_mm == pytest.approx((0.09409090909091,) * 2)
    assert "padding: values 0 to 30 are not breast" in image.notes
    assert "presentation intent: FOR PRESENTATION" in image.notes


def test_imager_spacing_is_divided_by_the_magnification(realdata):
    image = ImageFile(realdata / "dicom" / "OutOfBoundsOverlay.dcm").read()
    assert image.shape == (788, 1318)
    assert image.spacing_mm == pytest.approx((0.085 / 1.0433386837881,) * 2)
    assert image.grid.spacing_mm == pytest.approx((0.085, 0.085))


def test_plain_pixels_equal_pydicom(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", PIXELS)
    np.testing.assert_array_equal(ImageFile(path).read().pixels, _raw(path))


def test_monochrome1_is_turned_round(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", PIXELS, PhotometricInterpretation="MONOCHROME1")
    image = ImageFile(path).read()
    np.testing.assert_array_equal(image.pixels, 2**12 - 1 - _raw(path).astype(int))
    assert any("MONOCHROME1" in note for note in image.notes)


@pytest.mark.parametrize(("slope", "intercept"), [(2, -10), (0.5, 3)])
def test_rescale_is_applied_once(tmp_path, write_dicom, slope, intercept):
    path = write_dicom(tmp_path / "a.dcm", PIXELS, RescaleSlope=slope, RescaleIntercept=intercept)
    expected = _raw(path).astype(float) * slope + intercept
    np.testing.assert_allclose(ImageFile(path).read().pixels, expected, rtol=0, atol=1e-9)


def test_unused_high_bits_are_masked(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", PIXELS | 0xF000)
    np.testing.assert_array_equal(ImageFile(path).read().pixels, PIXELS)


@pytest.mark.parametrize(
    ("tags", "spacing", "note"),
    [
        ({"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.3, 0.3]}, (0.1, 0.2), "spacing: PixelSpacing"),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (0.1, 0.2), "magnification factor 1"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 2}, (0.1, 0.1), "factor 2"),
        ({}, None, "spacing: none stated"),
    ],
)
def test_which_spacing_is_taken_and_said(tmp_path, write_dicom, tags, spacing, note):
    image = ImageFile(write_dicom(tmp_path / "a.dcm", PIXELS, **tags)).read()
    assert image.spacing_mm == (None if spacing is None else pytest.approx(spacing))
    assert any(note in said for said in image.notes)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize("slices", [0, 1])
def test_volume_formats_keep_values_and_grid(tmp_path, suffix, slices):
    volume = SimpleITK.GetImageFromArray(PIXELS[None] if slices else PIXELS)
    volume.SetSpacing((0.07, 0.09, 1.0)[: 2 + slices])
    volume.SetOrigin((5.0, -3.0, 0.0)[: 2 + slices])
    SimpleITK.WriteImage(volume, tmp_path / f"a{suffix}")
    image = ImageFile(tmp_path / f"a{suffix}").read()
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.spacing_mm == pytest.approx((0.09, 0.07), rel=1e-6)
    assert image.grid.origin_mm == pytest.approx((-3.0, 5.0), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_raster_formats_keep_values(tmp_path, suffix, dtype):
    pixels = np.arange(48, dtype=dtype).reshape(6, 8) * (5 if dtype == np.uint8 else 1300)
    PIL.Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    image = ImageFile(tmp_path / f"a{suffix}").read()
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == dtype
    assert image.spacing_mm is None
    assert image.grid is None


def test_real_colour_becomes_luma(tmp_path):
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[:] = (200, 100, 50)
    PIL.Image.fromarray(colour).save(tmp_path / "a.png")
    image = ImageFile(tmp_path / "a.png").read()
    assert np.abs(image.pixels - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).max() <= 0.5
    assert any("BT.601" in note for note in image.notes)


def test_the_originals_are_grey_in_three_equal_channels(realdata):
    path = realdata / "cdd-cesm" / "original-p40" / "P40_L_CM_MLO.jpg"
    image = ImageFile(path).read()
    np.testing.assert_array_equal(image.pixels, np.asarray(PIL.Image.open(path))[..., 1])
    assert image.shape == (2434, 1590)
    assert image.spacing_mm is None
