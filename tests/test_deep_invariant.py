"""Laws of the deep features: what must not change them."""

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules

LE, RC, LERC = (PictureKey(image_type, "CC") for image_type in ("LE", "RC", "LERC"))


@pytest.fixture(scope="module")
def family():
    return deep.Family(deep.Settings(weights="random", size=64, batch=5), MaskRules())


def grey(seed, shape=(160, 160)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def box(top, left, height=24, width=30, shape=(160, 160)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def case(name, seed, le=(60, 60), rc=(60, 60), change=lambda pixels: pixels):
    pictures = {
        LE: Picture(ArrayImage(change(grey(seed))), ArrayMask(box(*le))),
        RC: Picture(ArrayImage(change(grey(seed + 1000))), ArrayMask(box(*rc))),
    }
    return Case(name, name, pictures=pictures)


def vector(row, picture):
    return np.array([value for name, value in row.values.items() if name.split(":")[1] == picture.name])


def test_a_case_has_the_same_features_in_any_batch(family):
    cases = [case(f"c{i}", i) for i in range(7)]
    together = family.extract(cases)
    shuffled = family.extract(cases[::-1])[::-1]
    for one, first, second in zip(cases, together, shuffled, strict=True):
        (alone,) = family.extract([one])
        assert [row.case_id for row in (alone, first, second)] == [one.case_id] * 3
        for picture in (LE, RC, LERC):
            for row in (first, second):
                np.testing.assert_allclose(vector(row, picture), vector(alone, picture), rtol=1e-5, atol=1e-5)
    assert np.abs(vector(together[0], LE) - vector(together[1], LE)).max() > 1e-2


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels.astype(np.uint16) * 257,
        lambda pixels: pixels.astype(np.int16) * 16 - 1000,
        lambda pixels: pixels / 255.0,
    ],
    ids=["16 bit", "signed with an offset", "0 to 1"],
)
def test_another_grey_scale_of_one_picture_changes_nothing(family, change):
    plain, changed = family.extract([case("a", 1), case("b", 1, change=change)])
    for picture in (LE, RC, LERC):
        np.testing.assert_allclose(vector(changed, picture), vector(plain, picture), rtol=1e-4, atol=1e-4)


def test_an_offset_between_low_energy_and_recombined_changes_nothing(family):
    """Image and mask of RC shift together by whole pixels; the composite follows the mask."""
    shift = (5, -8)
    pixels = grey(2)
    moved = np.roll(pixels, shift, axis=(0, 1))
    here = Case("a", "a", pictures={
        LE: Picture(ArrayImage(grey(1)), ArrayMask(box(60, 60))),
        RC: Picture(ArrayImage(pixels), ArrayMask(box(60, 60))),
    })  # fmt: skip
    there = Case("b", "b", pictures={
        LE: Picture(ArrayImage(grey(1)), ArrayMask(box(60, 60))),
        RC: Picture(ArrayImage(moved), ArrayMask(box(60 + shift[0], 60 + shift[1]))),
    })  # fmt: skip
    one, other = family.extract([here, there])
    np.testing.assert_allclose(vector(other, LERC), vector(one, LERC), rtol=1e-5, atol=1e-5)
    ignored = Case("c", "c", pictures={LE: there.pictures[LE], RC: Picture(ArrayImage(moved), ArrayMask(box(60, 60)))})
    (wrong,) = family.extract([ignored])
    assert np.abs(vector(wrong, LERC) - vector(one, LERC)).max() > 1e-3


def test_pixels_beyond_the_margin_do_not_matter_but_those_within_do(family):
    pixels = grey(4)
    far, near = pixels.copy(), pixels.copy()
    far[:20] = far[:20][::-1]  # the grey scale stays: only places change
    near[60:75] = near[60:75][::-1]
    pictures = [{LE: Picture(ArrayImage(p), ArrayMask(box(60, 60)))} for p in (pixels, far, near)]
    rows = family.extract([Case(str(i), "p", pictures=pictures[i]) for i in range(3)])
    plain, far_row, near_row = (vector(row, LE) for row in rows)
    np.testing.assert_allclose(far_row, plain, rtol=1e-6, atol=1e-6)
    assert np.abs(near_row - plain).max() > 1e-3
