"""The reader's page: pictures with their side and origin, what is known of a prediction, and what is not."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.gallery import gather
from cemrad.reports.case_page import render_case
from cemrad.reports.facts import ReportSettings, gather_facts
from cemrad.reports.page import write_report
from cemrad.reports.picture_facts import PICTURE_COLUMNS, PICTURES, orientation, picture_facts
from cemrad.reports.readings import case_anchors

from .report_fixture import make_result


def pages(result):
    facts = gather_facts(result, ReportSettings(max_cases=8))
    return facts, {case.case_id: str(render_case(facts, result, case)) for case in facts.cases}


@pytest.fixture(scope="module")
def result():
    return make_result()


@pytest.fixture(scope="module")
def whole(result, tmp_path_factory):
    return write_report(result, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


def test_every_link_to_a_meaning_or_a_case_has_its_target(whole):
    ids = set(re.findall(r' id="([^"]+)"', whole))
    links = set(re.findall(r' href="#([^"]+)"', whole))
    also = {anchor for text in re.findall(r' data-also="([^"]+)"', whole) for anchor in text.split()}
    assert {link for link in links if link.startswith("m-")}
    assert links | also <= ids
    assert any(link.startswith("case-") for link in links)


def test_ids_of_the_page_are_unique(whole):
    ids = re.findall(r' id="([^"]+)"', whole)
    assert len(set(ids)) == len(ids)


def test_the_anchor_of_a_case_is_that_of_its_part(result):
    facts, made = pages(result)
    for case in facts.cases:
        assert f'id="{case_anchors(facts.cases)[case.case_id]}"' in made[case.case_id]
    assert case_anchors(facts.cases).get("nobody") is None


def test_each_reading_tells_all_four_accounts(result):
    facts, made = pages(result)
    assert any(reading.accounts.unlikeness.called for case in facts.cases for reading in case.readings)
    for case in facts.cases:
        text = made[case.case_id]
        n = len(case.readings)
        titles = ("The threshold", "Like the training cases?", "What would change the call", "Nearest training cases")
        assert [text.count(f"<h3>{title}</h3>") for title in titles] == [n] * 4
        assert "Not available here" not in text
        assert ("far from the training cases</span>" in text) == any(
            reading.accounts.unlikeness.called == "far" for reading in case.readings
        )


def test_the_changes_lead_to_the_other_call(result):
    facts, made = pages(result)
    kinds = set()
    for case in facts.cases:
        for reading in case.readings:
            for change in reading.accounts.changes:
                kinds.add(bool(change.steps))
                crosses = (change.probability >= reading.cut) != (reading.explained >= reading.cut)
                assert crosses == bool(change.steps)
        if any(not reading.accounts.changes[0].steps for reading in case.readings):
            assert "was found that changes the call, alone or up to three together" in made[case.case_id]
    assert kinds == {True, False}


def test_a_result_without_accounts_and_pictures_says_so_in_a_line(result):
    bare = replace(result, tables={})
    facts, made = pages(bare)
    for case in facts.cases:
        text = made[case.case_id]
        assert text.count("Not available here: calibrated probability, likeness to the training cases") == len(
            case.readings
        )
        assert "<h3>Like the training cases?" not in text
        assert 'class="overview"' not in text
        if case.pictures:
            assert "Who drew them was not stored with this case." in text


def test_the_origin_of_every_mask_and_the_side_are_told(result):
    facts, made = pages(result)
    for case in facts.cases:
        text = made[case.case_id]
        assert (
            "recombined MLO</bdi>: <bdi>drawn automatically, and no reader looked at it, by unet (training record a1b2)"
            in text
        )
        assert "score 0.91" in text
        assert text.count("its drawer had learned from this patient") == 1  # of the low-energy MLO
        assert text.count("its drawer had not learned from this patient") == 1
        assert f"Chest wall on the {case.side} in all pictures, as they are stored." in text
        assert text.count('class="overview"') == 4
        marks = re.findall(r"<figcaption><bdi>(. CC|. MLO)</bdi> <b><bdi>(LE|RC)", text)
        side = case.side[0].upper()
        assert marks == [(f"{side} {view}", kind) for view in ("CC", "MLO") for kind in ("LE", "RC")]


def test_pictures_that_face_two_ways_and_one_that_is_the_other_way_round_are_said():
    def said(walls, side):
        rows = [
            ("c", name, wall, 9, 9, "manual", "", "", "", np.nan, "", "", "", 1, 1, 0, 0, 1, 1) for name, wall in walls
        ]
        return orientation(picture_facts(pd.DataFrame(rows, columns=PICTURE_COLUMNS)), side)

    assert "do not face the same way" in said([("LE_CC", "left"), ("RC_CC", "right")], "left")
    assert "usually shown the other way round" in said([("LE_CC", "right"), ("RC_CC", "right")], "left")
    assert said([("LE_CC", "left"), ("RC_CC", "")], "left").startswith("Chest wall on the left")
    assert "was not found" in said([("LE_CC", "")], "left")
    assert "other way round" not in said([("LE_CC", "right")], "side not stated")


def breast(side, shape=(600, 400), lesion=(slice(250, 290), slice(60, 110))):
    """A half disc of tissue with its straight side on the left, or mirrored."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    tissue = np.hypot((rows - 300) / 1.0, columns / 1.0) < 260
    pixels = np.where(tissue, 800 + rows % 17 * 20 + columns % 13 * 10, 0).astype(np.uint16)
    mask = np.zeros(shape, dtype=bool)
    mask[lesion] = True
    return (pixels, mask) if side == "left" else (pixels[:, ::-1], mask[:, ::-1])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("phantom", [False, True])
def test_the_gallery_finds_the_chest_wall_and_frames_the_mask(side, phantom):
    pixels, mask = breast(side)
    pictures = {PictureKey("LE", "CC"): Picture(ArrayImage(pixels), ArrayMask(mask))}
    cohort = Cohort("one", (Case("a", "A", "L", pictures=pictures),), phantom=phantom)
    made = gather(cohort, ["a"], MaskRules())
    row = made.pictures.iloc[0]
    assert (row["chest_wall"], row["rows"], row["columns"]) == (side, 600, 400)
    assert row["mask"] == ("phantom" if phantom else "manual")
    assert len(row["jpeg"]) < 20_000
    assert max(row["width"], row["height"]) <= 288
    scale = row["height"] / 536  # the breast has 520 rows, and 2 % of the longest side beside them
    assert (row["box_right"] - row["box_left"]) / scale == pytest.approx(50, rel=0.15)
    assert (row["box_bottom"] - row["box_top"]) / scale == pytest.approx(40, rel=0.15)
    assert (row["box_left"] < row["width"] / 2) == (side == "left")
    assert made.crops["a"]["LE_CC"].side_px == 100


def test_hostile_names_and_notes_stay_text(result):
    evil = '"><script>alert(1)</script>'
    pictures = result.tables[PICTURES].assign(drawn_by=evil, notes=evil, jpeg='"onerror="alert(1)')
    near = result.tables["neighbours"].assign(neighbour=evil)
    unlike = result.tables["likeness"].assign(feature=f"clinical:case:{evil}")
    tables = {**result.tables, PICTURES: pictures, "neighbours": near, "likeness": unlike}
    facts, made = pages(replace(result, tables=tables))
    for text in made.values():
        assert "<script" not in text
        assert "onerror" not in text
        assert "&lt;script&gt;" in text


def test_categories_are_told_by_name(result):
    values = pd.DataFrame({"density=B": 0.0, "density=C": 1.0, "status=post": np.nan}, index=result.cases.index)
    _, made = pages(replace(result, clinical=values))
    for text in made.values():
        assert "<dt><bdi>density</bdi></dt><dd><bdi>C</bdi></dd>" in text
        assert "<dt><bdi>status</bdi></dt><dd><bdi>missing</bdi></dd>" in text
        assert "density=B" not in text
