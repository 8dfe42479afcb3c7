"""A bundle's calibration is stated, and moving it to another site moves what it should and nothing else."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import BundleError, EvaluationError, LeakageError, StudyError
from cemrad.features.table import FeatureTable
from cemrad.models.bundle import Bundle
from cemrad.models.bundle_file import MANIFEST, SEAL, sha256
from cemrad.models.external import evaluate_external
from cemrad.models.recalibrate import recalibrate
from cemrad.models.train import train
from cemrad.pipeline.show import described
from cemrad.reports.bundle_card import bundle_card
from scipy.special import logit
from sklearn.linear_model import LogisticRegression


@pytest.fixture(scope="module")
def bundle(make_table, quick):
    return train(*make_table(80, seed=2, effect=1.5), ["malignancy", "er"], quick, arm="fused")


def _site(make_table, seed, n=70):
    table, labels = make_table(n, seed=seed, effect=1.5)
    cases = table.cases.assign(patient_id=f"S{seed}" + table.cases["patient_id"])
    cases = cases.assign(breast_id=cases["patient_id"] + "|L")
    return FeatureTable(table.values, cases), labels


@pytest.fixture(scope="module")
def sample(make_table):
    return _site(make_table, 11)


@pytest.fixture(scope="module")
def moved(bundle, sample, quick):
    return recalibrate(bundle, *sample, quick, kind="logistic", bundle_sha256="e" * 64)


def test_the_line_is_the_unpenalised_logistic_regression_of_the_sample(bundle, sample, moved):
    told = bundle.predict(sample[0]).query("endpoint == 'malignancy'")
    truth = (sample[1]["malignancy"] == "malignant").to_numpy()
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(told[["margin"]].to_numpy(), truth)
    assert moved.models[0].line == pytest.approx((model.intercept_[0], model.coef_[0, 0]), rel=1e-5)


def test_the_same_cases_are_called_and_ranked_as_before(bundle, moved, make_table):
    table = _site(make_table, 12)[0]
    before, after = bundle.predict(table), moved.predict(table)
    pd.testing.assert_series_equal(after["positive"], before["positive"])
    assert not np.allclose(after["probability"], before["probability"])
    for _, rows in after.assign(before=before["margin"]).groupby("endpoint"):
        assert (rows["margin"].rank() == rows["before"].rank()).all()
    np.testing.assert_allclose(after["margin"], logit(after["probability"]), rtol=1e-9)


def test_the_intercept_alone_makes_the_mean_probability_the_prevalence(bundle, sample, quick):
    made = recalibrate(bundle, *sample, quick)
    mean = made.predict(sample[0]).query("endpoint == 'malignancy'")["probability"].mean()
    assert mean == pytest.approx((sample[1]["malignancy"] == "malignant").mean(), abs=1e-9)
    assert made.models[0].line[1] == 1.0


def test_two_recalibrations_are_one_line_after_the_other(bundle, moved, make_table, quick):
    other = _site(make_table, 13)
    twice = recalibrate(moved, *other, quick)
    (a, b), (c, d) = moved.models[0].line, twice.models[0].line
    step = twice.record["recalibrations"][1]["models"][0]
    assert (c, d) == pytest.approx((step["intercept"] + step["slope"] * a, step["slope"] * b))
    assert len(twice.record["recalibrations"]) == 2


def test_explanations_add_up_to_the_moved_margin(moved, sample):
    found = moved.explain(sample[0]).groupby(["endpoint", "case_id"])
    found = found.agg({"shap": "sum", "base": "first", "margin": "first"})
    assert (found["shap"] + found["base"] - found["margin"]).abs().max() <= 1e-4
    told = moved.predict(sample[0]).set_index(["endpoint", "case_id"])["margin"]
    np.testing.assert_allclose(found["margin"], told.loc[found.index])


def test_the_sample_can_never_judge_the_new_bundle(bundle, moved, sample, quick):
    assert evaluate_external(bundle, *sample, quick)
    with pytest.raises(LeakageError, match="knows 70 of the 70 persons"):
        evaluate_external(moved, *sample, quick)
    renamed = replace(sample[0], cases=sample[0].cases.assign(patient_id="X" + sample[0].cases["patient_id"]))
    with pytest.raises(LeakageError, match="known.content"):
        evaluate_external(moved, renamed, sample[1], quick)
    with pytest.raises(LeakageError):
        recalibrate(moved, *sample, quick)


def test_on_new_patients_of_the_site_calibration_is_better(make_table, quick, bundle, moved):
    """The site's trees are too shy by construction (30 rounds): its slope is far above 1 before."""
    found = {}
    for name, made in (("before", bundle), ("after", moved)):
        result = evaluate_external(made, *_site(make_table, 14, 120), quick, endpoints=["malignancy"])
        table = result.tables["calibration"].query("level == 'lesion'").set_index("metric")["estimate"]
        found[name] = table["calibration_slope"]
    assert abs(np.log(found["after"])) < abs(np.log(found["before"])) / 2


def test_too_few_patients_keep_their_probabilities_or_are_an_error(bundle, sample, quick):
    few = sample[1].assign(er=sample[1]["er"].where(np.arange(len(sample[1])) < 12))
    made = recalibrate(bundle, sample[0], few, quick)
    assert made.models[1].line == (0.0, 1.0)
    assert "needs 10 patients" in made.record["recalibrations"][0]["endpoints_left_as_they_were"]["er"]
    with pytest.raises(EvaluationError, match="nothing was recalibrated: er: recalibration"):
        recalibrate(bundle, sample[0], few, quick, endpoints=["er"])
    with pytest.raises(StudyError, match="no recalibration 'beta'"):
        recalibrate(bundle, *sample, quick, kind="beta")


def test_a_model_that_ranks_backwards_is_not_recalibrated(bundle, sample, quick):
    turned = sample[1].assign(malignancy=sample[1]["malignancy"].map({"malignant": "benign", "benign": "malignant"}))
    with pytest.raises(EvaluationError, match="no line mends that"):
        recalibrate(bundle, sample[0], turned, quick, kind="logistic", endpoints=["malignancy"])


def test_it_comes_back_from_its_file(moved, sample, tmp_path):
    with_card = replace(moved, model_card=bundle_card(moved, "site"))
    with_card.save(tmp_path / "m.cemrad")
    again = Bundle.load(tmp_path / "m.cemrad")
    pd.testing.assert_frame_equal(again.predict(sample[0]), moved.predict(sample[0]), check_exact=True)
    assert again.model_card == with_card.model_card
    assert "recalibrated" in again.model_card
    shown = dict(described(again, "a" * 64))
    assert shown["sha256"] == "a" * 64
    assert shown["schema"] == "2"
    assert "from bundle eeeeeeeeeeeeeeee" in shown["recalibrated"]


def _remanifest(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members[MANIFEST])
    change(manifest, members)
    members[MANIFEST] = json.dumps(manifest).encode()
    members[SEAL] = sha256(members[MANIFEST]).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_bundle_of_schema_1_is_read_without_what_it_lacks(bundle, sample, tmp_path):
    def older(manifest, members):
        manifest["schema_version"] = 1
        del manifest["model_card"], manifest["persons"]["contents"]
        for item in manifest["endpoints"]:
            for name in ("wanted", "calibration", "novelty", "line", "thresholds"):
                del item[name]

    bundle.save(tmp_path / "m.cemrad")
    _remanifest(tmp_path / "m.cemrad", older)
    old = Bundle.load(tmp_path / "m.cemrad")
    assert (old.schema_version, old.model_card, old.contents) == (1, "", frozenset())
    assert [(m.wanted, m.calibration, m.novelty, m.line) for m in old.models] == [
        ("malignancy", None, None, (0.0, 1.0)), ("er", None, None, (0.0, 1.0)),
    ]  # fmt: skip
    found, now = old.predict(sample[0]), bundle.predict(sample[0])
    same = ["case_id", "probability", "margin", "threshold", "positive", "n_out_of_range"]
    pd.testing.assert_frame_equal(found[same], now[same], check_exact=True)
    assert (found["ood"] == "").all()
    assert found["ood_distance"].isna().all()
    assert "Calibration not stated" in bundle_card(old, "old")
    assert evaluate_external(old, *sample).tables["external"]["n_far"].sum() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda m, _: m["endpoints"][0]["line"].update(slope=-1.0),
        lambda m, _: m["endpoints"][0]["line"].update(intercept=float("nan")),
        lambda m, _: m["endpoints"][0]["novelty"]["mean"].append(0.0),
        lambda m, _: m["endpoints"][0]["novelty"].update(precision=[[1.0]]),
        lambda m, _: m["endpoints"][0]["novelty"].pop("limits"),
        lambda m, members: members.update({"model_card.md": b"altered"}),
    ],
)
def test_parts_that_do_not_fit_are_refused(bundle, tmp_path, change):
    replace(bundle, model_card="card").save(tmp_path / "m.cemrad")
    _remanifest(tmp_path / "m.cemrad", change)
    with pytest.raises(BundleError):
        Bundle.load(tmp_path / "m.cemrad")
