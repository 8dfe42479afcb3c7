"""The cohort's pages: Table 1, errors, the reproducibility box, and warnings about the masks."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.fingerprint import NEAR, PIXELS
from cemrad.models.confounders import CONFOUNDER_COLUMNS
from cemrad.models.result import ARMS, EXCLUSION_COLUMNS
from cemrad.pipeline.cohorts import cdd_cesm
from cemrad.reports.characteristics import MOST_VARIABLES, NOT_STATED, Cell, difference_of_shares, rows_of, variables
from cemrad.reports.errors import MOST_SHOWN, gather, pictured_cases
from cemrad.reports.facts import gather_facts, shown_cases
from cemrad.reports.model_card import model_card
from cemrad.reports.page import ReportSettings, render_page
from cemrad.reports.sections import SHELF
from cemrad.reports.sections.versions import box

from .report_fixture import make_cases, make_result
from .report_parser import Page

FEW = ReportSettings(max_cases=12)


def part_of(result, section):
    """One section alone."""
    return Page(f"<main>{SHELF.take(section).render(gather_facts(result, FEW), result)}</main>")


def told(result, section):
    return part_of(result, section).all("main")[0].text


def page_of(result):
    return Page(render_page(gather_facts(result, FEW), result))


@pytest.fixture(scope="module")
def described():
    """The fixture's study with columns of every kind."""
    cases = make_cases()
    ids = cases.index
    cases = cases.assign(
        finding=["mass" if i % 4 else "" for i in range(40)],
        size=[str(10 + i) for i in range(40)],
        comment=[f"free text {i}" for i in range(40)],
        **{PIXELS: [f"LE_CC:{who}1f RC_CC:{who}a0 RC_MLO:{who}b1" for who in cases["patient_id"]], NEAR: ""},
    )
    ages = [float(i) for i in range(40)]
    ages[3] = np.nan
    clinical = pd.DataFrame({"clinical:case:age": ages, "clinical:case:bpe=mild": 0.0, "clinical:case:bpe=marked": 1.0},
                            index=ids)  # fmt: skip
    clinical.loc[ids[:10], ["clinical:case:bpe=mild", "clinical:case:bpe=marked"]] = [1.0, 0.0]
    clinical.loc[ids[10], ["clinical:case:bpe=mild", "clinical:case:bpe=marked"]] = 0.0
    return make_result(cases=cases, clinical=clinical)


def test_categories_numbers_and_gaps_are_told_apart(described):
    known, left_out = variables(described)
    assert {item.title: item.numeric for item in known} == {
        "Side": False, "Views": False, "Age": True, "BPE": False, "Vendor": False, "Finding": False, "Size": True,
    }  # fmt: skip
    assert left_out == ["Comment"]
    rows = {(row.variable, row.level): row for row in rows_of(known, [list(described.cases.index)] * 2)}
    assert rows["Views", "CC + MLO"].cells[0].n == 40
    assert rows["Age", ""].cells[0] == Cell(39, 39, 20.0, 10.5, 29.5)
    assert rows["Age", NOT_STATED].cells[0].n == 1
    assert rows["BPE", "mild"].cells[0] == Cell(10, 39)
    assert rows["BPE", NOT_STATED].cells[0].n == 1
    assert rows["Finding", NOT_STATED].cells[0] == Cell(10, 40)
    assert all(row.difference == 0 for row in rows.values() if row.level != NOT_STATED)


def test_standardised_differences_are_those_of_their_formula():
    """Austin 2009: (p2 - p1) / sqrt((p1 (1 - p1) + p2 (1 - p2)) / 2); 0.2 and 0.3 give 0.2325."""
    assert difference_of_shares(0.2, 0.3) == pytest.approx(0.1 / math.sqrt((0.16 + 0.21) / 2))
    assert difference_of_shares(0.0, 0.0) == 0
    assert math.isnan(difference_of_shares(0.0, 1.0))


def test_a_wide_table_is_cut_and_says_so(described):
    many = described.cases.assign(**{f"column {i}": "x" for i in range(30)})
    known, left_out = variables(replace(described, cases=many))
    assert len(known) == MOST_VARIABLES
    assert len(left_out) == 30 + 7 - MOST_VARIABLES + 1
    assert "for space: Comment, " in told(replace(described, cases=many), "table_one")


def test_table_one_says_who_only_ever_trained(described):
    text = told(described, "table_one")
    assert "No patient was kept for training only: each analysed lesion is held out once" in text
    assert "no p-values" in text
    trained = [f"c{i:03d}" for i in range(20)]
    rows = [("malignancy", case_id, "split.training: on the training side, never held out") for case_id in trained]
    split = replace(
        described,
        predictions=described.predictions[~described.predictions["case_id"].isin(trained)],
        exclusions=pd.DataFrame(rows, columns=EXCLUSION_COLUMNS),
    )
    text = told(split, "table_one")
    assert "Characteristic Training only Held out SMD Patients 20 20 Lesions 20 20" in text


def test_the_worst_errors_are_those_farthest_from_the_threshold(described):
    known, _ = variables(described)
    found = gather(described, "malignancy", "deep", known)
    rows = described.predictions.query("endpoint == 'malignancy' and arm == 'deep'").set_index("case_id")
    apart = rows["probability"] - rows["threshold"]
    for kind, positive in zip(found.kinds, (0, 1), strict=True):
        wrong = rows[(rows["truth"] == positive) & ((apart >= 0) != bool(positive))]
        assert (kind.n, kind.n_class) == (len(wrong), int((rows["truth"] == positive).sum()))
        expected = apart[wrong.index].abs().sort_values(ascending=False).index[:MOST_SHOWN]
        assert [mistake.case_id for mistake in kind.worst] == list(expected)
        for item in kind.shared:
            assert item.n / item.of > item.n_class / item.of_class
            assert item.n >= 2


def test_what_errors_share_is_said_only_when_it_is_counted():
    """All false positives of a study in which vendor B alone is called wrongly."""
    result = make_result()
    rows = result.predictions
    vendor = result.cases["vendor"].reindex(rows["case_id"]).to_numpy()
    wrong = (vendor == "B") & (rows["truth"] == 0)
    rows["probability"] = np.where(rows["truth"] == 1, 0.9, np.where(wrong, 0.8, 0.1))
    text = told(result, "errors")
    n = int(wrong[(rows["endpoint"] == "malignancy") & (rows["arm"] == "fused")].sum())
    assert f"False positives: {n} of" in text
    assert f"Vendor B, {n} of {n} (100 %) against {n} of" in text
    assert "False negatives: 0 of" in text


def test_an_error_leads_to_its_case_where_it_has_one():
    page = page_of(make_result(phantom=True))
    cases = {e.attributes["id"]: e.text.split(" ")[0] for e in page.with_class("case")}
    links = [(e.attributes["href"][1:], e.text) for e in page.all("a") if e.attributes["href"].startswith("#case-")]
    assert len(links) > 4
    assert all(cases[anchor] == text for anchor, text in links)


def test_the_box_holds_what_it_takes():
    run = {"commands": ["cemrad run study.yaml"], "sha256": {"features.parquet": "ab12"}, "platform": "Linux", "record":
           "run.json"}  # fmt: skip
    weights = {"source": "file", "name": "resnet50", "sha256": "cd34"}
    result = make_result(provenance={"seed": 7, "run": run, "versions": {"xgboost": "3.2.0"},
                                     "extraction": {"families": {"deep": {"weights": weights}}}})  # fmt: skip
    lines = list(box(result))
    assert lines[:3] == ["$ cemrad run study.yaml", "seed 7", "sha256 ab12  features.parquet"]
    assert f"sha256 {0:064x}  split of er" in lines
    assert "sha256 cd34  weights of deep, resnet50" in lines
    assert lines[-2:] == ["platform Linux", "xgboost 3.2.0"]
    assert list(box(replace(result, provenance={}, folds={}))) == []


def _drawing(explains):
    row = dict.fromkeys(CONFOUNDER_COLUMNS, np.nan) | {
        "endpoint": "malignancy", "level": "lesion", "panel": "drawing", "n_columns": 3, "n": 40, "n_positive": 16,
        "auc": 0.93, "low": 0.85, "high": 0.98, "chance": 0.5, "arm": "fused", "explains": explains, "text": "",
        "method": "",
    }  # fmt: skip
    return pd.DataFrame([row])[CONFOUNDER_COLUMNS]


@pytest.mark.parametrize("explains", [True, False])
def test_a_way_of_drawing_that_tells_the_classes_apart_is_warned_of_at_the_top(explains):
    result = make_result(tables={"confounders": _drawing(explains)})
    page = page_of(result)
    words = "Mask drawing: a model that knows only how the masks were drawn predicts Malignancy with an AUC of 0.93"
    for place in (page.by_id("summary").text, page.by_id("audit").text, model_card(result).replace("\\", "")):
        assert (words in place) == explains


def test_cdd_cesm_carries_the_warning_and_a_phantom_does_not(realdata):
    cohort = cdd_cesm.read(cdd_cesm.Settings(path=realdata / "cdd-cesm" / "tables"))
    result = make_result(cohort=cohort.facts())
    page = page_of(result)
    for place in (page.by_id("summary").text, page.by_id("audit").text, model_card(result).replace("\\", "")):
        assert "contours alone separates malignant from benign images with an AUC of 0.970" in place
        assert "is no evidence that the images show it" in place
    untold = make_result(cohort={"name": cohort.name, "counts": {}, "notes": []})
    assert "the way a lesion was drawn gives its label away" in "".join(gather_facts(untold, FEW).caveats)
    assert "Mask drawing" not in "".join(gather_facts(make_result(phantom=True), FEW).caveats)


def test_the_forest_plot_has_a_diamond_and_its_rule():
    result = make_result()
    assert len(part_of(result, "subgroups").with_class("diamond")) == 2 * len(ARMS)
    assert "A subgroup is estimated where it has 10 patients of each class." in told(result, "subgroups")


CURVES = ("roc_curve", "precision_recall_curve")


@pytest.mark.parametrize("section", ["roc", "precision_recall"])
def test_curves_have_one_band_and_do_without_it(section):
    result = make_result()
    text = told(result, section)
    assert "The band is pointwise" in text
    assert text.count("with its band") == 2
    tables = {name: table for name, table in result.tables.items() if name not in CURVES}
    text = told(make_result(tables=tables), section)
    assert "band" not in text
    assert ("No curve" in text) == (section == "precision_recall")


def test_every_error_of_the_gallery_gets_its_picture():
    result = make_result()
    kept = pictured_cases(result, FEW)
    assert kept[: len(shown_cases(result, FEW))] == shown_cases(result, FEW)
    errors = [gather(result, key, "fused", ()) for key in result.endpoints]
    assert {one.case_id for item in errors for kind in item.kinds for one in kind.worst} <= set(kept)
