"""Laws of the report's forms: HTML, JSON and CSV hold the same numbers, and none of them holds a formula or a NaN."""

import csv
import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from cemrad.features.table import read_text_csv
from cemrad.models.result import Result
from cemrad.reports.page import MAX_CASE_BYTES, ReportSettings, write_report
from cemrad.reports.twin import SCHEMA_VERSION

from .bench_report import many_cases
from .hostile import HOSTILE, hostile_result
from .report_fixture import N_CASES, make_result
from .report_parser import Page
from .test_cells_invariant import is_formula


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The forms of a report, 12 of its 40 cases in the file, 18 on a page beside it."""
    path = tmp_path_factory.mktemp("forms") / "report.html"
    return write_report(make_result(crops={}), path, ReportSettings(max_cases=30, cases_in_file=12)).parent


def _refuse(text):
    raise AssertionError(f"{text} is no JSON")


def _twin(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=_refuse)


def _numbers(frame):
    return frame.apply(pd.to_numeric, errors="coerce")


def test_the_three_forms_hold_the_same_metrics(folder):
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "report_tables" / "metrics.csv", float_precision="round_trip")
    twin = _twin(folder)["tables"]["metrics"]
    stored = pd.DataFrame(twin["rows"], columns=twin["columns"])
    pd.testing.assert_frame_equal(table, stored, check_exact=True, check_dtype=False)

    def triples(rows):
        kept = rows[rows["estimate"].notna()]
        return Counter(map(tuple, kept[["estimate", "low", "high"]].astype(float).to_numpy().tolist()))

    cells = [e.attributes for e in page.by_id("arms").within if "data-low" in e.attributes]
    in_html = Counter(tuple(float(cell[f"data-{key}"]) for key in ("value", "low", "high")) for cell in cells)
    differences = pd.read_csv(folder / "report_tables" / "differences.csv", float_precision="round_trip")
    renamed = differences.rename(columns={"difference": "estimate"})
    assert in_html == triples(table) + triples(renamed)
    facts = [
        (one["estimate"], one["low"], one["high"])
        for endpoint in _twin(folder)["endpoints"]
        for level in (endpoint["main"], *endpoint["others"])
        for arm in level["arms"].values()
        for one in arm.values()
        if one["estimable"]
    ]
    assert Counter(facts) == triples(table)


def test_the_three_forms_hold_the_same_cases(folder):
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    rows = [e for e in page.all("tr") if "data-endpoint" in e.attributes]
    values = [e.attributes["data-value"] for e in page.by_id("case-rows").within if "data-value" in e.attributes]
    table = pd.read_csv(folder / "report_tables" / "cases.csv", float_precision="round_trip")
    assert len(rows) == len(table) == 2 * N_CASES
    assert list(map(float, values)) == table[["probability", "threshold"]].to_numpy().ravel().tolist()
    twin = _twin(folder)
    stored = [row[6:8] for row in twin["tables"]["cases"]["rows"]]
    assert stored == table[["probability", "threshold"]].to_numpy().tolist()
    told = {(row.case_id, row.endpoint): row for row in table.itertuples()}
    for case in twin["cases"]:
        for reading in case["readings"]:
            row = told[case["case_id"], reading["endpoint"]]
            assert (reading["probability"], reading["threshold"]) == (row.probability, row.threshold)
            said = (reading["outcome"], int(reading["called"]), int(reading["truth"]))
            assert said == (row.outcome, row.called, row.truth)
    assert sum(table["outcome"].str.startswith("true")) == sum(table["truth"] == table["called"])


def test_the_pages_of_cases_hold_the_numbers_of_the_twin(folder):
    names = ["report.html", "report_cases/0001.html"]
    shown = []
    for name in names:
        page = Page((folder / name).read_text(encoding="utf-8"))
        for case in page.with_class("case"):
            ends = [e for e in case.within if "data-value" in e.attributes and "steps" not in e.classes]
            shown.append({float(e.attributes["data-value"]) for e in ends})
    cases = _twin(folder)["cases"]
    assert len(shown) == len(cases) == 30
    for values, case in zip(shown, cases, strict=True):
        for reading in case["readings"]:
            water = reading["waterfall"]
            stated = {reading["probability"], reading["threshold"], water["base"], water["margin"]}
            assert stated | {step["shap"] for step in water["steps"]} <= values


def test_every_table_is_the_same_in_json_and_csv(folder):
    twin = _twin(folder)
    assert twin["schema_version"] == SCHEMA_VERSION
    files = {path.stem: path for path in (folder / "report_tables").glob("*.csv")}
    assert set(files) == set(twin["tables"])
    for name, path in files.items():
        stored = twin["tables"][name]
        read = read_text_csv(path)
        assert list(read.columns) == stored["columns"]
        assert len(read) == len(stored["rows"])
        for column, cells in zip(stored["columns"], zip(*stored["rows"], strict=True), strict=False):
            for cell, text in zip(cells, read[column], strict=True):
                if isinstance(cell, float):
                    assert float(text) == cell
                else:
                    assert text in (("", "inf", "-inf") if cell is None else (str(cell),)), (name, column)


def test_maps_in_cells_are_whole_in_json_and_csv_also_of_a_stored_result(tmp_path):
    whole = [[0.25, None] * 700, [1.0]]
    maps = pd.DataFrame({"case_id": ["c000", "c001"], "map": [[0.25, math.nan] * 700, [1.0]]})
    stored = make_result(crops={}, tables={"further": maps})
    stored.save(tmp_path / "run")
    for name, result in (("fresh", stored), ("read", Result.load(tmp_path / "run"))):
        folder = write_report(result, tmp_path / name / "report.html", ReportSettings(max_cases=0)).parent
        rows = _twin(folder)["tables"]["further"]["rows"]
        cells = pd.read_csv(folder / "report_tables" / "further.csv")["map"].tolist()
        assert [json.loads(row[1]) for row in rows] == [json.loads(cell) for cell in cells] == whole


def test_tables_of_an_earlier_report_go(tmp_path):
    write_report(make_result(crops={}), tmp_path / "report.html", ReportSettings(max_cases=0))
    assert (tmp_path / "report_tables" / "calibration.csv").is_file()
    write_report(make_result(crops={}, tables={}), tmp_path / "report.html", ReportSettings(max_cases=0))
    assert not (tmp_path / "report_tables" / "calibration.csv").exists()


def test_a_number_that_is_none_is_null(tmp_path):
    result = make_result(crops={})
    result.metrics.loc[:, ["estimate", "low", "high"]] = [np.nan, -np.inf, np.inf]
    text = write_report(result, tmp_path / "r.html").with_suffix(".json").read_text(encoding="utf-8")
    rows = json.loads(text, parse_constant=_refuse)["tables"]["metrics"]["rows"]
    assert {tuple(row[4:7]) for row in rows} == {(None, None, None)}


def test_hostile_text_is_no_formula_in_any_table_and_comes_back(tmp_path):
    path = write_report(hostile_result(), tmp_path / "report.html")
    files = list((tmp_path / "report_tables").glob("*.csv"))
    assert len(files) > 8
    for file in files:
        with file.open(encoding="utf-8", newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert [cell for cell in cells if is_formula(cell)] == [], file.name
    read = read_text_csv(tmp_path / "report_tables" / "cases.csv")["case_id"]
    assert set(read) == {text.partition("\x00")[0] for text in HOSTILE}  # the reader of pandas ends a cell there
    twin = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=_refuse)
    assert {row[0] for row in twin["tables"]["cases"]["rows"]} == set(HOSTILE)


def test_a_stored_result_holds_no_formula_and_comes_back(tmp_path):
    result = hostile_result()
    result.save(tmp_path)
    for file in tmp_path.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as stream:
            assert not [cell for row in csv.reader(stream) for cell in row if is_formula(cell)], file.name
    back = Result.load(tmp_path)
    assert list(back.cases.index) == [text.partition("\x00")[0] for text in HOSTILE]
    told = [text.partition("\x00")[0] for text in result.exclusions["reason"]]
    assert back.exclusions["reason"].tolist() == told
    assert back.failures["reason"].tolist() == told


def test_cases_that_do_not_fit_stand_on_pages_and_the_table_leads_to_each(tmp_path):
    result = make_result(crops={})
    path = write_report(result, tmp_path / "report.html", ReportSettings(max_cases="all", cases_in_file=4))
    pages = sorted((tmp_path / "report_cases").iterdir())
    assert [page.name for page in pages] == ["0001.html", "0002.html"]
    table = Page(path.read_text(encoding="utf-8")).by_id("case-rows")
    links = {e.attributes["href"] for e in table.within if e.tag == "a"}
    assert len(links) == N_CASES
    found = {}
    for name in ("", "report_cases/0001.html", "report_cases/0002.html"):
        page = Page((tmp_path / (name or "report.html")).read_text(encoding="utf-8"))
        found |= {f"{name}#{case.attributes['id']}": case for case in page.with_class("case")}
    assert set(found) == links
    write_report(result, path, ReportSettings(max_cases=4))
    assert not (tmp_path / "report_cases").exists()


@pytest.mark.slow
def test_300_cases_with_pictures_stay_under_10_mb_each_file(tmp_path):
    path = write_report(many_cases(300), tmp_path / "report.html", ReportSettings(max_cases="all"))
    assert path.stat().st_size < 10_000_000
    assert all(page.stat().st_size < 10_000_000 for page in (tmp_path / "report_cases").iterdir())


def test_a_case_that_is_large_leaves_room_for_fewer(tmp_path, monkeypatch):
    result = make_result(crops={})
    whole = write_report(result, tmp_path / "a.html")
    assert not (tmp_path / "a_cases").exists()
    monkeypatch.setattr("cemrad.reports.page.MAX_CASE_BYTES", MAX_CASE_BYTES // 50)
    small = write_report(result, tmp_path / "b.html")
    n_here = len(Page(small.read_text(encoding="utf-8")).with_class("case"))
    assert 2 < n_here < 20
    assert math.ceil((N_CASES - n_here) / 25) == len(list((tmp_path / "b_cases").iterdir()))
    assert small.stat().st_size < whole.stat().st_size
