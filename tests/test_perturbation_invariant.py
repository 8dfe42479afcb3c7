"""Perturbed masks: areas in closed form, nesting, edges of the picture, what is drawn and what is not."""

import math
import pickle

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import MaskError, StudyError
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.perturbation import (
    MOST,
    Perturbation,
    PerturbedMask,
    equivalent_radius_px,
    parse_perturbation,
    perturb,
    perturbed_case,
    second_reading,
)
from cemrad.features.reading import read_case
from scipy import ndimage

LE, RC = PictureKey("LE", "CC"), PictureKey("RC", "CC")


def disc(radius=40, side=160, centre=None):
    row, column = centre or (side // 2, side // 2)
    rows, columns = np.mgrid[:side, :side]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def how(text):
    (one,) = parse_perturbation(text)
    return one


@pytest.mark.parametrize("kind", ["dilate", "erode", "contour", "shift"])
@pytest.mark.parametrize("unit", ["px", "%"])
def test_nothing_changes_by_an_amount_of_nothing(kind, unit):
    masks = [disc(), disc(3), disc(60, centre=(0, 0)), np.ones((30, 20), bool)]
    for mask in masks:
        assert (perturb(mask, how(f"{kind}:0{unit}"), 5) == mask).all()


@pytest.mark.parametrize("amount", [1, 2.5, 5, 12])
def test_a_disc_grows_and_shrinks_to_discs(amount):
    for text, radius in ((f"dilate:{amount}px", 40 + amount), (f"erode:{amount}px", 40 - amount)):
        found = perturb(disc(), how(text))
        assert equivalent_radius_px(found) == pytest.approx(radius, abs=0.6)  # the outline runs between pixels


def test_a_percentage_is_of_the_equivalent_radius():
    mask = disc(50, 200)
    assert (perturb(mask, how("dilate:10%")) == perturb(mask, how(f"dilate:{equivalent_radius_px(mask) / 10}px"))).all()


def test_more_is_further():
    mask = disc(20) | disc(12, centre=(60, 110))
    grown = [perturb(mask, how(f"dilate:{k}px")) for k in range(6)]
    shrunk = [perturb(mask, how(f"erode:{k}px")) for k in range(6)]
    for smaller, larger in zip(grown, grown[1:], strict=False):
        assert (smaller <= larger).all()
        assert smaller.sum() < larger.sum()
    for larger, smaller in zip(shrunk, shrunk[1:], strict=False):
        assert (smaller <= larger).all()


def test_an_outline_on_the_edge_of_the_picture_stays_there():
    mask = disc(30, centre=(0, 80))
    eroded = perturb(mask, how("erode:5px"))
    assert eroded[0].sum() == pytest.approx(51, abs=2)
    assert perturb(mask, how("dilate:5px")).shape == mask.shape
    whole = np.ones((30, 20), bool)
    assert perturb(whole, how("erode:5px")).all()


def test_a_contour_moves_by_its_amount():
    """Over many draws the outline's displacement has mean 0 and the stated standard deviation."""
    mask = disc(60, 300)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    moved = []
    for seed in range(60):
        found = perturb(mask, how("contour:4px"), seed)
        distance = np.arange(20, 100, 0.5)
        rows = np.rint(150 + np.outer(np.sin(angles), distance)).astype(int)
        columns = np.rint(150 + np.outer(np.cos(angles), distance)).astype(int)
        moved.append(distance[0] + 0.5 * found[rows, columns].sum(axis=1) - 60)
    moved = np.array(moved)
    assert moved.mean() == pytest.approx(0, abs=1.0)
    assert moved.std() == pytest.approx(4, rel=0.15)
    assert np.abs(moved).max() <= 4 * MOST + 1.5
    assert np.corrcoef(moved[:, :-1].ravel(), moved[:, 1:].ravel())[0, 1] > 0.9  # smooth


def test_a_contour_stays_one_lesion():
    for seed in range(20):
        assert ndimage.label(perturb(disc(), how("contour:10%"), seed))[1] == 1


def test_the_same_seed_draws_the_same_and_another_another():
    for text in ("contour:10%", "shift:5px"):
        one = perturb(disc(), how(text), 3)
        assert (one == perturb(disc(), how(text), 3)).all()
        assert (one != perturb(disc(), how(text), 4)).any()


def test_a_larger_amount_moves_the_same_outline_further():
    small, large = (perturb(disc(), how(f"contour:{amount}%"), 1) ^ disc() for amount in (5, 10))
    assert (small <= large).all()
    assert small.sum() < large.sum()


def test_a_shift_moves_by_its_amount_and_ends_at_the_edge():
    for seed in range(10):
        found = perturb(disc(), how("shift:7px"), seed)
        assert found.sum() == disc().sum()
        moved = np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(disc()))
        assert math.hypot(*moved) == pytest.approx(7, abs=0.75)
    assert not perturb(disc(), how("shift:900px"), 0).any()


def case(mask=None, other=None):
    pixels = np.random.default_rng(0).integers(0, 4000, (160, 160))
    pictures = {LE: Picture(ArrayImage(pixels), ArrayMask(disc() if mask is None else mask))}
    pictures[RC] = Picture(ArrayImage(pixels + 1), None if other is None else ArrayMask(other))
    return Case("c1", "p1", pictures=pictures)


def test_a_perturbed_case_is_the_case_with_other_masks():
    original = case(other=disc(30))
    changed = perturbed_case(original, how("contour:10%"), 1)
    assert changed.case_id == "c1"
    assert changed.pictures[LE].image is original.pictures[LE].image
    masks = {}
    for name, one in (("before", original), ("after", changed)):
        masks[name] = {key: mask for key, (_, mask) in read_case(one, MaskRules()).usable.items()}
    assert (masks["before"][LE] != masks["after"][LE]).any()
    assert (masks["before"][RC] != masks["after"][RC]).any()


def test_only_the_named_pictures_change():
    original = case(other=disc(30))
    changed = perturbed_case(original, how("shift:3px@RC"), 1)
    assert changed.pictures[LE] is original.pictures[LE]
    assert isinstance(changed.pictures[RC].mask, PerturbedMask)


def test_what_was_not_drawn_is_not_perturbed():
    failures = read_case(perturbed_case(case(), how("dilate:2px"), 1), MaskRules()).failures
    assert [failure.code for failure in failures] == ["mask.missing"]


@pytest.mark.parametrize(
    ("text", "radius", "code"),
    [
        ("erode:9px", 8, "mask.perturbed_away"),
        ("erode:5px", 8, "mask.too_small"),
        ("shift:200px", 8, "mask.perturbed_away"),
    ],
)
def test_a_mask_that_becomes_too_small_is_a_failure(text, radius, code):
    failures = read_case(perturbed_case(case(disc(radius)), how(text), 1), MaskRules()).failures
    assert failures[0].code == code
    empty = read_case(perturbed_case(case(disc() & False), how("dilate:2px"), 1), MaskRules()).failures
    assert empty[0].code == "mask.empty"


def test_contents_tell_perturbations_apart_and_travel_to_workers():
    original = case()
    found = set()
    for text in ("dilate:2px", "dilate:2%", "dilate:3px", "erode:2px", "contour:2px", "shift:2px"):
        for seed in (1, 2):
            mask = perturbed_case(original, how(text), seed).pictures[LE].mask
            found.add(mask.content())
            assert pickle.loads(pickle.dumps(mask)).content() == mask.content()  # noqa: S301 - as workers get it
    assert len(found) == 8  # what draws nothing does not depend on the seed


def test_a_second_reader_draws_on_the_same_images():
    first = case(other=disc(30))
    second = Case("c1", "p1", pictures={LE: Picture(ArrayImage(np.zeros((160, 160))), ArrayMask(disc(35)))})
    again = second_reading(first, second)
    reading = read_case(again, MaskRules())
    image, mask = reading.usable[LE]
    assert (image.pixels == first.pictures[LE].image.pixels).all()
    assert (mask == disc(35)).all()
    assert [(f.code, f.picture) for f in reading.failures] == [("reader.mask_missing", "RC_CC")]
    assert {f.code for f in read_case(second_reading(first, None), MaskRules()).failures} == {"reader.case_missing"}


def test_a_second_readers_mask_of_another_size_is_refused():
    other = Case("c1", "p1", pictures={LE: Picture(ArrayImage(np.zeros((10, 10))), ArrayMask(np.ones((10, 10), bool)))})
    with pytest.raises(MaskError, match="geometry|10 x 10"):
        second_reading(case(), other).pictures[LE].read(MaskRules())


@pytest.mark.parametrize(
    "text", ["dilate", "dilate:2", "grow:2px", "dilate:-1px", "dilate:1.2.3px", "dilate:2px*2", ""]
)
def test_a_misspelt_perturbation_is_refused(text):
    with pytest.raises(StudyError, match="perturbation"):
        parse_perturbation(text)


def test_names_come_back():
    for text in ("dilate:10%", "erode:2.5px", "shift:3px@LE,RC", "contour:5%"):
        assert how(text).name == text
    assert [p.name for p in parse_perturbation("contour:5%*2@RC")] == ["contour:5%#1@RC", "contour:5%#2@RC"]
    assert Perturbation(kind="dilate", amount=2).name == "dilate:2%"
