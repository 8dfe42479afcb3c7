"""Bundles: the same predictions after a round trip, and nothing believed that does not fit."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import BundleError, EvaluationError
from cemrad.models.bundle import Bundle, extraction_sha256
from cemrad.models.bundle_file import MANIFEST, SEAL, sha256
from cemrad.models.evaluate import evaluate
from cemrad.models.intervals import heldout_auc
from cemrad.models.learners import SHELF as LEARNERS
from cemrad.models.outer import OuterSettings
from cemrad.models.replicates import ORIGINAL, StabilitySettings
from cemrad.models.train import train


@pytest.fixture(scope="module")
def cohort(make_table):
    return make_table(60, seed=2, effect=1.5)


@pytest.fixture(scope="module")
def new(make_table):
    table, labels = make_table(60, seed=8, effect=1.5)
    cases = table.cases.assign(patient_id="N" + table.cases["patient_id"])
    return type(table)(table.values, cases), labels


@pytest.fixture(scope="module")
def bundle(cohort, quick):
    return train(*cohort, ["malignancy", "er"], quick, extraction={"families": {"radiomics": {}}})


@pytest.fixture
def stored(bundle, tmp_path):
    path = tmp_path / "model.cemrad"
    bundle.save(path)
    return path


def _rewrite(path, **changes):
    """The same archive with some members replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _remanifest(path, change):
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    change(manifest)
    text = json.dumps(manifest).encode()
    _rewrite(path, **{MANIFEST: text, SEAL: sha256(text).encode()})


@pytest.mark.parametrize("learner", LEARNERS.names())
def test_predictions_are_bit_identical_after_a_round_trip(cohort, new, quick, tmp_path, learner):
    settings = quick.model_copy(update={"learner": learner, "learner_settings": {}})
    made = train(*cohort, ["malignancy", "er"], settings)
    made.save(tmp_path / "a.cemrad")
    again = Bundle.load(tmp_path / "a.cemrad")
    pd.testing.assert_frame_equal(again.predict(new[0]), made.predict(new[0]), check_exact=True)
    pd.testing.assert_frame_equal(again.explain(new[0]), made.explain(new[0]), check_exact=True)
    again.save(tmp_path / "b.cemrad")
    assert (tmp_path / "a.cemrad").read_bytes() == (tmp_path / "b.cemrad").read_bytes()


def test_it_holds_only_json_and_boosters(stored):
    with zipfile.ZipFile(stored) as archive:
        assert sorted(archive.namelist()) == [MANIFEST, SEAL, "models/0.ubj", "models/1.ubj"]
        text = archive.read(MANIFEST).decode()
    assert "P001" not in text, "patient ids are hashed"
    assert json.loads(text)["endpoints"][0]["features"]


def test_every_case_and_endpoint_is_a_row(bundle, new):
    found = bundle.predict(new[0])
    assert len(found) == 2 * len(new[0].values)
    assert found["probability"].between(0, 1).all()
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-found["margin"])))
    assert (found["positive"] == (found["probability"] >= found["threshold"])).all()
    assert not found["seen_in_training"].any()


def test_patients_seen_in_training_are_flagged(bundle, cohort, new):
    assert bundle.predict(cohort[0])["seen_in_training"].all()
    one = new[0].cases["patient_id"].to_numpy(dtype=object)
    one[0] = "P000"
    mixed = type(new[0])(new[0].values, new[0].cases.assign(patient_id=one))
    assert bundle.predict(mixed)["seen_in_training"].tolist()[:2] == [True, False]


def test_the_order_of_columns_and_further_columns_do_not_matter(bundle, new):
    table = new[0]
    turned = table.values[table.values.columns[::-1]].assign(**{"radiomics:RC_CC:other": 1.0})
    found = bundle.predict(type(table)(turned, table.cases))
    pd.testing.assert_frame_equal(found, bundle.predict(table), check_exact=True)


def test_missing_columns_are_named(bundle, new):
    table, name = new[0], bundle.models[0].features[0]
    with pytest.raises(BundleError, match=f"lacks 1 columns of the model: {name}"):
        bundle.predict(type(table)(table.values.drop(columns=name), table.cases))
    with pytest.raises(BundleError, match=r"lacks \d+ columns of the model: deep"):
        bundle.predict(type(table)(table.values.drop(columns=table.columns_of("deep")), table.cases))


def test_a_view_that_nobody_has_is_missing_values(bundle, new):
    table = new[0]
    gone = [name for name in table.values if ":RC_MLO:" in name]
    found = bundle.predict(type(table)(table.values.drop(columns=gone), table.cases))
    blank = table.values.copy()
    blank[gone] = np.nan
    pd.testing.assert_frame_equal(found, bundle.predict(type(table)(blank, table.cases)), check_exact=True)
    used = sum(name in gone for name in bundle.models[0].features)
    assert used > 0
    assert (found.query("endpoint == 'malignancy'")["n_missing"] >= used).all()


def test_a_case_without_an_image_block_gets_no_probability_and_a_reason(bundle, new):
    values = new[0].values.copy()
    values.loc["case000", new[0].columns_of("radiomics")] = np.nan
    found = bundle.predict(type(new[0])(values, new[0].cases)).iloc[0]
    assert np.isnan(found["probability"])
    assert found["positive"] is pd.NA
    assert found["note"].startswith("features.missing")
    assert "case000" not in set(bundle.explain(type(new[0])(values, new[0].cases))["case_id"])


def test_a_case_without_any_value_that_the_model_takes_gets_none_either(bundle, new):
    """Columns of the block that no model uses do not make up for those that it does."""
    model = bundle.models[0]
    deep = [name for name in model.features if name.startswith("deep")]
    values = new[0].values.copy()
    values.loc["case000", deep] = np.nan
    kept = {name.split(":")[0]: name for name in model.features}  # one of each family
    values.loc["case001", list(model.features)] = np.nan
    values.loc["case001", list(kept.values())] = 0.0
    assert values.loc["case000", new[0].columns_of("deep")].notna().any()
    found = bundle.predict(type(new[0])(values, new[0].cases)).iloc[:3]
    assert found["probability"].isna().tolist() == [True, False, False]
    assert found["note"].str.startswith("features.missing").tolist()[0]
    assert found.loc[1, "note"].startswith("features.missing: over half")


def test_values_far_outside_the_training_range_are_counted(bundle, new):
    values = new[0].values.copy()
    values.loc["case000", list(bundle.models[0].features[:3])] = 1e6
    found = bundle.predict(type(new[0])(values, new[0].cases))
    assert found.loc[0, "n_out_of_range"] == 3
    assert found["n_out_of_range"].iloc[1:].mean() < 1


def test_explanations_add_up(bundle, new):
    found = (
        bundle.explain(new[0]).groupby(["endpoint", "case_id"]).agg({"shap": "sum", "base": "first", "margin": "first"})
    )
    assert (found["shap"] + found["base"] - found["margin"]).abs().max() <= 1e-4


def test_held_out_predictions_keep_what_the_evaluation_promised(cohort, new, quick):
    promised = evaluate(*cohort, ["malignancy"], quick).metrics.query("metric == 'auc' and level == 'lesion'")
    for arm in ("fused", "fused+clinical"):
        found = train(*cohort, ["malignancy"], quick, arm=arm).predict(new[0])
        truth = (new[1]["malignancy"] == "malignant").to_numpy(dtype=np.int64)
        auc = heldout_auc(truth, found["probability"].to_numpy())
        row = promised.set_index("arm").loc[arm]
        assert row["low"] <= auc.high
        assert auc.low <= row["high"]
        assert auc.estimate == pytest.approx(row["estimate"], abs=0.12)


def test_a_table_of_another_extraction_is_refused(cohort, new, quick):
    def extracted(table, width):
        families = {"radiomics": {"parameters": {"binCount": width}, "versions": {"numpy": str(width)}}}
        return type(table)(table.values, table.cases, provenance={"families": families})

    made = train(extracted(cohort[0], 32), cohort[1], ["malignancy"], quick)
    assert len(made.predict(extracted(new[0], 32)))
    with pytest.raises(BundleError, match="other settings or weights"):
        made.predict(extracted(new[0], 64))
    with pytest.raises(BundleError, match="other settings or weights"):
        made.explain(extracted(new[0], 64))


def test_where_it_ran_and_where_the_weights_came_from_do_not_matter():
    def fingerprint(sha="s", network="resnet18", **changes):
        settings = {"network": network, "device": "cpu", "batch": 16, "weights": "imagenet"} | changes
        weights = {"sha256": sha, "name": str(settings["weights"]), "source": "file", "mean": [0.5]}
        return extraction_sha256({"families": {"deep": {"settings": settings, "weights": weights, "device": "cpu"}}})

    plain = fingerprint()
    assert fingerprint(device="cuda", batch=4, download=True, weights="elsewhere/weights.safetensors") == plain
    assert fingerprint(sha="other") != plain
    assert fingerprint(network="resnet50") != plain
    assert fingerprint(margin=1.0) != plain


def test_the_settings_of_the_machine_are_not_bundled(cohort, quick):
    deep = {"network": "resnet18", "device": "cuda", "batch": 64, "download": True}
    extraction = {"clinical": True, "families": {"deep": deep, "radiomics": {"preset": "cem-2d"}}}
    made = train(*cohort, ["malignancy"], quick, extraction=extraction)
    families = {"deep": {"network": "resnet18"}, "radiomics": {"preset": "cem-2d"}}
    assert made.extraction == {"clinical": True, "families": families}


def test_settings_are_bundled_without_ids_and_paths(cohort, quick):
    split = OuterSettings(by="column", column="patient_id", held_out=("P001", "P002"))
    stability = StabilitySettings(replicates="/home/somebody/replicates.parquet", min_icc=0)
    settings = quick.model_copy(update={"split": split, "stability": stability})
    first = cohort[0].values.reset_index(names="case_id")
    again = pd.concat([first.assign(replicate=name) for name in (ORIGINAL, "x")])
    made = train(*cohort, ["malignancy"], settings, replicates=again)
    stated = made.record["settings"]
    assert stated["split"]["held_out"] == "2 values"
    assert stated["stability"] == {"min_icc": 0}
    text = json.dumps(made.record, default=str)
    assert "P001" not in text
    assert "somebody" not in text


def test_the_arm_is_the_richest_that_the_table_allows_or_the_one_named(cohort, quick):
    table, labels = cohort
    assert train(table, labels, ["malignancy"], quick).arm == "fused+clinical"
    only = type(table)(table.values[table.columns_of("radiomics")], table.cases)
    assert train(only, labels, ["malignancy"], quick).arm == "radiomics"
    with pytest.raises(EvaluationError, match="no deep columns. Possible here: radiomics"):
        train(only, labels, ["malignancy"], quick, arm="fused")
    with pytest.raises(EvaluationError, match="did you mean 'fused'"):
        train(table, labels, ["malignancy"], quick, arm="fusd")
    two = quick.model_copy(update={"arms": ("radiomics", "clinical")})
    assert train(table, labels, ["malignancy"], two).arm == "radiomics"
    with pytest.raises(EvaluationError, match="none of the arms clinical; it has radiomics"):
        train(only, labels, ["malignancy"], quick.model_copy(update={"arms": ("clinical",)}))


def test_what_was_not_evaluated_is_recorded(cohort, quick):
    table, labels = cohort
    rare = labels.assign(rare=["1" if i % 40 == 0 else "0" for i in range(len(labels))])
    settings = quick.model_copy(update={"arms": ("radiomics",)})
    rows = [
        {"endpoint": "malignancy", "arm": arm, "metric": "auc", "level": "lesion", "estimate": 0.7, "method": "t"}
        for arm in ("radiomics", "deep")
    ]
    made = train(table, rare, ["malignancy", "rare"], settings, performance=rows)
    assert made.record["performance"] == rows[:1], "another arm's figures are not this model's"
    assert set(made.record["not_evaluated"]) == {"rare"}
    assert made.record["not_evaluated"]["rare"].startswith("5 folds need as many patients of each class")
    other = train(table, rare, ["malignancy"], settings, arm="deep", performance=rows)
    assert "not among the arms" in other.record["not_evaluated"]["malignancy"]
    refused = [rows[0] | {"estimate": None, "method": "not estimable: one class only"}]
    refused = train(table, rare, ["malignancy"], settings, performance=refused)
    assert refused.record["not_evaluated"] == {"malignancy": "not estimable: one class only"}


def test_two_equal_trainings_give_the_same_bytes(cohort, quick, tmp_path):
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        timed = type(cohort[0])(cohort[0].values, cohort[0].cases, provenance={"times_s": {"radiomics": seconds}})
        train(timed, cohort[1], ["malignancy"], quick).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_endpoint_with_too_few_cases_is_left_out_of_the_bundle(cohort, quick):
    rare = cohort[1].assign(rare=["1"] + ["0"] * (len(cohort[1]) - 1))
    made = train(cohort[0], rare, ["malignancy", "rare"], quick)
    assert [model.endpoint for model in made.models] == ["malignancy"]
    assert "2 patients of each class" in made.record["endpoints_left_out"]["rare"]
    with pytest.raises(EvaluationError, match="rare: a model needs"):
        train(cohort[0], rare, ["rare"], quick)


class _Attack:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("where", ["bundle", "models/0.ubj", MANIFEST])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_pickle_under_another_name_is_refused_and_not_run(stored, tmp_path, where, sealed):
    canary = tmp_path / "canary"
    attack = pickle.dumps(_Attack(canary))
    if where == "bundle":
        stored.write_bytes(attack)
    else:
        _rewrite(stored, **{where: attack})
        if sealed and where == MANIFEST:
            _rewrite(stored, **{SEAL: sha256(attack).encode()})
        elif sealed:
            _remanifest(stored, lambda manifest: manifest["endpoints"][0].update(sha256=sha256(attack)))
    with pytest.raises(BundleError):
        Bundle.load(stored)
    assert not canary.exists()


def test_an_altered_threshold_is_noticed(stored):
    with zipfile.ZipFile(stored) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    manifest["endpoints"][0]["threshold"] = 0.0
    _rewrite(stored, **{MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(BundleError, match="manifest.json was altered"):
        Bundle.load(stored)


def test_thresholds_are_stored_and_a_bundle_without_them_is_read(bundle, stored, new):
    before = Bundle.load(stored)
    assert [model.thresholds for model in before.models] == [model.thresholds for model in bundle.models]
    assert all(0 <= model.thresholds["sens100"] <= model.thresholds["sens95"] <= 1 for model in before.models)
    expected = before.predict(new[0])
    _remanifest(stored, lambda manifest: [item.pop("thresholds") for item in manifest["endpoints"]])
    found = Bundle.load(stored).predict(new[0])
    assert found[["threshold_sens95", "threshold_sens100"]].isna().all(axis=None)
    same = expected.columns.drop(["threshold_sens95", "threshold_sens100"])
    pd.testing.assert_frame_equal(found[same], expected[same], check_exact=True)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:200] + b"\0" * 50 + b[250:]]
)
def test_a_damaged_file_is_refused(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(BundleError):
        Bundle.load(stored)


def test_no_single_altered_byte_changes_a_prediction(bundle, stored, new):
    """Refused, or without effect (a time stamp, a comment): never another number."""
    expected, content = bundle.predict(new[0]), stored.read_bytes()
    pd.testing.assert_frame_equal(Bundle.load(stored).predict(new[0]), expected, check_exact=True)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 60):
        spoilt = bytearray(content)
        spoilt[at] ^= int(rng.integers(1, 256))
        stored.write_bytes(bytes(spoilt))
        try:
            found = Bundle.load(stored)
        except BundleError:
            continue
        pd.testing.assert_frame_equal(found.predict(new[0]), expected, check_exact=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema_version=99),
        lambda m: m.pop("endpoints"),
        lambda m: m["endpoints"][0].update(learner="../../etc"),
        lambda m: m["endpoints"][0].update(file="../outside"),
        lambda m: m["endpoints"][0]["features"].append("radiomics:RC_CC:one_more"),
        lambda m: m["endpoints"][0].update(threshold="high"),
        lambda m: m["endpoints"][0].update(threshold=float("nan")),
        lambda m: m["endpoints"][0].update(threshold=1.5),
        lambda m: m["endpoints"][0]["thresholds"].update(sens95=1.5),
        lambda m: m["endpoints"][0]["low"].append(0.0),
        lambda m: m["endpoints"][0].update(high=[1.0]),
        lambda m: m["endpoints"][0].update(thresholds=[0.5]),
        lambda m: m["endpoints"][0].update(threshold=10**400),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(stored, change):
    _remanifest(stored, change)
    with pytest.raises(BundleError):
        Bundle.load(stored)


def _restate(path, change):
    """The first booster changed as JSON and sealed again: a consistent bundle of a malicious author."""
    import xgboost as xgb

    with zipfile.ZipFile(path) as archive:
        booster = xgb.Booster(model_file=bytearray(archive.read("models/0.ubj")))
    model = json.loads(booster.save_raw("json"))
    change(model["learner"]["gradient_booster"]["model"]["trees"][0])
    state = bytes(xgb.Booster(model_file=bytearray(json.dumps(model).encode())).save_raw("ubj"))
    _rewrite(path, **{"models/0.ubj": state})
    _remanifest(path, lambda manifest: manifest["endpoints"][0].update(sha256=sha256(state)))


def _set(name, value):
    return lambda tree: tree[name].__setitem__(0, value)


@pytest.mark.parametrize(
    "change",
    [_set("split_indices", 10**6), _set("left_children", 0), _set("right_children", 0), _set("left_children", 9999)],
)
def test_a_tree_that_points_out_of_bounds_is_refused(stored, change):
    """xgboost itself would read beyond its memory, or never return."""
    _restate(stored, lambda tree: None)
    assert Bundle.load(stored).models
    _restate(stored, change)
    with pytest.raises(BundleError, match="points out of bounds"):
        Bundle.load(stored)


def test_a_manifest_that_is_nested_too_deeply_is_refused(stored):
    text = b"[" * 200_000 + b"]" * 200_000
    _rewrite(stored, **{MANIFEST: text, SEAL: sha256(text).encode()})
    with pytest.raises(BundleError, match="not that of a bundle"):
        Bundle.load(stored)


def test_an_archive_that_unpacks_to_too_much_is_refused(stored, monkeypatch):
    monkeypatch.setattr("cemrad.models.bundle_file.MAX_MEMBER_BYTES", 1000)
    with pytest.raises(BundleError, match="larger than a bundle can be"):
        Bundle.load(stored)
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        for i in range(200):
            archive.writestr(f"{i}", b"")
    stored.write_bytes(blob.getvalue())
    with pytest.raises(BundleError, match="200 members"):
        Bundle.load(stored)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BundleError, match="none.cemrad"):
        Bundle.load(tmp_path / "none.cemrad")
