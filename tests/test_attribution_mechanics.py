"""The stage on small cohorts: sums, what is left over and why, frames, planted signs, the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.activation import activations
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.crop import lesion_crop
from cemrad.features.families import deep
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.reading import read_case
from cemrad.features.spread import spread, upsample
from cemrad.models.account import KEY
from cemrad.models.attribution import LOCAL_COLUMNS, MAP_COLUMNS, REST_COLUMNS, stand_in, told
from cemrad.models.result import PREDICTION_COLUMNS, SHAP_BASE_COLUMNS, SHAP_COLUMNS, Result
from cemrad.pipeline.attribution import attribute
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.reports.facts import ReportSettings
from cemrad.reports.page import write_report

from .gabor_network import GaborNetwork
from .planted_sign import CHANCE, RC, SIDE_PX, planted_case
from .report_fixture import make_result
from .report_parser import Page

DEEP = {"network": "resnet18", "weights": "random", "size": 64, "device": "cpu"}
RADIOMICS = {"parameters": {"imageType": {"Original": {}}, "featureClass": {"firstorder": [], "shape2D": []}}}
SHOW = ReportSettings(local_maps=2)
WHOLE = "a shape is of the whole outline: it has no value around single pixels"
FEATURES = FeatureSettings(families={"radiomics": RADIOMICS, "deep": DEEP})


def told_by(table, seed=0, share=0.02, phantom=True) -> Result:
    """A result whose SHAP values are random numbers of both signs on a few features of every case."""
    rng = np.random.default_rng(seed)
    chosen = [name for name in table.values if not name.startswith("clinical:") and rng.random() < share]
    rows, shap, base = [], [], []
    for i, case_id in enumerate(table.values.index):
        values = rng.normal(size=len(chosen))
        key = ("malignancy", "fused", 0, 0, case_id)
        rows.append(
            (*key, *table.cases.loc[case_id, ["patient_id", "breast_id"]], i % 2, 0.5, values.sum(), *[0.5] * 3)
        )
        shap += [(*key, name, table.values.loc[case_id, name], v) for name, v in zip(chosen, values, strict=True)]
        base.append((*key, 0.0, values.sum()))
    ids = table.values.index
    return make_result(
        phantom=phantom,
        predictions=pd.DataFrame(rows, columns=PREDICTION_COLUMNS),
        shap=pd.DataFrame(shap, columns=SHAP_COLUMNS),
        shap_base=pd.DataFrame(base, columns=SHAP_BASE_COLUMNS),
        cases=table.cases, clinical=pd.DataFrame(index=ids), crops={}, tables={},
        endpoints={"malignancy": {"title": "Malignancy", "level": "lesion", "positive": "malignant", "n": len(ids),
                                  "n_positive": len(ids) // 2, "n_patients": len(ids)}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def small():
    cohort = phantom.read(phantom.Settings(n_patients=5, seed=5, missing_view_rate=0.4))
    table = extract(cohort, FEATURES)
    return cohort, table, told_by(table)


@pytest.fixture(scope="module")
def made(small):
    cohort, table, result = small
    return attribute(cohort, table, result, FEATURES, list(table.values.index), SHOW)


def deep_sums(result):
    own = result.shap[result.shap["feature"].str.startswith("deep:")]
    return own.groupby([*KEY, "case_id"])["shap"].sum()


def test_maps_and_rest_add_up_to_the_deep_block_of_every_case(small, made):
    maps, rest = made.tables["attribution"], made.tables["attribution_rest"]
    assert (maps["map"].map(sum) - maps["shap"]).abs().max() < 1e-12
    whole = pd.concat([maps, rest]).groupby([*KEY, "case_id"])["shap"].sum()
    expected = deep_sums(small[2])
    np.testing.assert_allclose(whole.loc[expected.index], expected, atol=1e-12)
    assert len(maps) > 10


def test_what_was_not_measured_is_left_over_with_the_reason(small, made):
    _, table, _ = small
    rest = made.tables["attribution_rest"]
    assert set(rest["reason"]) == {"the picture is not there or cannot be used"}
    column = table.values.filter(like="deep:").columns.to_series().groupby(lambda name: name.split(":")[1]).first()
    assert all(np.isnan(table.values.loc[row.case_id, column[row.picture]]) for row in rest.itertuples())


def test_columns_and_shares_are_what_they_say(made):
    assert [list(made.tables[name]) for name in ("attribution", "attribution_rest", "local_maps")] == [
        MAP_COLUMNS, REST_COLUMNS, LOCAL_COLUMNS,
    ]  # fmt: skip
    maps = made.tables["attribution"]
    assert maps["inside"].between(0, 1).all()
    assert maps["area"].between(0.05, 0.6).all()
    assert (maps["cam"].map(min) >= 0).all()


def test_a_frame_is_the_square_that_the_network_was_shown(small, made):
    cohort, _, _ = small
    case = cohort.cases[0]
    wide = made.tables["attribution"].query("case_id == @case.case_id and picture == 'LERC_CC'").iloc[0]
    image, mask = case.pictures[RC].read(MaskRules())
    expected = lesion_crop(image, mask, side_px=int(wide["side_px"]))
    frame = made.frames[case.case_id]["RC_CC"]
    assert (frame.top, frame.left, wide["frame_px"]) == (expected.top, expected.left, wide["side_px"])
    np.testing.assert_array_equal(frame.pixels, expected.pixels)
    np.testing.assert_array_equal(frame.mask, expected.mask)


def test_local_maps_lie_on_the_region_and_a_shape_has_none(small, made):
    local = made.tables["local_maps"]
    without = local["reason"] != ""
    of_shape = local.loc[local["feature"].str.contains("shape2D"), "reason"]
    assert of_shape.isin([WHOLE, "the picture is not there or cannot be used"]).all()
    assert (of_shape == WHOLE).any()
    row = local[~without].iloc[0]
    (case,) = (one for one in small[0].cases if one.case_id == row["case_id"])
    image, mask = case.pictures[PictureKey.parse(row["picture"])].read(MaskRules())
    frame = made.frames[row["case_id"]][row["picture"]]
    top, left = frame.top + row["top_px"], frame.left + row["left_px"]
    known = np.isfinite(np.reshape(row["map"], (row["rows"], row["columns"])))
    assert np.array_equal(known, mask[top : top + row["height_px"], left : left + row["width_px"]])
    assert known.sum() == mask.sum()


def test_maps_that_are_turned_off_leave_nothing(small):
    cohort, table, result = small
    found = attribute(cohort, table, result, FEATURES, list(table.values.index)[:3], ReportSettings(maps=False))
    assert (found.tables, found.frames) == ({}, {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"features": FeatureSettings(families={"radiomics": RADIOMICS})}, "no pixels or no network"),
        ({"features": FeatureSettings(families={"deep": DEEP | {"network": "convnext_atto"}})}, "does more than pool"),
        ({"features": FeatureSettings(families={"deep": DEEP | {"seed": 1}})}, "other features now than the table"),
    ],
)
def test_without_maps_everything_is_left_over_and_says_why(small, change, reason):
    cohort, table, result = small
    given = {"features": FEATURES, "settings": ReportSettings(local_maps=0)} | change
    shown = list(table.values.index)[:3]
    found = attribute(cohort, table, result, given["features"], shown, given["settings"])
    assert found.tables["attribution"].empty
    assert found.tables["local_maps"].empty
    rest = found.tables["attribution_rest"]
    assert rest["reason"].str.contains(reason).any()
    whole = rest.groupby([*KEY, "case_id"])["shap"].sum()
    np.testing.assert_allclose(whole, deep_sums(result).loc[whole.index], atol=1e-12)
    assert set(rest["case_id"]) == set(shown)


def test_a_table_of_features_has_no_maps(small):
    cohort, table, result = small
    given = Cohort("table", tuple(replace(case, pictures={}) for case in cohort.cases), table=table)
    found = attribute(given, table, result, FEATURES, list(table.values.index)[:3], SHOW)
    assert found.tables["attribution"].empty
    assert found.tables["local_maps"].empty
    assert found.frames == {}


def test_the_explained_model_is_the_first_repeats(small):
    _, table, result = small
    again = result.predictions.assign(repeat=1)
    both = replace(result, predictions=pd.concat([again, result.predictions]))
    pd.testing.assert_frame_equal(told(both, "fused", table.values.index), told(result, "fused", table.values.index))


def test_a_stand_in_of_a_linear_margin_is_that_margin():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)) * [1, 5, 0.1]
    key = ("malignancy", "deep", 0, 0)
    names = [f"deep:RC_CC:n_{i:04d}" for i in range(3)]
    shap = [
        (*key, f"c{i}", name, value, 0.0) for i, row in enumerate(x) for name, value in zip(names, row, strict=True)
    ]
    base = [(*key, f"c{i}", 0.0, row @ [2.0, -0.3, 4.0]) for i, row in enumerate(x)]
    result = make_result(
        shap=pd.DataFrame(shap, columns=SHAP_COLUMNS), shap_base=pd.DataFrame(base, columns=SHAP_BASE_COLUMNS)
    )
    model = pd.Series(dict(zip(KEY, key, strict=True)))
    found = stand_in(result, model, "deep")
    assert found.r2 > 0.999
    np.testing.assert_allclose([found.weights[name] for name in names], [2.0, -0.3, 4.0], rtol=0.02)
    assert np.isnan(stand_in(result, model, "radiomics").r2)


@pytest.fixture(scope="module")
def stored(small, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("result")
    replace(small[2], tables=made.tables, frames=made.frames).save(folder)
    return Result.load(folder)


def test_maps_and_frames_survive_their_folder(made, stored):
    for name, table in made.tables.items():
        lists = [c for c in ("map", "cam") if c in table]
        pd.testing.assert_frame_equal(
            stored.tables[name].drop(columns=lists), table.drop(columns=lists), check_dtype=False
        )
        assert all(
            np.array_equal(a, b, equal_nan=True)
            for c in lists
            for a, b in zip(stored.tables[name][c], table[c], strict=True)
        )
    assert {case: set(own) for case, own in stored.frames.items()} == {c: set(own) for c, own in made.frames.items()}


def test_the_page_shows_maps_with_their_numbers(made, stored, tmp_path):
    path = write_report(stored, tmp_path / "report.html")
    page = Page(path.read_text(encoding="utf-8"))
    maps = page.with_class("maps")
    assert len(maps) == len(stored.cases)
    mapped = set(made.tables["attribution"]["case_id"])
    assert sum("Random weights" in one.text and "for comparison only" in one.text for one in maps) == len(mapped)
    first = made.tables["attribution"].query("case_id == @stored.cases.index[0]")
    texts = [one.text for one in maps]
    assert any(all(f"{abs(row.shap):.3f} log odds" in text for row in first.itertuples()) for text in texts)
    assert any("It does not add up to the feature" in text for text in texts)
    section = page.by_id("maps").text
    assert "Inside, median" in section
    assert "not on a map: the picture is not there" in section
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    used = {e.attributes["href"][1:] for e in page.all("use")}
    assert used <= set(ids)


def test_a_page_without_maps_says_so(tmp_path):
    page = Page(write_report(make_result(), tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "No maps" in page.by_id("maps").text
    assert page.with_class("maps") == []


def maximum_inside(family, planted, shap):
    """Share of cases whose map has its largest absolute value in the sign's square."""
    hits = []
    readings = (read_case(one.case, MaskRules()) for one in planted)
    for one, held in zip(
        planted, activations(family, readings, dict.fromkeys((p.case.case_id for p in planted), [RC.name])), strict=True
    ):
        size = np.abs(upsample(spread(held.values, shap), SIDE_PX))
        hits.append(one.holds(np.unravel_index(int(size.argmax()), size.shape), one.sign))
    return float(np.mean(hits))


def test_maps_find_the_planted_sign_and_lose_it_with_the_weights():
    """Filters of four directions against random ones (Adebayo et al. 2018); 40 cases with a sign, chance is 9.8 %."""
    planted = [planted_case(2 * number + 1) for number in range(40)]
    family = deep.Family(deep.Settings(**DEEP | {"size": 128, "composite": False}), MaskRules())
    period_px = 5 * 128 / SIDE_PX
    family.network, shap = GaborNetwork(period_px), np.array([0.0, 0.7, 0.0, 0.0])
    assert maximum_inside(family, planted, shap) >= 0.8
    at_random = []
    for seed in range(3):
        family.network = GaborNetwork(period_px, seed=seed)
        at_random.append(maximum_inside(family, planted, shap))
    assert np.mean(at_random) < CHANCE + 3 * np.sqrt(CHANCE * (1 - CHANCE) / (3 * len(planted)))


def test_a_bright_spot_attracts_the_map():
    """Even of a network with random weights, spread evenly over its channels: the spot's quarter gains."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    mask = np.hypot(rows - 48, columns - 48) < 12
    ground = 1000 + 40 * rng.standard_normal((96, 96))
    family = deep.Family(deep.Settings(**DEEP | {"size": 224, "composite": False}), MaskRules())
    gains = []
    for row, column in ((32, 32), (32, 64), (64, 32), (64, 64)):
        pictures = (ground, ground + 600 * np.exp(-0.5 * ((rows - row) ** 2 + (columns - column) ** 2) / 4**2))
        cases = [
            Case(f"c{i}", f"p{i}", pictures={RC: Picture(ArrayImage(pixels), ArrayMask(mask))})
            for i, pixels in enumerate(pictures)
        ]
        held = activations(family, (read_case(c, MaskRules()) for c in cases), {"c0": [RC.name], "c1": [RC.name]})
        half = slice(0, 24), slice(24, 48)
        quarter = half[row > 48], half[column > 48]
        plain, spotted = (upsample(spread(one.values, np.full(512, 1 / 512)), 48)[quarter].sum() for one in held)
        gains.append(spotted - plain)
    assert min(gains) > 0.02
