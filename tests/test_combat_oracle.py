"""ComBat against R's neuroCombat."""

import numpy as np
import pandas as pd
import pytest
from cemrad.models.combat import Combat

SITE = ["1"] * 5 + ["2"] * 5
PHENO = pd.DataFrame({"clinical:case:pheno": [1.0, 0.0] * 5})
OPTIONS = {
    "": {},
    "_noeb": {"empirical_bayes": False},
    "_meanonly": {"mean_only": True},
    "_batchref": {"reference_site": "1"},
}


@pytest.fixture
def folder(reference):
    return reference / "stats_reference" / "combat"


def read(path):
    """Features in rows there, cases in rows here."""
    return pd.read_csv(path).to_numpy(float).T


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("adjusted", [True, False])
def test_it_gives_the_numbers_of_r(folder, option, adjusted):
    x = read(folder / "testdata.csv")
    covariates = PHENO if adjusted else None
    combat = Combat.fit(x, SITE, covariates=covariates, min_per_site=5, **OPTIONS[option])
    name = f"expected_parametric_{'adjusted' if adjusted else 'unadjusted'}{option}_r.csv"
    np.testing.assert_allclose(combat.apply(x, SITE, covariates), read(folder / name), rtol=0, atol=1e-10)


def test_it_applies_to_new_data_as_r_does(folder):
    """Fitted with a covariate on all scans, applied to four of them without."""
    x = read(folder / "testdata.csv")
    combat = Combat.fit(x, SITE, covariates=PHENO, min_per_site=5)
    at = [0, 1, 5, 6]
    found = combat.apply(x[at], [SITE[i] for i in at])
    np.testing.assert_allclose(found, read(folder / "expected_training_test_scenario2_r.csv"), rtol=0, atol=1e-10)
