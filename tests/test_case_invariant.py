"""Laws of crops and of usable masks, on arbitrary images."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.crop import lesion_crop, lesion_side_px
from cemrad.features.errors import MaskError
from cemrad.features.image import ArrayImage, Image
from cemrad.features.mask import ArrayMask, MaskRules, bounding_box, require_usable
from cemrad.features.reading import read_case
from hypothesis import assume, given, settings
from hypothesis import strategies as st

shapes = st.tuples(st.integers(4, 30), st.integers(4, 30))
masks = shapes.flatmap(lambda shape: arrays.arrays(bool, shape)).filter(lambda mask: mask.any())
margins = st.floats(0, 2)


def counted(mask):
    """An image in which every pixel has a value of its own."""
    return Image(np.arange(mask.size, dtype=float).reshape(mask.shape))


@given(masks, margins)
@settings(deadline=None)
def test_a_crop_holds_the_whole_lesion_and_the_pixels_of_its_place(mask, margin):
    image = counted(mask)
    crop = lesion_crop(image, mask, margin)
    assert crop.side_px == lesion_side_px(mask, margin)
    assert crop.mask.sum() == mask.sum()
    rows, columns = np.nonzero(crop.mask)
    assert mask[rows + crop.top, columns + crop.left].all()
    assert (crop.pixels[rows, columns] == image.pixels[rows + crop.top, columns + crop.left]).all()


@given(masks, margins)
@settings(deadline=None)
def test_beyond_the_image_a_crop_repeats_the_edge_and_is_not_lesion(mask, margin):
    image = counted(mask)
    crop = lesion_crop(image, mask, margin)
    side = crop.side_px
    padded = np.pad(image.pixels, 3 * side, mode="edge")
    top, left = crop.top + 3 * side, crop.left + 3 * side
    np.testing.assert_array_equal(crop.pixels, padded[top : top + side, left : left + side])
    rows, columns = np.indices(crop.mask.shape)
    outside = (rows + crop.top < 0) | (rows + crop.top >= mask.shape[0])
    outside |= (columns + crop.left < 0) | (columns + crop.left >= mask.shape[1])
    assert not crop.mask[outside].any()


@given(masks, margins, st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None)
def test_a_lesion_that_moves_takes_its_crop_along(mask, margin, down, right):
    moved = np.pad(mask, ((down, 9 - down), (right, 9 - right)))
    here, there = lesion_crop(counted(mask), mask, margin), lesion_crop(counted(moved), moved, margin)
    assert (there.top - here.top, there.left - here.left, there.side_px) == (down, right, here.side_px)
    np.testing.assert_array_equal(there.mask, here.mask)


@given(masks, st.integers(1, 60), st.integers(1, 60))
@settings(deadline=None)
def test_crops_of_two_sides_share_their_centre(mask, one, other):
    image = counted(mask)
    first, second = (lesion_crop(image, mask, side_px=side) for side in (one, other))
    assert (first.side_px, second.side_px) == (one, other)
    assert first.top + one // 2 == second.top + other // 2
    assert first.left + one // 2 == second.left + other // 2


@given(masks)
def test_the_bounding_box_is_the_tightest(mask):
    top, bottom, left, right = bounding_box(mask)
    assert mask[top:bottom, left:right].sum() == mask.sum()
    for edge in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]):
        assert edge.any()


@given(masks, st.integers(1, 80), st.integers(1, 8))
def test_a_mask_is_usable_exactly_when_it_meets_the_rules(mask, min_area_px, min_extent_px):
    rules = MaskRules(min_area_px=min_area_px, min_extent_px=min_extent_px)
    rows, columns = np.nonzero(mask)
    meets = len(rows) >= min_area_px and min(np.ptp(rows), np.ptp(columns)) + 1 >= min_extent_px
    if meets:
        assert require_usable(mask, rules) is mask
    else:
        with pytest.raises(MaskError) as caught:
            require_usable(mask, rules)
        assert caught.value.code == "mask.too_small"


@given(masks, masks)
@settings(deadline=None)
def test_a_mask_of_another_size_is_never_used(mask, other):
    assume(mask.shape != other.shape)
    pictures = {PictureKey("LE", "CC"): Picture(ArrayImage(counted(mask).pixels), ArrayMask(other))}
    reading = read_case(Case("A", "P", pictures=pictures), MaskRules(min_area_px=1, min_extent_px=1))
    assert reading.usable == {}
    assert [failure.code for failure in reading.failures] == ["geometry.size"]


@given(masks)
@settings(deadline=None)
def test_a_reading_counts_the_parts_that_touch_not_even_at_a_corner(mask):
    pictures = {PictureKey("LE", "CC"): Picture(ArrayImage(counted(mask).pixels), ArrayMask(mask))}
    reading = read_case(Case("A", "P", pictures=pictures), MaskRules(min_area_px=1, min_extent_px=1))
    told = {failure.code: failure.reason for failure in reading.failures}
    n_parts = count_parts(mask)
    assert ("mask.components" in told) == (n_parts > 1)
    assert n_parts == 1 or f"{n_parts} separate parts" in told["mask.components"]
    assert ("mask.full_image" in told) == mask.all()


def count_parts(mask):
    """Flood fill, eight neighbours."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    n_parts = 0
    while left:
        n_parts += 1
        stack = [left.pop()]
        while stack:
            row, column = stack.pop()
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
    return n_parts
