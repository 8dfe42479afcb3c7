"""Plots of masks as inline SVG: how their overlap is spread, and lesions found by false positives per image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from .figures import arm_class
from .numbers import fixed
from .plots import Axes

COLOURS = ("fused", "radiomics", "deep", "fused+clinical", "other", "clinical")
"""Arms of features whose colours arms of masks take, in this order."""
WIDTH, ROW, LEFT, RIGHT, TOP = 300, 44, 12, 12, 6
_LOWEST, _HIGHEST = 0.125, 8.0


def colour(at: int) -> str:
    """CSS class of the colour of the n-th arm of masks."""
    return arm_class(COLOURS[at % len(COLOURS)])


class Strip(NamedTuple):
    """One row of a spread: its colour's class and its values from 0 to 1."""

    css: str
    values: Sequence[float]


def spread(strips: Sequence[Strip], label: str) -> Markup:
    """Values from 0 to 1, a row for each strip: a dot per value, a box from quartile to quartile, a line at the median.

    Parameters
    ----------
    strips : sequence of Strip
    label : str
        What a screen reader says.
    """
    height = ROW * len(strips)
    axes = Axes((0, 1), (0, 1), WIDTH, height, left=LEFT, top=TOP)
    parts = [
        Markup('<svg class="plain-plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            LEFT + WIDTH + RIGHT, TOP + height + 22, label
        )
    ]
    for value in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, _ = axes.place(value, 0)
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1}v{2}"/>'
                '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(x, TOP, height, TOP + height + 16, fixed(value, 1))
        )
    for row, strip in enumerate(strips):
        parts += _strip(strip, TOP + ROW * (row + 0.5), axes)
    return Markup("").join([*parts, Markup("</svg>")])


def _strip(strip: Strip, middle: float, axes: Axes) -> Iterator[Markup]:
    if not len(strip.values):
        return
    low, median, high = (axes.place(float(q), 0)[0] for q in np.quantile(strip.values, [0.25, 0.5, 0.75]))
    yield Markup('<rect class="band {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="24"/>').format(
        strip.css, low, middle - 12, max(high - low, 0.8)
    )
    for x, y in _beside([axes.place(value, 0)[0] for value in strip.values]):
        yield Markup('<circle class="dot-of {}" cx="{:.1f}" cy="{:.1f}" r="1.6"/>').format(strip.css, x, middle + y)
    yield Markup('<path class="nobody" d="M{:.1f} {:.1f}v28"/>').format(median, middle - 14)


def _beside(places: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Dots of one place above and below each other in turn, closer where they are many."""
    columns: dict[int, list[float]] = {}
    for x in sorted(places):
        columns.setdefault(round(x / 3), []).append(x)
    for members in columns.values():
        gap = min(3.4, 30 / len(members))
        for turn, x in enumerate(members):
            yield x, (1 if turn % 2 else -1) * gap * ((turn + 1) // 2)


class Found(NamedTuple):
    """A free-response ROC curve: its colour's class, its corners, and the point at which the drawer works."""

    css: str
    false_positives: Sequence[float]
    sensitivity: Sequence[float]
    operating: tuple[float, float]


def free_response(curves: Sequence[Found], label: str) -> Markup:
    """Lesion sensitivity over false positives per image, from 1/8 to 8, each step twice the last.

    Parameters
    ----------
    curves : sequence of Found
        A curve is a staircase; its operating point is a dot, at the edge where it lies outside.
    label : str
        What a screen reader says.
    """
    axes = Axes((math.log2(_LOWEST), math.log2(_HIGHEST)), (0, 1), 300, 200)
    parts = [
        Markup(
            '<svg class="plain-plot" viewBox="0 0 360 264" role="img" aria-label="{}">'
            '<rect class="plot" x="{}" y="{}" width="{}" height="{}"/>'
        ).format(label, axes.left, axes.top, axes.width, axes.height)
    ]
    for power in range(-3, 4):
        x, _ = axes.place(power, 0)
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1}v{2}"/>'
                '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(x, axes.top, axes.height, axes.top + axes.height + 18, f"1/{2**-power}" if power < 0 else 2**power)
        )
    for value in (0, 0.2, 0.4, 0.6, 0.8, 1):
        _, y = axes.place(0, value)
        parts.append(
            Markup(
                '<path class="grid" d="M{0} {1:.1f}h{2}"/>'
                '<text class="tick" x="{3}" y="{1:.1f}" dy="4" text-anchor="end">{4}</text>'
            ).format(axes.left, y, axes.width, axes.left - 8, fixed(value, 1))
        )
    for curve in curves:
        path = axes.path([(math.log2(x), y) for x, y in staircase(curve.false_positives, curve.sensitivity)])
        parts.append(Markup('<path class="curve {}" d="{}"/>').format(curve.css, path))
        rate, share = curve.operating
        if math.isfinite(share):
            x, y = axes.place(math.log2(max(rate, _LOWEST)), share)
            parts.append(Markup('<circle class="dot-of {}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(curve.css, x, y))
    parts.append(
        Markup(
            '<text class="axis" x="{}" y="254" text-anchor="middle">false positives per image</text>'
            '<text class="axis" text-anchor="middle" transform="translate(12 {}) rotate(-90)">lesion sensitivity</text>'
            "</svg>"
        ).format(axes.left + axes.width / 2, axes.top + axes.height / 2)
    )
    return Markup("").join(parts)


def staircase(false_positives: Sequence[float], sensitivity: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of a curve between 1/8 and 8 false positives per image; it rises where a threshold lets more through.

    Examples
    --------
    >>> staircase([0.0, 0.5, 20.0], [0.2, 0.6, 0.9])
    [(0.125, 0.2), (0.5, 0.2), (0.5, 0.6), (8.0, 0.6)]
    """
    points = list(zip(false_positives, sensitivity, strict=True))
    level = max([0.0, *(y for x, y in points if x <= _LOWEST)])
    corners = [(_LOWEST, level)]
    for x, y in sorted(point for point in points if _LOWEST < point[0] <= _HIGHEST):
        corners += [(x, level), (x, y)]
        level = y
    return [*corners, (_HIGHEST, level)]
