"""Net reclassification against the published example, and as an index of a model that knows nothing more."""

import numpy as np
import pandas as pd
import pytest
from cemrad.models.heldout import HeldOut
from cemrad.models.intervals import bootstrap_weights
from cemrad.models.reclassification import reclassify


def _held(truth, chance, called):
    zeros = np.zeros(len(truth), dtype=np.int64)
    return HeldOut(truth, chance, called, zeros, zeros, np.arange(len(truth)))


def _table(held, reference, n_draws=400):
    rows = reclassify(held, reference, bootstrap_weights(held.person, n_draws, 1))
    return pd.DataFrame(rows).set_index(["kind", "part"])


def test_the_example_of_pencina_2008():
    """Framingham, HDL cholesterol: of 183 events 29 move up and 7 down, of 3,081 others 173 up and 174 down.

    doi 10.1002/sim.2929 states 0.120, 0.0003, 0.121 and z = 3.616.
    """
    truth = np.repeat([1, 0], [183, 3081])
    before = np.zeros(len(truth), dtype=bool)
    after = before.copy()
    after[:29] = True
    before[29:36] = True
    after[183 : 183 + 173] = True
    before[183 + 173 : 183 + 347] = True
    found = _table(_held(truth, after * 0.9, after), _held(truth, before * 0.9, before)).loc["categorical"]
    assert found["estimate"].to_dict() == pytest.approx(
        {"events": 0.120, "nonevents": 0.0003, "total": 0.121}, abs=5e-4
    )
    error = (found.loc["total", "high"] - found.loc["total", "low"]) / 2 / 1.973
    assert found.loc["total", "estimate"] / error == pytest.approx(3.616, rel=0.1)


def test_any_rise_counts_in_the_continuous_index():
    """By hand: of 3 events two rise and one falls, of 5 others two fall, one rises, two stay."""
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0] * 4)
    old = np.full(32, 0.5)
    new = old + np.array([0.1, 0.2, -0.1, -0.1, -0.3, 0.2, 0.0, 1e-15] * 4)
    found = _table(_held(truth, new, new > 0.9), _held(truth, old, old > 0.9))
    continuous = found.loc["continuous", "estimate"]
    assert continuous.to_dict() == pytest.approx({"events": 1 / 3, "nonevents": 1 / 5, "total": 8 / 15})
    assert (found.loc["categorical", "estimate"] == 0).all()
    assert found.loc["categorical", "method"].str.startswith("no interval: every case moves alike").all()


def test_without_more_knowledge_the_interval_covers_zero_and_one_class_says_so():
    rng = np.random.default_rng(3)
    truth, old = rng.integers(0, 2, 200), rng.random(200)
    new = np.clip(old + rng.normal(0, 0.1, 200), 0, 1)
    found = _table(_held(truth, new, new > 0.5), _held(truth, old, old > 0.5))
    assert (found["low"] <= 0).all()
    assert (found["high"] >= 0).all()
    ones = np.ones(20, dtype=np.int64)
    alone = _table(_held(ones, new[:20], new[:20] > 0.5), _held(ones, old[:20], old[:20] > 0.5), 20)
    assert alone.loc[("categorical", "nonevents"), "method"] == "not estimable: no case of the class"
