"""Masks against closed forms, the shoelace formula, another rasteriser, and the real contours' own areas."""

import json
import math

import numpy as np
import pytest
from cemrad.features.image import Image
from cemrad.features.imagefile import ImageFile
from cemrad.pipeline.cohorts import cdd_cesm
from cemrad.pipeline.contour import Region, analytic_area, rasterise
from cemrad.pipeline.masks.via import ViaMask, parse_region, read_via
from cemrad.pipeline.write_masks import AREA_FILE, write_masks
from skimage.draw import polygon2mask

ORIGINALS = ["P40_L_CM_MLO", "P40_L_DM_MLO", "P40_R_CM_MLO", "P40_R_DM_MLO"]
CONTOURS = "Radiology_hand_drawn_segmentations_v2.csv"


def _shoelace(xs, ys):
    return 0.5 * abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1)))


def _star(seed, vertices=40, centre=(300.0, 280.0), radius=200.0):
    """A star-shaped outline: it never crosses itself."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    radii = rng.uniform(0.3, 1.0, vertices) * radius
    return centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)


@pytest.mark.parametrize("seed", range(5))
def test_area_of_a_simple_polygon_is_the_shoelace_formula(seed):
    xs, ys = _star(seed)
    assert analytic_area(Region("polygon", tuple(xs), tuple(ys))) == pytest.approx(_shoelace(xs, ys), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_simple_polygon_is_filled_as_another_rasteriser_does(seed):
    xs, ys = _star(seed)
    ours = rasterise(Region("polygon", tuple(xs), tuple(ys)), (600, 600))
    theirs = polygon2mask((600, 600), np.column_stack([ys - 0.5, xs - 0.5]))  # its pixel centres are whole numbers
    assert np.count_nonzero(ours ^ theirs) <= 1e-4 * np.count_nonzero(ours)


def test_polygons_that_cross_themselves():
    bow_tie = Region("polygon", (0, 10, 10, 0), (0, 10, 0, 10))
    assert analytic_area(bow_tie) == pytest.approx(50.0)
    twice_round = Region("polygon", (0, 8, 8, 0, 0, 8, 8, 0), (0, 0, 8, 8, 0, 0, 8, 8))
    assert analytic_area(twice_round) == pytest.approx(64.0)
    assert rasterise(twice_round, (10, 10)).sum() == 64
    pentagram = [2 * math.pi * k * 2 / 5 - math.pi / 2 for k in range(5)]
    xs, ys = ([200 + 150 * f(a) for a in pentagram] for f in (math.cos, math.sin))
    tip = math.sin(math.pi / 10) / math.cos(math.pi / 5)  # inner to outer radius of a pentagram
    expected = 5 * 150**2 * tip * math.sin(math.pi / 5)  # ten triangles between neighbouring radii
    star = Region("polygon", tuple(xs), tuple(ys))
    assert analytic_area(star) == pytest.approx(expected, rel=1e-9)
    assert rasterise(star, (400, 400)).sum() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.2, -0.7])
@pytest.mark.parametrize("centre", [(200.0, 200.0), (200.5, 199.25)])
def test_ellipses_have_their_area_centre_and_turn(theta, centre):
    region = Region("ellipse", (centre[0],), (centre[1],), 90.0, 40.0, theta)
    mask = rasterise(region, (400, 420))
    assert mask.sum() == pytest.approx(math.pi * 90 * 40, rel=0.005)
    y, x = np.nonzero(mask)
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx(centre, abs=0.3)
    covariance = np.cov(x, y)
    spread = (90**2 - 40**2) / 4
    assert covariance[0, 1] == pytest.approx(spread * math.sin(2 * theta) / 2, abs=0.02 * spread)
    assert covariance[0, 0] - covariance[1, 1] == pytest.approx(spread * math.cos(2 * theta), abs=0.02 * spread)


def test_a_point_is_a_disc_of_the_stated_radius():
    region = Region("point", (100.0,), (100.0,))
    assert rasterise(region, (200, 200)).sum() == pytest.approx(math.pi * 25**2, rel=0.01)
    assert rasterise(region, (200, 200), point_radius_px=10).sum() == pytest.approx(math.pi * 100, rel=0.02)
    assert analytic_area(region, point_radius_px=10) == pytest.approx(math.pi * 100)


@pytest.mark.parametrize("name", ORIGINALS)
def test_original_images_have_masks_within_one_percent_of_their_contours(realdata, name):
    drawn = read_via(realdata / "cdd-cesm" / "tables" / CONTOURS)[f"{name}.jpg"]
    image = ImageFile(realdata / "cdd-cesm" / "original-p40" / f"{name}.jpg").read()
    for region in drawn.regions:
        area = int(rasterise(region, image.shape).sum())
        closed_form = math.pi * region.rx * region.ry  # all four are an ellipse or a circle
        assert area == pytest.approx(closed_form, rel=0.01)
        assert analytic_area(region) == pytest.approx(closed_form)
    assert np.count_nonzero(ViaMask(drawn.regions).read(image)) == pytest.approx(closed_form, rel=0.01)


def test_masks_of_the_originals_are_written_without_a_physical_unit(realdata, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for source in [*(realdata / "cdd-cesm" / "tables").iterdir(), *(realdata / "cdd-cesm" / "original-p40").iterdir()]:
        (folder / source.name).symlink_to(source)
    cohort = cdd_cesm.read(cdd_cesm.Settings(path=folder))
    areas = write_masks(cohort, tmp_path / "masks")
    done = areas[areas["state"] == "ok"]
    assert sorted(done["case_id"] + done["picture"]) == ["P40_LLE_MLO", "P40_LRC_MLO", "P40_RLE_MLO", "P40_RRC_MLO"]
    assert (done["area_px"] / done["contour_area_px"]).sub(1).abs().max() < 0.01
    text = (tmp_path / "masks" / AREA_FILE).read_text(encoding="utf-8") + json.dumps([n.text for n in cohort.notes])
    words = text.replace("_", " ").replace(",", " ").split()
    assert not [word for word in words if word.strip(".:;()").lower() in ("mm", "mm2", "millimetre", "millimetres")]


def test_every_real_polygon_keeps_its_area(realdata):
    """Against the shoelace formula, which counts what a crossed outline winds round twice, or back, otherwise."""
    drawn = read_via(realdata / "cdd-cesm" / "tables" / CONTOURS)
    polygons = [r for image in drawn.values() for r in image.regions if r.shape == "polygon"][::8]
    ratios = np.array([analytic_area(r) / _shoelace(np.array(r.xs), np.array(r.ys)) for r in polygons])
    assert len(ratios) == 254
    assert np.mean(np.abs(ratios - 1) < 1e-9) > 0.9
    assert np.abs(ratios - 1).max() < 0.1


def test_via_json_says_what_via_csv_says(realdata, tmp_path):
    """The same contours, as a project and as an annotation export."""
    from cemrad.pipeline.text_table import read_text_table

    path = realdata / "cdd-cesm" / "tables" / CONTOURS
    frame = read_text_table(path).head(40)
    images = {}
    for row in frame.to_dict("records"):
        entry = images.setdefault(
            row["#filename"] + row["file_size"],
            {"filename": row["#filename"], "size": int(row["file_size"]), "regions": [], "file_attributes": {}},
        )
        attributes = json.loads(row["region_shape_attributes"])
        entry["regions"].append({"shape_attributes": attributes, "region_attributes": {}})
    expected = {name: image for name, image in read_via(path).items() if name in set(frame["#filename"])}
    for name in list(expected)[-1:]:  # its regions may go on below the lines taken
        expected.pop(name)
        images = {key: entry for key, entry in images.items() if entry["filename"] != name}
    for content in (images, {"_via_settings": {}, "_via_img_metadata": images}):
        (tmp_path / "via.json").write_text(json.dumps(content), encoding="utf-8")
        assert read_via(tmp_path / "via.json") == expected


def test_a_rectangle_is_its_polygon():
    region = parse_region({"name": "rect", "x": 3, "y": 5, "width": 10, "height": 4})
    assert analytic_area(region) == 40
    mask = ViaMask((region,)).read(Image(np.zeros((20, 20))))
    assert (mask.sum(), mask[5:9, 3:13].all()) == (40, True)
