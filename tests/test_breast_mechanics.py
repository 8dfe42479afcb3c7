"""The breast is found, or it is said why not: pictures that hold none, text, labels, clips, odd sides."""

import numpy as np
import pytest
from cemrad.features.breast import find_breast
from cemrad.features.errors import ImageError
from cemrad.features.image import Image
from PIL import Image as Pillow
from PIL import ImageDraw

ROWS, COLUMNS = 300, 240


def half_disc(rows=ROWS, columns=COLUMNS):
    """A breast with the chest wall on the left, and its outline."""
    down, across = np.mgrid[:rows, :columns]
    outline = ((down - rows / 2) / (0.4 * rows)) ** 2 + (across / (0.6 * columns)) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 4, (rows, columns))
    return np.where(outline, 90 + 30 * np.sin(across / 9) + noise, 0).clip(0, 255).astype(np.uint8), outline


def with_text(pixels, at=(150, 8), text="R MLO  PATIENT 12"):
    page = Pillow.fromarray(pixels)
    ImageDraw.Draw(page).text(at, text, fill=255, font_size=16)
    return np.asarray(page)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((200, 150), np.uint8), "all pixels have the value 0"),
        (np.full((200, 150), 1000, np.uint16), "all pixels have the value 1000"),
        (np.outer(np.arange(200) == 90, np.ones(150)), "one value"),
        (with_text(np.zeros((ROWS, COLUMNS), np.uint8)), "labels and text"),
        (with_text(with_text(np.zeros((ROWS, COLUMNS), np.uint8)), (10, 270)), "labels and text"),
        (np.random.default_rng(0).integers(0, 4096, (200, 150)).astype(np.uint16), "noise"),
    ],
    ids=["black", "constant", "a line", "text", "text in two corners", "noise"],
)
def test_a_picture_without_a_breast_is_refused(pixels, words):
    with pytest.raises(ImageError, match=words) as caught:
        find_breast(pixels)
    assert caught.value.code == "breast.not_found"


def test_text_beside_the_breast_is_left_out_and_noted():
    pixels, outline = half_disc()
    region = find_breast(with_text(pixels))
    assert dice(region.mask, outline) > 0.99
    assert any("apart from the breast were left out" in note for note in region.notes)
    assert not any("left out" in note for note in find_breast(pixels).notes)


def test_a_label_and_padding_are_not_breast():
    pixels, outline = half_disc()
    pixels[10:40, 180:230] = 255
    padded = np.pad(pixels, ((40, 90), (70, 10)))
    region = find_breast(padded)
    assert dice(region.mask, np.pad(outline, ((40, 90), (70, 10)))) > 0.99
    assert region.side == "L"


def test_clips_inside_the_breast_are_noted_and_stay_breast():
    pixels, outline = half_disc()
    assert not any("very bright spots" in note for note in find_breast(pixels).notes)
    pixels[150:153, 60:63] = 255
    pixels[120:122, 70:74] = 255
    region = find_breast(pixels)
    assert any(note.startswith("2 small very bright spots") for note in region.notes)
    assert dice(region.mask, outline) > 0.99


def test_the_side_is_that_of_the_picture_and_a_contradiction_is_noted():
    pixels, _ = half_disc()
    assert find_breast(pixels, "L").side == "L"
    assert find_breast(pixels, "L").notes == ()
    region = find_breast(pixels[:, ::-1], "L")
    assert region.side == "R"
    assert region.notes == ("the chest wall is on the R side of the picture of a breast stated as L",)


def test_a_breast_that_fills_the_picture_takes_the_stated_side():
    pixels, _ = half_disc()
    inner = pixels[100:200, :80]
    for stated in "LR":
        region = find_breast(inner, stated)
        assert region.mask.all()
        assert region.side == stated
        assert any("does not tell" in note for note in region.notes)


def test_bright_air_is_read_as_inverted():
    pixels, outline = half_disc()
    region = find_breast(255 - pixels)
    assert region.inverted
    assert dice(region.mask, outline) > 0.99
    assert not find_breast(pixels).inverted
    assert 200 < region.air < 255
    assert 0 < find_breast(pixels).air < 60


def test_large_pictures_of_many_bits_get_a_mask_of_their_size():
    pixels, outline = half_disc(1237, 911)
    region = find_breast(Image(pixels.astype(np.uint16) * 120 + 700))
    assert region.mask.shape == (1237, 911)
    assert dice(region.mask, outline) > 0.995


def test_the_pectoral_muscle_is_looked_for_in_mlo_views_only():
    pixels, outline = half_disc()
    down, across = np.mgrid[:ROWS, :COLUMNS]
    top = ROWS * 0.1
    muscle = outline & (across < 70 * (1 - (down - top) / 130))
    bright = np.where(muscle, pixels + 70.0, pixels)
    found = find_breast(bright, "L", "MLO")
    assert found.pectoral is not None
    assert dice(found.pectoral, muscle) > 0.8
    assert not (found.tissue & found.pectoral).any()
    assert find_breast(bright, "L", "CC").pectoral is None
    flat = find_breast(pixels, "L", "MLO")
    assert flat.pectoral is None
    assert "MLO view: no pectoral muscle was found credibly" in flat.notes
    assert flat.tissue is flat.mask
