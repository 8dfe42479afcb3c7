"""Masks for tests of overlap: the same pair for the same seed, on every machine."""

import numpy as np


def ellipse(shape, row, column, height, width):
    """A filled ellipse; beyond the picture's edge it is cut off."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1


def pair(seed):
    """A reference of one or two ellipses, some cut by the picture's edge, and another drawing of it."""
    rng = np.random.default_rng(seed)
    shape = 90, 70
    reference, found = np.zeros(shape, bool), np.zeros(shape, bool)
    for _ in range(1 + seed % 2):
        row, column, height, width = rng.integers([0, 0, 4, 4], [90, 70, 20, 20])
        reference |= ellipse(shape, row, column, height, width)
        moved = np.array([row, column, height, width]) + rng.integers(-3, 4, 4)
        found |= ellipse(shape, *moved)
    if seed % 3 == 0:
        found |= ellipse(shape, *rng.integers([0, 0], [90, 70]), 3, 3)
    return reference, found
