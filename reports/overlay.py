"""Overlays: maps as small transparent pictures on a crop, in colours that most colour-blind readers tell apart."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..features.spread import upsample

Floats = NDArray[np.float64]

SIDE_PX = 56
_LEVELS = 31
_MOST_OPAQUE = 0.8
UP, DOWN, POSITIVE = (255, 140, 0), (58, 134, 255), (202, 92, 221)
"""Orange raises, blue lowers; purple is Grad-CAM's, which has one sign."""
_RAMP = ((0, 32, 76), (66, 77, 107), (124, 123, 120), (188, 175, 111), (255, 233, 69))
"""Five colours of cividis, from low to high (Nunez et al., PLOS ONE 2018, doi 10.1371/journal.pone.0199239)."""


def density(cells: Floats) -> Floats:
    """A map of cells as pixels of the overlay: what lies in 1 % of the square, had all of it this value.

    Examples
    --------
    >>> density(np.array([[0.3]])).mean().round(6)
    np.float64(0.003)
    """
    return upsample(cells, SIDE_PX) * SIDE_PX**2 / 100


def signed(values: Floats, most: float) -> str:
    """A signed map: orange above 0, blue below, the more opaque the farther; 0 is transparent.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    most : float
        The absolute value that is fully coloured.

    Returns
    -------
    str
        Data URI of a PNG.
    """
    level = np.rint((values / most).clip(-1, 1) * _LEVELS) if most > 0 else np.zeros(values.shape)
    opaque = [round(255 * _MOST_OPAQUE * abs(step) / _LEVELS) for step in range(-_LEVELS, _LEVELS + 1)]
    colours = [DOWN if step < 0 else UP for step in range(-_LEVELS, _LEVELS + 1)]
    return _png((level + _LEVELS).astype(np.uint8), colours, opaque)


def positive(values: Floats, most: float) -> str:
    """A map that is nowhere negative: the more opaque purple the higher. As :func:`signed`."""
    level = np.rint((values / most).clip(0, 1) * _LEVELS) if most > 0 else np.zeros(values.shape)
    opaque = [round(255 * _MOST_OPAQUE * step / _LEVELS) for step in range(_LEVELS + 1)]
    return _png(level.astype(np.uint8), [POSITIVE] * (_LEVELS + 1), opaque)


def ramp(values: Floats, low: float, high: float) -> str:
    """Values from dark blue at `low` to yellow at `high`; NaN is transparent. As :func:`signed`."""
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / (high - low) if high > low else np.zeros(values.shape)
    level = np.where(known, 1 + np.rint(share.clip(0, 1) * _LEVELS), 0)
    steps = np.linspace(0, len(_RAMP) - 1, _LEVELS + 1)
    anchors = np.arange(len(_RAMP))
    colours = np.stack([np.interp(steps, anchors, [colour[k] for colour in _RAMP]) for k in range(3)], axis=1)
    listed = [(0, 0, 0), *(tuple(int(part) for part in colour) for colour in colours.round())]
    return _png(level.astype(np.uint8), listed, [0] + [255] * (_LEVELS + 1))


def _png(levels: NDArray[np.uint8], colours: Sequence[tuple[int, ...]], opaque: Sequence[int]) -> str:
    picture = PillowImage.fromarray(levels, mode="P")
    picture.putpalette([part for colour in colours for part in colour])
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True, transparency=bytes(opaque))
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
