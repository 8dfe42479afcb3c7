"""Candidates of a levelled picture: bright parts at many thresholds, with a score each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from ..features.mask import Mask
from .enhancement_ground import SKIN, Grey, Ground

SCALES = ((0.006, 0.008), (0.010, 0.018), (0.020, 0.040))
"""Sigma of the Gaussian and radius of the opening, in breast diameters."""

AREAS = (0.0006, 0.45)
"""Smallest and largest candidate, as a part of the breast."""

_QUANTILES = 1 - np.geomspace(0.002, 0.4, 18)  # of the core: thresholds that hold 0.2 % to 40 % of it
_STEPS = 16  # thresholds below a point
_CLEAR = 8.0  # standard deviations at which half of the contrast, or of the edge, is granted
_LARGE = 0.06  # of the breast: a candidate that is full size
_DEEP = 0.15  # breast diameters below the skin: no doubt of the skin any more

_SHAPE = {"contrast": 1.0, "edge": 1.0, "roundness": 0.5, "compactness": 0.25}
_WEIGHTS = {**_SHAPE, "size": 0.5, "depth": 1.0, "clear_of_skin": 0.25}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A bright part of the small copy.

    Parameters
    ----------
    top, left : int
        Where its box begins.
    part : ndarray of bool
        It within its box, holes filled.
    score : float
        0 to 1, see :func:`candidates`.
    """

    top: int
    left: int
    part: Mask
    score: float

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns in the small copy."""
        rows, columns = self.part.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)


def candidates(ground: Ground) -> list[Candidate]:
    """All bright parts, best first; they overlap.

    The levelled picture is smoothed and opened at three scales, so that vessels and fibres vanish, and cut at 18
    thresholds. Every connected part is scored by the weighted geometric mean of

    - contrast: mean height above that of its contour, c / (c + 8 noise SD) (weight 1),
    - edge: gradient on its contour times the scale, alike (1),
    - depth: mean depth below the skin, up to 0.15 breast diameters (1),
    - size: area, up to 6 % of the breast (1/2),
    - roundness: short by long axis of its ellipse (1/2),
    - compactness: 4 pi area / contour squared (1/4),
    - clear_of_skin: share of its contour that is not at the skin (1/4).

    Source: after the adaptive threshold and region growing of Danala et al. 2018 (doi 10.1007/s10439-018-2044-4);
    scales and weights are our own.
    """
    found: list[Candidate] = []
    for surface, slope in _surfaces(ground):
        for threshold in np.unique(np.quantile(surface[ground.core], _QUANTILES)):
            labels, _ = ndimage.label((surface > threshold) & ground.core)
            found += _scored(ground, labels, slope, _WEIGHTS)
    return sorted(found, key=lambda candidate: -candidate.score)


def distinct(found: list[Candidate], shape: tuple[int, int], most: int) -> list[Candidate]:
    """The best of those that overlap, at most `most`."""
    taken = np.zeros(shape, dtype=bool)
    kept: list[Candidate] = []
    for candidate in found:
        if not (taken[candidate.box] & candidate.part).any():
            kept.append(candidate)
            taken[candidate.box] |= candidate.part
            if len(kept) == most:
                break
    return kept


def grown_from(ground: Ground, point: tuple[float, float]) -> list[Candidate]:
    """Bright parts that hold a point of the small copy, best first: regions grown from it at falling thresholds."""
    row, column = (int(np.clip(round(x), 0, n - 1)) for x, n in zip(point, ground.breast.shape, strict=True))
    found: list[Candidate] = []
    for surface, slope in _surfaces(ground):
        base = float(np.median(surface[ground.core]))
        peak = float(surface[row, column])
        if peak <= base:
            continue
        for threshold in np.linspace(base, peak, _STEPS, endpoint=False)[1:]:
            labels, _ = ndimage.label((surface > threshold) & ground.breast)
            grown = (labels == labels[row, column]).astype(np.intp)
            for candidate in _scored(ground, grown, slope, _SHAPE):
                centred = _centred(candidate, row, column)
                found.append(replace(candidate, score=candidate.score * centred))
    return sorted(found, key=lambda candidate: -candidate.score)


def grown_within(ground: Ground, box: tuple[float, float, float, float]) -> list[Candidate]:
    """Bright parts of a box of the small copy, best first; those that fill the box are preferred."""
    top, bottom, left, right = (round(edge) for edge in box)
    inside = np.zeros_like(ground.breast)
    inside[max(0, top) : max(bottom, top + 1), max(0, left) : max(right, left + 1)] = True
    inside &= ground.breast
    if not inside.any():
        return []
    weights = {"contrast": 1.0, "edge": 0.5}
    found: list[Candidate] = []
    for surface, slope in _surfaces(ground):
        for threshold in np.unique(np.quantile(surface[inside], np.linspace(0.1, 0.9, _STEPS))):
            labels, _ = ndimage.label((surface > threshold) & inside)
            for candidate in _scored(ground, labels, slope, weights):
                fill = candidate.part.size / max(1, (bottom - top) * (right - left))
                found.append(replace(candidate, score=candidate.score * min(1.0, fill)))
    return sorted(found, key=lambda candidate: -candidate.score)


def _centred(candidate: Candidate, row: int, column: int) -> float:
    """1 where the point is the middle of the candidate, 0.37 where it is one radius of a disc of its area away."""
    rows, columns = np.nonzero(candidate.part)
    apart = (rows.mean() + candidate.top - row) ** 2 + (columns.mean() + candidate.left - column) ** 2
    return float(np.exp(-apart * np.pi / len(rows)))


def _surfaces(ground: Ground) -> Iterator[tuple[Grey, Grey]]:
    """Per scale the smoothed and opened height, and the size of its gradient times the scale."""
    for sigma, radius in SCALES:
        sigma_px, radius_px = max(1.0, sigma * ground.diameter_px), max(1, round(radius * ground.diameter_px))
        smooth = ndimage.gaussian_filter(ground.height, sigma_px, truncate=3)
        ball = (radius_px, radius_px)
        opened = SimpleITK.GrayscaleMorphologicalOpening(SimpleITK.GetImageFromArray(smooth), ball, SimpleITK.sitkBall)
        slope = ndimage.gaussian_gradient_magnitude(ground.height, sigma_px, truncate=3) * sigma_px
        yield SimpleITK.GetArrayFromImage(opened), slope.astype(np.float32)


def _scored(ground: Ground, labels: NDArray[Any], slope: Grey, weights: dict[str, float]) -> Iterator[Candidate]:
    """A candidate for each label of a lesion's size."""
    breast_px = int(np.count_nonzero(ground.breast))
    areas = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    for number in np.flatnonzero((areas > AREAS[0] * breast_px) & (areas < AREAS[1] * breast_px)):
        if number == 0:
            continue
        part = ndimage.binary_fill_holes(labels[boxes[number - 1]] == number)
        traits = _traits(ground, boxes[number - 1], part, slope, breast_px)
        total = sum(weights.values())
        score = float(np.prod([max(traits[name], 1e-6) ** (weight / total) for name, weight in weights.items()]))
        yield Candidate(boxes[number - 1][0].start, boxes[number - 1][1].start, part, score)


def _traits(ground: Ground, box: Any, part: Mask, slope: Grey, breast_px: int) -> dict[str, float]:
    """What the score is made of, each 0 to 1."""
    contour = part & ~ndimage.binary_erosion(part)
    height, depth = ground.height[box], ground.depth[box]
    contrast = max(0.0, float(height[part].mean() - height[contour].mean()))
    edge = float(slope[box][contour].mean())
    return {
        "size": min(1.0, np.count_nonzero(part) / breast_px / _LARGE),
        "contrast": contrast / (contrast + _CLEAR),
        "edge": edge / (edge + _CLEAR),
        "roundness": _roundness(part),
        "compactness": min(1.0, 4 * np.pi * np.count_nonzero(part) / np.count_nonzero(contour) ** 2),
        "depth": min(1.0, float(depth[part].mean()) / _DEEP),
        "clear_of_skin": float((depth[contour] > SKIN + 0.015).mean()),
    }


def _roundness(part: Mask) -> float:
    """Short by long axis of the ellipse of the same moments."""
    rows, columns = (axis - axis.mean() for axis in np.nonzero(part))
    n = len(rows)
    down, across, both = rows @ rows / n + 1 / 12, columns @ columns / n + 1 / 12, rows @ columns / n
    spread = float(np.hypot(down - across, 2 * both))
    return float(np.sqrt((down + across - spread) / (down + across + spread)))
