"""Contours: outlines drawn by hand, rasterised on a picture, with their area in closed form.

Coordinates are pixels of the picture a contour was drawn on, x to the right and y down. Pixel (row,
column) covers y from row to row + 1 and x from column to column + 1, so its centre is
(column + 0.5, row + 0.5); a pixel belongs to a region if its centre does. An outline that crosses
itself is filled wherever it winds round (the nonzero rule, which a browser uses too).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..features.mask import Mask

POINT_RADIUS_PX = 25.0
"""Radius of the disc that stands for a point, as the authors of CDD-CESM draw it."""

Polylines = Literal["closed", "ignored"]


@dataclass(frozen=True, slots=True)
class Region:
    """One contour, in pixels of the picture it was drawn on.

    Parameters
    ----------
    shape : {"polygon", "polyline", "ellipse", "circle", "point"}
        A rectangle is a polygon.
    xs, ys : tuple of float
        Vertices, or the one centre.
    rx, ry : float
        Half axes of an ellipse; both the radius of a circle; 0 otherwise.
    theta_rad : float
        Turn of an ellipse's rx axis from x towards y.
    """

    shape: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    rx: float = 0.0
    ry: float = 0.0
    theta_rad: float = 0.0


def rasterise(
    region: Region,
    shape: tuple[int, int],
    point_radius_px: float = POINT_RADIUS_PX,
    polylines: Polylines = "closed",
) -> Mask:
    """Pixels whose centres lie in the region.

    Parameters
    ----------
    region : Region
    shape : tuple of int
        Rows and columns of the picture.
    point_radius_px, polylines
        As in :class:`~cemrad.pipeline.masks.via.ViaMask`.

    Returns
    -------
    ndarray of bool, shape (rows, columns)

    Examples
    --------
    >>> rasterise(Region("polygon", (1, 4, 4, 1), (0, 0, 2, 2)), (4, 5)).astype(int)
    array([[0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0]])
    """
    mask = np.zeros(shape, dtype=bool)
    if region.shape == "polyline" and polylines == "ignored":
        return mask
    if region.shape in ("polygon", "polyline"):
        return _fill_polygon(region, mask)
    rx, ry = (point_radius_px, point_radius_px) if region.shape == "point" else (region.rx, region.ry)
    return _fill_ellipse(region, mask, rx, ry)


def analytic_area(region: Region, point_radius_px: float = POINT_RADIUS_PX, polylines: Polylines = "closed") -> float:
    """Area of a region in square pixels, in closed form; parts beyond the picture count.

    Examples
    --------
    >>> round(analytic_area(Region("ellipse", (50.0,), (40.0,), 20.0, 10.0)), 3)
    628.319
    >>> analytic_area(Region("polygon", (0, 4, 4, 0), (0, 0, 3, 3)))
    12.0
    """
    if region.shape == "point":
        return math.pi * point_radius_px**2
    if region.shape in ("circle", "ellipse"):
        return math.pi * region.rx * region.ry
    if region.shape == "polyline" and polylines == "ignored":
        return 0.0
    # Between neighbouring heights of vertices and self-crossings a chord's length is linear in y,
    # so its value halfway times the height is the exact area of the slab.
    edges = _edges(region)
    heights = np.unique(np.concatenate([edges[:, 1], _crossing_heights(edges)]))
    slabs = zip(heights[:-1].tolist(), heights[1:].tolist(), strict=True)
    return float(sum((high - low) * sum(b - a for a, b in _chords(edges, (low + high) / 2)) for low, high in slabs))


def _fill_ellipse(region: Region, mask: Mask, rx: float, ry: float) -> Mask:
    if rx == 0 or ry == 0:
        return mask
    cosine, sine = math.cos(region.theta_rad), math.sin(region.theta_rad)
    half_width, half_height = math.hypot(rx * cosine, ry * sine), math.hypot(rx * sine, ry * cosine)
    rows = _span(region.ys[0] - half_height, region.ys[0] + half_height, mask.shape[0])
    columns = _span(region.xs[0] - half_width, region.xs[0] + half_width, mask.shape[1])
    dy = (np.arange(mask.shape[0])[rows] + 0.5 - region.ys[0])[:, None]
    dx = (np.arange(mask.shape[1])[columns] + 0.5 - region.xs[0])[None, :]
    mask[rows, columns] = ((dx * cosine + dy * sine) / rx) ** 2 + ((dy * cosine - dx * sine) / ry) ** 2 <= 1
    return mask


def _fill_polygon(region: Region, mask: Mask) -> Mask:
    edges = _edges(region)
    rows = _span(min(region.ys), max(region.ys), mask.shape[0])
    for row in range(rows.start, rows.stop):
        for left, right in _chords(edges, row + 0.5):
            mask[row, _span(left, right, mask.shape[1])] = True
    return mask


def _span(low: float, high: float, size: int) -> slice:
    """Pixels whose centres lie in [low, high), within 0 to size."""
    first = min(max(math.ceil(low - 0.5), 0), size)
    return slice(first, max(first, min(math.ceil(high - 0.5), size)))


def _edges(region: Region) -> NDArray[np.float64]:
    """Closed outline as rows x0, y0, x1, y1."""
    points = np.column_stack([region.xs, region.ys]).astype(float)
    return np.hstack([points, np.roll(points, -1, axis=0)])


def _chords(edges: NDArray[np.float64], y: float) -> list[tuple[float, float]]:
    """Intervals of x that lie inside at height y, by the nonzero rule."""
    x0, y0, x1, y1 = edges.T
    turns = np.where((y0 <= y) & (y < y1), 1, 0) - np.where((y1 <= y) & (y < y0), 1, 0)
    cut = turns != 0
    xs = x0[cut] + (y - y0[cut]) * (x1[cut] - x0[cut]) / (y1[cut] - y0[cut])
    order = np.argsort(xs, kind="stable")
    xs, inside = xs[order], np.cumsum(turns[cut][order]) != 0
    return [(float(a), float(b)) for a, b, filled in zip(xs[:-1], xs[1:], inside[:-1], strict=True) if filled]


def _crossing_heights(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heights at which two edges cross inside both."""
    start, step = edges[:, :2], edges[:, 2:] - edges[:, :2]
    first, second = np.triu_indices(len(edges), k=2)
    gap = start[second] - start[first]
    spread = _cross(step[first], step[second])
    with np.errstate(divide="ignore", invalid="ignore"):
        along = _cross(gap, step[second]) / spread
        across = _cross(gap, step[first]) / spread
    hit = (spread != 0) & (along > 0) & (along < 1) & (across > 0) & (across < 1)
    return np.asarray(start[first][hit, 1] + along[hit] * step[first][hit, 1])


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
