"""Where it looked: a case's SHAP values on its pixels, Grad-CAM beside them, and local maps of its radiomics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from ..features.case import PictureKey
from ..models.account import KEY
from ..models.result import Result
from . import overlay
from .crops import show
from .facts import Facts
from .readings import CaseFacts, Reading
from .template import fill
from .words import picture_words

BASE_PX, BASE_QUALITY = 176, 80
LOCAL_PERCENTILES = (2, 98)


@dataclass(frozen=True)
class Film:
    """One picture with something on it.

    Parameters
    ----------
    frame : int
        Number of the picture among the case's frames.
    picture : str
    data_uri : str
        The overlay.
    x, y, width, height : float
        Where it lies, in pixels of the picture from the frame's corner.
    """

    frame: int
    picture: str
    data_uri: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class UnitMap:
    """A unit of the network: its map and its Grad-CAM on each of its pictures, and their numbers."""

    picture: str
    shap: float
    inside: float
    area: float
    films: tuple[Film, ...]
    cams: tuple[Film, ...]


@dataclass(frozen=True)
class EndpointMaps:
    """One endpoint's maps of a case.

    Parameters
    ----------
    reading : Reading
    block : float
        Sum of the SHAP values of all deep features, log odds.
    spread, rest : float
        What of it is on the maps and what is not.
    scale : float
        Log odds in 1 % of the square that are fully coloured; 0 without maps.
    r2 : float
        Of the linear stand-in; NaN without one.
    cells : tuple of int
        Rows and columns of the network's maps.
    units : tuple of UnitMap
    reasons : tuple of (str, float, str)
        Unit, sum and reason of what could not be spread.
    """

    reading: Reading
    block: float
    spread: float
    rest: float
    scale: float
    r2: float
    cells: tuple[int, int]
    units: tuple[UnitMap, ...]
    reasons: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class LocalFilm:
    """A radiomics feature around each pixel, with the values at the ends of the scale; a reason where there is none."""

    feature: str
    reason: str
    film: Film | None = None
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class _Frame:
    """A picture under the maps: its side in its own pixels, as shown, and the factor of its contour."""

    picture: str
    side_px: int
    data_uri: str
    contour: str
    scale: float


@lru_cache(maxsize=1)
def maps_of(result: Result) -> CaseMaps:
    """The maps of a result; those of the last one are kept, as each case asks for them."""
    return CaseMaps(result)


class CaseMaps:
    """The maps of a result, case by case.

    Parameters
    ----------
    result : Result
    """

    def __init__(self, result: Result) -> None:
        tables = result.tables
        self._crops = result.frames
        self._maps, self._rest, self._local = (
            _by_case(tables.get(name)) for name in ("attribution", "attribution_rest", "local_maps")
        )
        self._frames = _sides(tables.get("attribution"), tables.get("local_maps"))

    def of(self, facts: Facts, case: CaseFacts, anchor: str) -> Markup:
        """The case's part of the page, its ids beginning with an anchor; empty where there is nothing to tell."""
        maps, rest, local = (one.get(case.case_id) for one in (self._maps, self._rest, self._local))
        if maps is None and rest is None and local is None:
            return Markup("")
        frames = self._frames_of(case.case_id)
        places = {frame.picture: (i, frame.side_px) for i, frame in enumerate(frames)}
        endpoints = [
            found for reading in case.readings if (found := _endpoint(reading, maps, rest, places)) is not None
        ]
        return fill(
            "case_maps.html.j2",
            facts=facts,
            anchor=anchor,
            frames=frames,
            endpoints=endpoints,
            local=[] if local is None else [_local(row, places) for row in _records(local)],
            picture_words=picture_words,
        )

    def _frames_of(self, case_id: str) -> list[_Frame]:
        crops = self._crops.get(case_id, {})
        frames = []
        for picture in sorted(crops, key=lambda name: PictureKey.parse(name).order):
            side = self._frames.get((case_id, picture), crops[picture].side_px)
            shown = show(crops[picture], BASE_PX, BASE_QUALITY)
            frames.append(_Frame(picture, side, shown.data_uri, shown.contour, side / shown.side_px))
        return frames


def pictures_of(unit: str) -> tuple[str, ...]:
    """The pictures that a unit of the network is made from.

    Examples
    --------
    >>> pictures_of("LERC_CC"), pictures_of("RC_MLO")
    (('LE_CC', 'RC_CC'), ('RC_MLO',))
    """
    key = PictureKey.parse(unit)
    types = ("LE", "RC") if key.image_type == "LERC" else (key.image_type,)
    return tuple(PictureKey(kind, key.view).name for kind in types)


def _by_case(frame: pd.DataFrame | None) -> Mapping[str, pd.DataFrame]:
    return {} if frame is None else {str(key): rows for key, rows in frame.groupby("case_id", sort=False)}


def _sides(*frames: pd.DataFrame | None) -> dict[tuple[str, str], int]:
    """Side of each picture's frame in its own pixels: what is stored may be smaller."""
    found: dict[tuple[str, str], int] = {}
    for frame in frames:
        if frame is not None:
            for case_id, unit, side in frame[["case_id", "picture", "frame_px"]].itertuples(index=False):
                found |= {(str(case_id), picture): int(side) for picture in pictures_of(str(unit)) if side}
    return found


def _own(rows: pd.DataFrame | None, reading: Reading) -> list[dict[str, Any]]:
    """Rows of the model that the reading explains."""
    if rows is None:
        return []
    model = [reading.endpoint, reading.arm, reading.repeat, reading.fold]
    return _records(rows[(rows[KEY] == model).all(axis=1)])


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _endpoint(
    reading: Reading, maps: pd.DataFrame | None, rest: pd.DataFrame | None, places: Mapping[str, tuple[int, int]]
) -> EndpointMaps | None:
    rows, left = _own(maps, reading), _own(rest, reading)
    if not rows and not left:
        return None
    rows.sort(key=lambda row: PictureKey.parse(row["picture"]).order)
    seen = [overlay.density(_cells(row, "map")) for row in rows]
    cams = [overlay.density(_cells(row, "cam")) for row in rows]
    most, most_cam = (max((float(np.abs(one).max()) for one in ones), default=0.0) for ones in (seen, cams))
    units = [
        UnitMap(
            row["picture"],
            row["shap"],
            row["inside"],
            row["area"],
            _films(row, overlay.signed(one, most), places),
            _films(row, overlay.positive(cam, most_cam), places) if cam.any() else (),
        )
        for row, one, cam in zip(rows, seen, cams, strict=True)
    ]
    spread, remainder = (float(sum(row["shap"] for row in part)) for part in (rows, left))
    return EndpointMaps(
        reading=reading,
        block=spread + remainder,
        spread=spread,
        rest=remainder,
        scale=most,
        r2=rows[0]["r2"] if rows else float("nan"),
        cells=(rows[0]["rows"], rows[0]["columns"]) if rows else (0, 0),
        units=tuple(units),
        reasons=tuple((row["picture"], row["shap"], row["reason"]) for row in left),
    )


def _cells(row: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    return np.asarray(row[name], dtype=np.float64).reshape(row["rows"], row["columns"])


def _films(row: Mapping[str, Any], data_uri: str, places: Mapping[str, tuple[int, int]]) -> tuple[Film, ...]:
    """The square of the map in the middle of each frame, as the crop was cut: around one centre, rounded alike."""
    side = row["side_px"]
    shown: Iterable[tuple[str, tuple[int, int]]] = (
        (picture, places[picture]) for picture in pictures_of(row["picture"]) if picture in places
    )
    films = []
    for picture, (number, frame_px) in shown:
        offset = frame_px // 2 - side // 2
        films.append(Film(number, picture, data_uri, offset, offset, side, side))
    return tuple(films)


def _local(row: Mapping[str, Any], places: Mapping[str, tuple[int, int]]) -> LocalFilm:
    values = _cells(row, "map") if not row["reason"] else np.empty((0, 0))
    if row["reason"] or not np.isfinite(values).any() or row["picture"] not in places:
        return LocalFilm(row["feature"], row["reason"] or "no pixel has a value")
    low, high = (float(v) for v in np.percentile(values[np.isfinite(values)], LOCAL_PERCENTILES))
    box = (row["left_px"], row["top_px"], row["width_px"], row["height_px"])
    film = Film(places[row["picture"]][0], row["picture"], overlay.ramp(values, low, high), *box)
    return LocalFilm(row["feature"], "", film, low, high)
