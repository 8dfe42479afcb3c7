"""Size and outline of a region, from a contour through the midpoints between its pixels and those outside.

Definitions: pyradiomics ``shape2D`` (marching squares). IBSI has no shape features in two dimensions. A digital disc's
perimeter is about 5 % too long at any size: sphericity of a disc is 0.95, not 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

FEATURES = dict.fromkeys(
    (
        "Elongation", "MajorAxisLength", "MaximumDiameter", "MeshSurface", "MinorAxisLength", "Perimeter",
        "PerimeterSurfaceRatio", "PixelSurface", "Sphericity",
    ),
    "",
)  # fmt: skip
"""In pyradiomics' order; none has an IBSI code."""

DEPRECATED = ("SphericalDisproportion",)


def measure(mask: Mask, names: Iterable[str], *, spacing: tuple[float, float]) -> dict[str, float]:
    """Features by name.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        The region; not empty.
    names : iterable of str
        Of :data:`FEATURES` or :data:`DEPRECATED`.
    spacing : tuple of float
        Of rows and of columns.
    """
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=np.bool_)
    framed[1:-1, 1:-1] = mask
    dy, dx = spacing
    slanted, along, upright, corners, halves, saddles, full = (int(n) for n in _squares(framed))
    perimeter = slanted * 0.5 * float(np.hypot(dy, dx)) + along * dx + upright * dy
    # Area of a square by its corners: 1/8 for one, 1/2 for two side by side, 7/8 for three.
    surface = (corners / 8 + halves / 2 + saddles * 7 / 8 + full) * dy * dx
    diameter = _diameter(_outline(framed), dy, dx)
    minor, major = _axes(mask, spacing)
    found = {
        "Elongation": float(np.sqrt(minor / major)) if minor >= 0 and major >= 0 else np.nan,
        "MajorAxisLength": float(4 * np.sqrt(major)),
        "MaximumDiameter": float(diameter),
        "MeshSurface": surface,
        "MinorAxisLength": float(4 * np.sqrt(minor)) if minor >= 0 else np.nan,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": int(np.count_nonzero(mask)) * (dx * dy),
        "Sphericity": float(2 * np.sqrt(np.pi * surface)) / perimeter,
        "SphericalDisproportion": perimeter / float(2 * np.sqrt(np.pi * surface)),
    }
    return {name: found[name] for name in names}


def _axes(mask: Mask, spacing: tuple[float, float]) -> tuple[float, float]:
    """Smaller and larger eigenvalue of the covariance of pixel centres; less than 0 by rounding becomes 0."""
    counts = mask.sum(axis=1, dtype=np.float64)
    n, y, x = counts.sum(), np.arange(mask.shape[0]) * spacing[0], np.arange(mask.shape[1]) * spacing[1]
    y = y - (counts @ y) / n
    x = x - (mask.sum(axis=0, dtype=np.float64) @ x) / n
    yy, xx, xy = counts @ (y * y), mask.sum(axis=0, dtype=np.float64) @ (x * x), y @ (mask @ x)
    values = np.linalg.eigvals(np.array([[yy, xy], [xy, xx]]) / n)
    values[(values < 0) & (values > -1e-10)] = 0.0
    values.sort()
    return float(values[0]), float(values[1])


@numba.njit(cache=True, error_model="numpy")
def _squares(mask):  # type: ignore[no-untyped-def]
    """Squares of four pixels by their corners: half diagonals, lines along rows, along columns, and areas."""
    slanted = along = upright = one = two = three = four = 0
    for i in range(mask.shape[0] - 1):
        for j in range(mask.shape[1] - 1):
            a, b, c, d = mask[i, j], mask[i, j + 1], mask[i + 1, j], mask[i + 1, j + 1]
            n = int(a) + int(b) + int(c) + int(d)
            if n == 0:
                continue
            if n == 4:
                four += 1
            elif n == 1:
                one += 1
                slanted += 1
            elif n == 3:
                three += 1
                slanted += 1
            elif a == b:
                two += 1
                along += 1
            elif a == c:
                two += 1
                upright += 1
            else:  # two opposite corners
                one += 2
                slanted += 2
    return slanted, along, upright, one, two, three, four


@numba.njit(cache=True, error_model="numpy")
def _outline(mask):  # type: ignore[no-untyped-def]
    """Outermost midpoints between region and outside of each half row, in half pixels, shape (points, 2)."""
    n = 2 * mask.shape[0]
    first = np.full(n, 2 * mask.shape[1], dtype=np.int64)
    last = np.full(n, -1, dtype=np.int64)
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if j + 1 < mask.shape[1] and mask[i, j] != mask[i, j + 1]:
                first[2 * i] = min(first[2 * i], 2 * j + 1)
                last[2 * i] = max(last[2 * i], 2 * j + 1)
            if i + 1 < mask.shape[0] and mask[i, j] != mask[i + 1, j]:
                first[2 * i + 1] = min(first[2 * i + 1], 2 * j)
                last[2 * i + 1] = max(last[2 * i + 1], 2 * j)
    points = np.empty((2 * n, 2), dtype=np.float64)
    k = 0
    for i in range(n):
        if last[i] >= 0:
            points[k, 0], points[k, 1] = i / 2, first[i] / 2
            points[k + 1, 0], points[k + 1, 1] = i / 2, last[i] / 2
            k += 2
    return points[:k]


@numba.njit(cache=True, error_model="numpy")
def _diameter(points, dy, dx):  # type: ignore[no-untyped-def]
    """Largest distance of two points, which lie on the convex hull; points come in pairs, left and right, downwards."""
    hull = np.empty_like(points)
    n = 0
    for side in range(2):
        first = n
        for k in range(side, points.shape[0], 2):
            while n - first >= 2:
                a, b = hull[n - 2], hull[n - 1]
                turn = (b[0] - a[0]) * (points[k, 1] - a[1]) - (b[1] - a[1]) * (points[k, 0] - a[0])
                if (turn > 0) != (side == 0) or turn == 0:
                    n -= 1
                else:
                    break
            hull[n] = points[k]
            n += 1
    best = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            down, right = (hull[j, 0] - hull[i, 0]) * dy, (hull[j, 1] - hull[i, 1]) * dx
            best = max(best, down * down + right * right)
    return np.sqrt(best)
