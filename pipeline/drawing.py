"""How masks were drawn: tools, vertices and geometry of each, as columns for the confounder panel.

Contours tell it themselves, and no picture is opened for them. A mask that is an image has a geometry only, and
is read with its picture where that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..features.case import Picture
from ..features.errors import CaseError
from ..features.mask import Mask, MaskRules, bounding_box
from ..models.confounders import FAMILY
from .cohort import Cohort
from .contour import POINT_RADIUS_PX, Region
from .masks.via import ViaMask

_TOOLS = {"polygon": "n_polygons", "polyline": "n_polylines", "ellipse": "n_ellipses", "circle": "n_circles",
          "point": "n_points"}  # fmt: skip


def drawing_columns(cohort: Cohort, rules: MaskRules, *, read: bool = False) -> pd.DataFrame:
    """Facts of the masks of every case, picture by picture.

    Parameters
    ----------
    cohort : Cohort
    rules : MaskRules
        For masks that are read.
    read : bool
        Also read masks that are images, which opens their pictures.

    Returns
    -------
    DataFrame
        Index ``case_id``, columns ``confounder:PICTURE:NAME``; NaN where a picture has no mask or cannot be read.
    """
    rows = [
        {
            f"{FAMILY}:{key.name}:{name}": value
            for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order)
            for name, value in _facts(picture, rules, read).items()
        }
        for case in cohort.cases
    ]
    return pd.DataFrame(rows, index=pd.Index([case.case_id for case in cohort.cases], dtype=object), dtype=float)


def _facts(picture: Picture, rules: MaskRules, read: bool) -> dict[str, float]:
    if isinstance(picture.mask, ViaMask):
        return region_facts(picture.mask.regions, picture.mask.point_radius_px)
    if picture.mask is None or not read:
        return {}
    try:
        return mask_facts(picture.read(rules)[1])
    except CaseError:  # its failure stands in the table already
        return {}


def region_facts(regions: Sequence[Region], point_radius_px: float = POINT_RADIUS_PX) -> dict[str, float]:
    """Tools, vertices and geometry of the regions of one picture, in closed form.

    Lengths are in pixels, areas in square pixels; overlaps and what lies beyond the picture count. Only polygons
    and polylines have vertices; the area of an outline that crosses itself is that of the shoelace formula.

    Parameters
    ----------
    regions : sequence of Region
    point_radius_px : float
        Radius of the disc that stands for a point.

    Examples
    --------
    >>> square = Region("polygon", (0, 4, 4, 0), (0, 0, 4, 4))
    >>> facts = region_facts([square])
    >>> facts["n_vertices"], facts["area_px"], facts["perimeter_px"], round(facts["compactness"], 4)
    (4.0, 16.0, 16.0, 0.7854)
    """
    if not regions:
        return {}
    n_vertices = sum(len(region.xs) for region in regions if region.shape in ("polygon", "polyline"))
    style = {name: float(sum(region.shape == tool for region in regions)) for tool, name in _TOOLS.items()}
    style |= {
        "n_regions": float(len(regions)),
        "n_vertices": float(n_vertices),
        "vertices_per_region": n_vertices / len(regions),
    }
    area = sum(_area(region, point_radius_px) for region in regions)
    perimeter = sum(_perimeter(region, point_radius_px) for region in regions)
    boxes = np.array([_box(region, point_radius_px) for region in regions])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return style | _geometry(area, perimeter, (low[0], high[0]), (low[1], high[1]))


def mask_facts(mask: Mask) -> dict[str, float]:
    """Geometry of a mask that is an image: nothing tells how it was drawn.

    The perimeter is Crofton's estimate of scikit-image in four directions.

    Examples
    --------
    >>> mask = np.zeros((9, 9), bool); mask[2:5, 1:7] = True
    >>> facts = mask_facts(mask)
    >>> facts["area_px"], facts["box_rows_px"], facts["centre_column_px"]
    (18.0, 3.0, 4.0)
    """
    from skimage.measure import perimeter_crofton  # slow to import

    top, bottom, left, right = bounding_box(mask)
    cut = np.pad(mask[top:bottom, left:right], 1)
    return _geometry(float(mask.sum()), float(perimeter_crofton(cut, 4)), (top, bottom), (left, right))


def _geometry(
    area: float, perimeter: float, rows: tuple[float, float], columns: tuple[float, float]
) -> dict[str, float]:
    return {
        "area_px": area,
        "perimeter_px": perimeter,
        "compactness": 4 * math.pi * area / perimeter**2 if perimeter else 0.0,
        "box_rows_px": float(rows[1] - rows[0]),
        "box_columns_px": float(columns[1] - columns[0]),
        "centre_row_px": float(rows[0] + rows[1]) / 2,
        "centre_column_px": float(columns[0] + columns[1]) / 2,
    }


def _half_axes(region: Region, point_radius_px: float) -> tuple[float, float]:
    return (point_radius_px, point_radius_px) if region.shape == "point" else (region.rx, region.ry)


def _area(region: Region, point_radius_px: float) -> float:
    """Not the exact area of `contour`, which takes 6 ms for an outline: thousands are asked for in every evaluation."""
    if region.shape in ("polygon", "polyline"):
        x, y = np.asarray(region.xs), np.asarray(region.ys)
        return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    a, b = _half_axes(region, point_radius_px)
    return math.pi * a * b


def _perimeter(region: Region, point_radius_px: float) -> float:
    """Length of the outline; of an ellipse Ramanujan's second approximation."""
    if region.shape in ("polygon", "polyline"):
        points = np.column_stack([region.xs, region.ys])
        return float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())
    a, b = _half_axes(region, point_radius_px)
    if a + b == 0:
        return 0.0
    h = 3 * ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + h / (10 + math.sqrt(4 - h)))


def _box(region: Region, point_radius_px: float) -> tuple[float, float, float, float]:
    """Top, left, bottom, right."""
    if region.shape in ("polygon", "polyline"):
        return min(region.ys), min(region.xs), max(region.ys), max(region.xs)
    (a, b), (x, y) = _half_axes(region, point_radius_px), (region.xs[0], region.ys[0])
    cosine, sine = math.cos(region.theta_rad), math.sin(region.theta_rad)
    width, height = math.hypot(a * cosine, b * sine), math.hypot(a * sine, b * cosine)
    return y - height, x - width, y + height, x + width
