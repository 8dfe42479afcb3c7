"""The planted tables of the benches are what they say: shares, correlations, and the best score that there is."""

import numpy as np
import pytest
from cemrad.models.metrics import auc
from cemrad.pipeline.phantom_truth import BLOCKS, Effects, label_model, population_auc
from scipy.stats import spearmanr

from .planted import ALIKE, Block, Endpoint, World

EFFECTS = {block: getattr(Effects(), block) for block in BLOCKS}


@pytest.fixture(scope="module")
def world():
    return World(
        blocks={"radiomics": Block(12, 2, 3), "deep": Block(12, 2, 3), "clinical": Block(4, 1, 1)},
        endpoints={"malignancy": Endpoint(EFFECTS, 0.5), "er": Endpoint(EFFECTS, 0.3, 0.2, (1, -1))},
    )


@pytest.fixture(scope="module")
def many(world):
    return world.draw(30_000, 30_000, seed=1)


def test_shares_are_those_stated(many):
    """Within three standard errors."""
    for name, share, missing in (("malignancy", 0.5, 0.0), ("er", 0.3, 0.2)):
        stated = many.labels[name].dropna().astype(float)
        assert stated.mean() == pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / len(stated)))
        assert many.labels[name].isna().mean() == pytest.approx(missing, abs=3 * np.sqrt(0.2 * 0.8 / 30_000))


def test_the_best_score_is_that_of_the_phantoms_label_model(many):
    """One normal sum per block with the same effects: the same population, so the same AUC, to sampling."""
    truth = many.labels["malignancy"].to_numpy(dtype=int)
    expected = population_auc(label_model(Effects(), 0.5), "malignancy", BLOCKS)
    assert auc(truth, many.probability["malignancy"].to_numpy()) == pytest.approx(expected, abs=0.006)


def test_columns_of_one_factor_correlate_as_stated_and_others_do_not(world, many):
    """Pearson's r is the product of the correlations with the factor; Spearman's follows, as all is normal."""
    columns = world.columns.query("family == 'radiomics'")
    values = many.table.values[columns.index].dropna().to_numpy()
    found = np.array(spearmanr(values).statistic)
    seen, factor = columns["seen"].to_numpy(), columns["factor"].to_numpy()
    pearson = np.where(factor[:, None] == factor, np.outer(seen, seen), 0.0)
    expected = 6 / np.pi * np.arcsin(pearson / 2)
    apart = ~np.eye(len(seen), dtype=bool)
    np.testing.assert_allclose(found[apart], expected[apart], atol=0.025)


def test_lesions_of_a_patient_are_alike_and_cohorts_differ(world):
    one, other = world.draw(4_000, 2_000, seed=2), world.draw(4_000, 2_000, seed=3)
    assert not set(one.table.cases["patient_id"]) & set(other.table.cases["patient_id"])
    column = world.columns.query("family == 'clinical' and not skewed").index[0]
    values = one.table.values[column].groupby(one.table.cases["patient_id"])
    pairs = np.array([part.to_numpy()[:2] for _, part in values if len(part) > 1])
    expected = ALIKE * world.columns.loc[column, "seen"] ** 2
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(expected, abs=0.1)
