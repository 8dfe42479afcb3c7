"""Laplacian of Gaussian on the region alone, equal to filtering the whole image.

The filter of pyradiomics is ITK's LaplacianRecursiveGaussian: Deriche's fourth-order recursive approximation, one
axis after the other, with lines in float64 and images in float32 between the passes. Its memory of a far pixel decays
as ``exp(-1.37 d / sigma)``: with a margin of :data:`HALO_SIGMAS` the region's values are those of the whole image to
the last bit of float32. Order of operations and rounding follow ITK, for that reason.

Sources: Deriche, INRIA RR-1893 (1993); Farneback and Westin, J Math Imaging Vis 2006; ITK's
``itkRecursiveGaussianImageFilter``. IBSI 2: Laplacian-of-Gaussian, L6PA (here scale-normalised, times sigma squared).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .box import Box

HALO_SIGMAS = 27.0
_LANES = 32  # lines filtered side by side: enough for vector units, few enough for the cache
_TILE = 64

_W1, _L1, _W2, _L2 = 0.6681, -1.3932, 2.0787, -1.3732
_SMOOTH = (1.3530, 1.8151, -0.3531, 0.0902)
_SECOND = (-1.3563, 5.2318, 0.3446, -2.2355)

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]


def log_filter(pixels: NDArray[Any], box: Box, sigma: float, spacing: tuple[float, float]) -> F32:
    """Scale-normalised Laplacian of Gaussian in a box.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image.
    box : Box
        Where the values are wanted.
    sigma : float
        Width of the Gaussian, in units of `spacing`.
    spacing : tuple of float
        Of rows and of columns.

    Returns
    -------
    ndarray of float32, shape of the box
    """
    sigma_px = sigma / spacing[0], sigma / spacing[1]
    halo = tuple(math.ceil(HALO_SIGMAS * s) for s in sigma_px)
    wide = box.grown(halo[0], halo[1], pixels.shape)
    exact = np.float32 if np.can_cast(pixels.dtype, np.float32) else np.float64  # the narrower, the faster it comes
    near = np.ascontiguousarray(pixels[wide.slices], dtype=exact)
    rows, columns = box.within(wide).slices
    smooth = [coefficients(0, s, spacing[axis], sigma) for axis, s in enumerate(sigma_px)]
    second = [coefficients(2, s, spacing[axis], sigma) for axis, s in enumerate(sigma_px)]
    # What is filtered along its second axis comes out transposed.
    along_x = _along(1, near, second[1], columns)
    along_x = _along(1, along_x, smooth[0], rows)
    along_y = _along(0, near, second[0], rows)
    along_y = _along(1, along_y, smooth[1], columns)
    found: F32 = _added(along_x, along_y.T, spacing[1] ** 2, spacing[0] ** 2)
    return found


class Coefficients(NamedTuple):
    """Of one recursive filter: causal n, anticausal m, feedback d, and the two sets for borders."""

    n: F64
    m: F64
    d: F64
    bn: F64
    bm: F64


@lru_cache(maxsize=64)
def coefficients(order: int, sigma_px: float, spacing: float, sigma: float) -> Coefficients:
    """Deriche's coefficients for smoothing (order 0) or the second derivative (order 2).

    Parameters
    ----------
    order : {0, 2}
    sigma_px : float
        Width in pixels along the axis.
    spacing, sigma : float
        As given; the second derivative is normalised across scales by sigma squared.
    """
    d, (sd, dd, ed) = _feedback(sigma_px)
    n0, (sn0, dn0, en0) = _forward(sigma_px, _SMOOTH)
    if order == 0:
        n = n0 * (1.0 / (2 * sn0 / sd - n0[0]))
    else:
        n2, (sn2, dn2, en2) = _forward(sigma_px, _SECOND)
        beta = -(2 * sn2 - sd * n2[0]) / (2 * sn0 - sd * n0[0])
        n = n2 + beta * n0
        sn, dn, en = sn2 + beta * sn0, dn2 + beta * dn0, en2 + beta * en0
        alpha = en * sd * sd - ed * sn * sd - 2 * dn * dd * sd + 2 * dd * dd * sn
        alpha /= sd * sd * sd
        n = n * (sigma**2 / alpha)
    m = np.array([n[1] - d[0] * n[0], n[2] - d[1] * n[0], n[3] - d[2] * n[0], -d[3] * n[0]])
    sum_n, sum_m, sum_d = n[0] + n[1] + n[2] + n[3], m[0] + m[1] + m[2] + m[3], 1.0 + d[0] + d[1] + d[2] + d[3]
    return Coefficients(n, m, d, d * sum_n / sum_d, d * sum_m / sum_d)


def _feedback(sigma_px: float) -> tuple[F64, tuple[float, float, float]]:
    cos1, cos2 = math.cos(_W1 / sigma_px), math.cos(_W2 / sigma_px)
    exp1, exp2 = math.exp(_L1 / sigma_px), math.exp(_L2 / sigma_px)
    d4 = exp1 * exp1 * exp2 * exp2
    d3 = -2 * cos1 * exp1 * exp2 * exp2
    d3 += -2 * cos2 * exp2 * exp1 * exp1
    d2 = 4 * cos2 * cos1 * exp1 * exp2
    d2 += exp1 * exp1 + exp2 * exp2
    d1 = -2 * (exp2 * cos2 + exp1 * cos1)
    sums = 1.0 + d1 + d2 + d3 + d4, d1 + 2 * d2 + 3 * d3 + 4 * d4, d1 + 4 * d2 + 9 * d3 + 16 * d4
    return np.array([d1, d2, d3, d4]), sums


def _forward(sigma_px: float, series: tuple[float, float, float, float]) -> tuple[F64, tuple[float, float, float]]:
    a1, b1, a2, b2 = series
    sin1, sin2 = math.sin(_W1 / sigma_px), math.sin(_W2 / sigma_px)
    cos1, cos2 = math.cos(_W1 / sigma_px), math.cos(_W2 / sigma_px)
    exp1, exp2 = math.exp(_L1 / sigma_px), math.exp(_L2 / sigma_px)
    n0 = a1 + a2
    n1 = exp2 * (b2 * sin2 - (a2 + 2 * a1) * cos2)
    n1 += exp1 * (b1 * sin1 - (a1 + 2 * a2) * cos1)
    n2 = (a1 + a2) * cos2 * cos1
    n2 -= b1 * cos2 * sin1 + b2 * cos1 * sin2
    n2 *= 2 * exp1 * exp2
    n2 += a2 * exp1 * exp1 + a1 * exp2 * exp2
    n3 = exp2 * exp1 * exp1 * (b2 * sin2 - a2 * cos2)
    n3 += exp1 * exp2 * exp2 * (b1 * sin1 - a1 * cos1)
    return np.array([n0, n1, n2, n3]), (n0 + n1 + n2 + n3, n1 + 2 * n2 + 3 * n3, n1 + 4 * n2 + 9 * n3)


def _along(axis: int, image: NDArray[Any], c: Coefficients, kept: slice) -> F32:
    """The image filtered along an axis, which comes first in what is returned; only a part of its length is kept."""
    out = np.empty((kept.stop - kept.start, image.shape[1 - axis]), dtype=np.float32)
    _filter_lines(axis, image, out, kept.start, c.n, c.m, c.d, c.bn, c.bm)
    return out


@numba.njit(cache=True, error_model="numpy")
def _filter_lines(axis, image, out, start, n, m, d, bn, bm):  # type: ignore[no-untyped-def]
    """Filter lines side by side, as many at a time as stay in the cache, from either end.

    A buffer holds row i of :data:`_LANES` lines at ``(i + 4) * _LANES``. Four rows before and after the lines hold what
    the filter takes the image to be beyond its border.
    """
    length, width = image.shape[axis], image.shape[1 - axis]
    stop = start + out.shape[0]
    size = (length + 8) * _LANES
    x, behind, ahead = np.zeros(size), np.empty(size), np.empty(size)
    for left in range(0, width, _LANES):
        count = min(_LANES, width - left)
        if axis == 0:
            _load_rows(image, left, count, x)
        else:
            _load_columns(image, left, count, x)
        for i in range(4):
            for j in range(_LANES):
                x[i * _LANES + j] = x[4 * _LANES + j]
                x[(length + 4 + i) * _LANES + j] = x[(length + 3) * _LANES + j]
        _look_behind(x, behind, stop, n, d, bn)
        _look_ahead(x, ahead, length, start, m, d, bm)
        kept = slice((start + 4) * _LANES, (stop + 4) * _LANES)
        _store_rows(behind[kept], ahead[kept], left, count, out)


@numba.njit(cache=True, error_model="numpy")
def _store_rows(first, second, left, count, out):  # type: ignore[no-untyped-def]
    for k in range(first.size):
        first[k] += second[k]
    for i in range(out.shape[0]):
        row, to = first[i * _LANES : (i + 1) * _LANES], out[i, left : left + count]
        for j in range(count):
            to[j] = row[j]


@numba.njit(cache=True, error_model="numpy")
def _load_rows(image, left, count, x):  # type: ignore[no-untyped-def]
    for i in range(image.shape[0]):
        row, to = image[i, left : left + count], x[(i + 4) * _LANES : (i + 5) * _LANES]
        for j in range(count):
            to[j] = row[j]


@numba.njit(cache=True, error_model="numpy")
def _load_columns(image, left, count, x):  # type: ignore[no-untyped-def]
    """Columns of the image side by side, in tiles as the cache likes it."""
    length, lanes = np.uintp(image.shape[1]), np.uintp(_LANES)  # unsigned: no index is looked at for being negative
    before, step = np.uintp(4), np.uintp(_TILE)
    for top in range(np.uintp(0), length, step):
        bottom = min(top + step, length)
        for j in range(np.uintp(count)):
            row = image[left + j]
            for i in range(top, bottom):
                x[(i + before) * lanes + j] = row[i]


# Rows are taken as slices of one length, so that the compiler sees that they do not overlap and need no checks.


@numba.njit(cache=True, error_model="numpy")
def _look_behind(x, y, stop, n, d, b):  # type: ignore[no-untyped-def]
    """y = the causal part of the filter, for rows up to stop.

    Before the lines the output is constant: there the value itself counts, with coefficients b of its own.
    """
    n0, n1, n2, n3 = n[0], n[1], n[2], n[3]
    d1, d2, d3, d4 = d[0], d[1], d[2], d[3]
    for i in range(min(4, stop)):
        for j in range(_LANES):
            k, border = (i + 4) * _LANES + j, x[j]
            found = x[k] * n0 + x[k - _LANES] * n1 + x[k - 2 * _LANES] * n2 + x[k - 3 * _LANES] * n3
            y1 = y[k - _LANES] * d1 if i > 0 else border * b[0]
            y2 = y[k - 2 * _LANES] * d2 if i > 1 else border * b[1]
            y3 = y[k - 3 * _LANES] * d3 if i > 2 else border * b[2]
            y[k] = found - (y1 + y2 + y3 + border * b[3])
    for i in range(4, stop):
        values, found = x[i * _LANES : (i + 5) * _LANES], y[i * _LANES : (i + 5) * _LANES]
        for j in range(_LANES):
            j1, j2, j3, j4 = j + 3 * _LANES, j + 2 * _LANES, j + _LANES, j
            found[j + 4 * _LANES] = (
                values[j + 4 * _LANES] * n0 + values[j1] * n1 + values[j2] * n2 + values[j3] * n3
            ) - (found[j1] * d1 + found[j2] * d2 + found[j3] * d3 + found[j4] * d4)


@numba.njit(cache=True, error_model="numpy")
def _look_ahead(x, y, length, start, m, d, b):  # type: ignore[no-untyped-def]
    """y = the anticausal part of the filter, from the last row up to start."""
    m1, m2, m3, m4 = m[0], m[1], m[2], m[3]
    d1, d2, d3, d4 = d[0], d[1], d[2], d[3]
    for i in range(length - 1, start - 1, -1):
        values, found = x[(i + 4) * _LANES : (i + 9) * _LANES], y[(i + 4) * _LANES : (i + 9) * _LANES]
        behind = length - 1 - i
        if behind < 4:
            for j in range(_LANES):
                border = x[(length + 4) * _LANES + j]
                y1 = found[j + _LANES] * d1 if behind > 0 else border * b[0]
                y2 = found[j + 2 * _LANES] * d2 if behind > 1 else border * b[1]
                y3 = found[j + 3 * _LANES] * d3 if behind > 2 else border * b[2]
                found[j] = (
                    values[j + _LANES] * m1 + values[j + 2 * _LANES] * m2
                    + values[j + 3 * _LANES] * m3 + values[j + 4 * _LANES] * m4
                ) - (y1 + y2 + y3 + border * b[3])  # fmt: skip
        else:
            for j in range(_LANES):
                j1, j2, j3, j4 = j + _LANES, j + 2 * _LANES, j + 3 * _LANES, j + 4 * _LANES
                found[j] = (values[j1] * m1 + values[j2] * m2 + values[j3] * m3 + values[j4] * m4) - (
                    found[j1] * d1 + found[j2] * d2 + found[j3] * d3 + found[j4] * d4
                )


@numba.njit(cache=True, error_model="numpy")
def _added(along_x, along_y, divisor_x, divisor_y):  # type: ignore[no-untyped-def]
    """Sum of the second derivatives as ITK takes it: scaled by reciprocals, rounded to float32 after each."""
    by_x, by_y = 1.0 / divisor_x, 1.0 / divisor_y
    out = np.empty(along_x.shape, dtype=np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            first = np.float32(np.float64(along_x[i, j]) * by_x)
            out[i, j] = np.float32(np.float64(first) + np.float64(along_y[i, j]) * by_y)
    return out
