"""Harmonisation inside a fold: learned from the training side alone, and never about a site that it did not see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import BundleError, EvaluationError, LeakageError
from cemrad.models.bundle import Bundle
from cemrad.models.combat import Combat
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings, Job, evaluate, run_fold
from cemrad.models.folds import seed_of, split
from cemrad.models.fusion import fit_arms
from cemrad.models.harmonise import Harmoniser, HarmoniseSettings
from cemrad.models.train import train

FEW = {"n_rounds": [20], "max_depth": [2]}


@pytest.fixture(scope="module")
def cohort(make_table):
    """Two sites; the second adds 3 to every image feature and has most of the positive cases."""
    table, labels = make_table(80, effect=0.0, seed=5)
    rng = np.random.default_rng(1)
    positive = (labels["malignancy"].reindex(table.values.index) == labels["malignancy"].max()).to_numpy()
    patients = table.cases["patient_id"]
    share = positive.astype(float).tolist()
    site = {p: ("B" if rng.random() < 0.1 + 0.8 * s else "A") for p, s in zip(patients, share, strict=True)}
    of = patients.map(site)
    values = table.values.copy()
    images = [name for name in values if not name.startswith("clinical:")]
    values.loc[(of == "B").to_numpy(), images] += 3.0
    return replace(table, values=values, cases=table.cases.assign(site=of)), labels


def _settings(**changes):
    return EvaluationSettings(learner_settings=FEW, scoring={"n_bootstrap": 100}, **changes)


def _job(table, labels, settings, x=None, y=None):
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels), site_column=settings.site_column)
    rows = design.rows
    made = split(rows.case_ids, rows.persons, rows.y, n_folds=4, seed=1)
    changed = replace(rows, x=rows.x if x is None else x, y=rows.y if y is None else y)
    return Job(replace(design, rows=changed), made, 0, 0)


def _fingerprint(outcome):
    return {
        arm: (
            part.fitted.features, part.fitted.model.state(), part.fitted.threshold,
            {name: combat.state() for name, combat in part.fitted.harmoniser.parts.items()},
        )
        for arm, part in outcome.arms.items()
    }  # fmt: skip


def test_garbage_in_held_out_rows_changes_no_harmonisation(cohort):
    settings = _settings(harmonise={"column": "site", "covariates": ["age"]})
    job = _job(*cohort, settings)
    clean = _fingerprint(run_fold(job, ["radiomics", "fused+clinical"], settings))
    _, held = job.split.sides(0, 0)
    x, y = job.design.rows.x.copy(), job.design.rows.y.copy()
    x[held], y[held] = 1e6, 1 - y[held]
    spoilt = _job(*cohort, settings, x, y)
    assert _fingerprint(run_fold(spoilt._replace(split=job.split), ["radiomics", "fused+clinical"], settings)) == clean


def test_the_effect_of_a_site_is_no_longer_predictive(cohort):
    """Without harmonisation the site alone gives the label away; with it nothing is left."""
    plain = evaluate(*cohort, ["malignancy"], _settings(arms=["radiomics"]))
    clean = evaluate(*cohort, ["malignancy"], _settings(arms=["radiomics"], harmonise={"column": "site"}))
    areas = [
        found.metrics.query("metric == 'auc' and level == 'lesion'")["estimate"].item() for found in (plain, clean)
    ]
    assert areas[0] > 0.7
    assert areas[1] < areas[0] - 0.1
    assert clean.tables["unharmonised"].empty


def test_what_the_arm_keeps_is_the_whole_combat_on_its_features(cohort):
    table, labels = cohort
    rows = _job(table, labels, _settings(harmonise={"column": "site"})).design.rows
    harmoniser = Harmoniser.fit(rows, HarmoniseSettings(column="site"))
    features = [rows.columns[i] for i in rows.block("radiomics")[[3, 0]]]
    whole, part = (item.apply(rows).features(features) for item in (harmoniser, harmoniser.only(features)))
    np.testing.assert_array_equal(whole, part)
    at = rows.block("radiomics")
    direct = Combat.fit(rows.x[:, at], rows.sites).apply(rows.x[:, at], rows.sites)
    np.testing.assert_array_equal(whole, direct[:, [3, 0]])
    clinical = [rows.columns[i] for i in rows.block("clinical")]
    np.testing.assert_array_equal(harmoniser.apply(rows).features(clinical), rows.features(clinical))


def test_a_site_that_was_not_trained_on_is_refused_or_passed_with_a_flag(cohort):
    """T9, end to end: each site is held out in turn, so a model has never seen the one that it predicts."""
    table, labels = cohort
    third = table.cases["site"].where(~table.cases["patient_id"].isin(table.cases["patient_id"].unique()[::3]), "C")
    table = replace(table, cases=table.cases.assign(site=third))
    by_site = {"split": {"by": "site", "column": "site"}, "arms": ["radiomics", "clinical"]}
    refused = evaluate(table, labels, ["malignancy"], _settings(harmonise={"column": "site"}, **by_site))
    assert "has not been fitted on the sites" in refused.provenance["arms_refused"]["malignancy"]["radiomics"]
    assert set(refused.predictions["arm"]) == {"clinical"}
    assert refused.tables["unharmonised"].empty
    passed = evaluate(
        table, labels, ["malignancy"], _settings(harmonise={"column": "site", "unseen": "pass"}, **by_site)
    )
    flagged = passed.tables["unharmonised"]
    assert set(flagged["case_id"]) == set(passed.predictions["case_id"])


def test_the_outcome_is_refused_as_a_covariate(cohort):
    table, labels = cohort
    truth = (labels["malignancy"].reindex(table.values.index) == labels["malignancy"].max()).astype(float)
    told = replace(table, values=table.values.assign(**{"clinical:case:code": truth.to_numpy() * 7}))
    settings = _settings(harmonise={"column": "site", "covariates": ["code"]}, arms=["radiomics"])
    with pytest.raises(LeakageError, match="outcome under another name"):
        evaluate(told, labels, ["malignancy"], settings)


@pytest.mark.parametrize(
    ("harmonise", "message"),
    [
        ({"column": "vendor"}, "no column 'vendor'"),
        ({"column": "site", "covariates": ["weight"]}, "no column clinical:case:weight"),
        ({"column": "site", "reference_site": "Z"}, "reference site Z"),
        ({"column": "site", "min_per_site": 500}, "needs two sites"),
    ],
)
def test_what_cannot_be_harmonised_says_why(cohort, harmonise, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(*cohort, ["malignancy"], _settings(harmonise=harmonise, arms=["radiomics"]))


def test_a_case_without_a_site_is_an_error(cohort):
    table, labels = cohort
    holes = table.cases["site"].copy()
    holes.iloc[0] = " "
    with pytest.raises(EvaluationError, match="site is empty for 1 of"):
        evaluate(
            replace(table, cases=table.cases.assign(site=holes)), labels, ["malignancy"],
            _settings(harmonise={"column": "site"}),
        )  # fmt: skip


def test_a_bundle_harmonises_new_cases_by_what_it_learned(cohort, tmp_path):
    table, labels = cohort
    settings = _settings(harmonise={"column": "site", "covariates": ["age"], "unseen": "pass"})
    made = train(table, labels, ["malignancy"], settings, arm="fused+clinical")
    made.save(tmp_path / "m.cemrad")
    again = Bundle.load(tmp_path / "m.cemrad")
    first, second = made.predict(table), again.predict(table)
    pd.testing.assert_frame_equal(first, second)
    rows = _job(table, labels, settings).design.rows
    fitted = fit_arms(rows, ["fused+clinical"], settings, seed_of(settings.seed, "malignancy", "final"))[0]
    direct = fitted["fused+clinical"].model.margin(fitted["fused+clinical"].inputs(rows))
    kept = first.set_index("case_id").loc[list(rows.case_ids)]
    np.testing.assert_array_equal(kept["margin"], direct)
    moved = table.cases.assign(site=["C", *table.cases["site"].iloc[1:]])
    told = again.predict(replace(table, cases=moved))
    assert told["note"].str.startswith("harmonise.unseen").tolist() == [True] + [False] * (len(told) - 1)
    with pytest.raises(EvaluationError, match="no column 'site'"):
        again.predict(replace(table, cases=table.cases.drop(columns="site")))


@pytest.mark.parametrize("damage", [{"columns": {"radiomics": ["radiomics:RC_CC:x"]}}, {"parts": {}}])
def test_a_damaged_harmonisation_is_refused(cohort, damage):
    rows = _job(*cohort, _settings(harmonise={"column": "site"})).design.rows
    features = [rows.columns[i] for i in rows.block("radiomics")[:3]]
    stated = Harmoniser.fit(rows, HarmoniseSettings(column="site")).only(features).stated()
    assert Harmoniser.restore(stated, features).stated() == stated
    with pytest.raises(BundleError):
        Harmoniser.restore(stated | damage, features)
