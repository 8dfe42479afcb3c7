"""A histogram as inline SVG: how many features lie in each part of a range, block upon block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .figures import arm_class, ticks
from .numbers import fixed

Floats = NDArray[np.float64]

WIDTH, HEIGHT, LEFT, TOP = 420, 150, 62, 10


def histogram(
    blocks: Mapping[str, Sequence[float]], *, n_bins: int, mark: float, label: str, axis: str, of: str
) -> Markup:
    """Counts from 0 to 1; what lies below 0 is in the first bar.

    Parameters
    ----------
    blocks : mapping of str to sequence of float
        Finite values of each block, coloured as the arm of that name; later ones stand on earlier ones.
    n_bins : int
        Bars from 0 to 1.
    mark : float
        Where a dashed line stands.
    label : str
        What a screen reader says.
    axis, of : str
        Words along the axes.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    counts = {name: np.histogram(np.clip(values, 0, 1), edges)[0] for name, values in blocks.items()}
    top = max(1, int(sum(counts.values(), np.zeros(n_bins, dtype=np.int64)).max()))
    parts = [
        Markup('<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            LEFT + WIDTH + 14, TOP + HEIGHT + 48, label
        )
    ]
    for value in ticks(0, top, about=4):
        y = TOP + HEIGHT * (1 - value / top)
        parts.append(
            Markup(
                '<path class="grid" d="M{} {:.1f}h{}"/><text class="tick" x="{}" y="{:.1f}" dy="4" '
                'text-anchor="end">{}</text>'
            ).format(LEFT, y, WIDTH, LEFT - 8, y, fixed(value, 0))
        )
    floor = np.zeros(n_bins)
    for name, values in counts.items():
        parts.append(_bars(arm_class(name), edges, floor, values, top))
        floor += values
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                LEFT + WIDTH * value, TOP + HEIGHT + 18, fixed(value, 2)
            )
        )
    parts.append(
        Markup(
            '<path class="chance" d="M{0:.1f} {1}v{2}"/>'
            '<text class="axis" x="{3}" y="{4}" text-anchor="middle">{5}</text>'
            '<text class="axis" text-anchor="middle" transform="translate(12 {6}) rotate(-90)">{7}</text></svg>'
        ).format(
            LEFT + WIDTH * mark, TOP, HEIGHT, LEFT + WIDTH / 2, TOP + HEIGHT + 40, axis, TOP + HEIGHT / 2, of
        )
    )  # fmt: skip
    return Markup("").join(parts)


def _bars(css: str, edges: Floats, floor: Floats, values: NDArray[np.int64], top: int) -> Markup:
    scale = HEIGHT / top
    bars = [
        Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            css, LEFT + WIDTH * low + 0.5, TOP + HEIGHT - (base + n) * scale, WIDTH * (high - low) - 1, n * scale
        )
        for (low, high), base, n in zip(pairwise(edges), floor, values, strict=True)
        if n
    ]
    return Markup("").join(bars)
