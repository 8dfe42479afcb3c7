"""Bad pictures before both drawers: each ends in rows of its own with a state, a code and a reason; the others stay."""

import csv
import re
from functools import cache

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from cemrad.features.imagefile import decode
from cemrad.features.training_ids import TrainingIds
from cemrad.pipeline.cli import app
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.draw import draw_cohort
from cemrad.pipeline.mask_study import MaskChoice
from typer.testing import CliRunner

from .small_segmenter import half_disc, save_network

HEADER = ["patient_id", "lesion_id", "laterality", "view", "image_type", "image_path"]
DRAWERS = ("enhancement", "rc_to_le", "unet")
BAD = "bad file"


def _breast(seed, side="L"):
    return half_disc(seed, side, scale=3)[0]


def _empty(seed):
    """A breast without a lesion, and without noise that might be taken for one."""
    rows, columns = np.mgrid[:288, :210] / 3
    inside = ((rows - 48) / 44) ** 2 + (columns / 60) ** 2 < 1
    return np.where(inside, 80 + seed, 0).astype(np.uint8)


def _burned_in(seed):
    image = PIL.Image.fromarray(_breast(seed))
    PIL.ImageDraw.Draw(image).text((150, 8), "R MLO", fill=255, font_size=18)
    return np.asarray(image)


def _smaller(seed):
    return np.asarray(PIL.Image.fromarray(_breast(seed)).resize((175, 240), PIL.Image.Resampling.BOX))


PAIRS = {
    "good": {"LE": _breast, "RC": _breast},
    "nothing": {"LE": _empty, "RC": _empty},
    "constant": {"LE": _breast, "RC": lambda seed: np.full((288, 210), 7 + seed, np.uint8)},
    "black": {"LE": lambda seed: np.zeros((288, 210), np.uint8), "RC": _breast},
    "le alone": {"LE": _breast},
    "rc alone": {"RC": _breast},
    "cut": {"LE": _breast, "RC": lambda seed: _breast(seed)[12:]},
    "two scales": {"LE": _breast, "RC": _smaller},
    "two breasts": {"LE": _breast, "RC": lambda seed: _breast(seed + 50, "R")},
    "text": {"LE": _burned_in, "RC": _burned_in},
    BAD: {"LE": _breast, "RC": _breast},
}


def _write(folder, names=tuple(PAIRS)):
    """A manifest of these patients, one view each, without a column of masks."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [HEADER]
    for name in names:
        for image_type, make in PAIRS[name].items():
            path = folder / f"{name} {image_type}.png"
            pixels = make(list(PAIRS).index(name) + 1).copy()
            pixels[-1, -1] = ["LE", "RC"].index(image_type)  # or both would be one picture
            PIL.Image.fromarray(pixels).save(path)
            if (name, image_type) == (BAD, "RC"):
                path.write_bytes(path.read_bytes()[:900])
            rows.append([name, "1", "L", "CC", image_type, path.name])
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return folder / "manifest.csv"


def _choice(name, networks):
    settings = {
        "enhancement": {"source": "enhancement"},
        "rc_to_le": {"source": "enhancement", "settings": {"arms": "rc_to_le"}},
        "unet": {"source": "unet", "settings": {"path": str(networks), "device": "cpu"}},
    }
    return MaskChoice(**settings[name])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    save_network(folder, 1, TrainingIds.of(["nobody here"]))
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, networks):
    """Folders of all these pictures, by drawer; each is drawn once."""
    cohort = read(Settings(path=_write(tmp_path_factory.mktemp("pictures"))))

    @cache
    def of(name):
        return draw_cohort(cohort, _choice(name, networks).drawer(), tmp_path_factory.mktemp("masks"))

    return of


OWN = {
    ("good", "LE"): ("ok", "", ""),
    ("good", "RC"): ("ok", "", ""),
    ("constant", "LE"): ("ok", "", ""),
    ("constant", "RC"): ("failed", "breast.not_found", "no breast was found"),
    ("black", "LE"): ("failed", "breast.not_found", "no breast was found"),
    ("black", "RC"): ("ok", "", ""),
    ("le alone", "LE"): ("ok", "", ""),
    ("rc alone", "RC"): ("ok", "", ""),
    ("cut", "LE"): ("ok", "", ""),
    ("cut", "RC"): ("ok", "", ""),
    ("two scales", "LE"): ("ok", "", ""),
    ("two scales", "RC"): ("ok", "", ""),
    ("two breasts", "LE"): ("ok", "", ""),
    ("two breasts", "RC"): ("ok", "", ""),
    ("text", "LE"): ("ok", "", ""),
    ("text", "RC"): ("ok", "", ""),
    (BAD, "LE"): ("ok", "", ""),
    (BAD, "RC"): ("failed", "file.truncated", "copy it again"),
}
CARRIED = OWN | {
    ("constant", "LE"): ("failed", "breast.not_found", "recombined picture: no breast"),
    ("black", "LE"): ("failed", "breast.not_found", "low-energy picture: no breast"),
    ("le alone", "LE"): ("failed", "pair.missing", "LE is to be drawn on RC"),
    ("two scales", "LE"): ("failed", "registration.size", "resized differently"),
    ("two breasts", "LE"): ("failed", "registration.poor", "chest wall is on the L side .* on the R side"),
    (BAD, "LE"): ("failed", "pair.missing", "LE is to be drawn on RC"),
}
EXPECTED = {"enhancement": OWN, "rc_to_le": CARRIED, "unet": OWN}


def _row(folder, patient, image_type):
    return folder.rows[f"{patient}_L_1", f"{image_type}_CC"]


@pytest.mark.parametrize(
    ("drawer", "patient", "image_type"),
    [(drawer, *place) for drawer in DRAWERS for place in OWN],
    ids=[f"{drawer}: {patient}, {image_type}" for drawer in DRAWERS for patient, image_type in OWN],
)
def test_every_picture_ends_in_a_row_that_says_what_came_of_it(drawn, drawer, patient, image_type):
    folder = drawn(drawer)
    row = _row(folder, patient, image_type)
    state, code, reason = EXPECTED[drawer][patient, image_type]
    assert (row.state, row.code) == (state, code), row.reason
    assert re.search(reason, row.reason)
    assert bool(row.file) == (state == "ok")
    if state == "ok":
        assert decode(folder.file(row.file), row.sha256).pixels.shape == (row.rows, row.columns)


@pytest.mark.parametrize("drawer", DRAWERS)
def test_where_nothing_is_sure_there_is_no_mask_and_no_failure(networks, tmp_path, drawer):
    choice = _choice(drawer, networks)
    strict = choice.model_copy(update={"settings": {**choice.settings, "min_score": 1.0}})
    folder = draw_cohort(read(Settings(path=_write(tmp_path, ["nothing"]))), strict.drawer(), tmp_path / "masks")
    for image_type in ("LE", "RC"):
        row = _row(folder, "nothing", image_type)
        assert (row.state, row.code, row.file) == ("none", "mask.none_found", "")
        assert "no lesion was found" in row.reason


@pytest.mark.parametrize("drawer", DRAWERS)
def test_good_pictures_are_drawn_as_without_the_bad_ones(drawn, drawer, networks, tmp_path):
    alone = draw_cohort(
        read(Settings(path=_write(tmp_path, ["good"]))), _choice(drawer, networks).drawer(), tmp_path / "masks"
    )
    for image_type in ("LE", "RC"):
        assert _row(alone, "good", image_type).sha256 == _row(drawn(drawer), "good", image_type).sha256 != ""


@pytest.mark.parametrize("drawer", DRAWERS)
def test_burned_in_text_is_no_lesion(drawn, drawer):
    folder = drawn(drawer)
    for image_type in ("LE", "RC"):
        row = _row(folder, "text", image_type)
        labels = decode(folder.file(row.regions_file), row.regions_sha256).pixels
        assert not labels[:40, 145:].any()
        assert "labels, text or other objects" in row.notes


@pytest.mark.parametrize("drawer", DRAWERS)
def test_a_side_that_is_not_the_stated_one_is_told(drawn, drawer):
    assert "stated as L" in _row(drawn(drawer), "two breasts", "RC").notes


def test_pictures_of_two_sizes_are_carried_between_where_they_show_the_same(drawn):
    folder = drawn("rc_to_le")
    le, rc = (_row(folder, "cut", image_type) for image_type in ("LE", "RC"))
    assert (le.rows, rc.rows, le.drawn_on) == (288, 276, "RC")
    assert (le.rows_px, le.columns_px) == pytest.approx((-12, 0), abs=0.5)
    masks = [decode(folder.file(row.file), row.sha256).pixels for row in (le, rc)]
    np.testing.assert_array_equal(masks[0][12:], masks[1])


@pytest.mark.parametrize(
    ("names", "code", "told"),
    [
        (["good"], 0, "2 masks, 0 pictures without a lesion found, 0 failures"),
        (["good", "black"], 3, "3 masks, 0 pictures without a lesion found, 1 failures"),
        (["both black"], 4, "0 masks, 0 pictures without a lesion found, 2 failures"),
    ],
)
def test_the_exit_code_says_whether_pictures_failed(tmp_path, monkeypatch, names, code, told):
    monkeypatch.setitem(PAIRS, "both black", dict.fromkeys(("LE", "RC"), PAIRS["black"]["LE"]))
    arguments = ["--with", "enhancement", "-o", str(tmp_path / "out"), "-j", "1"]
    done = CliRunner().invoke(app, ["masks", "draw", str(_write(tmp_path, names)), *arguments])
    assert done.exit_code == code, done.output
    assert told in done.output
