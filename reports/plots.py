"""Plots of operating curves, calibration, net benefit and subgroups as inline SVG, like the figures beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from .figures import arm_class, ticks
from .numbers import fixed

FOREST_WIDTH, FOREST_MARGIN = 280, 12


class Point(NamedTuple):
    """A point with its interval; NaN where there is none."""

    x: float
    y: float
    low: float
    high: float


class Axes(NamedTuple):
    """A plot's ground: where its values lie in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float
    height: float
    left: float = 46
    top: float = 10

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A value's place, held within the plot."""
        across = (min(max(x, self.x[0]), self.x[1]) - self.x[0]) / (self.x[1] - self.x[0])
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + self.width * across, self.top + self.height * (1 - up)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """A line through values."""
        return "M" + "L".join("{:.1f} {:.1f}".format(*self.place(x, y)) for x, y in points)


def square(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    band: tuple[str, Sequence[Point]],
    chance: Sequence[tuple[float, float]],
    axes_titles: tuple[str, str],
    label: str,
) -> Markup:
    """Curves of several arms between 0 and 1, such as ROC curves, with the band of one of them.

    Parameters
    ----------
    curves : sequence of (arm, points)
        Drawn in this order, so the last lies on top.
    band : tuple of (arm, points)
        Points without bounds are left out.
    chance : sequence of (x, y)
        The dashed line of no knowledge.
    axes_titles : tuple of str
        Across and up.
    label : str
        What a screen reader says.
    """
    axes = Axes((0, 1), (0, 1), 360, 360)
    parts = [_open(axes, label), *_grid(axes, 1), _band_area(axes, band[1], band[0])]
    parts.append(Markup('<path class="chance" d="{}"/>').format(axes.path(chance)))
    for arm, line in curves:
        parts.append(Markup('<path class="curve {}" d="{}"/>').format(arm_class(arm), axes.path(line)))
    return Markup("").join([*parts, _close(axes, *axes_titles)])


def calibration(groups: Sequence[Point], smooth: Sequence[Point], arm: str, label: str) -> Markup:
    """Observed share over predicted probability: groups with intervals, the smooth curve with its band."""
    axes = Axes((0, 1), (0, 1), 200, 200)
    parts = [_open(axes, label), *_grid(axes, 1), _diagonal(axes)]
    parts += _band(axes, smooth, arm)
    for point in groups:
        x, y = axes.place(point.x, point.y)
        _, bottom = axes.place(point.x, point.low)
        _, top = axes.place(point.x, point.high)
        parts.append(
            Markup(
                '<path class="whisker {0}" d="M{1:.1f} {2:.1f}V{3:.1f}"/>'
                '<circle class="dot-of {0}" cx="{1:.1f}" cy="{4:.1f}" r="3"/>'
            ).format(arm_class(arm), x, bottom, top, y)
        )
    return Markup("").join([*parts, _close(axes, "predicted probability", "observed share")])


def decision(
    curves: Sequence[tuple[str, Sequence[Point]]], everyone: Sequence[Point], banded: str, label: str
) -> Markup:
    """Net benefit over the threshold: every arm, acting on everyone, acting on no one, and one arm's band.

    Parameters
    ----------
    curves : sequence of (arm, points)
        Drawn in this order.
    everyone : sequence of Point
        Acting on all; no one is the line at 0.
    banded : str
        The arm whose band is drawn.
    label : str
        What a screen reader says.
    """
    values = [point.y for _, points in curves for point in points] + [point.y for point in everyone]
    top = max(values, default=0.1)
    low = max(min(values, default=0.0), -0.25 * top)
    xs = [point.x for point in everyone]
    axes = Axes((0, max(xs, default=1)), (min(low, 0), 1.05 * max(top, 0.01)), 440, 260, left=52)
    parts = [_open(axes, label), *_grid(axes, 2)]
    parts += [_band_area(axes, points, arm) for arm, points in curves if arm == banded]
    # What leaves the plot below is not drawn along its edge.
    shown = [point for point in everyone if point.y >= axes.y[0]]
    parts.append(Markup('<path class="everyone" d="{}"/>').format(axes.path([(p.x, p.y) for p in shown])))
    parts.append(Markup('<path class="nobody" d="{}"/>').format(axes.path([(axes.x[0], 0), (axes.x[1], 0)])))
    for arm, points in curves:
        line = axes.path([(point.x, point.y) for point in points])
        parts.append(Markup('<path class="curve {}" d="{}"/>').format(arm_class(arm), line))
    return Markup("").join([*parts, _close(axes, "threshold probability", "net benefit")])


def forest_row(
    estimate: float, low: float, high: float, size: float, reference: float, chance: float, arm: str
) -> Markup:
    """One row of a forest plot, AUC from 0.2 to 1: interval, square, and a line at the AUC of all cases.

    Parameters
    ----------
    estimate, low, high : float
        Finite estimate; NaN bounds are not drawn.
    size : float
        Share of the cases, 0 to 1: the area of the square.
    reference, chance : float
        AUC of all cases (NaN: no line), and of no knowledge.
    arm : str
    """
    side = 4 + 9 * math.sqrt(min(max(size, 0.0), 1.0))
    x = forest_place(estimate)
    lines = [Markup('<path class="chance" d="M{:.1f} 0V24"/>').format(forest_place(chance))]
    if math.isfinite(reference):
        lines.append(Markup('<path class="whole" d="M{:.1f} 0V24"/>').format(forest_place(reference)))
    if math.isfinite(low) and math.isfinite(high):
        lines.append(
            Markup('<path class="whisker" d="M{:.1f} 12H{:.1f}"/>').format(forest_place(low), forest_place(high))
        )
    return Markup(
        '<svg class="forest {}" viewBox="0 0 {} 24" aria-hidden="true">{}'
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></svg>'
    ).format(arm_class(arm), FOREST_WIDTH, Markup("").join(lines), x - side / 2, 12 - side / 2, side, side)


def forest_whole(estimate: float, low: float, high: float, chance: float) -> Markup:
    """The row of all cases in a forest plot: a diamond from bound to bound, its middle at the estimate."""
    x = forest_place(estimate)
    known = math.isfinite(low) and math.isfinite(high)
    left, right = (forest_place(low), forest_place(high)) if known else (x - 4, x + 4)
    return Markup(
        '<svg class="forest" viewBox="0 0 {0} 24" aria-hidden="true"><path class="chance" d="M{1:.1f} 0V24"/>'
        '<path class="whole" d="M{2:.1f} 0V24"/>'
        '<path class="diamond" d="M{3:.1f} 12L{2:.1f} 6L{4:.1f} 12L{2:.1f} 18Z"/></svg>'
    ).format(FOREST_WIDTH, forest_place(chance), x, left, right)


def forest_axis() -> Markup:
    """The axis below the rows of a forest plot."""
    marks = [
        Markup(
            '<path class="grid" d="M{0:.1f} 0v5"/><text class="tick" x="{0:.1f}" y="18" text-anchor="middle">{1}</text>'
        ).format(forest_place(value), fixed(value, 1))
        for value in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    return Markup('<svg class="forest" viewBox="0 0 {} 22" aria-hidden="true">{}</svg>').format(
        FOREST_WIDTH, Markup("").join(marks)
    )


def forest_place(auc: float) -> float:
    """Where an AUC stands in a forest plot; below 0.2 at its edge."""
    return FOREST_MARGIN + (FOREST_WIDTH - 2 * FOREST_MARGIN) * (min(max(auc, 0.2), 1.0) - 0.2) / 0.8


def _open(axes: Axes, label: str) -> Markup:
    return Markup(
        '<svg class="plain-plot" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">'
        '<rect class="plot" x="{}" y="{}" width="{}" height="{}"/>'
    ).format(
        axes.left + axes.width + 14, axes.top + axes.height + 54, label, axes.left, axes.top, axes.width, axes.height
    )


def _grid(axes: Axes, digits: int) -> list[Markup]:
    parts = []
    for value in ticks(*axes.x):
        x, _ = axes.place(value, axes.y[0])
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1}v{2}"/>'
                '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(x, axes.top, axes.height, axes.top + axes.height + 18, fixed(value, 1))
        )
    for value in ticks(*axes.y):
        _, y = axes.place(axes.x[0], value)
        parts.append(
            Markup(
                '<path class="grid" d="M{0} {1:.1f}h{2}"/>'
                '<text class="tick" x="{3}" y="{1:.1f}" dy="4" text-anchor="end">{4}</text>'
            ).format(axes.left, y, axes.width, axes.left - 8, fixed(value, digits))
        )
    return parts


def _diagonal(axes: Axes) -> Markup:
    return Markup('<path class="chance" d="{}"/>').format(axes.path([(0, 0), (1, 1)]))


def _band(axes: Axes, points: Sequence[Point], arm: str) -> list[Markup]:
    if not points:
        return []
    line = axes.path([(point.x, point.y) for point in points])
    return [_band_area(axes, points, arm), Markup('<path class="curve solid {}" d="{}"/>').format(arm_class(arm), line)]


def _band_area(axes: Axes, points: Sequence[Point], arm: str) -> Markup:
    known = [point for point in points if math.isfinite(point.low) and math.isfinite(point.high)]
    if not known:
        return Markup("")
    edge = [(point.x, point.high) for point in known] + [(point.x, point.low) for point in reversed(known)]
    return Markup('<path class="band {}" d="{}Z"/>').format(arm_class(arm), axes.path(edge))


def _close(axes: Axes, across: str, up: str) -> Markup:
    return Markup(
        '<text class="axis" x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>'
        '<text class="axis" text-anchor="middle" transform="translate(12 {:.0f}) rotate(-90)">{}</text></svg>'
    ).format(axes.left + axes.width / 2, axes.top + axes.height + 42, across, axes.top + axes.height / 2, up)
