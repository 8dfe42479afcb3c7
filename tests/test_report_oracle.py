"""The report's own computations against outside truth: curves, contours, windows, plain names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from cemrad.features.crop import lesion_crop
from cemrad.features.image import Image
from cemrad.models.intervals import cv_auc
from cemrad.models.result import ARMS
from cemrad.models.units import held_out
from cemrad.reports.crops import contour_path, inside_image, robust_window
from cemrad.reports.curves import gather, roc
from cemrad.reports.words import feature_words
from sklearn.metrics import roc_auc_score, roc_curve

from .report_fixture import make_result


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.4
    score = np.round(rng.normal(0, 1, 60) + truth, seed % 3)  # with many ties, and with none
    false, true = roc(truth, score)
    x, y, _ = roc_curve(truth, score, drop_intermediate=False)
    assert false == pytest.approx(x)
    assert true == pytest.approx(y)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(truth, score))


@pytest.mark.parametrize("level", ["lesion", "breast", "patient"])
@pytest.mark.parametrize("seed", range(3))
def test_the_area_under_the_averaged_curve_is_the_auc_of_the_table(seed, level):
    one, again = make_result(seed).predictions, make_result(seed + 10).predictions
    again = again.assign(
        truth=one["truth"], fold=again["fold"].to_numpy()[::-1] if level == "lesion" else again["fold"]
    )
    rows = pd.concat([one, again.assign(repeat=1)], ignore_index=True)
    rows = rows[rows["endpoint"] == "er"].assign(probability=lambda f: f["probability"].round(seed + 1))
    curves = list(gather(rows, level, ARMS))
    assert [curve.arm for curve in curves] == list(ARMS)
    for curve in curves:
        x, y = np.array(curve.false_positive_rate), np.array(curve.true_positive_rate)
        assert (x[0], y[0], x[-1], y[-1]) == pytest.approx((0, 0, 1, 1))
        assert np.diff(x).min() >= 0
        assert np.diff(y).min() >= -1e-12
        expected = cv_auc(held_out(rows[rows["arm"] == curve.arm], level)).estimate
        assert np.trapezoid(y, x) == pytest.approx(expected, abs=1e-12)


def test_one_fold_gives_its_own_curve():
    rows = make_result(1).predictions.query("endpoint == 'er' and arm == 'deep'").assign(fold=0)
    (curve,) = gather(rows, "lesion", ["deep"])
    assert np.trapezoid(curve.true_positive_rate, curve.false_positive_rate) == pytest.approx(
        roc_auc_score(rows["truth"], rows["probability"])
    )


def _area(path: str) -> float:
    total = 0.0
    for part in re.findall(r"M([^Z]*)Z", path):
        points = np.array([[float(v) for v in pair.split(" ")] for pair in part.split("L")])
        x, y = points.T
        total += 0.5 * (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return abs(total)


@pytest.mark.parametrize("radius", [6, 20, 60])
def test_a_disc_is_outlined_where_it_lies(radius):
    side = 4 * radius
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    centre = np.array([1.5 * radius, 2.2 * radius])
    mask = np.hypot(rows - centre[0], columns - centre[1]) < radius
    path = contour_path(mask)
    points = np.array([[float(v) for v in p.split(" ")] for p in re.findall(r"[\d.]+ [\d.]+", path)])
    assert np.hypot(points[:, 1] - centre[0], points[:, 0] - centre[1]) == pytest.approx(radius, abs=0.9)
    assert _area(path) == pytest.approx(np.pi * radius**2, rel=0.04)


def test_a_lesion_at_the_edge_is_closed_and_a_hole_is_drawn():
    mask = np.zeros((20, 20), bool)
    mask[0:10, 0:20] = True
    assert _area(contour_path(mask)) == pytest.approx(200, rel=0.02)
    mask[3:7, 5:9] = False
    assert contour_path(mask).count("M") == contour_path(mask).count("Z") == 2
    assert _area(contour_path(mask)) == pytest.approx(184, rel=0.03)


def test_one_burnt_in_marker_does_not_move_the_window():
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 50, (200, 200))
    before = robust_window(pixels)
    pixels[:8, :8] = 65535
    assert robust_window(pixels) == pytest.approx(before, abs=15)


@pytest.mark.parametrize("place", [(5, 30), (30, 5), (58, 30), (30, 58), (2, 2)])
def test_what_lies_outside_the_image_is_black_and_leaves_the_window_alone(place):
    rng = np.random.default_rng(0)
    image = Image(rng.normal(1000, 50, (64, 64)))
    mask = np.zeros((64, 64), bool)
    mask[place[0] - 2 : place[0] + 3, place[1] - 2 : place[1] + 3] = True
    crop = lesion_crop(image, mask, side_px=40)
    rows, columns = inside_image(crop.pixels)
    assert (rows.start, columns.start) == (max(0, -crop.top), max(0, -crop.left))
    assert (rows.stop, columns.stop) == (min(40, 64 - crop.top), min(40, 64 - crop.left))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("radiomics:RC_CC:log-sigma-3-0-mm-3D_glcm_Contrast", "GLCM contrast, LoG 3 px, recombined CC"),
        ("radiomics:RC_CC:log-sigma-1-5-mm-2D_glcm_Contrast", "GLCM contrast, LoG 1.5 px, recombined CC"),
        ("radiomics:LE_MLO:original_shape2D_MaximumDiameter", "2-D shape maximum diameter, low-energy MLO"),
        ("radiomics:LE_CC:wavelet-LH_glrlm_ShortRunHighGrayLevelEmphasis",
         "GLRLM short run high gray level emphasis, wavelet LH, low-energy CC"),
        ("radiomics:RC_MLO:squareroot_firstorder_10Percentile",
         "First-order 10th percentile, square root, recombined MLO"),
        ("radiomics:RC_MLO:original_glcm_Imc1", "GLCM informational measure of correlation 1, recombined MLO"),
        ("radiomics:IMG:lbp-2D_firstorder_Mean", "First-order mean, local binary pattern, image"),
        ("deep:LERC_CC:resnet18_0311", "ResNet-18 channel 311, low-energy and recombined CC"),
        ("deep:LE_CC:convnext_tiny_0012", "convnext_tiny channel 12, low-energy CC"),
        ("clinical:case:menopausal_status", "Menopausal status"),
        ("clinical:case:menopausal_status=post", "Menopausal status: post"),
        ("other:LE_CC:anything", "Anything, low-energy CC"),
        ("no column at all", "no column at all"),
    ],
)  # fmt: skip
def test_names_in_plain_words(column, words):
    assert feature_words(column) == words
