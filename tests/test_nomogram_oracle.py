"""A nomogram's points, added up by hand, are the model's probability."""

import numpy as np
import pytest
from cemrad.models.learner import probability
from cemrad.models.learners.logistic import Learner, Settings
from cemrad.models.nomogram import nomogram


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 3)) * [1.0, 10.0, 0.1] + [0.0, 50.0, 0.0]
    y = (x[:, 0] + 0.05 * x[:, 1] + rng.normal(size=200) > 2.5).astype(np.int64)
    x[:9, 2] = np.nan
    return Learner(Settings()).fit(x, y, {"inverse_penalty": 1.0}, 0), np.fmin.reduce(x), np.fmax.reduce(x)


def test_points_add_up_to_the_probability(fitted):
    model, low, high = fitted
    table = nomogram(model, ["a", "b", "c"], low, high)
    points = table[table["kind"] != "total"]
    assert points["points"].max() == pytest.approx(100)
    assert points[points["kind"] == "feature"].groupby("feature")["points"].min().to_numpy() == pytest.approx(0)
    by_hand = {name: part.sort_values("value") for name, part in points.groupby("feature")}
    case = np.array([low[0], 0.3 * low[1] + 0.7 * high[1], np.nan])
    total = sum(
        np.interp(value, by_hand[name]["value"], by_hand[name]["points"])
        for name, value in zip("ab", case[:2], strict=True)
    ) + points.query("kind == 'missing' and feature == 'c'")["points"].item()  # fmt: skip
    totals = table[table["kind"] == "total"]
    odds = np.log(totals["probability"] / (1 - totals["probability"]))
    assert probability(np.interp(total, totals["points"], odds)) == pytest.approx(
        probability(model.margin(case[None, :]))[0], abs=1e-9
    )


def test_the_strongest_feature_comes_first_and_one_without_effect_has_no_points(fitted):
    model, low, high = fitted
    table = nomogram(model, ["a", "b", "c"], low, high)
    strengths = table[table["kind"] == "feature"].groupby("feature", sort=False)["points"].max()
    assert strengths.is_monotonic_decreasing
    still = type(model)(model.standard, np.zeros(3), 0.0)
    assert nomogram(still, ["a", "b", "c"], low, high).empty
