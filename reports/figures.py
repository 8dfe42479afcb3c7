"""Figures as inline SVG: no network, no plotting library; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from markupsafe import Markup

from .numbers import fixed

N_HUES = 9
"""Steps of the colour scale from a low to a high feature value: classes ``h0`` to ``h8``."""

SWARM_WIDTH, SWARM_HEIGHT, SWARM_MARGIN = 380, 34, 16
BAR_WIDTH = 300


def arm_class(arm: str) -> str:
    """CSS class of an arm's colour; arms that the palette does not know share one."""
    known = {"clinical", "radiomics", "deep", "fused", "fused+clinical"}
    return f"arm-{arm.replace('+', '-')}" if arm in known else "arm-other"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, roughly `about` of them.

    Examples
    --------
    >>> ticks(-0.9, 1.3)
    [-0.5, 0.0, 0.5, 1.0]
    """
    raw = max(high - low, 1e-12) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def interval_bar(estimate: float, low: float, high: float, arm: str, chance: float) -> Markup:
    """An AUC and its interval on a line from 0.2 to 1 with a mark at chance."""

    def place(value: float) -> float:
        return 4 + 112 * (min(max(value, 0.2), 1.0) - 0.2) / 0.8

    whisker = Markup("")
    if math.isfinite(low) and math.isfinite(high):
        whisker = Markup('<path class="whisker" d="M{:.1f} 8H{:.1f}"/>').format(place(low), place(high))
    return Markup(
        '<svg class="interval {}" viewBox="0 0 120 16" aria-hidden="true"><path class="chance" d="M{:.1f} 0V16"/>{}'
        '<circle cx="{:.1f}" cy="8" r="3.6"/></svg>'
    ).format(arm_class(arm), place(chance), whisker, place(estimate))


def share_bar(share: float, css: str) -> Markup:
    """A share between 0 and 1 as a bar."""
    return Markup(
        '<svg class="share {}" viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="200" height="12"/><rect class="fill" width="{:.1f}" height="12"/></svg>'
    ).format(css, 200 * share)


def swarm(shap: Sequence[float], rank: Sequence[float], domain: tuple[float, float]) -> Markup:
    """One row of a beeswarm: a dot per prediction, coloured by the feature's value.

    Parameters
    ----------
    shap : sequence of float
        Position of each dot.
    rank : sequence of float
        Rank of the feature's value between 0 and 1; NaN where it was missing.
    domain : tuple of float
        Ends of the axis that all rows share.
    """
    dots: dict[str, list[str]] = {}
    for (x, y), value in zip(_stack([_across(v, domain) for v in shap]), rank, strict=True):
        hue = "none" if math.isnan(value) else str(min(int(value * N_HUES), N_HUES - 1))
        dots.setdefault(hue, []).append(f"M{x:.1f} {y:.1f}h0")
    paths = [Markup('<path class="dot h{}" d="{}"/>').format(hue, "".join(dots[hue])) for hue in sorted(dots)]
    return Markup('<svg class="swarm" viewBox="0 0 {} {}" aria-hidden="true">{}{}</svg>').format(
        SWARM_WIDTH, SWARM_HEIGHT, _zero(domain, SWARM_HEIGHT), Markup("").join(paths)
    )


def swarm_axis(domain: tuple[float, float]) -> Markup:
    """The axis below the rows of a beeswarm."""
    marks = [
        Markup(
            '<path class="grid" d="M{0:.1f} 0v5"/><text class="tick" x="{0:.1f}" y="18" text-anchor="middle">{1}</text>'
        ).format(_across(value, domain), _tick(value))
        for value in ticks(*domain, about=7)
    ]
    return Markup('<svg class="swarm" viewBox="0 0 {} 22" aria-hidden="true">{}</svg>').format(
        SWARM_WIDTH, Markup("").join(marks)
    )


def waterfall_bar(start: float, end: float, domain: tuple[float, float], base: float) -> Markup:
    """One step of a waterfall, from `start` to `end` on the margin scale; the base value is a dashed line."""

    def place(value: float) -> float:
        return 6 + (BAR_WIDTH - 12) * (value - domain[0]) / (domain[1] - domain[0])

    x0, x1 = place(start), place(end)
    width = max(abs(x1 - x0), 0.8)
    return Markup(
        '<svg class="step" viewBox="0 0 {} 20" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="chance" d="M{:.1f} 0V20"/>'
        '<rect class="{}" x="{:.1f}" y="4" width="{:.1f}" height="12"/><path class="link" d="M{:.1f} 16V20"/></svg>'
    ).format(BAR_WIDTH, place(base), "up" if end >= start else "down", min(x0, x1), width, x1)


def waterfall_domain(base: float, moves: Sequence[float], margin: float) -> tuple[float, float]:
    """Smallest and largest value that a waterfall reaches.

    Examples
    --------
    >>> waterfall_domain(-1.0, [2.0, -0.5], 0.5)
    (-1.0, 1.0)
    """
    reached = [*accumulate(moves, initial=base), margin]
    low, high = min(reached), max(reached)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def probability_track(probability: float, threshold: float, low: float, high: float) -> Markup:
    """A probability between 0 and 1 as a dot, its range over repeats as a bar, the threshold as a line."""
    return Markup(
        '<svg class="meter" viewBox="0 0 164 20" aria-hidden="true"><path class="rail" d="M2 10H162"/>'
        '<path class="range" d="M{:.1f} 10H{:.1f}"/><path class="cut" d="M{:.1f} 2V18"/>'
        '<circle class="{}" cx="{:.1f}" cy="10" r="4.5"/></svg>'
    ).format(
        2 + 160 * low, 2 + 160 * high, 2 + 160 * threshold, "up" if probability >= threshold else "down",
        2 + 160 * probability,
    )  # fmt: skip


def learning_curve(
    points: Sequence[tuple[float, float, float, float]], fit: Sequence[tuple[float, float]], arm: str, label: str
) -> Markup:
    """AUC with its intervals by the number of persons to learn from, and the law through the points.

    Parameters
    ----------
    points : sequence of (persons, AUC, low, high)
        An end that is not known is NaN: the whisker is left out.
    fit : sequence of (persons, AUC)
        The law; dashed beyond the last point.
    arm : str
    label : str
        What a screen reader says.
    """
    width, height, left, top = 420, 240, 46, 10
    ends = [end for _, _, low, high in points for end in (low, high) if math.isfinite(end)]
    low = math.floor(10 * min([0.5, *ends, *(auc for _, auc, _, _ in points)])) / 10
    last = max([size for size, *_ in points] + [size for size, _ in fit])

    def place(size: float, auc: float) -> tuple[float, float]:
        return left + width * size / last, top + height * (1 - (auc - low) / (1 - low))

    parts = [
        Markup('<svg class="curve-plot" viewBox="0 0 490 304" role="img" aria-label="{}">').format(label),
        Markup('<rect class="plot" x="{}" y="{}" width="{}" height="{}"/>').format(left, top, width, height),
        *(_level(value, place(0, value)[1], left, width) for value in ticks(low, 1.0)),
        *(_size(value, place(value, low), top, height) for value in ticks(0, last)),
    ]
    whole = max(size for size, *_ in points)
    for css, part in (
        ("curve", [at for at in fit if at[0] <= whole]),
        ("curve beyond", [at for at in fit if at[0] >= whole]),
    ):
        path = "L".join("{:.1f} {:.1f}".format(*place(*at)) for at in part)
        if path:
            parts.append(Markup('<path class="{} {}" d="M{}"/>').format(css, arm_class(arm), path))
    for size, auc, least, most in points:
        (x, y), known = place(size, auc), math.isfinite(least) and math.isfinite(most)
        if known:
            whisker = Markup('<path class="whisker {}" d="M{:.1f} {:.1f}V{:.1f}"/>')
            parts.append(whisker.format(arm_class(arm), x, place(size, least)[1], place(size, most)[1]))
        parts.append(Markup('<circle class="point {}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(arm_class(arm), x, y))
    parts.append(
        Markup(
            '<text class="axis" x="{}" y="296" text-anchor="middle">persons to learn from</text>'
            '<text class="axis" text-anchor="middle" transform="translate(12 {}) rotate(-90)">AUC</text></svg>'
        ).format(left + width / 2, top + height / 2)
    )
    return Markup("").join(parts)


def _level(value: float, y: float, left: int, width: int) -> Markup:
    return Markup(
        '<path class="grid" d="M{0} {1:.1f}h{2}"/><text class="tick" x="{3}" y="{1:.1f}" dy="4" '
        'text-anchor="end">{4}</text>'
    ).format(left, y, width, left - 8, fixed(value, 1))


def _size(value: float, at: tuple[float, float], top: int, height: int) -> Markup:
    return Markup(
        '<path class="grid" d="M{0:.1f} {1}v{2}"/><text class="tick" x="{0:.1f}" y="{3:.1f}" '
        'text-anchor="middle">{4}</text>'
    ).format(at[0], top, height, at[1] + 18, fixed(value, 0))


def _across(value: float, domain: tuple[float, float]) -> float:
    return SWARM_MARGIN + (SWARM_WIDTH - 2 * SWARM_MARGIN) * (value - domain[0]) / (domain[1] - domain[0])


def _zero(domain: tuple[float, float], height: int) -> Markup:
    return Markup('<path class="chance" d="M{:.1f} 0V{}"/>').format(_across(0.0, domain), height)


def _stack(places: Sequence[float]) -> list[tuple[float, float]]:
    # Dots that share a column of 4 units lie above and below the middle in turn; a full column overlaps.
    columns: dict[int, list[int]] = {}
    for i, x in enumerate(places):
        columns.setdefault(round(x / 4), []).append(i)
    points = [(x, SWARM_HEIGHT / 2) for x in places]
    room = SWARM_HEIGHT / 2 - 3
    for members in columns.values():
        gap = min(3.6, 2 * room / len(members))
        for turn, i in enumerate(members):
            side = 1 if turn % 2 else -1
            points[i] = (places[i], SWARM_HEIGHT / 2 + side * gap * ((turn + 1) // 2))
    return points


def _tick(value: float) -> str:
    digits = next(d for d in (0, 1, 2, 3, 4) if d == 4 or abs(value * 10**d - round(value * 10**d)) < 1e-6)
    return fixed(value, digits, signed=True)
