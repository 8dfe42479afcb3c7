"""What the report holds: its sections, its warnings, its honest words, and its limits."""

from __future__ import annotations

import base64
import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from cemrad.features.crop import Crop
from cemrad.features.failure import Failure, failures_frame
from cemrad.reports.crops import show
from cemrad.reports.facts import gather_facts
from cemrad.reports.model_card import model_card, write_model_card
from cemrad.reports.page import ReportSettings, shown_cases, write_report
from cemrad.reports.sections import SHELF
from PIL import Image

from .report_fixture import N_CASES, make_result
from .report_parser import Page


@pytest.fixture(scope="module")
def result():
    return make_result(phantom=True)


@pytest.fixture(scope="module")
def path(result, tmp_path_factory):
    return write_report(result, tmp_path_factory.mktemp("report") / "new" / "report.html")


@pytest.fixture(scope="module")
def page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_every_section_is_there_once_and_in_the_contents(page):
    elsewhere = {"external", "classes", "masks"}  # of other kinds of evaluation, and of masks that readers drew
    parts = {name: SHELF.take(name) for name in SHELF.names() if name not in elsewhere}
    ids = [element.attributes["id"] for element in page.all("section") if "id" in element.attributes]
    assert ids == ["summary", *sorted(parts, key=lambda name: parts[name].ORDER)]
    (contents,) = page.with_class("contents")
    assert [f"#{name}" for name in ids] == [e.attributes["href"] for e in contents.within if e.tag == "a"]
    for name, part in parts.items():
        assert part.TITLE in page.by_id(f"{name}-title").text
        assert part.__doc__
        assert part.render.__doc__


def test_an_id_stands_once_and_every_link_leads_somewhere(page):
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert {e.attributes["href"][1:] for e in page.all("a")} <= set(ids)


def test_the_only_script_is_ours_and_the_policy_names_its_hash(path, page):
    (script,) = page.all("script")
    raw = path.read_text(encoding="utf-8").split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()
    (policy,) = [e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.attributes["content"].split("; "))
    assert script.attributes == {}
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert rules["base-uri"] == rules["form-action"] == "'none'"


def test_a_phantom_is_called_a_phantom_everywhere(page):
    assert "Phantom data" in page.with_class("banner")[0].text
    assert all("phantom" in heading.text for heading in page.all("h2"))
    assert all("PHANTOM" in film.text for film in page.with_class("film"))
    assert "PHANTOM" in page.all("title")[0].text


def test_a_real_cohort_is_not(tmp_path):
    text = write_report(make_result(name="Study"), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "phantom" not in Page(text).all("body")[0].text.lower().replace("phantom-chip", "")
    assert Page(text).with_class("banner") == []
    assert "Research use only, not a medical device" in text


def test_random_weights_are_said_aloud(page, tmp_path):
    warnings = [e.text for e in page.with_class("warning")]
    assert any("Random weights: deep features carry no learned knowledge." in text for text in warnings)
    assert "extraction.families.deep.weights" in page.by_id("versions").text
    told = make_result(provenance={"deep": {"weights": {"source": "imagenet"}}})
    text = write_report(told, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Random weights" not in text


def test_where_fusion_wins_and_where_it_does_not(page):
    malignancy, er = page.with_class("finding")
    assert "Fusion beats its best block, radiomics: difference in AUC +0.0" in malignancy.text
    assert "Fusion is not shown to beat its best block" in er.text
    assert "40 cases of 30 patients, 16 of them malignant." in malignancy.text


def test_without_signal_it_says_that_there_is_no_evidence(tmp_path):
    page = Page(write_report(make_result(signal=0.0), tmp_path / "report.html").read_text(encoding="utf-8"))
    for finding in page.with_class("finding"):
        assert "No evidence of discrimination" in finding.text
        assert "Fusion is not shown to beat its best block" in finding.text
        assert "nothing" in finding.classes
    assert "no evidence of discrimination" in model_card(make_result(signal=0.0))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.51, 0.9, "has the highest AUC"),
        (0.5, 0.9, "no arm's interval lies above 0.5"),
        (0.2, 0.4, "every arm's interval lies below 0.5"),
        (np.nan, np.nan, "the AUC has no interval"),
    ],
)
def test_the_words_follow_the_interval(low, high, words):
    result = make_result()
    result.metrics.loc[:, ["low", "high"]] = (low, high)
    finding = gather_facts(result).endpoints[0].summary[1]
    assert words in finding
    assert finding.startswith("No evidence of discrimination") == (words != "has the highest AUC")


def test_another_arm_above_chance_is_evidence_too():
    result = make_result()
    rows = result.metrics
    rows.loc[:, ["low", "high"]] = (0.4, 0.9)
    rows.loc[rows["arm"] == "deep", "low"] = 0.52
    endpoint = gather_facts(result).endpoints[0]
    assert endpoint.discriminates
    assert endpoint.summary[1].startswith("Fused has the highest AUC")
    assert endpoint.summary[1].endswith("Its interval does not lie above chance; that of deep does.")


def with_chance(value: float, level: str):
    """The fixture's study read at a level, with the AUC of permuted predictions at breasts and patients."""
    result = make_result()
    rows = result.metrics[(result.metrics["metric"] == "auc") & (result.metrics["level"] != "lesion")]
    chance = rows.assign(metric="auc_chance", estimate=value, low=np.nan, high=np.nan, method="permuted")
    endpoints = {key: stated | {"level": level} for key, stated in result.endpoints.items()}
    return make_result(metrics=pd.concat([result.metrics, chance], ignore_index=True), endpoints=endpoints)


def test_chance_above_one_half_is_what_an_arm_must_beat(tmp_path):
    result = with_chance(0.62, "patient")
    text = gather_facts(result).endpoints[0].summary[1]
    assert text.startswith("No evidence of discrimination: no arm's interval lies above chance (0.62).")
    assert gather_facts(with_chance(0.5, "patient")).endpoints[0].discriminates
    page = Page(write_report(result, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.by_id("arms").text.count("Chance: the mean AUC of permuted predictions") == 4  # 2 endpoints, 2 levels
    assert "auc_chance" not in page.by_id("arms").text
    assert "Clinical 0.62" in model_card(result)


@pytest.mark.parametrize("level", ["lesion", "breast", "patient"])
def test_every_part_reads_an_endpoint_at_its_own_main_level(level, tmp_path):
    endpoints = {key: dict(stated) for key, stated in make_result().endpoints.items()}
    endpoints["er"]["level"] = level
    result = make_result(endpoints=endpoints)
    page = Page(write_report(result, tmp_path / "r.html").read_text(encoding="utf-8"))
    counts = {"lesion": "40 cases of 30 patients, ", "breast": "36 breasts (40 cases) of 30 patients, "}
    assert counts.get(level, "30 patients (40 cases), ") in page.with_class("finding")[1].text
    folded = [e.text for e in page.with_class("level")]
    captions = [e.text.split(":")[0] for e in page.all("caption") if e.text.startswith("By ")]
    assert len(folded) == 4
    assert captions[3] == f"By {level}"
    assert not any(text.startswith(f"The same by {level}") for text in folded[2:])
    assert f"AUC by {level}" in page.with_class("roc-figure")[1].text
    main = gather_facts(result).endpoints[1].main
    row = f"ER status ER positive {level} {main.n} {main.n_positive} "
    assert row in page.by_id("cohort").text
    assert f"| ER status | ER positive | {level} | {main.n} | {main.n_positive} | 40 | 30 | 2 |" in model_card(result)


def test_a_case_says_which_endpoint_left_it_out(tmp_path):
    result = make_result()
    kept = (result.predictions["endpoint"] != "er") | (result.predictions["case_id"] != "c038")
    made = make_result(predictions=result.predictions[kept])
    page = Page(write_report(made, tmp_path / "r.html").read_text(encoding="utf-8"))
    (case,) = [e for e in page.with_class("case") if e.text.startswith("c038 ")]
    assert "ER status not predicted: label missing" in case.text


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        ("xgboost", "Tree SHAP values"),
        ("logistic", "SHAP values of the linear model"),
        ("random_forest", "Tree SHAP values"),
        ("mlp", "SHAP values by drawn orders"),
        ("other", "SHAP values of each"),
    ],
)
def test_the_explanation_names_what_it_explains(learner, words, tmp_path):
    result = make_result(provenance={"evaluation": {"learner": learner}})
    page = Page(write_report(result, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.by_id("shap_ranking").text.startswith(f"Explanation (SHAP) {words}")


@pytest.mark.parametrize(
    ("how", "words"),
    [("folds", "Internal cross-validation"), ("site", "Each site was held out"), ("date", "seen later")],
)
def test_the_model_card_says_who_was_held_out(how, words):
    result = make_result()
    folds = {key: stated | {"by": how} for key, stated in result.folds.items()}
    assert words in model_card(make_result(folds=folds))


def test_wide_rates_are_explained_after_one_repeat_only(tmp_path):
    result = make_result()
    page = Page(write_report(result, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.by_id("arms").text.count("More repeats narrow them.") == 2
    folds = {key: stated | {"n_repeats": 10} for key, stated in result.folds.items()}
    page = Page(write_report(make_result(folds=folds), tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "More repeats" not in page.by_id("arms").text
    assert "AUPRC baseline" in page.by_id("arms").text


def test_fusion_that_is_worse_is_called_worse():
    result = make_result()
    result.differences.loc[:, ["difference", "low", "high"]] = (-0.1, -0.2, -0.05)
    assert "it is worse: difference in AUC \u22120.10 [\u22120.20, \u22120.05]" in model_card(result).replace("\\", "")


def test_a_difference_the_other_way_round_is_turned():
    result = make_result()
    rows = result.differences
    rows.loc[:, ["arm", "reference"]] = rows[["reference", "arm"]].to_numpy()
    rows.loc[:, ["difference", "low", "high"]] = (-0.1, -0.2, -0.05)
    assert "Fusion beats its best block" in model_card(result)
    assert "difference in AUC +0.10 [+0.05, +0.20]" in model_card(result).replace("\\", "")


def test_a_metric_that_is_not_estimable_says_why(page):
    cells = [e.text for e in page.all("td") if "void" in e.classes]
    assert cells == ["not estimable: no positive patient"] * 5
    assert " nan" not in page.all("main")[0].text.lower()


def test_an_endpoint_without_any_auc_says_so(tmp_path):
    result = make_result()
    result.metrics.loc[:, ["estimate", "low", "high"]] = np.nan
    result.metrics.loc[:, "method"] = "not estimable: one class only"
    page = Page(write_report(result, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "No arm's AUC could be estimated" in page.by_id("summary").text
    assert "not estimable: one class only" in page.by_id("arms").text


def test_a_case_without_pictures_says_so(page):
    (case,) = [e for e in page.with_class("case") if e.text.startswith("c007 ")]
    assert "No pictures: none came with this case, or none could be read." in case.text
    assert "Margin" in case.text


def test_an_absent_picture_says_why(tmp_path):
    result = make_result()
    crops = {case_id: dict(pictures) for case_id, pictures in result.crops.items()}
    del crops["c003"]["RC_MLO"]
    page = Page(write_report(make_result(crops=crops), tmp_path / "report.html").read_text(encoding="utf-8"))
    absent = [e.text for e in page.with_class("absent")]
    assert "recombined MLO: this view was not taken" in absent


def test_pictures_of_one_case_have_one_scale(page):
    shares = {e.attributes["style"] for e in page.with_class("crop")}
    assert shares == {"width: 100.00%", "width: 87.50%"}  # 96 px and 84 px


def test_pictures_are_labelled_with_side_view_and_type(page):
    marks = {e.text for e in page.with_class("mark")}
    assert {"R CC", "R MLO", "L CC", "L MLO", "LE", "RC", "PHANTOM"} == marks


def test_the_png_is_windowed_8_bit_and_reduced():
    pixels = np.linspace(1000, 3000, 300 * 300).reshape(300, 300)
    shown = show(Crop(pixels, np.zeros((300, 300), bool), 0, 0), 100)
    image = Image.open(io.BytesIO(base64.b64decode(shown.data_uri.partition(",")[2])))
    assert (image.mode, image.size) == ("L", (100, 100))
    assert image.getextrema() == (0, 255)
    assert shown.side_px == 300
    assert shown.window == pytest.approx((1010, 2990), abs=0.1)
    assert shown.contour == ""


@pytest.mark.parametrize("limit", [0, 1, 7, 40, 400])
def test_no_more_cases_are_shown_than_asked_for(result, limit):
    shown = shown_cases(result, ReportSettings(max_cases=limit))
    assert len(shown) == len(set(shown)) == min(limit, N_CASES)
    assert shown == shown_cases(result, ReportSettings(max_cases=limit))


def test_errors_certain_and_typical_cases_are_all_shown(result, tmp_path):
    path = write_report(result, tmp_path / "report.html", ReportSettings(max_cases=12))
    page = Page(path.read_text(encoding="utf-8"))
    assert "12 of 40 cases shown, 28 left out" in page.by_id("cases").text
    roles = {role for e in page.with_class("chip") for role in e.classes} - {"chip", "phantom-chip", "unlike"}
    assert roles == {"error", "certain", "typical"}


def test_the_worst_error_comes_first(result):
    fused = result.predictions[
        (result.predictions["arm"] == "fused") & (result.predictions["endpoint"] == "malignancy")
    ]
    wrong = fused[(fused["probability"] >= fused["threshold"]) != (fused["truth"] == 1)]
    worst = wrong.loc[(wrong["probability"] - wrong["truth"]).abs().idxmax(), "case_id"]
    assert shown_cases(result, ReportSettings(max_cases=4))[0] == worst


def test_failures_beyond_the_limit_are_counted(tmp_path):
    rows = [Failure(f"c{i % 40:03d}", "deep", "image.missing", "no such file") for i in range(90)]
    result = make_result(failures=failures_frame(rows))
    path = write_report(result, tmp_path / "report.html", ReportSettings(max_failure_rows=20))
    text = Page(path.read_text(encoding="utf-8")).by_id("failures").text
    assert "The first 20 of 90 rows, failed ones first" in text
    assert "image.missing 90 40 no such file" in text


def test_the_size_is_bounded(tmp_path):
    """Forty cases with four noisy 12-bit crops of 600 px, which would be 115 MB as they are."""
    rng = np.random.default_rng(0)
    mask = np.zeros((600, 600), bool)
    mask[200:400, 200:400] = True
    crops = {
        f"c{i:03d}": {name: Crop(rng.integers(0, 4096, (600, 600)), mask, 0, 0) for name in ("LE_CC", "RC_CC")}
        for i in range(N_CASES)
    }
    size = write_report(make_result(crops=crops), tmp_path / "report.html").stat().st_size
    assert size < 6_500_000
    fewer = write_report(make_result(crops=crops), tmp_path / "few.html", ReportSettings(max_cases=10)).stat().st_size
    assert fewer < size / 2.5


def test_pictures_are_decoded_only_when_a_case_is_opened(page):
    assert all(e.attributes["loading"] == "lazy" for e in page.all("img"))
    assert sum("open" in e.attributes for e in page.with_class("case")) == 1


def test_an_empty_result_gives_a_page(tmp_path):
    full = make_result()
    names = ("predictions", "metrics", "differences", "chosen", "shap", "shap_base", "exclusions", "failures")
    empty = {name: getattr(full, name).iloc[:0] for name in names}
    rest = {"endpoints": {}, "folds": {}, "crops": {}, "provenance": {}, "cohort": {}, "clinical": pd.DataFrame()}
    page = Page(write_report(make_result(**empty, **rest), tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No endpoint was evaluated." in page.by_id("summary").text
    assert "No case is shown." in page.by_id("cases").text
    assert "Nothing failed" in page.by_id("failures").text
    assert "states no seed" in page.by_id("versions").text


def test_an_endpoint_that_could_not_be_evaluated_keeps_its_place(tmp_path):
    full = make_result()
    names = ("predictions", "metrics", "differences", "chosen", "shap", "shap_base")
    rows = {name: frame[frame["endpoint"] != "er"] for name in names for frame in [getattr(full, name)]}
    page = Page(write_report(make_result(**rows), tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No arm's AUC could be estimated" in page.with_class("finding")[1].text
    assert "No metric could be computed." in page.by_id("arms").text
    assert "No SHAP values were stored" in page.by_id("shap_ranking").text


def test_values_that_do_not_add_up_are_called_out(tmp_path):
    result = make_result()
    result.shap_base.loc[:, "margin"] += 0.01
    text = Page(write_report(result, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "above the tolerance of 1e-4" in text.by_id("shap_ranking").text
    assert "do not add up" in text.by_id("cases").text


def test_the_model_card_holds_what_a_reader_needs(result, tmp_path):
    text = write_model_card(result, tmp_path / "new" / "model_card.md").read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == [
        "# Model card: Phantom demo study", "## Intended use", "## Data", "## Performance: Malignancy",
        "## Performance: ER status", "## Limits", "## Provenance",
    ]  # fmt: skip
    assert "**PHANTOM DATA." in text
    assert "not a medical device" in text
    assert result.folds["er"]["sha256"] in text
    assert "Random weights" in text
