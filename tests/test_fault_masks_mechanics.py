"""Faults of masks: each ends in one row with a stable code, and harms no other case."""

import logging

import numpy as np
import pytest

from .fault_cohort import PARAMETERS, SHAPE, breast, clean, disc, require_contained, require_told, save, with_fault


def _points(*places):
    mask = np.zeros(SHAPE, np.uint8)
    for place in places:
        mask[place] = 1
    return mask


def _two_labels():
    return disc(1) + disc(2, centre=(15, 15), radius=6)


def _soft():
    mask = disc(255)
    mask[29, 30], mask[28, 30] = 120, 30
    return mask


def _volume(mask, **placed):
    def write(folder):
        save(folder / "bad.nrrd", breast(3, np.int16))
        save(folder / "bad_mask.nrrd", mask, **placed)
        return {"image_path": "bad.nrrd", "mask_path": "bad_mask.nrrd"}

    return write


def _png(mask, **cells):
    def write(folder):
        save(folder / "bad_mask.png", mask)
        return cells

    return write


def _on_background(folder):
    picture = breast(3)
    picture[:, 32:] = 0
    save(folder / "bad.png", picture)
    save(folder / "bad_mask.png", disc(centre=(40, 45)))
    return {}


FAILED = {
    "A1 empty": (_png(_points()), "mask.empty", ()),
    "A2 one pixel": (_png(_points((9, 9))), "mask.too_small", ("1 px",)),
    "A3 one row": (_png(_points((9, slice(0, 64)))), "mask.too_small", ("1 rows",)),
    "A4 2 x 2": (_png(_points((slice(9, 11), slice(9, 11)))), "mask.too_small", ("4 px", "64 px")),
    "A5 two separate pixels": (_png(_points((9, 9), (40, 40))), "mask.too_small", ("2 px",)),
    "A9 0.0039": (_volume(disc(0.0039, np.float32)), "mask.not_binary", ("0.0039",)),
    "A9 0.6": (_volume(disc(0.6, np.float32)), "mask.not_binary", ("0.6",)),
    "A9 NaN": (_volume(disc(np.nan, np.float32)), "mask.not_binary", ("NaN",)),
    "A10 minus one": (_volume(disc(-1, np.int16)), "mask.not_binary", ("-1",)),
    "A11 two labels": (_png(_two_labels()), "mask.multilabel", ("1, 2", "mask_label")),
    "A12 label absent": (_png(_two_labels(), mask_label="3"), "mask.label_absent", ("3", "1, 2")),
    "A13 soft edge": (_png(_soft()), "mask.not_binary", ("30, 120, 255", "mask_threshold")),
    "A14 size": (_png(np.ones((40, 64), np.uint8)), "geometry.size", ("40 x 64", "80 x 64")),
    "A15 spacing 0.1001": (_volume(disc(), spacing=(0.1001, 0.1001)), "geometry.spacing", ("0.1001",)),
    "A16 spacing 0.2": (_volume(disc(), spacing=(0.2, 0.2)), "geometry.spacing", ("0.2 x 0.2", "0.1 x 0.1")),
    "A17 origin 10 px": (_volume(disc(), origin=(1.0, 0.0)), "geometry.origin", ("0 x 1 mm",)),
    "A18 outside": (_volume(disc(), origin=(100.0, 0.0)), "geometry.outside", ("0 x 100 mm", "no pixel")),
    "A19 off the tissue": (_on_background, "mask.off_tissue", ("background", "mirrored")),
    "A19 mirrored": (_volume(disc(), direction=(-1.0, 0.0, 0.0, 1.0)), "geometry.direction", ("mirrored",)),
    "A23 RGB": (_png(np.stack([disc(9), disc(0), disc(0)], axis=-1)), "mask.colour", ("grey",)),
    "A23 RGBA": (_png(np.stack([disc(9), disc(0), disc(0), disc(255)], axis=-1)), "mask.colour", ("grey",)),
}


@pytest.mark.parametrize("fault", FAILED)
def test_a_mask_that_cannot_be_used_is_one_failed_row(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, words = FAILED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "failed", code, *words)
    require_contained(found, expected, gives=False)


WARNED = {
    "A6 two parts": (_png(disc() | disc(centre=(15, 15), radius=6)), "mask.components", ("2 separate parts",)),
    "A7 whole image": (_png(np.ones(SHAPE, np.uint8)), "mask.full_image", ("whole image",)),
}


@pytest.mark.parametrize("fault", WARNED)
def test_a_doubtful_mask_is_warned_of_and_keeps_its_numbers(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, words = WARNED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "warned", code, *words)
    require_contained(found, expected, gives=True)


RULED = {
    "A8 255": (_png(disc(255)), {}),
    "A8 255 asked as 1": (_png(disc(255), mask_label="1"), {}),
    "A11 a label asked": (_png(_two_labels(), mask_label="1"), {}),
    "A13 threshold": (_png(_soft()), {"mask_threshold": 127}),
    "A23 equal channels": (_png(np.stack([disc(255)] * 3, axis=-1)), {}),
    "A23 opaque RGBA": (_png(np.stack([disc(255)] * 3 + [np.full(SHAPE, 255, np.uint8)], axis=-1)), {}),
}


@pytest.mark.parametrize("fault", RULED)
def test_a_stated_rule_gives_the_numbers_of_the_plain_mask(tmp_path, fault):
    clean(tmp_path)
    plain = with_fault(tmp_path).values.loc["bad"].to_numpy(float)
    write, settings = RULED[fault]
    if settings:  # a threshold is for all masks of a cohort, so its others are in 0 and 255 too
        for name in ("007", "NA", "1e5"):
            save(tmp_path / f"{name}_mask.png", disc(255))
    found = with_fault(tmp_path, settings, **write(tmp_path))
    assert found.failures.empty
    assert found.values.loc["bad"].to_numpy(float).tobytes() == plain.tobytes()


def test_a4_the_least_size_is_a_setting(tmp_path):
    clean(tmp_path)
    _png(_points((slice(9, 13), slice(9, 13))))(tmp_path)
    require_told(with_fault(tmp_path), "failed", "mask.too_small", "16 px", "64 px")
    found = with_fault(tmp_path, mask_rules={"min_area_px": 16})
    assert found.failures.empty
    assert found.values.loc["bad"].notna().all()


def test_a5_the_largest_part_alone_is_a_setting(tmp_path):
    clean(tmp_path)
    plain = with_fault(tmp_path).values
    _png(disc() | _points((5, 5), (70, 5)))(tmp_path)
    require_told(with_fault(tmp_path), "warned", "mask.components", "3 separate parts")
    found = with_fault(tmp_path, mask_rules={"components": "largest"})
    assert found.failures.empty
    assert found.values.to_numpy(float).tobytes() == plain.to_numpy(float).tobytes()


def test_a15_a_spacing_that_differs_by_rounding_is_the_same_and_said(tmp_path, caplog):
    expected = clean(tmp_path)
    with caplog.at_level(logging.INFO, logger="cemrad"):
        found = with_fault(tmp_path, **_volume(disc(), spacing=(0.10001, 0.10001))(tmp_path))
    assert found.failures.empty
    assert "bad_mask.nrrd: laid on its image" in caplog.text
    require_contained(found, expected, gives=True)


@pytest.mark.parametrize("setting", [{"correctMask": True}, {"geometryTolerance": 100}])
def test_a17_no_setting_of_pyradiomics_moves_a_mask(tmp_path, setting):
    expected = clean(tmp_path)
    asked = PARAMETERS | {"setting": PARAMETERS["setting"] | setting}
    found = with_fault(tmp_path, radiomics={"parameters": asked}, **_volume(disc(), origin=(1.0, 0.0))(tmp_path))
    require_told(found, "failed", "geometry.origin", "not moved")
    require_contained(found, expected, gives=False)
