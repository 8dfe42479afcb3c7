"""Overlap against outside tools: MONAI's stored numbers, SimpleITK, scipy and scikit-image, made and real masks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from cemrad.features.overlap import _boundary_distances, boundary, compare_masks
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PngImage
from scipy.spatial.distance import cdist, directed_hausdorff
from skimage.metrics import hausdorff_distance

from .overlap_masks import pair

MONAI = pd.read_csv(Path(__file__).parent / "overlap_monai.csv", comment="#")
SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


@pytest.mark.parametrize("row", MONAI.to_dict("records"), ids=lambda row: int(row["seed"]))
def test_monai(row):
    """Stored as float32."""
    overlap = compare_masks(*pair(int(row["seed"])))
    for name in ("dice", "iou", "hd95_px", "assd_px"):
        assert getattr(overlap, name) == pytest.approx(row[name], rel=2e-6), name


def by_simpleitk(reference, found):
    """Dice, Jaccard, and the largest and mean distances between 4-connected contours, the picture's edge left free."""
    images = [SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8)) for mask in (reference, found)]
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    contours = [SimpleITK.BinaryContour(image, fullyConnected=False) for image in images]
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*contours)
    return (
        overlap.GetDiceCoefficient(1),
        overlap.GetJaccardCoefficient(1),
        hausdorff.GetHausdorffDistance(),
        hausdorff.GetAverageHausdorffDistance(),
    )


def require_agreement(reference, found):
    overlap = compare_masks(reference, found)
    there, back = _boundary_distances(reference, found)
    dice, jaccard, largest, mean = by_simpleitk(reference, found)
    assert overlap.dice == pytest.approx(dice, abs=1e-12)
    assert overlap.iou == pytest.approx(jaccard, abs=1e-12)
    assert max(there.max(), back.max()) == pytest.approx(largest, rel=1e-6)
    assert (there.mean() + back.mean()) / 2 == pytest.approx(mean, rel=1e-6, abs=1e-9)


def require_brute_force(reference, found):
    """Every boundary pixel against every other, by scipy."""
    one, other = (np.argwhere(boundary(mask)).astype(float) for mask in (reference, found))
    apart = cdist(one, other)
    there, back = apart.min(axis=1), apart.min(axis=0)
    overlap = compare_masks(reference, found)
    assert overlap.hd95_px == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)), abs=1e-9)
    assert overlap.assd_px == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)), abs=1e-9)
    directed = [directed_hausdorff(one, other)[0], directed_hausdorff(other, one)[0]]
    ours = [part.max() for part in _boundary_distances(reference, found)]
    assert ours == pytest.approx(directed, abs=1e-9)
    assert max(ours) == pytest.approx(hausdorff_distance(boundary(reference), boundary(found)), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_random_masks(masks):
    assume(all(mask.any() for mask in masks))
    require_agreement(*masks)
    require_brute_force(*masks)


def test_real_masks(realdata):
    """Each against itself moved, and against the next of its size: masks of one lesion and of many."""
    files = sorted((realdata / "cdd-cesm" / "pairs-512" / "masks").iterdir())[::20]
    masks = [np.asarray(PngImage.open(file).convert("L")) > 127 for file in files]
    assert len(masks) >= 12
    for mask, other in zip(masks, masks[1:] + masks[:1], strict=True):
        require_agreement(mask, np.roll(mask, (5, -9), axis=(0, 1)))
        require_brute_force(mask, np.roll(mask, (5, -9), axis=(0, 1)))
        require_agreement(mask, other)
