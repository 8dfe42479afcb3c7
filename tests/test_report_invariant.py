"""Laws of the report: its numbers are the result's, and nothing that a user wrote becomes more than text."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from cemrad.models.result import Result
from cemrad.reports.facts import gather_facts
from cemrad.reports.model_card import model_card
from cemrad.reports.numbers import exact, fixed, interval
from cemrad.reports.page import ReportSettings, render_page, write_report
from cemrad.reports.sections.decision_curve import AT
from cemrad.reports.template import visible
from hypothesis import given, settings
from hypothesis import strategies as st

from .hostile import HOSTILE, hostile_result
from .report_fixture import make_result
from .report_parser import Page


@pytest.fixture(scope="module")
def result() -> Result:
    return make_result()


@pytest.fixture(scope="module")
def page(result, tmp_path_factory) -> Page:
    path = write_report(result, tmp_path_factory.mktemp("report") / "report.html", ReportSettings(max_cases=12))
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile() -> tuple[str, Page]:
    result = hostile_result()
    text = render_page(gather_facts(result), result)
    return text, Page(text)


def test_hostile_text_makes_no_element(hostile):
    _, page = hostile
    tags = {element.tag for element in page.elements}
    clean = Page(render_page(gather_facts(make_result()), make_result()))
    assert len(page.all("script")) == len(page.all("style")) == len(page.all("h1")) == len(page.all("main")) == 1
    assert tags <= {element.tag for element in clean.elements}
    assert page.all("script")[0].pieces == clean.all("script")[0].pieces


def test_hostile_text_makes_no_attribute(hostile):
    _, page = hostile
    known = {
        name for e in Page(render_page(gather_facts(make_result()), make_result())).elements for name in e.attributes
    }
    for element in page.elements:
        assert not [name for name in element.attributes if name.startswith("on")]
        assert set(element.attributes) <= known
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            assert element.attributes.get(name, "#").startswith(("#", "data:"))
        assert "url(" not in element.attributes.get("style", "")


def test_nothing_points_outside(hostile):
    text, page = hostile
    style = page.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"fetch|XMLHttp|import\(|eval|innerHTML", page.all("script")[0].text)
    assert all(not e.attributes.get("content", "").startswith("0;url") for e in page.all("meta"))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown_as_it_is(hostile, text):
    """Nothing is dropped either: an id reads as what it is, with invisible characters spelt out."""
    _, page = hostile
    shown = " ".join(visible(text).split())
    assert shown in page.by_id("failures").text
    assert shown in page.by_id("cohort").text
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", page.all("body")[0].text)


def test_hostile_text_stays_text_in_the_model_card():
    text = model_card(hostile_result())
    assert not re.search(r"(?<!\\)<", text)
    assert not re.search(r"(?<!\\)\[x", text)
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 7


def _triples(frame: pd.DataFrame, first: str) -> Counter:
    rows = frame[frame[first].notna()]
    return Counter(tuple(map(exact, map(float, row))) for row in rows[[first, "low", "high"]].to_numpy())  # NaN too


def test_every_metric_and_difference_is_printed_as_the_result_holds_it(result, page):
    cells = [e for e in page.all("td") if "data-low" in e.attributes]
    found = Counter(tuple(e.attributes[f"data-{key}"] for key in ("value", "low", "high")) for e in cells)
    tables = {name: rows[rows["level"] == "lesion"] for name, rows in result.tables.items() if "level" in rows}
    curve = tables["decision_curve"][lambda rows: rows["threshold"].isin(AT) & (rows["arm"] != "none")]
    groups = tables["subgroups"].rename(columns={"auc_low": "low", "auc_high": "high"})
    expected = _triples(result.metrics, "estimate") + _triples(result.differences, "difference")
    expected += _triples(tables["calibration"], "estimate") + _triples(curve, "net_benefit")
    assert found == expected + _triples(groups, "auc")


def test_every_printed_number_is_its_exact_value_rounded(page):
    cells = [e for e in page.elements if "data-value" in e.attributes and "%" not in e.text and "e-" not in e.text]
    assert len(cells) > 400
    for cell in cells:
        printed = cell.text.split(" ")[0]
        digits = len(printed.partition(".")[2])
        value = float(cell.attributes["data-value"])
        assert printed == fixed(value, digits, signed=printed.startswith("+") or value < 0), cell
        if "data-low" in cell.attributes:
            low, high = (float(cell.attributes[f"data-{key}"]) for key in ("low", "high"))
            assert cell.text.endswith(interval(low, high, digits, signed="+" in cell.text))


def test_each_case_shows_the_predictions_of_the_result(result, page):
    shown = page.with_class("case")
    assert len(shown) == 12
    for case in shown:
        case_id = case.text.split(" ")[0]
        rows = result.predictions[(result.predictions["case_id"] == case_id) & (result.predictions["arm"] == "fused")]
        for row in rows.itertuples():
            stated = result.endpoints[row.endpoint]
            called = row.probability >= row.threshold
            outcome = f"{'true' if called == row.truth else 'false'} {'positive' if called else 'negative'}"
            truth = f"{'' if row.truth else 'not '}{stated['positive']}"
            assert f"{stated['title']} {truth} {outcome} {fixed(row.probability)}" in case.text


def test_each_waterfall_adds_up_to_its_margin(result):
    facts = gather_facts(result)
    for case in facts.cases:
        for reading in case.readings:
            water = reading.waterfall
            assert water.base + sum(step.shap for step in water.steps) == pytest.approx(water.margin, abs=1e-9)
            assert 1 / (1 + math.exp(-water.margin)) == pytest.approx(reading.probability)
            assert len(water.steps) <= facts.settings.waterfall_features + 1


def test_the_ranking_is_the_mean_of_absolute_values(result):
    for endpoint in gather_facts(result, ReportSettings(top_features=5)).endpoints:
        rows = result.shap[(result.shap["endpoint"] == endpoint.key) & (result.shap["arm"] == "fused")]
        wide = rows.pivot_table(index="case_id", columns="feature", values="shap").fillna(0.0).abs().mean()
        told = endpoint.explanation
        for feature in told.ranking:
            assert feature.mean_abs == pytest.approx(wide[feature.name])
        assert sum(f.mean_abs for f in told.ranking) + told.rest == pytest.approx(wide.sum())
        parts = {part.sort: {one.group: one.share for one in part.groups} for part in told.further.partitions}
        assert [sum(shares.values()) for shares in parts.values()] == pytest.approx([1] * 5)
        radiomics = wide[wide.index.str.startswith("radiomics")].sum() / wide.sum()
        assert parts["block"]["radiomics"] == pytest.approx(radiomics)


def test_steadiness_counts_the_models_that_chose_a_feature(result):
    told = gather_facts(result).endpoints[0].explanation
    chosen = result.chosen[(result.chosen["endpoint"] == "malignancy") & (result.chosen["arm"] == "fused")]
    for feature in told.ranking:
        assert feature.n_chosen == (chosen["feature"] == feature.name).sum()
        assert feature.n_models == 5


def test_repeats_are_shown_with_their_range():
    one = make_result(seed=3)
    frames = {}
    for name in ("predictions", "shap", "shap_base", "chosen"):
        again = getattr(one, name).assign(repeat=1)
        if name == "predictions":
            again["probability"] = again["probability"] * 0.5
            again["threshold"] = 0.2
        frames[name] = pd.concat([again, getattr(one, name)], ignore_index=True)
    facts = gather_facts(make_result(**frames))
    for case in facts.cases:
        outcomes = {reading.endpoint: reading.outcome for reading in case.readings}
        for reading in case.readings:
            assert (reading.repeat, reading.n_repeats) == (0, 2)
            assert reading.low == pytest.approx(0.5 * reading.high)
            assert reading.probability == pytest.approx(0.75 * reading.high)
            assert reading.threshold == pytest.approx((0.47 + 0.2) / 2)
            assert reading.explained == reading.high
        for reason in case.reasons:  # the chip and the table judge alike
            assert reason.role == "typical" or reason.words == outcomes[reason.endpoint]


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_a_printed_number_reads_back_within_half_a_digit(value, digits):
    text = fixed(value, digits)
    assert float(text.replace("\u2212", "-")) == pytest.approx(value, abs=0.5 * 10.0**-digits * (1 + 1e-6))
    assert not re.fullmatch("\u22120[.0]*", text)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="say why it is missing"):
        fixed(value)
