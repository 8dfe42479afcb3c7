"""IBSI's texture matrices by their definitions, in any number of dimensions, and its digital phantom.

Loops over voxels and neighbours, nothing shared with the product. The published matrices of the phantom show that
these are right; they then judge the product on regions that no table has.
"""

from collections import Counter
from itertools import product

import numpy as np
import scipy.ndimage

# Four slices of 4 x 5 voxels; 0 is outside. IBSI reference manual, arXiv 1612.07003v11, section 5.1 (CC BY 4.0).
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)


def directions(n_axes):
    """One of each pair of opposite neighbours at distance 1."""
    every = [step for step in product((-1, 0, 1), repeat=n_axes) if any(step)]
    return [step for step in every if step > tuple(-s for s in step)]


def _voxels(levels):
    return {tuple(int(i) for i in place): int(levels[tuple(place)]) for place in np.argwhere(levels > 0)}


def _moved(place, step, times=1):
    return tuple(p + times * s for p, s in zip(place, step, strict=True))


def glcm(levels, step):
    """Pairs of neighbours along a direction, both ways round."""
    voxels, found = _voxels(levels), Counter()
    for place, level in voxels.items():
        other = voxels.get(_moved(place, step))
        if other:
            found[level, other] += 1
            found[other, level] += 1
    return found


def glrlm(levels, step):
    """Runs along a direction by level and length."""
    voxels, found = _voxels(levels), Counter()
    for place, level in voxels.items():
        if voxels.get(_moved(place, step, -1)) == level:
            continue
        length = 1
        while voxels.get(_moved(place, step, length)) == level:
            length += 1
        found[level, length] += 1
    return found


def _zones(levels):
    """Connected zones of one level: the level and where it is."""
    touching = np.ones((3,) * levels.ndim)
    for level in np.unique(levels[levels > 0]):
        labels, n = scipy.ndimage.label(levels == level, touching)
        for label in range(1, n + 1):
            yield int(level), labels == label


def glszm(levels):
    """Zones by level and size."""
    return Counter((level, int(zone.sum())) for level, zone in _zones(levels))


def gldzm(levels):
    """Zones by level and distance to the border of the region."""
    inside = np.pad(levels > 0, 1)
    distance = scipy.ndimage.distance_transform_cdt(inside, "taxicab")[(slice(1, -1),) * levels.ndim]
    return Counter((level, int(distance[zone].min())) for level, zone in _zones(levels))


def _around(voxels, place, reach=1):
    every = product(range(-reach, reach + 1), repeat=len(place))
    return [voxels[p] for step in every if any(step) and (p := _moved(place, step)) in voxels]


def ngldm(levels, coarseness=0, reach=1):
    """Voxels by level and number of alike neighbours, the voxel itself counted."""
    voxels, found = _voxels(levels), Counter()
    for place, level in voxels.items():
        found[level, 1 + sum(abs(other - level) <= coarseness for other in _around(voxels, place, reach))] += 1
    return found


def ngtdm(levels, reach=1):
    """Of each level: summed difference from the mean of the neighbours, and voxels that have neighbours."""
    voxels, found = _voxels(levels), {}
    for place, level in voxels.items():
        around = _around(voxels, place, reach)
        if around:
            total, n = found.get(level, (0.0, 0))
            found[level] = total + abs(level - sum(around) / len(around)), n + 1
    return found
