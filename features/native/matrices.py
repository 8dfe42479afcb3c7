"""Counts behind the texture classes.

Each is one pass over the grey levels of a region, row by row, with what lies outside counted as level 0 and left out
afterwards, so that the loops have no branches that depend on the mask. Counts are integers: they are exact.
"""

from __future__ import annotations

import numba
import numpy as np

FORWARD = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns to the neighbour at distance 1: one of each pair of opposite directions."""

SMALL = 64
"""Zones up to this many pixels are counted in a table."""

_ROW = 16
"""Places per level in tables of few columns, so that a place fits the type of the levels and needs no second index."""


def type_of_levels(n_levels: int, shape: tuple[int, ...]) -> type[np.int16] | type[np.int32]:
    """Narrowest type that holds the places of all levels, and the lengths of runs: a vector unit takes more of them.

    Examples
    --------
    >>> type_of_levels(32, (600, 600)).__name__, type_of_levels(4096, (600, 600)).__name__
    ('int16', 'int32')
    """
    return np.int16 if max((n_levels + 1) * _ROW, *shape) < np.iinfo(np.int16).max else np.int32


@numba.njit(cache=True, error_model="numpy")
def count_pairs(levels, n_levels):  # type: ignore[no-untyped-def]
    """Co-occurrence at distance 1, shape (4, n_levels, n_levels): how often level i is followed by level j.

    Parameters
    ----------
    levels : ndarray of a signed integer, shape (rows + 2, columns + 2)
        1 to n_levels in the region, 0 elsewhere and in a frame of one pixel; :func:`type_of_levels` tells the type.
    n_levels : int
    """
    n = n_levels + 1
    height, width = levels.shape
    flat = np.zeros((4, n * n), dtype=np.int32)
    right, below_left, below, below_right = flat[0], flat[1], flat[2], flat[3]
    for i in range(1, height - 1):
        row, under = levels[i], levels[i + 1]
        for j in range(1, width - 1):
            g = np.uint32(row[j]) * np.uint32(n)  # an unsigned index needs no look at whether it is negative
            if g == 0:
                continue
            right[g + np.uint32(row[j + 1])] += 1
            below_left[g + np.uint32(under[j - 1])] += 1
            below[g + np.uint32(under[j])] += 1
            below_right[g + np.uint32(under[j + 1])] += 1
    return flat.reshape((4, n, n))[:, 1:, 1:].astype(np.float64)


@numba.njit(cache=True, error_model="numpy")
def count_runs(levels, n_levels):  # type: ignore[no-untyped-def]
    """Runs per direction, level and length - 1, shape (4, n_levels, longest side).

    Every pixel counts at the length that its run has reached there. A run of length a passes each length up to a once:
    those of exactly that length are the difference to the next.
    """
    height, width = levels.shape
    inner = width - 2
    longest = max(height, width) - 2
    stride = np.int32(longest + 2)
    reached = np.zeros((4, (n_levels + 1) * stride), dtype=np.int32)
    # Lengths so far of the runs that come from above, by direction, for this row and for the next.
    length = np.ones((2, 3, width), dtype=levels.dtype)
    along = np.empty(inner, dtype=levels.dtype)
    key = np.empty((4, inner), dtype=np.int32)
    for i in range(1, height - 1):
        row, right, under = levels[i][1 : width - 1], levels[i][2:width], levels[i + 1]
        here, following = length[i % 2], length[(i + 1) % 2]
        run = 1
        for j in range(inner):
            along[j] = run
            run = run + 1 if row[j] == right[j] else 1
        for j in range(inner):
            key[0, j] = row[j] * stride + along[j]
        for k in range(3):
            _follow(row, under[k : k + inner], here[k][1 : width - 1], following[k][k : k + inner], key[k + 1], stride)
        following[0, inner] = 1
        following[2, 1] = 1
        for j in range(inner):
            reached[0, np.uint32(key[0, j])] += 1
            reached[1, np.uint32(key[1, j])] += 1
            reached[2, np.uint32(key[2, j])] += 1
            reached[3, np.uint32(key[3, j])] += 1
    runs = np.empty((4, n_levels, longest), dtype=np.int32)
    for k in range(4):
        for g in range(n_levels):
            counts, to = reached[k, (g + 1) * stride : (g + 2) * stride], runs[k, g]
            for a in range(longest):
                to[a] = counts[a + 1] - counts[a + 2]
    return runs


@numba.njit(cache=True, error_model="numpy")
def _follow(row, other, length, following, key, stride):  # type: ignore[no-untyped-def]
    """Lengths that runs have in the next row, and where those of this row are counted."""
    for j in range(row.size):
        g, a = row[j], length[j]
        following[j] = a + 1 if g == other[j] else 1
        key[j] = g * stride + a


@numba.njit(cache=True, error_model="numpy")
def count_dependence(levels, n_levels, alpha):  # type: ignore[no-untyped-def]
    """Pixels per level and number of neighbours at distance 1 within alpha levels, shape (n_levels, 9)."""
    height, width = levels.shape
    inner = width - 2
    found = np.zeros((2, (n_levels + 1) * _ROW), dtype=np.int32)
    key = np.zeros(inner + 1, dtype=levels.dtype)
    alpha = levels.dtype.type(alpha)
    for i in range(1, height - 1):
        above, row, under = levels[i - 1], levels[i], levels[i + 1]
        a, b, c = above[:inner], above[1 : inner + 1], above[2 : inner + 2]
        d, centre, e = row[:inner], row[1 : inner + 1], row[2 : inner + 2]
        f, g, h = under[:inner], under[1 : inner + 1], under[2 : inner + 2]
        if alpha == 0:  # alike is then in the region too
            for j in range(inner):
                x = centre[j]
                key[j] = (
                    x * _ROW + (a[j] == x) + (b[j] == x) + (c[j] == x) + (d[j] == x)
                    + (e[j] == x) + (f[j] == x) + (g[j] == x) + (h[j] == x)
                )  # fmt: skip
        else:
            for j in range(inner):
                x = centre[j]
                similar = 0
                for y in (a[j], b[j], c[j], d[j], e[j], f[j], g[j], h[j]):
                    similar += (y != 0) & (abs(y - x) <= alpha)
                key[j] = x * _ROW + similar
        for j in range(0, inner, 2):
            found[0, np.uint32(key[j])] += 1
            found[1, np.uint32(key[j + 1])] += 1
    return (found[0] + found[1]).reshape((n_levels + 1, _ROW))[1:, :9]


@numba.njit(cache=True, error_model="numpy")
def count_neighbours(levels, n_levels, count_alone):  # type: ignore[no-untyped-def]
    """Per level: pixels, and the sum of their differences from the neighbours' mean (n_levels, 2).

    A pixel without neighbours has no difference; whether it counts as a pixel is for the caller to say.
    """
    height, width = levels.shape
    inner = width - 2
    # Differences by number of neighbours: |g k - total| is an integer, so the sums are exact.
    number = np.zeros((2, (n_levels + 1) * _ROW), dtype=np.int64)
    sums = np.zeros((2, (n_levels + 1) * _ROW), dtype=np.int64)
    key, difference = np.zeros(inner + 1, dtype=levels.dtype), np.zeros(inner + 1, dtype=levels.dtype)
    total, count = np.empty(width, dtype=levels.dtype), np.empty(width, dtype=np.int8)
    there = np.zeros((height, width), dtype=np.int8)
    for i in range(height):
        for j in range(width):
            there[i, j] = levels[i, j] != 0
    for i in range(1, height - 1):
        # Of three rows, then of three columns: a pixel is its own neighbour here, which changes k and total alike.
        _add_rows(levels[i - 1], levels[i], levels[i + 1], total)
        _add_rows(there[i - 1], there[i], there[i + 1], count)
        centre = levels[i][1 : inner + 1]
        left, middle, right = total[:inner], total[1 : inner + 1], total[2 : inner + 2]
        n_left, n_middle, n_right = count[:inner], count[1 : inner + 1], count[2 : inner + 2]
        for j in range(inner):
            g = centre[j]
            k = n_left[j] + n_middle[j] + n_right[j]
            difference[j] = abs(g * k - (left[j] + middle[j] + right[j]))
            key[j] = g * _ROW + k
        for j in range(0, inner, 2):
            first, second = np.uint32(key[j]), np.uint32(key[j + 1])
            sums[0, first] += difference[j]
            number[0, first] += 1
            sums[1, second] += difference[j + 1]
            number[1, second] += 1
    out = np.zeros((n_levels, 2), dtype=np.float64)
    for g in range(1, n_levels + 1):
        for k in range(1, 10):
            place = g * _ROW + k
            if k > 1 or count_alone:
                out[g - 1, 0] += number[0, place] + number[1, place]
            if k > 1:
                out[g - 1, 1] += (sums[0, place] + sums[1, place]) / (k - 1)
    return out


@numba.njit(cache=True, error_model="numpy")
def _add_rows(above, row, under, total):  # type: ignore[no-untyped-def]
    for j in range(row.size):
        total[j] = above[j] + row[j] + under[j]


@numba.njit(cache=True, error_model="numpy")
def count_zones(levels, n_levels):  # type: ignore[no-untyped-def]
    """8-connected zones of one level, by level and size: small ones as a table (n_levels, 64), large ones one by one.

    A pixel takes the zone of a neighbour before it. If that above is alike, the others before it are in its zone
    already; only the one above to the right can bring two zones together (Wu et al. 2009,
    doi 10.1007/s10044-008-0109-y). Where a pixel looks is told beforehand, so that it is no branch.
    """
    height, width = levels.shape
    inner = width - 2
    most = _count_starts(levels) + 1
    root = np.arange(most).astype(np.int32)
    size = np.zeros(most, dtype=np.int32)
    level = np.zeros(most, dtype=np.int32)
    # Zones of the row above and of this one, in turn; the place before them stays 0, where no neighbour is alike.
    zone = np.zeros(2 * width + 1, dtype=np.int32)
    source, fresh = np.empty(inner, dtype=np.int32), np.empty(inner, dtype=np.int32)
    joins, meeting = np.empty(inner, dtype=np.int32), np.empty(inner + 1, dtype=np.int32)
    n_zones = 0
    for i in range(1, height - 1):
        before, here = (1, width + 1) if i % 2 else (width + 1, 1)
        row = levels[i][1 : width - 1]
        _look_around(levels[i - 1], levels[i], before, here, source, fresh, joins)
        to = zone[here + 1 : here + 1 + inner]
        n_meeting = 0
        for j in range(inner):
            n_zones += fresh[j]
            known = np.uint32(zone[np.uint32(source[j])])  # an unsigned index needs no look at whether it is negative
            found = np.uint32(n_zones) if fresh[j] != 0 else known
            to[j] = found
            level[found] = row[j]
            size[found] += 1
            meeting[np.uint32(n_meeting)] = j
            n_meeting += joins[j]
        for k in range(n_meeting):
            j = meeting[k]
            first, second = zone[before + j + 2], zone[before + j if levels[i - 1, j] == row[j] else here + j]
            if first != second:
                to[j] = _joined(root, first, second)
    for k in range(n_zones, 0, -1):  # a root comes before what is joined to it
        n_pixels = size[k]
        size[k] = 0
        size[root[k]] += n_pixels
    small = np.zeros((n_levels + 1, SMALL + 1), dtype=np.int32)
    n_large = 0
    for k in range(1, n_zones + 1):
        n_pixels = size[k]
        if n_pixels > SMALL:
            level[n_large], size[n_large] = level[k], n_pixels
            n_large += 1
        else:
            small[level[k], n_pixels] += 1
    return small[1:, 1:].copy(), level[:n_large].copy(), size[:n_large].copy()


@numba.njit(cache=True, error_model="numpy")
def _count_starts(levels):  # type: ignore[no-untyped-def]
    """Pixels that are like none before them, counted column by column in the type of the levels."""
    inner = levels.shape[1] - 2
    starts = np.zeros(inner, dtype=levels.dtype)
    for i in range(1, levels.shape[0] - 1):
        above, row = levels[i - 1], levels[i]
        for j in range(inner):
            g = row[j + 1]
            starts[j] += (g != 0) & (g != above[j]) & (g != above[j + 1]) & (g != above[j + 2]) & (g != row[j])
    return starts.sum()


@numba.njit(cache=True, error_model="numpy")
def _look_around(above, row, before, here, source, fresh, joins):  # type: ignore[no-untyped-def]
    """Where each pixel's zone is to be read, which pixels start one, and which bring two together."""
    for j in range(source.size):
        g = row[j + 1]
        left, up_left, up, up_right = row[j] == g, above[j] == g, above[j + 1] == g, above[j + 2] == g
        place = here + j if left else 0
        place = before + j if up_left else place
        place = before + j + 2 if up_right else place
        place = before + j + 1 if up else place
        inside = g != 0
        source[j] = place if inside else 0
        fresh[j] = inside & (place == 0)
        joins[j] = inside & up_right & (not up) & (left | up_left)


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
