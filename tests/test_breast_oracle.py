"""The breast against what others know: planted outlines, the side in the file name, where readers drew lesions."""

import time

import numpy as np
import pytest
from cemrad.features.breast import find_breast
from cemrad.features.case import PictureKey
from cemrad.features.imagefile import ImageFile
from cemrad.pipeline.cohorts.phantom import Settings, read
from PIL import Image as Pillow


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_planted_outlines_and_sides_are_found():
    for case in read(Settings(n_patients=12, seed=5)).cases:
        for key, picture in case.pictures.items():
            region = find_breast(picture.image.read(), view=key.view)
            assert dice(region.mask, picture.image.breast()) > 0.99
            assert region.side == case.laterality
            if key.view == "CC":
                assert region.pectoral is None


def test_the_planted_muscle_is_found():
    """The muscle's edge meets the top at 24 to 33 % of the columns and the wall at 45 to 60 % of the rows."""
    found = []
    for case in read(Settings(n_patients=20, seed=6, missing_view_rate=0)).cases:
        source = case.pictures[PictureKey("LE", "MLO")].image
        region = find_breast(source.read(), view="MLO")
        if region.pectoral is not None:
            muscle = region.canonical(region.pectoral)
            found.append((muscle[0].mean(), muscle[:, 0].mean()))
    assert len(found) >= 18
    width, length = np.median(found, axis=0)
    assert 0.24 <= width <= 0.40
    assert 0.40 <= length <= 0.62


def _real(realdata, step):
    for path in sorted((realdata / "cdd-cesm" / "pairs-512" / "images").glob("*.jpg"))[::step]:
        mask = np.asarray(Pillow.open(path.parents[1] / "masks" / path.name).convert("L")) > 127
        yield path.stem.split("_"), np.asarray(Pillow.open(path).convert("L")), mask


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_real_breasts_are_found_on_the_stated_side_and_hold_the_lesions(realdata, step):
    wrong_side, outside = [], []
    for (patient, side, kind, view, *_), pixels, lesion in _real(realdata, step):
        region = find_breast(pixels, view=view)
        name = f"{patient}_{side}_{kind}_{view}"
        if region.side != side:
            wrong_side.append(name)
        if lesion.any() and np.mean(region.mask[lesion]) < 0.9:
            outside.append(name)
        share = np.count_nonzero(region.mask) / np.count_nonzero(pixels > 8)
        assert 0.8 < share < 1.5, name
    assert wrong_side == []
    assert len(outside) <= 0.03 * 317 / step + 1, outside


def test_the_dicom_mammogram_has_its_breast_and_its_side(realdata):
    image = ImageFile(realdata / "dicom" / "GH133.dcm").read()
    region = find_breast(image, "R", "MLO")
    assert region.side == "R"
    assert not region.inverted
    assert region.pectoral is not None
    stated_padding = image.pixels <= 30  # by its PixelPaddingRangeLimit
    assert np.mean(region.mask[stated_padding]) < 0.02
    assert dice(region.mask, ~stated_padding) > 0.97


def test_a_full_size_picture_takes_less_than_a_quarter_of_a_second(realdata):
    pixels = np.asarray(Pillow.open(realdata / "cdd-cesm" / "original-p40" / "P40_L_DM_MLO.jpg").convert("L"))[
        :2355, :1315
    ]
    find_breast(pixels, view="MLO")
    times = []
    for _ in range(5):
        start = time.process_time()
        find_breast(pixels, view="MLO")
        times.append(time.process_time() - start)
    assert min(times) < 0.25, times
