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
_LANES = 256  # lines filtered side by side: enough for vector units, few enough for the cache

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
    near = np.ascontiguousarray(pixels[wide.slices], dtype=np.float64)
    rows, columns = box.within(wide).slices
    smooth = [coefficients(0, s, spacing[axis], sigma) for axis, s in enumerate(sigma_px)]
    second = [coefficients(2, s, spacing[axis], sigma) for axis, s in enumerate(sigma_px)]
    # Lines run down the first axis in the kernel, so a filter along columns works on the transpose.
    along_x = _along(near.T, second[1], columns.start, columns.stop)
    along_x = _along(along_x.T, smooth[0], rows.start, rows.stop)
    along_y = _along(near, second[0], rows.start, rows.stop)
    along_y = _along(along_y.T, smooth[1], columns.start, columns.stop)
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


def _along(lines: F64 | F32, c: Coefficients, start: int, stop: int) -> F32:
    """Filter every column of `lines` downwards; only rows start to stop are kept."""
    out = np.empty((stop - start, lines.shape[1]), dtype=np.float32)
    _filter_lines(lines, out, start, c.n, c.m, c.d, c.bn, c.bm, _LANES)
    return out


@numba.njit(cache=True, error_model="numpy")
def _filter_lines(lines, out, start, n, m, d, bn, bm, lanes):  # type: ignore[no-untyped-def]
    length, width = lines.shape
    stop = start + out.shape[0]
    # Four rows before and after the lines hold what the filter takes the image to be beyond its border.
    x = np.empty((length + 8, lanes), dtype=np.float64)
    y = np.empty((length + 8, lanes), dtype=np.float64)
    for left in range(0, width, lanes):
        count = min(lanes, width - left)
        for i in range(length + 8):
            source = lines[min(max(i - 4, 0), length - 1), left : left + count]
            row = x[i]
            for j in range(count):
                row[j] = source[j]
        _causal(x, y, min(stop, length), count, n, d, bn)
        _anticausal(x, y, out, start, stop, left, count, m, d, bm)


@numba.njit(cache=True, error_model="numpy")
def _causal(x, y, stop, count, n, d, bn):  # type: ignore[no-untyped-def]
    """y = the part of the filter that looks back, for rows up to stop."""
    n0, n1, n2, n3 = n[0], n[1], n[2], n[3]
    for i in range(4, stop + 4):
        a, a1, a2, a3, to = x[i], x[i - 1], x[i - 2], x[i - 3], y[i]
        for j in range(count):
            to[j] = a[j] * n0 + a1[j] * n1 + a2[j] * n2 + a3[j] * n3
        # Beyond the border the output is constant: there the value itself counts, with a coefficient of its own.
        b1, c1 = (y[i - 1], d[0]) if i > 4 else (x[0], bn[0])
        b2, c2 = (y[i - 2], d[1]) if i > 5 else (x[0], bn[1])
        b3, c3 = (y[i - 3], d[2]) if i > 6 else (x[0], bn[2])
        b4, c4 = (y[i - 4], d[3]) if i > 7 else (x[0], bn[3])
        for j in range(count):
            to[j] -= b1[j] * c1 + b2[j] * c2 + b3[j] * c3 + b4[j] * c4


@numba.njit(cache=True, error_model="numpy")
def _anticausal(x, y, out, start, stop, left, count, m, d, bm):  # type: ignore[no-untyped-def]
    """Add to y the part that looks ahead, from the end of the lines up, and keep rows start to stop."""
    length = x.shape[0] - 8
    m1, m2, m3, m4 = m[0], m[1], m[2], m[3]
    border = x[length + 7]
    z = np.empty((5, count), dtype=np.float64)
    for i in range(length + 3, start + 3, -1):
        a1, a2, a3, a4, to = x[i + 1], x[i + 2], x[i + 3], x[i + 4], z[i % 5]
        for j in range(count):
            to[j] = a1[j] * m1 + a2[j] * m2 + a3[j] * m3 + a4[j] * m4
        behind = length + 3 - i
        b1, c1 = (z[(i + 1) % 5], d[0]) if behind > 0 else (border, bm[0])
        b2, c2 = (z[(i + 2) % 5], d[1]) if behind > 1 else (border, bm[1])
        b3, c3 = (z[(i + 3) % 5], d[2]) if behind > 2 else (border, bm[2])
        b4, c4 = (z[(i + 4) % 5], d[3]) if behind > 3 else (border, bm[3])
        for j in range(count):
            to[j] -= b1[j] * c1 + b2[j] * c2 + b3[j] * c3 + b4[j] * c4
        if i - 4 < stop:
            back, target = y[i], out[i - 4 - start, left : left + count]
            for j in range(count):
                target[j] = np.float32(back[j] + to[j])


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
