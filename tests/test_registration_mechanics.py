"""Registration of LE and RC: refused where it cannot be; masks carried, pictures aligned."""

import re

import numpy as np
import pytest
from cemrad.features.case import PictureKey
from cemrad.features.errors import ImageError, MaskError
from cemrad.features.image import Image
from cemrad.features.registration import Shift, align, carry, outside_share, register
from cemrad.pipeline.cohorts.phantom import Settings, read
from scipy import ndimage


def view(name="CC", patient=0, seed=7):
    case = read(Settings(n_patients=4, seed=seed, missing_view_rate=0, second_lesion_rate=0)).cases[patient]
    return case, *(case.pictures[PictureKey(kind, name)] for kind in ("LE", "RC"))


def images(*sources):
    return [source.image.read() for source in sources]


def test_matching_contours_give_their_offset():
    le, rc = Image(np.zeros((60, 50))), Image(np.zeros((55, 48)))
    le_mask, rc_mask = np.zeros((60, 50), bool), np.zeros((55, 48), bool)
    le_mask[10:30, 12:25] = le_mask[20:25, 25:31] = True
    rc_mask[6:26, 17:30] = rc_mask[16:21, 30:36] = True
    assert register(le, rc, le_mask, rc_mask) == Shift(-4, 5, "contours", 1.0)


def test_a_contour_that_was_copied_unmoved_is_refused():
    _, le, rc = view()
    low, high = images(le, rc)
    mask, there = le.mask.read(low), register(low, high)
    copied = np.zeros(high.shape, bool)
    rows, columns = np.nonzero(mask)
    copied[rows + round(there.rows_px) + 9, columns + round(there.columns_px)] = True
    with pytest.raises(ImageError, match="seems to be a copy that was not moved") as caught:
        register(low, high, mask, copied)
    assert caught.value.code == "registration.contours"


def test_contours_that_do_not_match_are_not_used():
    _, le, rc = view()
    low, high = images(le, rc)
    masks = le.mask.read(low), rc.mask.read(high)
    assert register(low, high, *masks).method == "contours"
    redrawn = ndimage.binary_dilation(masks[1], iterations=4)
    assert register(low, high, masks[0], redrawn).method == "phase_correlation"
    assert register(low, high, masks[0], None).method == "phase_correlation"
    assert register(low, high, masks[0], np.zeros_like(masks[1])).method == "phase_correlation"


def _poor(low, high):
    with pytest.raises(ImageError) as caught:
        register(low, high)
    assert caught.value.code == "registration.poor"
    assert re.search("at least 0.22 is asked for|chest wall is on the", str(caught.value))


def test_two_patients_are_refused():
    _, low, _ = view(patient=0)
    for patient in (1, 2, 3):
        _poor(low.image.read(), view(patient=patient)[2].image.read())


def test_two_views_and_a_mirrored_picture_are_refused():
    _, cc, _ = view("CC")
    _, _, mlo = view("MLO")
    _poor(*images(cc, mlo))
    _poor(cc.image.read(), Image(view("CC")[2].image.read().pixels[:, ::-1]))


@pytest.mark.parametrize("which", ["low-energy", "recombined"])
def test_a_picture_without_a_breast_is_named(which):
    _, le, rc = view()
    pair = images(le, rc)
    pair[which == "recombined"] = Image(np.zeros((90, 80)))
    with pytest.raises(ImageError, match=f"^{which} picture: no breast was found: all pixels") as caught:
        register(*pair)
    assert caught.value.code == "breast.not_found"


@pytest.mark.parametrize("factor", [0.93, 1.06])
def test_pictures_of_two_scales_are_refused(factor):
    _, le, rc = view()
    low, high = images(le, rc)
    with pytest.raises(ImageError, match="times as large: they were resized differently") as caught:
        register(low, Image(ndimage.zoom(high.pixels.astype(np.float32), factor, order=1)))
    assert caught.value.code == "registration.size"


def test_stated_spacings_that_differ_are_refused():
    _, le, rc = view()
    low, high = images(le, rc)
    with pytest.raises(ImageError, match=r"mm apart") as caught:
        register(Image(low.pixels, (0.1, 0.1)), Image(high.pixels, (0.05, 0.05)))
    assert caught.value.code == "registration.size"
    assert register(Image(low.pixels, (0.1, 0.1)), Image(high.pixels, (0.1, 0.1))) == register(low, high)


def test_burned_in_text_moves_nothing():
    _, le, rc = view()
    low, high = images(le, rc)
    plain = register(low, high)
    pixels = high.pixels.copy()
    pixels[4:16, -40:-4:3] = pixels.max()
    shift = register(low, Image(pixels))
    assert abs(shift.rows_px - plain.rows_px) <= 0.2
    assert abs(shift.columns_px - plain.columns_px) <= 0.2


def test_a_mask_is_carried_to_whole_pixels():
    mask = np.zeros((20, 20), bool)
    mask[5:9, 6:10] = True
    shift = Shift(2.4, -3.6, "stated", 1)
    carried = carry(mask, shift, (18, 25))
    assert carried.shape == (18, 25)
    assert carried[7:11, 2:6].all()
    assert carried.sum() == 16
    np.testing.assert_array_equal(carry(carried, shift, (20, 20), towards="LE"), mask)


def test_a_mask_mostly_outside_is_refused():
    mask = np.zeros((20, 20), bool)
    mask[10:20, 5:9] = True
    shift = Shift(4, 0, "stated", 1)
    assert outside_share(mask, shift, (20, 20)) == pytest.approx(0.4)
    assert carry(mask, shift, (20, 20)).sum() == 24
    with pytest.raises(MaskError, match="60% of the mask falls outside of the RC picture") as caught:
        carry(mask, Shift(6, 0, "stated", 1), (20, 20))
    assert caught.value.code == "registration.outside"
    empty = np.zeros((20, 20), bool)
    assert outside_share(empty, shift, (20, 20)) == 0
    assert not carry(empty, shift, (20, 20)).any()


def test_align_puts_the_recombined_picture_on_the_low_energy_one():
    le, rc = view()[1:]
    low, high = images(le, rc)
    top, left = le.image.view.offset_px()
    stated = Shift(-top, -left, "stated", 1)
    aligned = align(low, high, stated)
    assert aligned.shape == low.shape
    rows, columns = high.shape
    np.testing.assert_allclose(aligned.pixels[top : top + rows, left : left + columns], high.pixels, rtol=1e-6)
    assert aligned.pixels[:top].max() == high.pixels.min()
    assert aligned.notes == ("aligned with the low-energy picture by stated",)
