"""Laws of spreading: shares add up to 1, and neither spreading nor resampling loses anything of a sum."""

import numpy as np
import pytest
from cemrad.features.spread import grad_cam, kernels, shares, spread, upsample
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

FINITE = {"allow_nan": False, "allow_infinity": False, "width": 32}
MAPS = arrays(np.float64, st.tuples(*[st.integers(1, 9)] * 2), elements=st.floats(-1e3, 1e3, **FINITE))
ACTIVATIONS = arrays(np.float64, st.tuples(*[st.integers(1, 6)] * 3), elements=st.floats(-1e3, 1e3, **FINITE))


@given(MAPS, st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_resampling_keeps_the_signed_sum_and_every_sign(cells, side_px):
    """Also to fewer pixels than cells: every cell gives, and a map without negative cells stays so."""
    assert upsample(cells, side_px).sum() == pytest.approx(cells.sum(), abs=1e-9 * (1 + np.abs(cells).sum()))
    assert upsample(np.abs(cells), side_px).min() >= 0


@given(st.integers(1, 20), st.integers(1, 80))
@settings(max_examples=80, deadline=None)
def test_each_cell_gives_all_of_itself_symmetrically(n_cells, n_px):
    found = kernels(n_cells, n_px)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-12)


@given(ACTIVATIONS)
@settings(max_examples=150, deadline=None)
def test_shares_add_up_to_one_and_are_not_negative_after_a_relu(activation):
    np.testing.assert_allclose(shares(activation).sum(axis=(1, 2)), 1, atol=1e-9)
    assert shares(activation.clip(0)).min() >= 0


@given(ACTIVATIONS, st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_a_map_sums_to_what_was_spread(activation, seed):
    values = np.random.default_rng(seed).normal(size=len(activation))
    assert spread(activation, values).sum() == pytest.approx(values.sum(), abs=1e-9 * (1 + np.abs(values).sum()))


@given(ACTIVATIONS)
@settings(max_examples=80, deadline=None)
def test_no_cell_of_a_signed_map_has_many_times_the_value(activation):
    """Where cells cancel, dividing by their sum would blow the map up: at most 1 / 0.1 of the value stands in all."""
    assert np.abs(shares(activation)).sum(axis=(1, 2)).max() <= 10 * (1 + 1e-9)


def test_arguments_stay_as_they_are():
    activation, weights = np.zeros((2, 3, 3)), np.ones(2)
    shares(activation)
    grad_cam(activation, weights)
    assert not activation.any()
