"""The review sheet and its verdicts: what it shows, what it must not run, and what a reader's word changes."""

import csv
import json
import re

import numpy as np
import pytest
from cemrad.features.case import Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import ArrayMask
from cemrad.pipeline.draw import apply, draw_cohort
from cemrad.pipeline.mask_export import export_masks
from cemrad.pipeline.review import write_review
from cemrad.pipeline.verdicts import COLUMNS
from cemrad.reports.review import ReviewCard, ReviewPage, ReviewPicture, ReviewRegion, render_review
from cemrad.reports.thumbnail import thumbnail
from PIL import Image as PillowImage

from .fake_drawer import BIG, OTHER, SMALL, FakeDrawer, case, cohort, picture
from .hostile import HOSTILE as STRINGS
from .report_parser import Page

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> \u202e javascript:alert(1) \' , \n "'
RC, LE = PictureKey("RC", "CC"), PictureKey("LE", "CC")


@pytest.fixture
def exam():
    return cohort(
        case("A", LE_CC=picture(BIG), RC_CC=picture(BIG, SMALL)),
        case("B", LE_CC=picture(SMALL), RC_CC=picture(BIG, OTHER)),
        case("C", RC_MLO=Picture(picture(BIG), ArrayMask(picture(BIG).pixels > 100)), LE_MLO=picture(OTHER)),
    )


@pytest.fixture
def folder(exam, tmp_path):
    return draw_cohort(exam, FakeDrawer(), tmp_path)


def _say(folder, *lines, name="review.csv"):
    with (folder.path / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *([*line, *[""] * (len(COLUMNS) - len(line))] for line in lines)])


def _said(folder, name="review.csv"):
    with (folder.path / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _areas(exam, folder):
    found = apply(exam, folder)
    return {
        f"{one.case_id} {key.name}": int(p.mask.read(p.image.read()).sum())
        for one in found.cases
        for key, p in one.pictures.items()
        if p.mask is not None
    }, [(f.case_id, f.picture, f.code, f.state) for f in found.failures]


def test_the_sheet_shows_every_view_its_candidates_and_why_to_look(exam, folder):
    (path,) = write_review(exam, folder)
    page = Page(path.read_text(encoding="utf-8"))
    cards = page.with_class("view-card")
    assert [card.attributes["data-kinds"] for card in cards] == ["found", "none found look", "found reader"]
    assert [element.text for element in page.with_class("look")] == [
        "LE_CC: nothing accepted", "RC_CC: 2 regions", "found on one picture of the view only",
    ]  # fmt: skip
    assert len(page.all("image")) == 6
    assert "small" in cards[0].text
    assert "Drawn by a reader" in cards[2].text
    assert len([e for e in page.with_class("by-reader") if e.tag == "path"]) == 2  # in the legend and on one picture
    assert [e.attributes["data-region"] for e in page.all("tr") if "data-region" in e.attributes] == list("1121121")


def test_pictures_that_were_not_drawn_are_counted(exam, folder):
    (path,) = write_review(cohort(*exam.cases, case("D", RC_CC=picture(BIG))), folder)
    assert "not in the folder 1" in Page(path.read_text()).with_class("counts")[0].text


def test_the_first_review_has_a_line_for_all_that_can_be_judged(exam, folder):
    write_review(exam, folder)
    said = _said(folder)
    assert list(said[0]) == COLUMNS
    assert [(row["case_id"], row["picture"], row["region"]) for row in said if row["case_id"] == "A"] == [
        ("A", "LE_CC", ""), ("A", "LE_CC", "1"), ("A", "RC_CC", ""), ("A", "RC_CC", "1"), ("A", "RC_CC", "2"),
    ]  # fmt: skip
    assert {row["verdict"] for row in said} == {""}
    assert not [row for row in said if row["picture"] == "RC_MLO"], "a reader's mask is not judged"
    before = (folder.path / "review.csv").read_bytes()
    write_review(exam, folder)
    assert (folder.path / "review.csv").read_bytes() == before


def test_what_a_reader_wrote_is_never_altered(exam, folder):
    lines = [["A", "RC_CC", "2", "accept", "", 'a "strange", comment'], ["B", "RC_CC", "", "", "", "ask a colleague"]]
    _say(folder, *lines)
    (path,) = write_review(exam, folder)
    said = _said(folder)
    assert [list(row.values())[:6] for row in said[:2]] == lines
    assert len(said) == 12
    page = Page(path.read_text(encoding="utf-8"))
    pressed = [
        e for e in page.all("button") if e.attributes.get("aria-pressed") == "true" and "data-verdict" in e.attributes
    ]
    assert [e.text for e in pressed] == ["Use"]
    assert [e.attributes["value"] for e in page.all("input") if e.attributes.get("value")] == ["ask a colleague"]
    assert [c for e in page.all("tr") if (c := e.attributes.get("data-comment"))] == ['a "strange", comment']


def test_verdicts_change_which_mask_counts(exam, folder, tmp_path):
    drawn, failures = _areas(exam, folder)
    assert drawn == {"A LE_CC": 100, "A RC_CC": 100, "B RC_CC": 200, "C RC_MLO": 100, "C LE_MLO": 100}
    assert failures == [("B", "LE_CC", "mask.none_found", "failed")]
    mine = np.zeros((40, 30), np.uint8)
    mine[1:4, 1:8] = 255
    PillowImage.fromarray(mine).save(tmp_path / "mine.png")
    _say(
        folder,
        ["A", "LE_CC", "", "reject"],
        ["A", "RC_CC", "2", "Accept "],
        ["B", "LE_CC", "1", "accept"],
        ["B", "RC_CC", "1", "reject"],
        ["C", "LE_MLO", "", "correct", "mine.png"],
    )
    areas, failures = _areas(exam, folder)
    assert areas == {"A RC_CC": 104, "B LE_CC": 4, "B RC_CC": 100, "C RC_MLO": 100, "C LE_MLO": 21}
    assert failures == [("A", "LE_CC", "mask.rejected", "skipped")]
    notes = {note.code: note.items for note in apply(exam, folder).notes}
    assert notes == {
        "mask.accepted": ("A RC_CC", "B LE_CC", "B RC_CC"),
        "mask.corrected": ("C LE_MLO",),
    }
    (path,) = write_review(exam, folder)
    text = Page(path.read_text(encoding="utf-8")).all("main")[0].text
    for words in ("Rejected by a reader", "Accepted by a reader", "Corrected by a reader"):
        assert words in text


def test_a_region_says_more_than_the_picture(exam, folder):
    _say(folder, ["B", "RC_CC", "", "reject"], ["B", "RC_CC", "2", "accept"], ["A", "RC_CC", "", "accept"])
    areas, _ = _areas(exam, folder)
    assert areas["B RC_CC"] == 100
    assert areas["A RC_CC"] == 100


@pytest.mark.parametrize("kind", ["png", "nrrd", "via"])
def test_an_exported_mask_is_read_back_as_a_correction(tmp_path, kind):
    PillowImage.fromarray(picture(BIG).pixels).save(tmp_path / "a.png")
    exam = cohort(case("A", RC_CC=Picture(ImageFile(tmp_path / "a.png"))))
    folder = draw_cohort(exam, FakeDrawer(), tmp_path / "masks")
    export_masks(apply(exam, folder), folder.path / "out", kind)
    _say(folder, ["A", "RC_CC", "", "correct", f"out/masks/A__RC_CC.{'json' if kind == 'via' else kind}"])
    found = apply(exam, folder)
    mask = found.cases[0].pictures[RC].mask
    np.testing.assert_array_equal(mask.read(exam.cases[0].pictures[RC].image.read()), picture(BIG).pixels > 100)
    assert getattr(mask, "trained_on", None) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["A", "RC_CC", "", "acept"], "line 2: verdict 'acept'; did you mean 'accept'"),
        (["a", "RC_CC", "", "accept"], "line 2: no case 'a' in this folder; did you mean 'A'"),
        (["A", "RC_MLO", "", "accept"], "line 2: case 'A' has no picture 'RC_MLO'; there are: LE_CC, RC_CC"),
        (["A", "RC_CC", "7", "accept"], "line 2: no region '7' on A RC_CC; there are: 1, 2"),
        (["A", "RC_CC", "1", "correct", "mine.png"], "line 2: a corrected mask stands for the whole picture"),
        (["A", "RC_CC", "", "correct"], "line 2: the cell is empty; name the file"),
        (["A", "RC_CC", "", "correct", "no.png"], "line 2: no.png: no such file"),
        (["A", "RC_CC", "", "correct", "../../etc/passwd"], "line 2: ../../etc/passwd: copy the corrected mask into"),
        (["B", "LE_CC", "", "accept"], "line 2: the drawer accepted no region here"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(exam, folder, line, words):
    _say(folder, line)
    before = (folder.path / "review.csv").read_bytes()
    for use in (apply, write_review):
        with pytest.raises(StudyError, match=re.escape(words)):
            use(exam, folder)
    assert (folder.path / "review.csv").read_bytes() == before


def test_contradictions_and_other_files_are_refused(exam, folder):
    _say(folder, ["A", "RC_CC", "", "accept"], ["A", "RC_CC", "", "reject"])
    with pytest.raises(StudyError, match="line 3: contradicts another line on A RC_CC"):
        apply(exam, folder)
    (folder.path / "review.csv").write_text("case_id,picture\nA,RC_CC\n")
    with pytest.raises(StudyError, match="no column 'region'"):
        apply(exam, folder)


def test_a_verdict_on_an_earlier_drawing_does_not_count(exam, folder):
    write_review(exam, folder)
    said = [list(row.values()) for row in _said(folder)]
    _say(folder, *([*row[:3], "reject", *row[4:]] if row[:3] == ["A", "RC_CC", ""] else row for row in said))
    assert ("A", "RC_CC", "mask.rejected", "skipped") in _areas(exam, folder)[1]
    other = draw_cohort(exam, FakeDrawer(cut=250.0), folder.path, force=True)
    other = draw_cohort(exam, FakeDrawer(least_px=2), other.path, force=True)
    areas, failures = _areas(exam, other)
    assert areas["A RC_CC"] == 104
    assert ("A", "RC_CC", "mask.review_outdated", "warned") in failures
    write_review(exam, other)
    lines = [row for row in _said(other) if (row["case_id"], row["picture"], row["region"]) == ("A", "RC_CC", "")]
    assert [row["verdict"] for row in lines] == ["reject", ""], "the old line stays, a new one is there to be filled"
    assert lines[0]["drawing"] != lines[1]["drawing"]
    (path,) = write_review(exam, other)
    kept = json.loads(Page(path.read_text()).all("body")[0].attributes["data-kept"])
    assert kept == f"A,RC_CC,,reject,,,{lines[0]['drawing']}\n", "what is saved from the page holds the old line too"


def test_many_cases_are_split_into_pages_with_a_file_of_verdicts_each(tmp_path):
    exam = cohort(*(case(f"C{i}", RC_CC=picture(BIG)) for i in range(5)))
    folder = draw_cohort(exam, FakeDrawer(), tmp_path)
    pages = write_review(exam, folder, page_bytes=2500)
    assert len(pages) > 1
    assert [p.name for p in pages[:2]] == ["review.html", "review_2.html"]
    cards = [len(Page(p.read_text()).with_class("view-card")) for p in pages]
    assert sum(cards) == 5
    links = [e.attributes["href"] for e in Page(pages[0].read_text()).all("a")][1:]
    assert links == [p.name for p in pages[1:]]
    _say(folder, ["C4", "RC_CC", "", "reject"], name="review_2.csv")
    assert "C4 RC_CC" not in _areas(exam, folder)[0]


def test_hostile_text_is_shown_and_never_run(tmp_path):
    exam = cohort(case(HOSTILE, RC_CC=picture(BIG)), name=HOSTILE)
    folder = draw_cohort(exam, FakeDrawer(record={"name": HOSTILE}), tmp_path)
    _say(folder, [HOSTILE, "RC_CC", "", "reject", "", HOSTILE])
    (path,) = write_review(exam, folder)
    text = path.read_text(encoding="utf-8")
    _require_harmless(text)
    assert "\u202e" not in text
    found = apply(exam, folder)
    assert found.failures[0].code == "mask.rejected", "the id comes back byte for byte"


@pytest.mark.parametrize("text", [HOSTILE, *STRINGS], ids=range(len(STRINGS) + 1))
def test_hostile_text_in_every_place_of_a_sheet_is_never_run(text):
    told = dict.fromkeys(("notes", "outline", "file", "comment", "drawing", "reason"), text)
    region = ReviewRegion(1, 9, 0.5, False, text, text, 1.0, 2.0, "", text)
    seen = thumbnail(picture(BIG).pixels, 64)
    shown = ReviewPicture(text, text, seen, text, "found", regions=(region,), can_judge=True, **told)
    card = ReviewCard(text, text, "L", (shown,), (text,))
    _require_harmless(render_review(ReviewPage(text, text, [card], [text, text], 2, text, text, phantom=True)))


def _require_harmless(text):
    page = Page(text)
    (script,) = page.all("script")
    assert script.attributes == {}
    assert "alert" not in script.text
    assert not [e for e in page.elements if any(name.startswith("on") for name in e.attributes)]
    assert not page.all("img")
    assert not page.all("iframe")
    links = [value for e in page.elements for name, value in e.attributes.items() if name in ("href", "src")]
    assert all(value.startswith(("data:image/", "data:,", "#")) or ":" not in value for value in links)
    assert not any(value.startswith("//") for value in links)
    policy = next(e for e in page.all("meta") if "http-equiv" in e.attributes).attributes["content"]
    assert "default-src 'none'" in policy


def test_a_phantom_is_called_a_phantom(exam, tmp_path):
    from dataclasses import replace

    simulated = replace(exam, phantom=True)
    (path,) = write_review(simulated, draw_cohort(simulated, FakeDrawer(), tmp_path))
    page = Page(path.read_text())
    assert "Phantom data" in page.with_class("banner")[0].text
    assert all("PHANTOM" in film.text for film in page.with_class("film"))


def test_a_picture_that_cannot_be_shown_says_why(exam, folder, tmp_path):
    (folder.path / "regions" / "A__RC_CC.png").write_bytes(b"altered")
    (tmp_path / "gone.png").write_bytes(b"no picture")
    more = cohort(*exam.cases, case("D", RC_CC=Picture(ImageFile(tmp_path / "gone.png"))))
    folder = draw_cohort(more, FakeDrawer(), folder.path)
    (folder.path / "regions" / "A__RC_CC.png").write_bytes(b"altered")
    (path,) = write_review(more, folder)
    page = Page(path.read_text())
    assert "not in the folder" not in page.with_class("counts")[0].text
    assert len(page.all("image")) == 6
    assert "the file was altered" in page.with_class("view-card")[0].text
    assert "gone.png" in page.with_class("view-card")[3].text


def test_the_thumbnail_is_cut_to_the_breast_and_its_contours_follow():
    pixels = np.zeros((400, 300), np.uint16)
    pixels[100:300, :150] = np.random.default_rng(0).integers(1000, 3000, (200, 150))
    mask = np.zeros(pixels.shape, bool)
    mask[150:250, 20:70] = True
    shown = thumbnail(pixels, 104)
    assert (shown.top, shown.left) == (92, 0)
    assert (shown.height, shown.width, shown.scale) == (104, 76, 104 / 216)
    points = np.array(re.findall(r"([\d.]+) ([\d.]+)", shown.outline(mask)), float)
    expected = np.array([20 - shown.left, 150 - shown.top, 70 - shown.left, 250 - shown.top]) * shown.scale
    np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], expected, atol=1.0)
    assert shown.outline(np.zeros_like(mask)) == ""
