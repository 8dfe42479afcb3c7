"""What the page says in words about data whose truth is known: nothing planted, one block planted, both."""

import pytest
from cemrad.models.evaluate import evaluate
from cemrad.models.scoring import ScoringSettings
from cemrad.reports.facts import gather_facts
from cemrad.reports.model_card import model_card
from cemrad.reports.page import ReportSettings, render_page

from .planted import Block, Endpoint, World
from .report_parser import Page

BLOCKS = {"radiomics": Block(12, 2, 3), "deep": Block(12, 2, 3)}
ENDPOINTS = ("malignancy", "receptor")
ARMS = ("radiomics", "deep", "fused")


def study(effects, quick, seed=3):
    """A whole evaluation of a cohort of 100 lesions with these effects at both endpoints."""
    world = World(BLOCKS, {name: Endpoint(effects, 0.5) for name in ENDPOINTS})
    draw = world.draw(100, 80, seed)
    labels = draw.labels.replace({"malignancy": {0: "benign", 1: "malignant"}}).astype(object)
    wanted = ["malignancy", {"name": "receptor", "column": "receptor", "positive": 1}]
    changes = {"arms": ARMS, "scoring": ScoringSettings(n_bootstrap=100, further=())}
    return evaluate(draw.table, labels, wanted, quick.model_copy(update=changes))


def top_of_page(result):
    page = Page(render_page(gather_facts(result, ReportSettings(max_cases=0)), result))
    return [finding.text for finding in page.with_class("finding")], page.by_id("summary").text


def fused(result, endpoint):
    """The paired difference of fusion and its best block, as the table of differences has it."""
    rows = result.metrics.query(f"endpoint == '{endpoint}' and level == 'lesion' and metric == 'auc'")
    auc = rows.set_index("arm")["estimate"]
    block = auc[["radiomics", "deep"]].idxmax()
    rows = result.differences.query(f"endpoint == '{endpoint}' and level == 'lesion' and metric == 'auc'")
    (row,) = rows[(rows["arm"] == "fused") & (rows["reference"] == block)].itertuples()
    return block, row


def test_with_nothing_planted_every_endpoint_says_that_there_is_no_evidence(quick):
    result = study({"radiomics": 0.0, "deep": 0.0}, quick)
    findings, _ = top_of_page(result)
    assert len(findings) == len(ENDPOINTS)
    for text in findings:
        assert "No evidence of discrimination: no arm's interval lies above 0.5." in text
        assert "Fusion is not shown to beat its best block" in text or "it is worse" in text
    assert model_card(result).count("no evidence of discrimination in this cohort") == len(ENDPOINTS)


@pytest.mark.parametrize("effects", [{"radiomics": 2.5, "deep": 0.0}, {"radiomics": 2.0, "deep": 2.0}])
def test_with_an_effect_planted_the_words_are_those_of_the_differences(effects, quick):
    result = study(effects, quick)
    findings, summary = top_of_page(result)
    assert "No evidence of discrimination" not in summary
    for text, endpoint in zip(findings, result.endpoints, strict=True):
        block, row = fused(result, endpoint)
        if row.low > 0:
            assert f"Fusion beats its best block, {block}" in text
        elif row.high < 0:
            assert f"Fusion does not beat its best block, {block}; it is worse" in text
        else:
            assert f"Fusion is not shown to beat its best block, {block}" in text
        if not effects["deep"]:
            assert block == "radiomics"
            assert "Fusion beats" not in text
