"""Decision curves against R's dcurves (ST5), and what they refuse."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.models.decision import ALL, NONE, curve_rows, interventions_avoided, net_benefit, reference_rows, treat_all
from cemrad.models.heldout import HeldOut
from cemrad.models.intervals import bootstrap_weights
from cemrad.models.irls import fit_logistic


@pytest.fixture(scope="module")
def dca(reference):
    folder = reference / "stats_reference" / "dca"
    frame = pd.read_csv(folder / "df_binary.csv")
    truth = (frame["cancer"].astype(str).str.upper() == "TRUE").to_numpy(np.int64)
    return frame, truth, {n: pd.read_csv(folder / f"r_case{n}_results.csv") for n in (1, 3)}


def _same(expected, variable, truth, chance, *, harm=0.0):
    rows = expected[(expected["variable"] == variable) & (expected["threshold"] > 0)]
    thresholds = rows["threshold"].to_numpy()
    found = net_benefit(truth, chance, thresholds, np.ones((1, len(truth))))[0] - harm
    assert len(rows) > 30
    np.testing.assert_allclose(found, rows["net_benefit"], atol=1e-9)
    avoided = interventions_avoided(found, truth.mean(), thresholds)
    np.testing.assert_allclose(avoided, rows["net_intervention_avoided"], atol=1e-9)


def test_case_1_of_dcurves(dca):
    """cancer ~ famhistory, thresholds 0.01 to 0.99; 1e-9."""
    frame, truth, expected = dca
    _same(expected[1], "famhistory", truth, frame["famhistory"].to_numpy(float))
    _same(expected[1], "all", truth, np.ones(len(truth)))
    _same(expected[1], "none", truth, np.zeros(len(truth)))


def test_case_3_of_dcurves(dca):
    """The marker made a probability by logistic regression, with a harm of 0.0333; 1e-9."""
    frame, truth, expected = dca
    columns = np.column_stack([np.ones(len(truth)), frame["marker"]])
    line = columns @ fit_logistic(columns, truth, np.ones((1, len(truth))))[0]
    rows = expected[3]
    (harm,) = rows.loc[rows["variable"] == "marker", "harm"].unique()
    _same(rows, "marker", truth, 1 / (1 + np.exp(-line)), harm=harm)


def test_the_printed_figures_of_dcurves(dca):
    frame, truth, _ = dca
    found = net_benefit(truth, frame["cancerpredmarker"].to_numpy(), np.array([0.1, 0.2, 0.3]), np.ones((1, 750)))
    assert found[0] == pytest.approx([0.08740741, 0.06733333, 0.05466667], abs=1e-8)
    assert treat_all(0.14, np.array([0.0]))[0] == pytest.approx(0.14)


def _held(n, seed):
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.02, 0.98, n)
    truth = (rng.random(n) < chance).astype(np.int64)
    zeros = np.zeros(n, dtype=np.int64)
    return HeldOut(truth, chance, chance > 0.5, zeros, zeros, np.arange(n))


def test_the_band_is_that_of_the_mean_of_what_each_case_is_worth():
    """Closed form: net benefit is a mean over cases, so its standard error is their deviation over root n."""
    held, thresholds = _held(300, 0), np.array([0.2, 0.5])
    rows = pd.DataFrame(curve_rows("fused", held, thresholds, bootstrap_weights(held.person, 4000, 1)))
    for t, row in zip(thresholds, rows.itertuples(), strict=True):
        worth = np.where(held.truth == 1, 1, -t / (1 - t)) * (held.probability >= t)
        assert row.net_benefit == pytest.approx(worth.mean())
        assert (row.high - row.low) / 2 == pytest.approx(1.97 * worth.std() / np.sqrt(300), rel=0.06)


def test_everyone_and_no_one_stand_beside_the_model():
    held, thresholds = _held(200, 1), np.array([0.1, 0.4])
    rows = pd.DataFrame(reference_rows(held, thresholds, bootstrap_weights(held.person, 200, 1)))
    everyone, nobody = rows[rows["arm"] == ALL], rows[rows["arm"] == NONE]
    assert everyone["net_benefit"].to_numpy() == pytest.approx(treat_all(held.truth.mean(), thresholds))
    assert everyone["interventions_avoided"].to_numpy() == pytest.approx(0)
    assert (nobody[["net_benefit", "low", "high"]] == 0).all(axis=None)
    few = HeldOut(*(getattr(held, name)[:4] for name in ("truth", "probability", "called", "repeat", "fold", "person")))
    assert pd.DataFrame(curve_rows("fused", few, thresholds, np.ones((2, 4))))["low"].isna().all()


@pytest.mark.parametrize(
    ("chance", "threshold", "words"),
    [(1.2, 0.5, "needs probabilities"), (np.nan, 0.5, "needs probabilities"), (0.5, 1.0, "between 0 and 1, exclusive")],
)
def test_what_is_no_probability_is_refused(chance, threshold, words):
    with pytest.raises(EvaluationError, match=words):
        net_benefit(np.array([0, 1]), np.array([0.5, chance]), np.array([threshold]), np.ones((1, 2)))
