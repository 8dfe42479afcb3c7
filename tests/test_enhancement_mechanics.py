"""The drawer without training works: seeds, arms, sizes, and what it says of pictures that it cannot use."""

import pickle

import numpy as np
import pytest
from cemrad.features.errors import CaseError, StudyError
from cemrad.features.image import Image
from cemrad.features.registration import Shift
from cemrad.features.settings import parse_settings
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.drawer import Drawing, Region, View
from cemrad.pipeline.masks import SHELF, enhancement
from cemrad.pipeline.masks.enhancement import Drawer, Settings


def _dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def scene():
    """Images and lesion masks of the craniocaudal view of a phantom with one lesion."""
    settings = phantom.Settings(n_patients=1, first_patient=10, second_lesion_rate=0, non_mass_rate=0)
    case = phantom.read(settings).cases[0]
    images = {key.image_type: p.image.read() for key, p in case.pictures.items() if key.view == "CC"}
    masks = {
        key.image_type: p.mask.read(images[key.image_type]) for key, p in case.pictures.items() if key.view == "CC"
    }
    return case, images, masks


def _view(case, images, **seeds):
    return View(case.case_id, case.patient_id, "CC", case.laterality, images, **seeds)


def test_it_stands_on_the_shelf():
    assert SHELF.take("enhancement").Drawer is Drawer


def test_a_setting_that_makes_no_sense_is_refused():
    with pytest.raises(StudyError, match="arms"):
        parse_settings(Settings, {"arms": "both"}, where="masks")


def test_the_lesion_is_found_on_the_recombined_picture(scene):
    case, images, masks = scene
    drawing = Drawer(Settings()).draw(_view(case, images))["RC"]
    assert _dice(drawing.mask, masks["RC"]) > 0.75
    assert drawing.labels.dtype == np.int32
    assert [region.number for region in drawing.regions] == list(range(1, len(drawing.regions) + 1))
    assert [np.count_nonzero(drawing.labels == r.number) for r in drawing.regions] == [
        r.area_px for r in drawing.regions
    ]
    assert all(bool(region.reason) is not region.accepted for region in drawing.regions)
    scores = [region.score for region in drawing.regions]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] < 1


def test_the_same_view_gives_the_same_drawing(scene):
    case, images, _ = scene
    drawer = Drawer(Settings())
    again = pickle.loads(pickle.dumps(drawer))  # noqa: S301 - made here: what a worker process receives
    first, second = drawer.draw(_view(case, images)), again.draw(_view(case, images))
    for image_type in images:
        assert np.array_equal(first[image_type].labels, second[image_type].labels)
        assert first[image_type].regions == second[image_type].regions


def test_the_grey_scale_does_not_matter(scene):
    case, images, _ = scene
    drawn = Drawer(Settings()).draw(_view(case, {"RC": images["RC"]}))["RC"]
    scaled = Image((images["RC"].pixels * 0.25 + 100).astype(np.float32))
    again = Drawer(Settings()).draw(_view(case, {"RC": scaled}))["RC"]
    assert _dice(drawn.mask, again.mask) > 0.98


def test_right_is_left_mirrored(scene):
    case, images, _ = scene
    drawn = Drawer(Settings()).draw(_view(case, {"RC": images["RC"]}))["RC"]
    mirrored = Image(np.ascontiguousarray(images["RC"].pixels[:, ::-1]))
    other = View(case.case_id, case.patient_id, "CC", "", {"RC": mirrored})
    assert _dice(drawn.mask[:, ::-1], Drawer(Settings()).draw(other)["RC"].mask) > 0.95


def test_an_enlarged_picture_gives_the_same_contour_at_its_size(scene):
    case, images, masks = scene
    large = Image(np.kron(images["RC"].pixels, np.ones((5, 5), dtype=np.uint16)))
    drawing = Drawer(Settings()).draw(_view(case, {"RC": large}))["RC"]
    assert drawing.labels.shape == large.shape
    assert _dice(drawing.mask, np.kron(masks["RC"], np.ones((5, 5), dtype=bool))) > 0.75


def test_a_point_or_a_box_chooses_the_lesion(scene):
    case, images, masks = scene
    rows, columns = np.nonzero(masks["RC"])
    point = {"RC": (float(rows.mean()), float(columns.mean()))}
    box = {"RC": (int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1)}
    for seed in ({"points": point}, {"boxes": box}):
        drawing = Drawer(Settings()).draw(_view(case, images, **seed))["RC"]
        assert len(drawing.regions) == 1
        assert _dice(drawing.mask, masks["RC"]) > 0.75
    top, bottom, left, right = box["RC"]
    outside = Drawer(Settings()).draw(_view(case, images, boxes=box))["RC"].mask
    outside[top:bottom, left:right] = False
    assert np.count_nonzero(outside) < 0.1 * np.count_nonzero(masks["RC"])


@pytest.mark.parametrize(
    "seeds",
    [
        {"points": {"RC": (1e4, 5.0)}},
        {"points": {"RC": (float("nan"), 5.0)}},
        {"boxes": {"RC": (10, 10, 5, 20)}},
        {"boxes": {"RC": (-1, 10, 5, 20)}},
    ],
)
def test_a_seed_outside_of_the_picture_is_refused(scene, seeds):
    case, images, _ = scene
    drawn = Drawer(Settings()).draw(_view(case, images, **seeds))
    assert drawn["RC"].code == "seed.outside"
    assert not isinstance(drawn["LE"], CaseError)


def test_a_seed_in_the_air_finds_nothing(scene):
    case, images, _ = scene
    for seeds in ({"points": {"RC": (0.0, 0.0)}}, {"boxes": {"RC": (0, 3, 0, 3)}}):
        drawing = Drawer(Settings()).draw(_view(case, images, **seeds))["RC"]
        assert drawing.regions == ()
        assert not drawing.mask.any()
        assert "no lesion" in drawing.notes[-1]


def test_a_drawing_is_carried_to_the_other_picture(scene):
    case, images, masks = scene
    own = Drawer(Settings()).draw(_view(case, images))
    drawn = Drawer(Settings(arms="rc_to_le")).draw(_view(case, images))
    assert np.array_equal(drawn["RC"].labels, own["RC"].labels)
    assert drawn["LE"].drawn_on == "RC"
    assert drawn["LE"].shift is not None
    assert drawn["LE"].labels.shape == images["LE"].shape
    assert _dice(drawn["LE"].mask, masks["LE"]) > 0.75
    back = Drawer(Settings(arms="le_to_rc")).draw(_view(case, images))
    assert (back["RC"].drawn_on, back["LE"].drawn_on) == ("LE", "")
    assert np.array_equal(back["LE"].labels, own["LE"].labels)


def test_a_carried_arm_needs_the_pair(scene):
    case, images, _ = scene
    alone = Drawer(Settings(arms="rc_to_le")).draw(_view(case, {"LE": images["LE"]}))
    assert alone["LE"].code == "pair.missing"
    assert not isinstance(Drawer(Settings(arms="rc_to_le")).draw(_view(case, {"RC": images["RC"]}))["RC"], CaseError)
    assert Drawer(Settings(arms="le_to_rc")).draw(_view(case, {"RC": images["RC"]}))["RC"].code == "pair.missing"


def test_a_refused_registration_is_the_error_of_the_carried_picture_alone(scene):
    case, images, _ = scene
    other = Image(np.ascontiguousarray(images["LE"].pixels[::-1, ::-1]))
    drawn = Drawer(Settings(arms="rc_to_le")).draw(_view(case, {"RC": images["RC"], "LE": other}))
    assert drawn["LE"].code.startswith("registration.")
    assert not isinstance(drawn["RC"], CaseError)


@pytest.mark.parametrize("image_type", ["LE", "RC", "IMG"])
def test_one_picture_alone_is_drawn(scene, image_type):
    case, images, _ = scene
    image = images.get(image_type, images["RC"])
    assert not isinstance(Drawer(Settings()).draw(_view(case, {image_type: image}))[image_type], CaseError)


def test_a_black_picture_is_the_error_of_that_picture_alone(scene):
    case, images, _ = scene
    black = Image(np.zeros((256, 208), dtype=np.uint16))
    drawn = Drawer(Settings()).draw(_view(case, {"LE": black, "RC": images["RC"]}))
    assert drawn["LE"].code == "breast.not_found"
    assert not isinstance(drawn["RC"], CaseError)


def test_nothing_reaches_the_threshold(scene):
    case, images, _ = scene
    drawing = Drawer(Settings(min_score=0.99)).draw(_view(case, images))["RC"]
    assert drawing.regions
    assert "below 0.99" in drawing.regions[0].reason
    assert not drawing.mask.any()
    assert "no lesion" in drawing.notes[-1]


def test_rules_of_acceptance(scene):
    case, images, _ = scene
    view = _view(case, images)
    best = Drawer(Settings(lesions="best")).draw(view)["RC"]
    assert [region.accepted for region in best.regions] == [True] + [False] * (len(best.regions) - 1)
    everything = Drawer(Settings(min_score=0, sure_score=0, min_area_px=1)).draw(view)["RC"]
    assert all(region.accepted for region in everything.regions)
    assert len(Drawer(Settings(most=2)).draw(view)["RC"].regions) <= 2
    huge = Drawer(Settings(min_area_px=10**6)).draw(view)["RC"]
    assert all("fewer than 1000000" in region.reason for region in huge.regions)


def test_provenance_is_plain():
    assert Drawer(Settings()).provenance()["settings"]["arms"] == "own"


def test_candidates_that_the_other_picture_does_not_show_are_left_out(monkeypatch):
    labels = np.zeros((60, 60), dtype=np.int32)
    labels[:5, :4], labels[20:30, 30:40] = 1, 2
    regions = (Region(1, 20, 0.2, False, "not sure"), Region(2, 100, 0.9, True))
    monkeypatch.setattr(Drawer, "_own", lambda *_: Drawing(labels, regions))
    monkeypatch.setattr(enhancement, "register", lambda *_: Shift(0, 5, "stated", 1.0))
    pair = {name: Image(np.zeros((60, 60))) for name in ("LE", "RC")}
    made = Drawer(Settings(arms="rc_to_le")).draw(View("A", "P", "CC", "L", pair))["LE"]
    assert [(one.number, one.area_px, one.score) for one in made.regions] == [(1, 100, 0.9)]
    assert (made.labels[20:30, 25:35] == 1).all()
    assert np.count_nonzero(made.labels) == 100
    assert "1 candidates on RC fall outside of LE" in made.notes[-1]
