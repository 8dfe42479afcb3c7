"""Laws of overlap: bounds, symmetry, moving and turning, known distances; and of lesions found at false positives."""

from dataclasses import replace

import numpy as np
import pytest
from cemrad.features.errors import MaskError
from cemrad.features.overlap import (
    FALSE_POSITIVES,
    Detections,
    compare_masks,
    detections,
    froc,
    sensitivity_at,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from .overlap_masks import ellipse, pair

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_bounds_symmetry_and_the_relation_of_dice_and_iou(masks):
    one, other = compare_masks(*masks), compare_masks(*masks[::-1])
    swapped = replace(other, reference_px=other.found_px, found_px=other.reference_px)
    np.testing.assert_equal(vars(swapped), vars(one))
    assert 0 <= one.iou <= one.dice <= 1
    assert one.dice == pytest.approx(2 * one.iou / (1 + one.iou))
    if masks[0].any() and masks[1].any():
        assert one.assd_px >= 0
        assert 0 <= one.hd95_px <= np.hypot(*masks[0].shape)
    assert one.intersection_px <= min(one.reference_px, one.found_px)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.integers(0, 9), st.integers(0, 9))
def test_moving_turning_and_padding_change_nothing(masks, rows, columns):
    there = compare_masks(*masks)
    for change in (
        lambda mask: np.pad(mask, ((rows, columns), (columns, rows))),
        np.rot90,
        np.transpose,
    ):
        moved = compare_masks(*map(change, masks))
        for name, value in vars(there).items():
            np.testing.assert_allclose(getattr(moved, name), value, rtol=1e-12, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(arrays(bool, (9, 11)).filter(np.any))
def test_a_mask_agrees_with_itself(mask):
    overlap = compare_masks(mask, mask)
    assert (overlap.dice, overlap.iou, overlap.hd95_px, overlap.assd_px) == (1, 1, 0, 0)


def test_empty_masks():
    nothing, something = np.zeros((5, 6), bool), np.ones((5, 6), bool)
    both = compare_masks(nothing, nothing)
    assert (both.dice, both.iou) == (1, 1)
    for one in (compare_masks(nothing, something), compare_masks(something, nothing)):
        assert (one.dice, one.iou, one.intersection_px) == (0, 0, 0)
        assert np.isnan([one.hd95_px, one.assd_px]).all()
    assert np.isnan([both.hd95_px, both.assd_px]).all()


@pytest.mark.parametrize("apart", [5, 40])
def test_a_line_and_its_shift_are_as_far_apart_as_it_was_moved(apart):
    line = np.zeros((30, 80), bool)
    line[5:25, 10] = True
    overlap = compare_masks(line, np.roll(line, apart, axis=1))
    assert (overlap.dice, overlap.hd95_px, overlap.assd_px) == (0, apart, apart)


def test_a_disc_grown_by_some_pixels_is_so_far_away():
    disc, grown = ellipse((201, 201), 100, 100, 50, 50), ellipse((201, 201), 100, 100, 57, 57)
    overlap = compare_masks(disc, grown)
    assert overlap.dice == pytest.approx(2 * 50**2 / (50**2 + 57**2), abs=0.002)
    assert overlap.assd_px == pytest.approx(7, abs=0.3)
    assert overlap.hd95_px == pytest.approx(7, abs=0.75)


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(MaskError, match="one picture") as caught:
        compare_masks(np.ones((3, 4), bool), np.ones((4, 3), bool))
    assert caught.value.code == "geometry.size"
    with pytest.raises(MaskError):
        detections(np.ones((3, 4), bool), np.ones((4, 3), np.int32), [1.0])


# --- lesions found ------------------------------------------------------------------------------------


def scene():
    """Two lesions; candidate 1 covers the first, 2 touches the second too little, 3 lies elsewhere, 4 hits it."""
    shape = 60, 60
    reference = ellipse(shape, 15, 15, 8, 8) | ellipse(shape, 45, 45, 8, 8)
    labels = np.zeros(shape, np.int32)
    labels[ellipse(shape, 15, 16, 8, 8)] = 1
    labels[53:56, 44:47] = 2
    labels[5:9, 45:50] = 3
    labels[40:50, 40:50] = 4
    return reference, labels


def test_what_each_candidate_hits():
    reference, labels = scene()
    found = detections(reference, labels, [0.9, 0.8, 0.7, 0.6])
    assert found.found_at.tolist() == [0.9, 0.6]
    assert found.false_positives.tolist() == [0.8, 0.7]
    stricter = detections(reference, labels, [0.9, 0.8, 0.7, 0.6], min_iou=0.8)
    assert stricter.found_at.tolist() == [0.9, -np.inf]
    assert stricter.false_positives.tolist() == [0.8, 0.7, 0.6]


def test_lesions_that_touch_at_a_corner_are_one():
    reference = np.zeros((6, 6), bool)
    reference[1:3, 1:3] = reference[3:5, 3:5] = True
    assert len(detections(reference, np.zeros((6, 6), np.int32), []).found_at) == 1


def test_a_second_hit_is_neither_a_hit_nor_a_false_positive():
    reference, labels = np.ones((8, 8), bool), np.ones((8, 8), np.int32)
    labels[:, 4:] = 2
    found = detections(reference, labels, [0.3, 0.8])
    assert found.found_at.tolist() == [0.8]
    assert not len(found.false_positives)


def test_a_label_without_a_score_is_refused():
    with pytest.raises(ValueError, match="each candidate has one"):
        detections(np.ones((2, 2), bool), np.full((2, 2), 2, np.int32), [0.5])


def test_the_curve_by_hand():
    """Three pictures: lesions found at 0.9 and 0.4, one never; false positives at 0.8 and 0.3."""
    pictures = [
        Detections(np.array([0.9]), np.array([0.8])),
        Detections(np.array([0.4, -np.inf]), np.zeros(0)),
        Detections(np.zeros(0), np.array([0.3])),
    ]
    thresholds, rates, sensitivities = froc(pictures)
    assert thresholds.tolist() == [np.inf, 0.9, 0.8, 0.4, 0.3]
    np.testing.assert_allclose(rates, [0, 0, 1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(sensitivities, [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(sensitivity_at(pictures, [0, 0.32, 1 / 3, 8]), [1 / 3, 1 / 3, 2 / 3, 2 / 3])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=12))
def test_curves_rise_and_weights_are_repetition(seeds):
    pictures = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        scores = np.round(rng.random(rng.integers(0, 4)), 1)
        found_at = np.where(rng.random(len(scores)) < 0.8, scores, -np.inf)
        pictures.append(Detections(found_at, np.round(rng.random(seed % 5), 1)))
    _, rates, sensitivities = froc(pictures)
    assert (np.diff(rates) >= 0).all()
    if sum(len(part.found_at) for part in pictures) == 0:
        assert np.isnan(sensitivity_at(pictures)).all()
        return
    assert (np.diff(sensitivities) >= 0).all()
    assert sensitivities.min() >= 0
    assert sensitivities.max() <= 1
    weights = np.arange(1, len(pictures) + 1, dtype=float)
    repeated = [part for part, n in zip(pictures, weights, strict=True) for _ in range(int(n))]
    np.testing.assert_allclose(
        sensitivity_at(pictures, weights=weights), sensitivity_at(repeated, FALSE_POSITIVES), equal_nan=True
    )


def test_nothing_at_all():
    assert np.isnan(sensitivity_at([])).all()
    reference, found = pair(3)
    assert detections(reference, found.astype(np.int32), [0.5]).found_at.shape == (2,)
