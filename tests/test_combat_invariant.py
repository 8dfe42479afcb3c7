"""ComBat: laws, guards and what happens to sites, columns and values that cannot be fitted."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import BundleError, EvaluationError, LeakageError, StudyError
from cemrad.models.combat import Combat, restore


def cohort(n=60, n_columns=8, seed=0):
    """Three sites that add and multiply, and an age that matters."""
    rng = np.random.default_rng(seed)
    site = np.repeat(["A", "B", "C"], n // 3)
    age = rng.normal(55, 10, n)
    place = np.searchsorted(["A", "B", "C"], site)
    shift, scale = rng.normal(0, 3, (3, n_columns)), rng.uniform(0.5, 2, (3, n_columns))
    x = 0.1 * age[:, None] + shift[place] + scale[place] * rng.normal(size=(n, n_columns))
    return x, site, pd.DataFrame({"clinical:case:age": age})


def equal(one, other):
    assert one.state() == other.state()


def test_own_estimates_make_mean_and_spread_of_all_sites_the_same():
    x, site, _ = cohort()
    found = Combat.fit(x, site, empirical_bayes=False).apply(x, site)
    means = np.array([found[site == s].mean(axis=0) for s in "ABC"])
    spreads = np.array([found[site == s].std(axis=0) for s in "ABC"])
    assert np.ptp(means, axis=0).max() < 1e-12
    assert np.ptp(spreads, axis=0).max() < 1e-12


def test_values_of_the_reference_site_stay():
    x, site, age = cohort()
    found = Combat.fit(x, site, covariates=age, reference_site="B").apply(x, site, age)
    np.testing.assert_allclose(found[site == "B"], x[site == "B"], rtol=0, atol=1e-12)
    assert np.abs(found[site == "A"] - x[site == "A"]).max() > 0.1


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_a_column_does_not_matter(factor):
    x, site, age = cohort()
    units = np.where(np.arange(8) % 2, factor, 1.0)
    expected = Combat.fit(x, site, covariates=age).apply(x, site, age)
    found = Combat.fit(x * units, site, covariates=age).apply(x * units, site, age)
    np.testing.assert_allclose(found / units, expected, rtol=0, atol=1e-9)


def test_missing_values_stay_missing_and_the_others_are_fitted_on_what_is_there():
    x, site, _ = cohort()
    gaps = x.copy()
    gaps[[3, 25, 47], 2] = np.nan
    settings = {"empirical_bayes": False}
    found = Combat.fit(gaps, site, **settings).apply(gaps, site)
    assert np.array_equal(np.isnan(found), np.isnan(gaps))
    keep = ~np.isnan(gaps[:, 2])
    alone = Combat.fit(x[keep], site[keep], **settings).apply(x[keep], site[keep])
    np.testing.assert_allclose(found[keep, 2], alone[:, 2], rtol=0, atol=1e-12)
    others = np.delete(np.arange(8), 2)
    whole = Combat.fit(x, site, **settings).apply(x, site)
    np.testing.assert_allclose(found[:, others], whole[:, others], rtol=0, atol=1e-12)


def test_columns_that_cannot_be_fitted_pass_as_they_are():
    x, site, _ = cohort()
    x[:, 0] = 7.0  # constant
    x[site == "B", 1] = 2.0  # constant in a site
    x[site == "C", 2] = np.nan  # without a value in a site
    x[np.flatnonzero(site == "C")[1:], 3] = np.nan  # with one value in a site
    x[:, 4] = np.nan
    combat = Combat.fit(x, site)
    assert combat.harmonised.tolist() == [False] * 5 + [True] * 3
    found = combat.apply(x, site)
    np.testing.assert_array_equal(found[:, :5], x[:, :5])
    equal_alone = Combat.fit(x[:, 5:], site).apply(x[:, 5:], site)
    np.testing.assert_array_equal(found[:, 5:], equal_alone)


def test_a_column_that_a_covariate_explains_passes_as_it_is():
    x, site, age = cohort()
    x[:, 0] = 3 * age.iloc[:, 0]
    combat = Combat.fit(x, site, covariates=age)
    assert not combat.harmonised[0]
    np.testing.assert_array_equal(combat.apply(x, site, age)[:, 0], x[:, 0])


def test_one_column_alone_and_equal_columns_have_finite_numbers():
    x, site, _ = cohort()
    for columns in ([0], [0, 0, 0]):
        found = Combat.fit(x[:, columns], site).apply(x[:, columns], site)
        assert np.isfinite(found).all()


def test_an_unseen_site_is_an_error():
    x, site, _ = cohort()
    combat = Combat.fit(x, site)
    with pytest.raises(EvaluationError, match="not been fitted on the sites D, only on A, B, C"):
        combat.apply(x[:2], ["A", "D"])


def test_an_unseen_site_passes_with_a_flag_and_takes_no_other_sites_numbers():
    """T9: whatever its name, before or after the known ones."""
    x, site, _ = cohort()
    combat = Combat.fit(x, site)
    names = np.array(["A", "0", "AB", "Z", "C"])
    rows = x[[0, 1, 2, 3, 50]]
    found = combat.apply(rows, names, unseen="pass")
    assert combat.known(names).tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(found[1:4], rows[1:4])
    np.testing.assert_array_equal(found[[0, 4]], combat.apply(rows[[0, 4]], names[[0, 4]]))


def test_a_site_with_too_few_cases_changes_nothing_and_is_unseen():
    x, site, _ = cohort()
    more = np.vstack([x, 1e6 * np.ones((9, 8))])
    names = np.append(site, ["D"] * 9)
    combat, alone = Combat.fit(more, names), Combat.fit(x, site)
    assert combat.small_sites == ("D",)
    np.testing.assert_array_equal(combat.apply(x, site), alone.apply(x, site))
    with pytest.raises(EvaluationError, match="D: too few cases in the training side"):
        combat.apply(more, names)
    with pytest.raises(StudyError, match="min_per_site is 1"):
        Combat.fit(x, site, min_per_site=1)


def test_two_sites_are_needed_and_the_reference_must_be_one_of_them():
    x, site, _ = cohort()
    with pytest.raises(EvaluationError, match="needs two sites to compare, there is A; fewer than 10 cases"):
        Combat.fit(x[:25], site[:25])
    with pytest.raises(EvaluationError, match="the reference site Z is not one of A, B, C"):
        Combat.fit(x, site, reference_site="Z")


def test_the_outcome_is_no_covariate():
    x, site, _ = cohort()
    truth = np.random.default_rng(1).integers(0, 2, 60)
    with pytest.raises(LeakageError, match="label:case:malignancy is no clinical column"):
        Combat.fit(x, site, covariates=pd.DataFrame({"label:case:malignancy": truth}))
    for hidden in (truth, 1 - truth, 5.0 - 3 * truth, np.where(np.arange(60) == 4, np.nan, truth)):
        with pytest.raises(LeakageError, match="grade is the outcome under another name"):
            Combat.fit(x, site, covariates=pd.DataFrame({"clinical:case:grade": hidden}), truth=truth)
    age = pd.DataFrame({"clinical:case:age": np.arange(60.0)})
    equal(Combat.fit(x, site, covariates=age, truth=truth), Combat.fit(x, site, covariates=age))


def test_a_covariate_that_is_the_site_is_refused_and_a_constant_one_does_nothing():
    x, site, _ = cohort()
    of_site = pd.DataFrame({"clinical:case:vendor=ge": (site == "A").astype(float)})
    with pytest.raises(EvaluationError, match="cannot tell sites and covariates apart"):
        Combat.fit(x, site, covariates=of_site)
    constant = pd.DataFrame({"clinical:case:sex": np.ones(60)})
    found = Combat.fit(x, site, covariates=constant).apply(x, site, constant)
    np.testing.assert_allclose(found, Combat.fit(x, site).apply(x, site), rtol=0, atol=1e-12)


def test_the_effect_of_a_covariate_stays():
    """Site A is old: without the covariate, its age is taken out with the site."""
    rng = np.random.default_rng(2)
    site = np.repeat(["A", "B"], 150)
    age = np.where(site == "A", 70, 50) + rng.normal(0, 8, 300)
    x = 0.2 * age[:, None] + rng.normal(0, 0.5, (300, 20)) + 4 * (site == "B")[:, None]
    ages = pd.DataFrame({"clinical:case:age": age})
    found = Combat.fit(x, site, covariates=ages).apply(x, site, ages)
    slope = np.polyfit(age, found.mean(axis=1), 1)[0]
    assert slope == pytest.approx(0.2, abs=0.01)
    without = np.polyfit(age, Combat.fit(x, site).apply(x, site).mean(axis=1), 1)[0]
    assert without < 0.12


def test_order_of_rows_and_names_of_sites_do_not_matter():
    x, site, age = cohort()
    order = np.random.default_rng(3).permutation(60)
    expected = Combat.fit(x, site, covariates=age).apply(x, site, age)
    shuffled = Combat.fit(x[order], site[order], covariates=age.iloc[order])
    np.testing.assert_allclose(shuffled.apply(x, site, age), expected, rtol=0, atol=1e-10)
    renamed = np.array([{"A": "z", "B": "y", "C": "x"}[s] for s in site])
    found = Combat.fit(x, renamed, covariates=age).apply(x, renamed, age)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_a_state_comes_back_to_the_last_bit():
    x, site, age = cohort()
    x[site == "C", 2] = np.nan
    for covariates in (None, age):
        combat = Combat.fit(x, site, covariates=covariates)
        again = restore(combat.state())
        equal(again, combat)
        np.testing.assert_array_equal(again.apply(x, site, covariates), combat.apply(x, site, covariates))


@pytest.mark.parametrize("change", [b"", b"[]", b"{}", b'{"sites": 3}'])
def test_a_damaged_state_is_refused(change):
    with pytest.raises(BundleError, match="not a ComBat"):
        restore(change)


def test_a_state_of_other_length_is_refused():
    import json

    x, site, _ = cohort()
    values = json.loads(Combat.fit(x, site).state())
    for name, change in {"shift": values["shift"][:2], "scale": [1.0], "level": values["level"][:-1]}.items():
        with pytest.raises(BundleError, match="damaged"):
            restore(json.dumps(values | {name: change}).encode())
    with pytest.raises(BundleError, match="damaged"):
        restore(json.dumps(values | {"more": 1}).encode())
    with pytest.raises(EvaluationError, match="fitted on 8 columns and is given 7"):
        Combat.fit(x, site).apply(x[:, 1:], site)
