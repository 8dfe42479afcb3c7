"""Counts behind the texture classes at any distances; :mod:`matrices` has the faster ones of distance 1."""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np


@lru_cache(maxsize=16)
def offsets(distances: tuple[int, ...]) -> np.ndarray:
    """Rows and columns to neighbours whose larger part is one of the distances: one of each opposite pair.

    Examples
    --------
    >>> offsets((1,)).tolist()
    [[0, 1], [1, -1], [1, 0], [1, 1]]
    """
    reach = max(distances)
    found = [
        (down, right)
        for down in range(reach + 1)
        for right in range(-reach, reach + 1)
        if max(down, abs(right)) in distances and (down > 0 or right > 0)
    ]
    return np.array(found, dtype=np.int64)


@numba.njit(cache=True, error_model="numpy")
def count_far_pairs(levels, n_levels, steps):  # type: ignore[no-untyped-def]
    """Co-occurrence, shape (steps, n_levels, n_levels).

    Parameters
    ----------
    levels : ndarray of int32, shape (rows, columns)
        1 to n_levels in the region, 0 elsewhere.
    n_levels : int
    steps : ndarray of int64, shape (steps, 2)
        As :func:`offsets` gives them.
    """
    height, width = levels.shape
    pairs = np.zeros((len(steps), n_levels, n_levels), dtype=np.float64)
    for a in range(len(steps)):
        down, right = steps[a]
        for i in range(height - down):
            for j in range(max(0, -right), min(width, width - right)):
                g, n = levels[i, j], levels[i + down, j + right]
                if g != 0 and n != 0:
                    pairs[a, g - 1, n - 1] += 1
    return pairs


@numba.njit(cache=True, error_model="numpy")
def count_far_neighbours(levels, n_levels, steps, alpha, count_alone):  # type: ignore[no-untyped-def]
    """Dependence (n_levels, 2 steps + 1) and neighbours (n_levels, 2) at these steps and their opposites."""
    height, width = levels.shape
    dependence = np.zeros((n_levels, 2 * len(steps) + 1), dtype=np.int32)
    neighbours = np.zeros((n_levels, 2), dtype=np.float64)
    for i in range(height):
        for j in range(width):
            g = levels[i, j]
            if g == 0:
                continue
            similar, total, count = 0, 0, 0
            for a in range(2 * len(steps)):
                sign = 1 if a % 2 == 0 else -1
                r, c = i + sign * steps[a // 2, 0], j + sign * steps[a // 2, 1]
                if r < 0 or c < 0 or r >= height or c >= width or levels[r, c] == 0:
                    continue
                count += 1
                total += levels[r, c]
                if abs(levels[r, c] - g) <= alpha:
                    similar += 1
            dependence[g - 1, similar] += 1
            neighbours[g - 1, 0] += 1 if count > 0 or count_alone else 0
            if count > 0:
                neighbours[g - 1, 1] += abs(g - total / count)
    return dependence, neighbours
