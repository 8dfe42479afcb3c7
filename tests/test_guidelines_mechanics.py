"""Guideline sheets: whole, in order, and marked by what this very run has."""

import csv
import io
from dataclasses import replace

import pandas as pd
import pytest
from cemrad.models.confounders import CONFOUNDER_COLUMNS
from cemrad.models.external import TABLE_COLUMNS
from cemrad.models.result import EXCLUSION_COLUMNS
from cemrad.reports.facts import gather_facts
from cemrad.reports.guidelines import COLUMNS, EVIDENCE, MARKS, NAMES, gather, write_guidelines
from cemrad.reports.page import ReportSettings, render_page
from cemrad.reports.template import read_part

from .report_fixture import make_result
from .report_parser import Page

PARTS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
"""Items of TRIPOD+AI that have parts."""
TRIPOD = [f"{i}{part}".strip() for i in range(1, 28) for part in PARTS.get(i, " ")]


@pytest.fixture(scope="module")
def full():
    """A result that has everything that an item can rest on."""
    plain = make_result()
    confounders = pd.DataFrame([dict.fromkeys(CONFOUNDER_COLUMNS, 0.5)]).assign(
        endpoint="malignancy", panel="size", explains=False, arm="fused", level="lesion"
    )
    groups = plain.tables["subgroups"]
    audit = pd.DataFrame([("row garbage", "er", "passed", 0.0, 0.0, "")],
                         columns=["check", "endpoint", "state", "value", "limit", "text"])  # fmt: skip
    some = pd.DataFrame({"endpoint": ["er"]})
    clinical = plain.differences.iloc[:1].assign(arm="fused+clinical", reference="clinical")
    return make_result(
        cases=plain.cases.assign(site=["north", "south"] * 20),
        differences=pd.concat([plain.differences, clinical], ignore_index=True),
        exclusions=pd.DataFrame([("er", "c039", "split.training: never held out")], columns=EXCLUSION_COLUMNS),
        tables=plain.tables | {
            "audit": audit, "confounders": confounders, "stability": some, "sample_size": some, "mask_summary": some,
            "mask_overlap": some, "subgroups": groups.assign(column="site"),
            "external": pd.DataFrame([dict.fromkeys(TABLE_COLUMNS, 1.0)]).assign(recalibrated=True),
        },
        provenance=plain.provenance | {
            "evaluation": {"learner": "xgboost", "selector": "relevance", "balance": "none", "fusion": "early"},
            "extraction": {"families": {"radiomics": {"parameters": {"setting": {"binCount": 32}}},
                                        "deep": {"weights": {"source": "imagenet", "sha256": "ab"}}}},
            "params": [{"max_depth": 2}], "masks": {"arms": {"unet": {}}},
            "run": {"commands": ["cemrad run"], "sha256": {}}, "external": {"bundle_sha256": "cd"},
        },
    )  # fmt: skip


def test_every_item_of_the_publications_is_there_once_and_in_order(full):
    numbers = {sheet: [item.number for item in gather(full) if item.sheet == sheet] for sheet in NAMES}
    assert numbers == {
        "CLEAR": [str(i) for i in range(1, 59)],
        "METRICS": [str(i) for i in range(1, 31)],
        "TRIPOD+AI": TRIPOD,
        "CLAIM": [str(i) for i in range(1, 45)],
    }
    assert len(TRIPOD) == 52


def test_the_file_names_only_what_is_known():
    rows = list(csv.DictReader(io.StringIO(read_part("guidelines.csv"))))
    assert {name for row in rows for name in row["evidence"].split()} == set(EVIDENCE)
    assert {row["otherwise"] for row in rows} == {"author to state", "not available"}
    assert all(row["asks"] and row["part"] for row in rows)


WITHOUT = {
    "flow": lambda r: replace(r, endpoints={}),
    "table_one": lambda r: replace(r, predictions=r.predictions.iloc[:0]),
    "clinical_columns": lambda r: replace(r, clinical=r.clinical.iloc[:, :0]),
    "sites": lambda r: replace(r, cases=r.cases.assign(site="north")),
    "split_table": lambda r: replace(r, exclusions=r.exclusions.iloc[:0]),
    "missing": lambda r: replace(r, provenance=r.provenance | {"evaluation": {}}),
    "reader": lambda r: replace(r, cohort={}),
    "endpoints": lambda r: replace(r, endpoints={}),
    "metrics": lambda r: replace(r, metrics=r.metrics.assign(estimate=float("nan"))),
    "intervals": lambda r: replace(r, metrics=r.metrics.assign(low=float("nan"))),
    "thresholds": lambda r: replace(r, predictions=r.predictions.assign(threshold=float("nan"))),
    "differences": lambda r: replace(r, differences=r.differences.iloc[:0]),
    "clinical_arm": lambda r: replace(r, metrics=r.metrics[r.metrics["arm"] == "fused"]),
    "clinical_differences": lambda r: replace(r, differences=r.differences.iloc[:-1]),
    "internal": lambda r: r,  # an external evaluation has none
    "selection": lambda r: replace(r, chosen=r.chosen.iloc[:0]),
    "redundancy": lambda r: replace(r, provenance=r.provenance | {"evaluation": {"selector": "anova"}}),
    "shap": lambda r: replace(r, shap=r.shap.iloc[:0]),
    "errors": lambda r: replace(r, predictions=r.predictions.iloc[:0]),
    "split": lambda r: replace(r, folds={}),
    "site_results": lambda r: replace(r, tables=dict(r.tables) | {"subgroups": r.tables["subgroups"].iloc[:0]}),
    "masks": lambda r: replace(_less(r, "mask_overlap"), provenance=r.provenance | {"masks": {}}),
    "mask_overlap": lambda r: _less(r, "mask_summary"),
    "recalibrated": lambda r: _less(r, "external"),
    "external": lambda r: replace(r, provenance=r.provenance | {"external": {}}),
    **{name: lambda r, name=name: _less(r, name) for name in
       ("audit", "confounders", "stability", "sample_size", "calibration")},
    **{name: lambda r, key=key: replace(r, provenance={k: v for k, v in r.provenance.items() if k != key})
       for name, key in {"radiomics": "extraction", "deep": "extraction", "weights": "extraction",
                         "failures": "extraction", "settings": "evaluation", "learner": "evaluation",
                         "balance": "evaluation", "fusion": "evaluation", "tuning": "params", "versions": "versions",
                         "seeds": "seed", "command": "run"}.items()},
}  # fmt: skip
"""The same result without what a piece of evidence rests on."""


def _less(result, name):
    return replace(result, tables={key: table for key, table in result.tables.items() if key != name})


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_is_there_only_where_the_run_has_it(full, name):
    evidence = EVIDENCE[name]
    has = replace(full, provenance=full.provenance | {"external": {}}) if name == "internal" else full
    assert evidence.there(has)
    assert not evidence.there(WITHOUT[name](full))


def test_an_item_changes_its_mark_with_the_run(full):
    def mark(result, sheet, number):
        (item,) = (item for item in gather(result) if (item.sheet, item.number) == (sheet, number))
        return item.mark, item.sections

    assert mark(full, "CLAIM", "40") == ("evidence here", ("audit",))
    assert mark(_less(full, "audit"), "CLAIM", "40") == ("author to state", ())
    assert mark(full, "METRICS", "22") == ("evidence here", ("calibration",))
    assert mark(_less(full, "calibration"), "METRICS", "22") == ("not available", ())
    assert mark(full, "METRICS", "27") == ("evidence here", ("external",))
    assert mark(make_result(), "METRICS", "27") == ("not available", ())
    assert mark(full, "CLEAR", "1") == ("author to state", ())


def test_the_page_links_each_item_to_a_section_that_is_there():
    result = make_result()
    page = Page(render_page(gather_facts(result, ReportSettings(max_cases=4)), result))
    ids = {e.attributes["id"] for e in page.all("section")}
    assert {name for item in gather(result) for name in item.sections} <= ids
    text = page.by_id("guidelines").text
    for sheet, n in (("CLEAR", 58), ("METRICS", 30), ("TRIPOD+AI", 52), ("CLAIM", 44)):
        marks = [sum(i.mark == mark for i in gather(result) if i.sheet == sheet) for mark in MARKS]
        told = ", ".join(f"{count} {mark}" for count, mark in zip(marks, MARKS, strict=True))
        assert f"{n} items: {told}" in text
    assert "Nothing is summed to a score" in text
    assert "%" not in text


def test_the_files_hold_the_same_and_no_formula(full, tmp_path):
    write_guidelines(replace(full, name="=cmd|'/C calc'!A0 <b>"), tmp_path)
    rows = list(csv.reader(io.StringIO((tmp_path / "guidelines.csv").read_text(encoding="utf-8"))))
    items = gather(full)
    assert tuple(rows[0]) == COLUMNS
    assert [(row[0], row[1], row[4], row[5]) for row in rows[1:]] == [
        (item.sheet, item.number, item.mark, ", ".join(item.sections)) for item in items
    ]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]
    text = (tmp_path / "guidelines.md").read_text(encoding="utf-8")
    assert text.startswith("# Guideline sheets: =cmd\\|'/C calc'\\!A0 \\<b\\>\n")
    assert text.count("\n| ") == len(items) + 2 * len(NAMES)  # a head and a rule each
    assert "Nothing is summed to a score" in text
