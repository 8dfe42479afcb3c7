"""Laws of the breast mask: it does not depend on grey scale, side or padding."""

import numpy as np
import pytest
from cemrad.features.breast import find_breast
from cemrad.features.case import PictureKey
from cemrad.pipeline.cohorts.phantom import Settings, read


@pytest.fixture(scope="module", params=[("LE", "CC"), ("RC", "MLO"), ("LE", "MLO")], ids="_".join)
def picture(request):
    cases = read(Settings(n_patients=3, seed=4, missing_view_rate=0)).cases
    return cases[0].pictures[PictureKey(*request.param)].image.read().pixels, request.param[1]


def test_a_mirrored_picture_has_the_mirrored_mask(picture):
    pixels, view = picture
    region, mirrored = find_breast(pixels, view=view), find_breast(pixels[:, ::-1], view=view)
    assert {region.side, mirrored.side} == {"L", "R"}
    np.testing.assert_array_equal(mirrored.mask, region.mask[:, ::-1])
    np.testing.assert_array_equal(region.canonical(region.mask), mirrored.canonical(mirrored.mask))
    if region.pectoral is not None:
        np.testing.assert_array_equal(mirrored.pectoral, region.pectoral[:, ::-1])


def test_canonical_twice_is_the_picture_itself(picture):
    pixels, _ = picture
    region = find_breast(pixels[:, ::-1])
    np.testing.assert_array_equal(region.canonical(region.canonical(pixels)), pixels)
    wall = region.canonical(region.mask)
    assert wall[:, :3].sum() > wall[:, -3:].sum()


@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0), (3, 1000), (1, -500), (-1, 8000)])
def test_the_grey_scale_does_not_matter(picture, gain, offset):
    pixels, _ = picture
    region, other = find_breast(pixels), find_breast(pixels.astype(np.float32) * gain + offset)
    assert other.inverted == (gain < 0)
    assert np.mean(region.mask != other.mask) < 0.001


def test_an_even_border_does_not_matter(picture):
    pixels, _ = picture
    padded = np.pad(pixels, ((0, 0), (90, 60)), constant_values=pixels.min())
    np.testing.assert_array_equal(find_breast(padded).mask[:, 90:-60], find_breast(pixels).mask)
