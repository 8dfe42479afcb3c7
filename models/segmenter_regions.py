"""Regions: from a network's map to candidates, and what tells a lesion among them from a false positive."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from ..features.breast import BreastRegion
from ..features.errors import CaseError
from ..features.image import Image
from ..features.native.engine import NativeEngine
from .segmenter_frame import Grey

Labels = NDArray[np.int32]

_RADIOMICS: dict[str, Any] = {
    "imageType": {"Original": {}},
    "featureClass": {
        "firstorder": ["Entropy", "Kurtosis", "Skewness", "Uniformity"],
        "glcm": ["Contrast", "Correlation", "Idm", "JointEntropy"],
        "shape2D": ["Elongation", "Sphericity"],
    },
    "setting": {"binCount": 16},
}
_RING = 0.5
"""Width of the ring around a region that its contrast is taken against, of the radius of a disc of its area."""


def find_candidates(probability: Grey, region: BreastRegion, threshold: float, min_share: float) -> Labels:
    """8-connected parts above a threshold, within the breast, their holes filled.

    Parameters
    ----------
    probability : ndarray of float32, shape (rows, columns)
    region : BreastRegion
        Of the same picture.
    threshold : float
    min_share : float
        Smaller parts, as a share of the breast, are dropped.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
        0, or the number of the candidate, from 1, the largest first.
    """
    above = ndimage.binary_fill_holes((probability > threshold) & region.mask)
    parts, _ = ndimage.label(above, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    least = max(1.0, min_share * np.count_nonzero(region.mask))
    order = [place for place in np.argsort(-sizes, kind="stable") if sizes[place] >= least]
    numbers = np.zeros(len(sizes) + 1, dtype=np.int32)
    for number, place in enumerate(order, start=1):
        numbers[place + 1] = number
    return np.asarray(numbers[parts])


def describe_candidates(
    image: Image, region: BreastRegion, probability: Grey, labels: Labels
) -> list[dict[str, float]]:
    """Network score, place, shape, contrast and radiomics of each candidate, in the order of their numbers.

    Parameters
    ----------
    image : Image
    region : BreastRegion
    probability : ndarray of float32, shape (rows, columns)
    labels : ndarray of int32, shape (rows, columns)
        Of :func:`find_candidates`.

    Returns
    -------
    list of dict
        Without a unit: grey values are in those of the breast's interquartile range, lengths in its height.
        ``score`` is the mean of the map. A feature that cannot be computed is NaN, which trees take.
    """
    values = image.pixels.astype(np.float64) * (-1 if region.inverted else 1)
    quarter, middle, three = np.percentile(values[region.mask], (25, 50, 75))
    scale = max(three - quarter, 1e-6)
    breast = ndimage.find_objects(region.mask.astype(np.int8))[0]
    height = breast[0].stop - breast[0].start
    mirrored = region.side == "R"
    total = float(probability[labels > 0].sum())
    rows = []
    for part in regionprops(labels, intensity_image=probability):
        window = _around(part.bbox, part.equivalent_diameter_area, labels.shape)
        own, near = labels[window] == part.label, values[window]
        width = max(1, round(_RING * part.equivalent_diameter_area / 2))
        ring = ndimage.binary_dilation(own, iterations=width) & (labels[window] == 0) & region.mask[window]
        inside, outside = near[own], near[ring] if ring.any() else near[~own]
        row, column = part.centroid
        depth = breast[1].stop - 1 - column if mirrored else column - breast[1].start
        pectoral = 0.0 if region.pectoral is None else float(region.pectoral[window][own].mean())
        found = {
            "score": float(part.intensity_mean),
            "highest": float(part.intensity_max),
            "share_of_map": float(probability[window][own].sum()) / max(total, 1e-9),
            "diameter": float(part.equivalent_diameter_area) / height,
            "solidity": float(part.solidity),
            "depth": depth / height,
            "height": (row - breast[0].start) / height,
            "pectoral": pectoral,
            "grey": (float(inside.mean()) - middle) / scale,
            "contrast": (float(inside.mean()) - (float(outside.mean()) if outside.size else middle)) / scale,
            "spread": float(inside.std()) / scale,
        }
        rows.append(found | _radiomics(near, own))
    return rows


def _around(bbox: tuple[int, int, int, int], diameter: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    top, left, bottom, right = bbox
    margin = max(2, round(_RING * diameter / 2) + 1)
    return (
        slice(max(top - margin, 0), min(bottom + margin, shape[0])),
        slice(max(left - margin, 0), min(right + margin, shape[1])),
    )


def _radiomics(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, float]:
    engine = _engine()
    found: dict[str, float] = {}
    with suppress(CaseError, ValueError):  # a few pixels, or one grey value
        found, _ = engine.measure(values, mask, (1.0, 1.0))
    return {name: float(found.get(name, np.nan)) for name in engine.names}


@lru_cache(maxsize=1)
def _engine() -> NativeEngine:
    return NativeEngine(_RADIOMICS, 1024)
