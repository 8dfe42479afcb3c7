"""Laws of contour masks."""

import numpy as np
from cemrad.features.image import Image
from cemrad.pipeline.contour import Region, analytic_area, rasterise
from cemrad.pipeline.masks.via import ViaMask
from hypothesis import given, settings
from hypothesis import strategies as st

coordinates = st.lists(st.integers(0, 60), min_size=3, max_size=12)


@st.composite
def polygons(draw):
    xs = draw(coordinates)
    ys = draw(st.lists(st.integers(0, 60), min_size=len(xs), max_size=len(xs)))
    return Region("polygon", tuple(map(float, xs)), tuple(map(float, ys)))


def _moved(region, dx, dy):
    return Region(region.shape, tuple(x + dx for x in region.xs), tuple(y + dy for y in region.ys))


@settings(max_examples=60, deadline=None)
@given(polygons(), st.integers(-80, 80), st.integers(-80, 80))
def test_a_whole_shift_moves_the_mask_and_cuts_it_at_the_edge(region, dx, dy):
    wide = rasterise(_moved(region, 100, 100), (300, 300))
    moved = rasterise(_moved(region, dx, dy), (70, 70))
    np.testing.assert_array_equal(moved, wide[100 - dy : 170 - dy, 100 - dx : 170 - dx])


@settings(max_examples=60, deadline=None)
@given(polygons(), st.integers(0, 11))
def test_direction_start_and_closure_do_not_matter(region, start):
    k = start % len(region.xs)
    turned = Region("polygon", (region.xs[k:] + region.xs[:k])[::-1], (region.ys[k:] + region.ys[:k])[::-1])
    closed = Region("polyline", (*region.xs, region.xs[0]), (*region.ys, region.ys[0]))
    mask = rasterise(region, (61, 61))
    np.testing.assert_array_equal(rasterise(closed, (61, 61)), mask)
    # A centre exactly on an edge belongs to one side or the other by direction; nothing else may change.
    assert np.count_nonzero(rasterise(turned, (61, 61)) ^ mask) <= 8
    assert abs(analytic_area(turned) - analytic_area(region)) < 1e-6


@settings(max_examples=40, deadline=None)
@given(polygons())
def test_the_mask_tends_to_the_area_as_pixels_get_finer(region):
    fine = Region("polygon", tuple(16 * x for x in region.xs), tuple(16 * y for y in region.ys))
    steps = np.hypot(np.diff([*fine.xs, fine.xs[0]]), np.diff([*fine.ys, fine.ys[0]])).sum()
    assert abs(rasterise(fine, (976, 976)).sum() - analytic_area(fine)) <= 1 + steps


@settings(max_examples=40, deadline=None)
@given(st.lists(polygons(), min_size=1, max_size=4))
def test_a_mask_is_the_union_of_its_regions(regions):
    mask = ViaMask(tuple(regions)).read(Image(np.zeros((61, 61))))
    parts = [rasterise(region, (61, 61)) for region in regions]
    np.testing.assert_array_equal(mask, np.logical_or.reduce(parts))
