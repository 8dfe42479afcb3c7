"""Endpoints of several classes from labels to report: one split, one model per class, what is refused and said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import EvaluationError, LeakageError
from cemrad.models.bundle import Bundle
from cemrad.models.dealing import deal_classes, deal_endpoints
from cemrad.models.design import lay_out, resolve_endpoints
from cemrad.models.evaluate import evaluate
from cemrad.models.multiclass import CLASS_COLUMNS, CONFUSION_COLUMNS, FIGURE_COLUMNS, class_table
from cemrad.models.outer import OuterSettings
from cemrad.models.result import Result
from cemrad.models.train import train
from cemrad.pipeline.cli import app
from cemrad.pipeline.predict import by_unit
from cemrad.reports.page import write_report
from typer.testing import CliRunner

from .report_parser import Page

KINDS = ("a", "b", "c")
WANTED = {"name": "kind", "column": "type", "classes": list(KINDS)}
PARTS = ["kind=a", "kind=b", "kind=c"]


@pytest.fixture(scope="module")
def cohort(make_table):
    """45 patients whose lesions are of three types that radiomics tells apart; three state another type, or none."""
    table, labels = make_table(45, seed=11, missing=0.0)
    rng = np.random.default_rng(2)
    latent = table.values.filter(like="radiomics").iloc[:, :5].mean(axis=1) + rng.normal(0, 0.3, len(labels))
    kinds = np.array(KINDS, dtype=object)[np.searchsorted(np.quantile(latent, [0.35, 0.7]), latent)]
    kinds[[3, 40]], kinds[7] = "d", None
    return table, labels.assign(type=kinds)


@pytest.fixture(scope="module")
def settings(quick):
    return quick.model_copy(
        update={"arms": ("clinical", "radiomics"), "outer_folds": 3, "repeats": 2, "inner_folds": 2}
    )


@pytest.fixture(scope="module")
def result(cohort, settings):
    return evaluate(*cohort, [WANTED, "malignancy"], settings)


def designs_of(cohort, wanted=WANTED):
    table, labels = cohort
    return [lay_out(table, labels, part, arms=["radiomics"]) for part in resolve_endpoints([wanted], labels)]


def wide_of(result):
    """Truth and probability of the classes side by side, radiomics alone."""
    rows = result.predictions.query("arm == 'radiomics' and endpoint in @PARTS")
    return rows.pivot_table(index=["repeat", "case_id"], columns="endpoint", values=["probability", "truth"])


def test_each_class_is_an_endpoint_over_one_split(result, cohort):
    assert list(result.endpoints) == [*PARTS, "malignancy"]
    assert len({result.folds[name]["sha256"] for name in PARTS}) == 1
    cases = {name: part["case_id"].tolist() for name, part in result.predictions.groupby("endpoint")}
    assert cases["kind=a"] == cases["kind=b"] == cases["kind=c"]
    assert (wide_of(result)["truth"].sum(axis=1) == 1).all()
    assert result.endpoints["kind=b"] | {"n": 0, "n_positive": 0, "n_patients": 0} == {
        "title": "type b", "level": "lesion", "positive": "type b", "n": 0, "n_positive": 0, "n_patients": 0,
        "label_columns": ["type"], "class_of": "kind",
    }  # fmt: skip
    why = result.exclusions.query("endpoint == 'kind=a'")["reason"].str.split(":").str[0].value_counts()
    assert why.to_dict() == {"label.other_class": 2, "label.missing": 1}


def test_a_person_is_never_on_both_sides_of_any_class(cohort):
    designs = designs_of(cohort)
    splits, problems = deal_endpoints(designs, OuterSettings(), n_folds=3, n_repeats=2, seed=1)
    assert problems == {}
    for design in designs:
        for repeat in range(2):
            for fold in range(3):
                fit, held = splits[design.name].sides(repeat, fold)
                persons = np.asarray(design.rows.persons)
                assert not set(persons[fit]) & set(persons[held])
                assert set(design.classes[held]) == {0, 1, 2}  # each class in each fold
    with pytest.raises(LeakageError):
        replace(splits["kind=a"], assignment=np.arange(splits["kind=a"].assignment.size).reshape(2, -1))


def test_the_tables_are_whole_and_follow_the_predictions(result):
    classes, figures, confusion = (result.tables[name] for name in ("classes", "multiclass", "confusion"))
    assert list(classes) == CLASS_COLUMNS
    assert list(figures) == FIGURE_COLUMNS
    assert list(confusion) == CONFUSION_COLUMNS
    assert classes["n_cases"].sum() == figures["n"].iloc[0] == result.endpoints["kind=a"]["n"]
    assert (classes["reason"] == "").all()
    assert figures["metric"].tolist() == ["auc_macro", "hand_till", "accuracy", "balanced_accuracy"] * 2
    assert figures[["low", "estimate", "high"]].apply(lambda row: row.is_monotonic_increasing, axis=1).all()
    shares = confusion.groupby(["arm", "truth"])["share"].sum()
    assert np.allclose(shares, 1)
    assert np.allclose(confusion.groupby("arm")["n"].sum(), figures["n"].iloc[0])
    known = figures.set_index(["arm", "metric"])["estimate"]
    assert known["radiomics", "auc_macro"] > 0.7 > known["clinical", "auc_macro"]
    wide = wide_of(result)
    right = wide["probability"].to_numpy().argmax(1) == wide["truth"].to_numpy().argmax(1)
    assert known["radiomics", "accuracy"] == pytest.approx(right.mean())


def test_the_result_is_saved_and_read_back(result, tmp_path):
    result.save(tmp_path)
    again = Result.load(tmp_path)
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert again.endpoints == result.endpoints


def test_the_report_tells_the_classes(result, tmp_path):
    text = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    section = Page(text).by_id("classes")
    for words in ("type a", "taken for", "Hand and Till", "No knowledge", "Balanced accuracy"):
        assert words in section.text
    plain = write_report(replace(result, tables={}), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "classes" not in [section.attributes["id"] for section in Page(plain).all("section")]


def test_a_bundle_holds_a_model_per_class_and_predicts_them(cohort, settings, tmp_path):
    bundle = train(*cohort, [WANTED], settings, arm="radiomics")
    bundle.save(tmp_path / "model.cemrad")
    again = Bundle.load(tmp_path / "model.cemrad")
    assert [model.endpoint for model in again.models] == PARTS
    assert again.record["classes"] == {"kind": PARTS}
    predictions = again.predict(cohort[0])
    told = class_table(predictions, again.record["classes"])
    assert np.allclose(told.groupby("case_id")["probability"].sum(), 1)
    assert (told.groupby("case_id")["predicted"].sum() == 1).all()
    stated = cohort[1]["type"]
    seen = told[told["predicted"]].set_index("case_id")["class"]
    known = stated.isin(KINDS)
    assert (seen[stated.index[known]] == stated[known]).mean() > 0.8  # they are the cases that it was trained on
    assert set(again.explain(cohort[0])["endpoint"]) == set(PARTS)


def test_a_class_that_is_too_rare_gets_no_model_and_a_reason(cohort, settings):
    table, labels = cohort
    rare = labels.assign(type=[kind if kind in ("a", "b") else "c" for kind in labels["type"]])
    only = rare.index[rare["type"] == "c"][:2]
    rare.loc[(rare["type"] == "c") & ~rare.index.isin(only), "type"] = "b"
    found = evaluate(table, rare, [WANTED], settings.model_copy(update={"arms": ("radiomics",)}))
    assert set(found.predictions["endpoint"]) == {"kind=a", "kind=b"}
    told = found.tables["classes"].set_index("class")["reason"]
    assert "3 folds need 3 patients of each class: there are" in told["c"]
    assert (told["a"], told["b"]) == ("", "")
    assert found.provenance["endpoints_not_estimable"] == {"kind=c": told["c"]}
    assert set(found.tables["confusion"]["predicted"]) == {"a", "b"}
    assert found.tables["multiclass"]["n"].iloc[0] == found.endpoints["kind=a"]["n"] - len(only)
    row = found.metrics.query("endpoint == 'kind=c' and metric == 'auc'").iloc[0]
    assert row["method"].startswith("not estimable: 3 folds")


def test_fewer_than_two_classes_with_enough_patients_are_refused(cohort):
    designs = designs_of(cohort)
    with pytest.raises(EvaluationError, match="50 folds need 50 patients of each class"):
        deal_classes(designs, OuterSettings(), n_folds=50, n_repeats=1, seed=0)


@pytest.mark.parametrize("by", [{"by": "share", "share": 0.4}, {"by": "person"}, {"by": "site", "column": "site"}])
def test_other_splits_are_shared_by_the_classes_too(cohort, by):
    table, labels = cohort
    site = table.cases["patient_id"].map(lambda name: f"site {int(name[1:]) % 2}")
    designs = designs_of((replace(table, cases=table.cases.assign(site=site)), labels))
    made, refused = deal_classes(designs, OuterSettings(**by), n_folds=3, n_repeats=1, seed=0)
    assert refused == {}
    assert made.case_ids == designs[0].rows.case_ids


def test_a_patients_label_is_one_and_contradicting_lesions_are_left_out(cohort):
    table, labels = cohort
    several = table.cases["patient_id"].value_counts()
    torn, alike = several.index[several > 1][:2]
    first = {patient: table.cases.index[table.cases["patient_id"] == patient][0] for patient in (torn, alike)}
    nodal = pd.Series(np.where(table.cases["patient_id"].str[1:].astype(int) % 2, "pos", "neg"), index=labels.index)
    nodal[first[torn]] = "neg" if nodal[first[torn]] == "pos" else "pos"
    stated = labels[[]].assign(nodal=nodal)
    (endpoint,) = resolve_endpoints(["nodal"], stated)
    design = lay_out(table, stated, endpoint)
    gone = design.exclusions.set_index("case_id")["reason"]
    assert set(gone.index) == set(table.cases.index[table.cases["patient_id"] == torn])
    assert gone.str.startswith("label.contradictory: Nodal metastasis is a label of the patient").all()
    assert torn not in design.severest["patient"].index
    (by_breast,) = resolve_endpoints([{"target": "nodal", "level": "lesion"}], stated)
    assert lay_out(table, stated, by_breast).exclusions.empty


def test_a_study_file_goes_from_table_to_class_predictions(cohort, tmp_path):
    """Subtype from ER, PR, HER2 and Ki-67 of a spreadsheet; patients by the mean of their lesions."""
    table, _ = cohort
    rng = np.random.default_rng(3)
    frame = table.values[table.columns_of("radiomics")[:12]].rename(columns=lambda name: name.split(":")[2])
    first, second = frame["r000"] > 0, frame["r001"] > -0.3
    frame = frame.assign(
        patient_id=table.cases["patient_id"], ER=np.where(first, "positive", "negative"),
        PR=np.where(first, "positive", "negative"), HER2=np.where(first | second, "1+", "3+"),
        **{"Ki-67": np.where(second, "<10 %", [f"{n} %" for n in rng.integers(25, 60, len(frame))])},
    )  # fmt: skip
    frame.to_csv(tmp_path / "cohort.csv", index_label="case_id")
    (tmp_path / "study.yaml").write_text(
        "schema_version: 1\nname: subtypes\ncohort: {reader: table, path: cohort.csv}\n"
        "endpoints: [{target: molecular_subtype, cutoff: 20}, 'ki67>=20']\n"
        "evaluation: {outer_folds: 2, inner_folds: 2, n_candidates: 1, arms: [radiomics], learner: logistic,\n"
        "  scoring: {n_bootstrap: 100, aggregate: mean}}\n"
    )
    run, new = tmp_path / "run", tmp_path / "new"
    done = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml"), "-o", str(run), "-j", "1"])
    assert done.exit_code == 0, done.output
    assert "molecular_subtype, radiomics: mean AUC of one class against the rest 0." in done.output
    names = [f"molecular_subtype={key}" for key in ("luminal_a", "luminal_b", "her2_enriched", "triple_negative")]
    result = Result.load(run)
    assert list(result.endpoints) == [*names, "ki67>=20"]
    assert Result.load(run).tables["classes"]["n_cases"].sum() == len(frame)
    text = Page((run / "report.html").read_text(encoding="utf-8")).by_id("arms").text
    assert "A patient has the mean of its lesions' probabilities" in text
    bundle = str(run / "model" / "model.cemrad")
    again = CliRunner().invoke(app, ["predict", bundle, str(tmp_path / "cohort.csv"), "-o", str(new), "-j", "1"])
    assert again.exit_code == 0, again.output
    told = pd.read_csv(new / "predictions_by_class.csv")
    assert set(told["class"]) == {"luminal_a", "luminal_b", "her2_enriched", "triple_negative"}
    assert np.allclose(told.groupby("case_id")["probability"].sum(), 1)
    lesions = pd.read_csv(new / "predictions.csv").query("endpoint == 'ki67>=20'")
    units = pd.read_csv(new / "predictions_by_unit.csv").query("endpoint == 'ki67>=20' and level == 'patient'")
    mean = lesions.groupby("patient_id")["probability"].mean()
    assert np.allclose(units.set_index("unit_id")["probability"], mean.loc[units["unit_id"]])
    assert (units["positive"] == (units["probability"] >= units["threshold"])).all()


def test_a_vote_of_a_bundle_is_that_of_the_evaluation():
    rows = pd.DataFrame(
        [("P1", 0.9), ("P1", 0.1), ("P2", 0.9), ("P2", 0.1), ("P2", 0.2), ("P3", np.nan)],
        columns=["patient_id", "probability"],
    ).assign(endpoint="e", case_id=list("abcdef"), breast_id=list("abcdef"), threshold=0.6)  # fmt: skip
    units = by_unit(rows, "vote").query("level == 'patient'")
    assert units["probability"].round(3).tolist()[:2] == [0.5, 0.333]
    assert units["threshold"].tolist() == [0.5] * 3
    assert units["positive"].tolist()[:2] == [True, False]
    assert units["positive"].isna().tolist() == [False, False, True]
