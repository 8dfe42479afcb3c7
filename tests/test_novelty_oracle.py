"""The distance from the training cases: Mahalanobis' by another library, with limits that hold what they say."""

import numpy as np
import pytest
from cemrad.models.novelty import MAX_FEATURES, Novelty
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler


def _persons(n):
    return [f"P{i}" for i in range(n)]


def _draw(rng, n, mixing, shift=0.0):
    return rng.normal(size=(n, len(mixing))) @ mixing + shift


def test_it_is_mahalanobis_with_ledoit_and_wolf_s_covariance():
    rng = np.random.default_rng(1)
    x, new = (_draw(rng, n, rng.normal(size=(6, 6))) for n in (40, 15))
    scaler = StandardScaler().fit(x)
    inverse = np.linalg.inv(LedoitWolf().fit(scaler.transform(x)).covariance_)
    expected = [mahalanobis(row, np.zeros(6), inverse) for row in scaler.transform(new)]
    np.testing.assert_allclose(Novelty.fit(x, _persons(40), 0).distance(new), expected, rtol=1e-9)


def test_the_limits_are_ranks_of_distances_from_the_others():
    """Nobody is measured against herself: with ten persons each is a part of its own."""
    rng = np.random.default_rng(2)
    persons = [f"P{i % 10}" for i in range(120)]
    x = rng.normal(size=(120, 3))
    distances = []
    for person in range(10):
        held = np.arange(120) % 10 == person
        distances += Novelty.fit(x[~held], _persons(108), 0).distance(x[held]).tolist()
    expected = np.sort(distances)[[int(np.ceil(121 * share)) - 1 for share in (0.95, 0.99)]]
    np.testing.assert_allclose(Novelty.fit(x, persons, 5).limits, expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "p"), [(200, 10), (150, 40), (110, 120)])
def test_of_like_cases_five_and_one_per_cent_are_called_and_of_shifted_ones_most(n, p):
    beyond, shifted = [], []
    for seed in range(10 if p < n else 4):
        rng = np.random.default_rng(seed)
        mixing = np.eye(p) + 0.3 * rng.normal(size=(p, p)) / np.sqrt(p)
        made = Novelty.fit(_draw(rng, n, mixing), _persons(n), seed)
        called = made.call(made.distance(_draw(rng, 500, mixing)))
        beyond.append([(called != "").mean(), (called == "far").mean()])
        shifted.append((made.call(made.distance(_draw(rng, 100, mixing, shift=2.5))) != "").mean())
    unusual, far = np.mean(beyond, axis=0)
    # One standard error over 10 draws of the limits: about 0.5 and 0.25 %.
    assert unusual == pytest.approx(0.05, abs=0.02)
    assert far == pytest.approx(0.01, abs=0.008)
    assert np.mean(shifted) > 0.9


def test_with_few_cases_no_limit_is_made_up():
    rng = np.random.default_rng(3)
    for n, known in ((18, [False, False]), (19, [True, False]), (98, [True, False]), (99, [True, True])):
        limits = Novelty.fit(rng.normal(size=(n, 2)), _persons(n), 0).limits
        assert [limit is not None for limit in limits] == known
    few = Novelty.fit(rng.normal(size=(10, 2)), _persons(10), 0)
    assert few.call(few.distance(np.full((1, 2), 1e3))).tolist() == [""]


def test_one_feature_is_the_absolute_standard_score():
    x = np.random.default_rng(4).normal(3.0, 2.0, size=(50, 1))
    found = Novelty.fit(x, _persons(50), 0).distance(np.array([[3.0], [9.0]]))
    np.testing.assert_allclose(found, np.abs(np.array([3.0, 9.0]) - x.mean()) / x.std(), rtol=1e-9)


def test_a_constant_feature_and_one_without_values_take_no_part():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 4))
    wider = np.column_stack([x, np.full(60, 7.0), np.full(60, np.nan)])
    plain, more = Novelty.fit(x, _persons(60), 0), Novelty.fit(wider, _persons(60), 0)
    new = rng.normal(size=(5, 4))
    np.testing.assert_allclose(
        more.distance(np.column_stack([new, np.full(5, -1e9), np.zeros(5)])), plain.distance(new), rtol=1e-9
    )
    nothing = Novelty.fit(np.ones((30, 2)), _persons(30), 0)
    assert nothing.distance(np.array([[5.0, 1.0]])).tolist() == [0.0]


def test_a_missing_value_is_the_training_median():
    x = np.random.default_rng(6).normal(size=(61, 3))
    made = Novelty.fit(x, _persons(61), 0)
    row = np.array([[0.4, np.nan, -0.2]])
    assert made.distance(row) == made.distance(np.where(np.isnan(row), np.median(x, axis=0), row))


def test_values_beyond_all_bounds_are_far_and_finite():
    made = Novelty.fit(np.random.default_rng(7).normal(size=(120, 3)), _persons(120), 0)
    found = made.distance(np.array([[1e300, 0.0, 0.0], [-1e308, 1e308, 0.0]]))
    assert np.isfinite(found).all()
    assert made.call(found).tolist() == ["far", "far"]


def test_very_many_features_are_taken_as_uncorrelated():
    x = np.random.default_rng(8).normal(size=(120, MAX_FEATURES + 1))
    made = Novelty.fit(x, _persons(120), 0)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(made.distance(x), np.linalg.norm(z, axis=1), rtol=1e-9)
    assert made.precision is None


def test_it_comes_back_from_json_bit_by_bit():
    import json

    rng = np.random.default_rng(9)
    made = Novelty.fit(rng.normal(size=(120, 5)), _persons(120), 0)
    again = Novelty.restore(json.loads(json.dumps(made.state(), allow_nan=False)), 5)
    new = rng.normal(size=(9, 5))
    np.testing.assert_array_equal(again.distance(new), made.distance(new))
    assert again.limits == made.limits


def test_two_columns_that_say_the_same_are_no_obstacle():
    """Complementary and balanced: Ledoit and Wolf's shrinkage is 0 there, and the covariance singular."""
    one = np.repeat([1.0, 0.0], 20)
    x = np.column_stack([one, 1 - one])
    fitted = Novelty.fit(x, [f"p{i}" for i in range(40)], 1)
    assert np.isfinite(fitted.distance(x)).all()
    alone = Novelty.fit(x[:, :1], [f"p{i}" for i in range(40)], 1)
    np.testing.assert_allclose(fitted.distance(x), alone.distance(x[:, :1]), rtol=1e-6)
