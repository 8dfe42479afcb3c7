"""VIA contours: polygons, ellipses, circles, rectangles, points and polylines of the VGG Image Annotator."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...features.errors import CohortError, MaskError
from ...features.image import Image
from ...features.mask import Mask
from ..contour import POINT_RADIUS_PX, Polylines, Region, analytic_area, rasterise
from ..text_table import read_text_table

_MAX_JSON_BYTES = 256 * 1024 * 1024
_SURE_AREA_PX = 64.0


@dataclass(frozen=True, slots=True)
class ViaImage:
    """What a VIA file says of one picture.

    Parameters
    ----------
    regions : tuple of Region
    file_size : int, optional
        Bytes of the file on which the contours were drawn.
    """

    regions: tuple[Region, ...]
    file_size: int | None = None


@dataclass(frozen=True)
class ViaMask:
    """The union of the regions that were drawn on one picture.

    Pixels whose centres lie in a region, as :mod:`cemrad.pipeline.contour` says; what lies beyond
    the picture is cut off.

    Parameters
    ----------
    regions : tuple of Region
    point_radius_px : float
        Radius of the disc that stands for a point.
    polylines : {"closed", "ignored"}
        Whether a polyline counts as the outline of its region.
    """

    regions: tuple[Region, ...]
    point_radius_px: float = POINT_RADIUS_PX
    polylines: Polylines = "closed"

    def read(self, image: Image) -> Mask:
        """The mask on this picture.

        Raises
        ------
        MaskError
            ``geometry.outside`` if less than half of the contours' area lies on the picture: they
            were drawn on another one, or on this one at another size.
        """
        mask = np.zeros(image.shape, dtype=bool)
        inside = 0
        for region in self.regions:
            part = rasterise(region, image.shape, self.point_radius_px, self.polylines)
            inside += int(np.count_nonzero(part))
            mask |= part
        total = sum(self.areas_px())
        size = f"{image.shape[0]} x {image.shape[1]}"
        if total >= _SURE_AREA_PX and inside < 0.5 * total:
            raise MaskError(
                "geometry.outside",
                f"{inside} px of the contours' {total:.0f} px lie on the picture of {size} pixels (rows x columns); "
                "give the picture on which they were drawn, at its own size",
            )
        return mask

    def content(self) -> str:
        """The contours, and how they are filled."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def areas_px(self) -> list[float]:
        """Area of each region in square pixels, in closed form and uncut."""
        return [analytic_area(region, self.point_radius_px, self.polylines) for region in self.regions]


SOURCE = ViaMask


def read_via(path: Path) -> dict[str, ViaImage]:
    """Regions by picture file name, from a VIA 2 CSV export, annotation export or project (JSON).

    Raises
    ------
    CohortError
        If the file is none of these, or a region in it lacks a number; the message says where.
    """
    if path.suffix.lower() == ".json":
        return _read_json(path)
    frame = read_text_table(path)
    absent = [name for name in ("#filename", "region_shape_attributes") if name not in frame]
    if absent:
        raise CohortError(f"{path.name}: not a VIA export; it has no column {absent[0]}")
    sizes = frame["file_size"] if "file_size" in frame else [""] * len(frame)
    found: dict[str, tuple[list[Region], int | None]] = {}
    for line, name, size, text in zip(
        frame.index, frame["#filename"], sizes, frame["region_shape_attributes"], strict=True
    ):
        regions, _ = found.setdefault(name, ([], _whole(size)))
        regions += _regions([_json(text, f"{path.name}: line {line}")], f"{path.name}: line {line}")
    return {name: ViaImage(tuple(regions), size) for name, (regions, size) in found.items()}


def parse_region(attributes: Mapping[str, Any]) -> Region:
    """A region from VIA's shape attributes.

    Raises
    ------
    ValueError
        If a number is missing or not finite, or the shape is not known.

    Examples
    --------
    >>> parse_region({"name": "circle", "cx": 10, "cy": 8, "r": 3}).rx
    3.0
    """
    shape = attributes.get("name")
    if shape in ("polygon", "polyline"):
        xs, ys = _numbers(attributes["all_points_x"]), _numbers(attributes["all_points_y"])
        if len(xs) != len(ys):
            raise ValueError(f"{len(xs)} x and {len(ys)} y coordinates")
        if len(xs) < (3 if shape == "polygon" else 1):
            raise ValueError(f"a {shape} of {len(xs)} points")
        return Region(shape, xs, ys)
    if shape == "rect":
        x, y, width, height = _numbers(attributes[key] for key in ("x", "y", "width", "height"))
        return Region("polygon", (x, x + width, x + width, x), (y, y, y + height, y + height))
    if shape not in ("circle", "ellipse", "point"):
        raise ValueError(f"shape {shape!r} is not known")
    cx, cy, theta = _numbers((attributes["cx"], attributes["cy"], attributes.get("theta", 0.0)))
    names = {"circle": ("r", "r"), "ellipse": ("rx", "ry"), "point": ()}[shape]
    rx, ry = _numbers(attributes[name] for name in names) or (0.0, 0.0)
    if min(rx, ry) < 0:
        raise ValueError("a negative radius")
    return Region(shape, (cx,), (cy,), rx, ry, theta)


def _read_json(path: Path) -> dict[str, ViaImage]:
    if not path.is_file() or path.stat().st_size > _MAX_JSON_BYTES:
        raise CohortError(f"{path}: no such file, or larger than {_MAX_JSON_BYTES} bytes")
    try:
        content = _json(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError):
        raise CohortError(f"{path.name}: not text in UTF-8 that can be read") from None
    images = content.get("_via_img_metadata", content)
    found = {}
    for entry in images.values() if isinstance(images, dict) else [images]:
        if not isinstance(entry, dict) or "filename" not in entry or "regions" not in entry:
            raise CohortError(f"{path.name}: not a VIA project or annotation export")
        listed = entry["regions"].values() if isinstance(entry["regions"], dict) else entry["regions"]
        where = f"{path.name}: {entry['filename']}"
        if not isinstance(listed, Iterable) or not all(isinstance(region, dict) for region in listed):
            raise CohortError(f"{where}: its regions are not a list of VIA regions")
        regions = _regions([region.get("shape_attributes", {}) for region in listed], where)
        found[str(entry["filename"])] = ViaImage(tuple(regions), _whole(str(entry.get("size", ""))))
    return found


def _regions(attributes: Iterable[Mapping[str, Any]], where: str) -> list[Region]:
    """Regions of what VIA wrote; a picture without any has empty attributes."""
    try:
        return [parse_region(item) for item in attributes if item]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CohortError(f"{where}: a region that cannot be read ({error})") from None


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise CohortError(f"{where}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise CohortError(f"{where}: expected a JSON object")
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two alike, JSON's reader would take the last and say nothing."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the same key twice")
    return found


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a coordinate that is not finite")
    return numbers


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 and int(text) > 0 else None
