"""Counts behind the texture classes.

Each is one pass over the grey levels of a region, row by row, with what lies outside counted as level 0 and left out
afterwards, so that the loops have no branches that depend on the mask. Counts are integers: they are exact.
"""

from __future__ import annotations

import numba
import numpy as np

FORWARD = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns to the neighbour at distance 1: one of each pair of opposite directions."""


@numba.njit(cache=True, error_model="numpy")
def count_pairs(levels, n_levels):  # type: ignore[no-untyped-def]
    """Co-occurrence at distance 1, shape (4, n_levels, n_levels): how often level i is followed by level j.

    Parameters
    ----------
    levels : ndarray of int32, shape (rows + 2, columns + 2)
        1 to n_levels in the region, 0 elsewhere and in a frame of one pixel.
    n_levels : int
    """
    n = n_levels + 1
    height, width = levels.shape
    flat = np.zeros((4, n * n), dtype=np.int32)
    right, below_left, below, below_right = flat[0], flat[1], flat[2], flat[3]
    for i in range(1, height - 1):
        row, under = levels[i], levels[i + 1]
        for j in range(1, width - 1):
            g = row[j] * n
            if g == 0:
                continue
            right[g + row[j + 1]] += 1
            below_left[g + under[j - 1]] += 1
            below[g + under[j]] += 1
            below_right[g + under[j + 1]] += 1
    return flat.reshape((4, n, n))[:, 1:, 1:].astype(np.float64)


@numba.njit(cache=True, error_model="numpy")
def count_runs(levels, n_levels):  # type: ignore[no-untyped-def]
    """Runs per direction, level and length - 1, shape (4, n_levels, longest side)."""
    height, width = levels.shape
    n = max(height, width)
    runs = np.zeros((4, (n_levels + 1) * n), dtype=np.int32)
    length = np.ones((2, 3, width), dtype=np.int32)
    place = np.empty((4, width), dtype=np.int32)
    for i in range(1, height - 1):
        row, under = levels[i], levels[i + 1]
        here, following = length[i % 2], length[(i + 1) % 2]
        run = 1
        for j in range(1, width - 1):
            same = row[j] == row[j + 1]
            place[0, j] = j if same else row[j] * n + run
            run = run + 1 if same else 1
        for k in range(3):
            to, a, target = following[k], here[k], place[k + 1]
            shifted = under[k : width - 2 + k]
            for j in range(1, width - 1):
                same = row[j] == shifted[j - 1]
                to[j + k - 1] = a[j] + 1 if same else 1
                # A run that goes on is counted where level 0 is, at a place of its own: no branch, no waiting.
                target[j] = j if same else row[j] * n + a[j]
        following[0, width - 2] = 1
        following[2, 1] = 1
        for k in range(4):
            count, target = runs[k], place[k]
            for j in range(1, width - 1):
                count[target[j]] += 1
    return runs.reshape((4, n_levels + 1, n))[:, 1:, 1:].copy()


@numba.njit(cache=True, error_model="numpy")
def count_dependence(levels, n_levels, alpha):  # type: ignore[no-untyped-def]
    """Pixels per level and number of neighbours at distance 1 within alpha levels, shape (n_levels, 9)."""
    height, width = levels.shape
    found = np.zeros((n_levels + 1, 9), dtype=np.int32)
    similar = np.empty(width, dtype=levels.dtype)
    alpha = levels.dtype.type(alpha)
    for i in range(1, height - 1):
        above, row, under = levels[i - 1], levels[i], levels[i + 1]
        for j in range(1, width - 1):
            g = row[j]
            similar[j] = (
                ((above[j - 1] != 0) & (abs(above[j - 1] - g) <= alpha))
                + ((above[j] != 0) & (abs(above[j] - g) <= alpha))
                + ((above[j + 1] != 0) & (abs(above[j + 1] - g) <= alpha))
                + ((row[j - 1] != 0) & (abs(row[j - 1] - g) <= alpha))
                + ((row[j + 1] != 0) & (abs(row[j + 1] - g) <= alpha))
                + ((under[j - 1] != 0) & (abs(under[j - 1] - g) <= alpha))
                + ((under[j] != 0) & (abs(under[j] - g) <= alpha))
                + ((under[j + 1] != 0) & (abs(under[j + 1] - g) <= alpha))
            )
        for j in range(1, width - 1):
            found[row[j], similar[j]] += 1
    return found[1:]


@numba.njit(cache=True, error_model="numpy")
def count_neighbours(levels, n_levels):  # type: ignore[no-untyped-def]
    """Per level: pixels, and the sum of their differences from the neighbours' mean (n_levels, 2)."""
    height, width = levels.shape
    number = np.zeros(n_levels + 1, dtype=np.int64)
    # Differences by number of neighbours: |g k - total| is an integer, so the sums are exact.
    sums = np.zeros((n_levels + 1, 9), dtype=np.int64)
    total = np.empty(width, dtype=levels.dtype)
    count = np.empty(width, dtype=levels.dtype)
    for i in range(1, height - 1):
        above, row, under = levels[i - 1], levels[i], levels[i + 1]
        for j in range(1, width - 1):
            total[j] = (
                above[j - 1]
                + above[j]
                + above[j + 1]
                + row[j - 1]
                + row[j + 1]
                + under[j - 1]
                + under[j]
                + under[j + 1]
            )
            k = (
                (above[j - 1] != 0) + (above[j] != 0) + (above[j + 1] != 0) + (row[j - 1] != 0)
                + (row[j + 1] != 0) + (under[j - 1] != 0) + (under[j] != 0) + (under[j + 1] != 0)
            )  # fmt: skip
            count[j] = k
            total[j] = abs(row[j] * k - total[j])
        for j in range(1, width - 1):
            g = row[j]
            sums[g, count[j]] += total[j]
            number[g] += 1
    out = np.zeros((n_levels, 2), dtype=np.float64)
    for g in range(1, n_levels + 1):
        out[g - 1, 0] = number[g]
        for k in range(1, 9):
            out[g - 1, 1] += sums[g, k] / k
    return out


@numba.njit(cache=True, error_model="numpy")
def find_zones(levels):  # type: ignore[no-untyped-def]  # noqa: C901
    """Level and size of every 8-connected zone of one level.

    A pixel takes the zone of a neighbour before it. If that above is alike, the others before it are in its zone
    already; only the one above to the right can bring two zones together (Wu et al. 2009, doi 10.1007/s10044-008-0109-y).
    """
    height, width = levels.shape
    most = 1
    for i in range(1, height - 1):
        above, row = levels[i - 1], levels[i]
        for j in range(1, width - 1):
            g = row[j]
            most += (g != 0) & (g != above[j - 1]) & (g != above[j]) & (g != above[j + 1]) & (g != row[j - 1])
    root = np.arange(most).astype(np.int32)
    size = np.zeros(most, dtype=np.int32)
    level = np.zeros(most, dtype=np.int32)
    label = np.zeros((2, width), dtype=np.int32)
    n_zones = 0
    for i in range(1, height - 1):
        above, row = levels[i - 1], levels[i]
        before, here = label[(i + 1) % 2], label[i % 2]
        for j in range(1, width - 1):
            g = row[j]
            if g == 0:
                continue
            if above[j] == g:
                zone = before[j]
            elif above[j + 1] == g:
                zone = before[j + 1]
                if above[j - 1] == g:
                    zone = _joined(root, zone, before[j - 1])
                elif row[j - 1] == g:
                    zone = _joined(root, zone, here[j - 1])
            elif above[j - 1] == g:
                zone = before[j - 1]
            elif row[j - 1] == g:
                zone = here[j - 1]
            else:
                n_zones += 1
                zone = n_zones
                level[zone] = g
            here[j] = zone
            size[zone] += 1
    kept = 0
    for k in range(n_zones, 0, -1):
        if root[k] != k:
            size[root[k]] += size[k]
        else:
            kept += 1
    zone_level = np.empty(kept, dtype=np.int64)
    zone_size = np.empty(kept, dtype=np.int64)
    place = 0
    for k in range(1, n_zones + 1):
        if root[k] == k:
            zone_level[place] = level[k]
            zone_size[place] = size[k]
            place += 1
    return zone_level, zone_size


@numba.njit(cache=True, error_model="numpy")
def _joined(root, a, b):  # type: ignore[no-untyped-def]
    """The first of two zones' roots, under which both now are."""
    while root[a] != a:
        root[a] = root[root[a]]
        a = root[a]
    while root[b] != b:
        root[b] = root[root[b]]
        b = root[b]
    if a < b:
        root[b] = a
        return a
    root[a] = b
    return b
