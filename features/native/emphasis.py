"""Sixteen measures of a matrix of grey levels by sizes: what runs, zones and dependences have in common.

A matrix counts how often level i (from 1) comes with size j (from 1): a run's length, a zone's area, a pixel's number
of dependent neighbours plus one. IBSI 3.7, 3.8 and 3.11 define the same measures for each.
"""

from __future__ import annotations

import numba
import numpy as np

MEASURES = (
    "small", "large", "level_nonuniformity", "level_nonuniformity_normalised", "size_nonuniformity",
    "size_nonuniformity_normalised", "percentage", "level_variance", "size_variance", "entropy", "low", "high",
    "small_low", "small_high", "large_low", "large_high",
)  # fmt: skip
"""With p the count over its sum n: small = sum p / j^2, large = sum p j^2, low = sum p / i^2, high = sum p i^2 and
their four products; nonuniformity = sum of squared margins / n (normalised / n^2); percentage = n / sum of counts j;
variances of i and j under p; entropy = -sum p log2 p."""

_EPS = np.spacing(1.0)


@numba.njit(cache=True, error_model="numpy")
def measure_matrix(level, size, count, n_levels):  # type: ignore[no-untyped-def]
    """The measures, in the order of MEASURES; nan where the matrix is empty.

    Parameters
    ----------
    level, size, count : ndarray of float64, shape (entries,)
        Entries that are not 0, those of one size next to each other.
    n_levels : int
    """
    out = np.full(16, np.nan)
    n = 0.0
    for k in range(count.size):
        n += count[k]
    if n == 0:
        return out
    by_level = np.zeros(n_levels + 1)
    small = large = low = high = small_low = small_high = large_low = large_high = 0.0
    entropy = pixels = mean_size = mean_level = squares = run = 0.0
    for k in range(count.size):
        i, j, c = level[k], size[k], count[k]
        i2, j2 = i * i, j * j
        by_level[int(i)] += c
        if k > 0 and size[k - 1] != j:
            squares += run * run
            run = 0.0
        run += c
        small += c / j2
        large += c * j2
        low += c / i2
        high += c * i2
        small_low += c / (i2 * j2)
        small_high += c * i2 / j2
        large_low += c * j2 / i2
        large_high += c * (i2 * j2)
        p = c / n
        entropy -= p * np.log2(p + _EPS)
        pixels += c * j
        mean_size += p * j
        mean_level += p * i
    squares += run * run
    level_variance = size_variance = level_squares = 0.0
    for k in range(count.size):
        p = count[k] / n
        level_variance += p * (level[k] - mean_level) ** 2
        size_variance += p * (size[k] - mean_size) ** 2
    for i in range(n_levels + 1):
        level_squares += by_level[i] ** 2
    out[0], out[1], out[2], out[3] = small / n, large / n, level_squares / n, level_squares / n**2
    out[4], out[5], out[6] = squares / n, squares / n**2, n / pixels
    out[7], out[8], out[9], out[10], out[11] = level_variance, size_variance, entropy, low / n, high / n
    out[12], out[13], out[14], out[15] = small_low / n, small_high / n, large_low / n, large_high / n
    return out


@numba.njit(cache=True, error_model="numpy")
def entries(matrix):  # type: ignore[no-untyped-def]
    """Level, size and count of the entries that are not 0 of a dense matrix (levels, sizes), size by size."""
    n = 0
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            n += 1 if matrix[i, j] != 0 else 0
    level, size, count = np.empty(n), np.empty(n), np.empty(n)
    k = 0
    for j in range(matrix.shape[1]):
        for i in range(matrix.shape[0]):
            if matrix[i, j] != 0:
                level[k], size[k], count[k] = i + 1, j + 1, matrix[i, j]
                k += 1
    return level, size, count


@numba.njit(cache=True, error_model="numpy")
def measure_dense(matrices):  # type: ignore[no-untyped-def]
    """The measures of each of several dense matrices (matrices, levels, sizes), shape (matrices, 16)."""
    found = np.empty((len(matrices), 16))
    for k in range(len(matrices)):
        level, size, count = entries(matrices[k])
        found[k] = measure_matrix(level, size, count, matrices.shape[1])
    return found
