"""Figures of the sections on SHAP: credit with its interval, places of features, two measures beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from .figures import arm_class, ticks
from .numbers import MINUS


def credit_bar(value: float, low: float, high: float, most: float, css: str) -> Markup:
    """A figure of 0 or more as a bar out of `most`, with its interval as a whisker where there is one."""
    scale = 108 / most if most > 0 else 0.0
    whisker = Markup("")
    if math.isfinite(low) and math.isfinite(high):
        whisker = Markup('<path class="whisker" d="M{0:.1f} 4V10M{0:.1f} 7H{1:.1f}M{1:.1f} 4V10"/>').format(
            1 + scale * low, 1 + scale * min(high, most)
        )
    return Markup(
        '<svg class="credit {}" viewBox="0 0 110 14" aria-hidden="true"><rect class="track" y="2" width="110" '
        'height="10"/><rect class="fill" y="2" width="{:.1f}" height="10"/>{}</svg>'
    ).format(css, 1 + scale * value, whisker)


def places_bar(place: float, drawn: tuple[float, float], single: tuple[float, float], last: int) -> Markup:
    """A feature's place from 1 (left) to `last`: a dot, its interval over patients, its range in single models."""

    def at(value: float) -> float:
        return 6 + 178 * (min(value, last) - 1) / max(last - 1, 1)

    known = math.isfinite(drawn[0]) and math.isfinite(drawn[1])
    interval = Markup('<path class="drawn" d="M{:.1f} 8H{:.1f}"/>').format(*map(at, drawn)) if known else Markup("")
    return Markup(
        '<svg class="places" viewBox="0 0 190 16" aria-hidden="true"><path class="rail" d="M6 8H184"/>'
        '<path class="single" d="M{:.1f} 8H{:.1f}"/>{}<circle cx="{:.1f}" cy="8" r="3.2"/></svg>'
    ).format(at(single[0]) - 1, at(single[1]) + 1, interval, at(place))


def scatter(points: Sequence[tuple[float, float, str]], axes: tuple[str, str], label: str) -> Markup:
    """Points of two measures, one circle each, with a line where the second is 0.

    Parameters
    ----------
    points : sequence of (x, y, block)
        `x` is 0 or more; `block` gives the colour.
    axes : tuple of str
        What stands along the axes.
    label : str
        What a screen reader says.
    """
    width, height, left, top = 420, 260, 62, 10
    right = max([x for x, _, _ in points], default=0.0) or 1.0
    low, high = min([0.0, *(y for _, y, _ in points)]), max([0.0, *(y for _, y, _ in points)])
    high = high if high > low else low + 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + 8 + (width - 16) * x / right, top + 8 + (height - 16) * (high - y) / (high - low)

    parts = [
        Markup('<svg class="scatter" viewBox="0 0 500 324" role="img" aria-label="{}">').format(label),
        Markup('<rect class="plot" x="{}" y="{}" width="{}" height="{}"/>').format(left, top, width, height),
        Markup('<path class="chance" d="M{} {:.1f}h{}"/>').format(left, place(0, 0)[1], width),
    ]
    for value in ticks(0, right):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                place(value, 0)[0], top + height + 18, _short(value)
            )
        )
    for value in ticks(low, high):
        parts.append(
            Markup('<text class="tick" x="{}" y="{:.1f}" dy="4" text-anchor="end">{}</text>').format(
                left - 8, place(0, value)[1], _short(value)
            )
        )
    for x, y, block in points:
        parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3.4"/>').format(arm_class(block), *place(x, y))
        )
    parts.append(
        Markup(
            '<text class="axis" x="{}" y="316" text-anchor="middle">{}</text>'
            '<text class="axis" text-anchor="middle" transform="translate(12 {}) rotate(-90)">{}</text></svg>'
        ).format(left + width / 2, axes[0], top + height / 2, axes[1])
    )
    return Markup("").join(parts)


def _short(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)
