"""Enhancement: a drawer without training, from bright parts of the breast, or from a point or a box by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import Field
from scipy import ndimage

from ...features.breast import find_breast
from ...features.errors import CaseError, ImageError, MaskError
from ...features.image import Image
from ...features.registration import Towards, carry, outside_share, register
from ...features.settings import Settings as BaseSettings
from ..drawer import Drawing, Region, View
from ..enhancement_candidates import Candidate, candidates, distinct, grown_from, grown_within
from ..enhancement_ground import Ground, level

VERSION = 1
"""Raised with every change of what is drawn."""

TAKES_SEEDS = True
"""It goes by the points and boxes of a user."""

_PAIR = ("LE", "RC")
_SOURCES = {"rc_to_le": "RC", "le_to_rc": "LE"}


class Settings(BaseSettings):
    """What is drawn, and where."""

    arms: Literal["own", "rc_to_le", "le_to_rc"] = Field(
        default="own",
        description="own: each picture its own; rc_to_le, le_to_rc: drawn on the first and carried to the second",
    )
    lesions: Literal["best", "all"] = Field(
        default="all", description="accept the best candidate alone, or the others that are sure as well"
    )
    min_score: float = Field(default=0.1, ge=0, le=1, description="least score of the best candidate")
    sure_score: float = Field(default=0.43, ge=0, le=1, description="least score of every other one")
    min_area_px: int = Field(default=64, ge=1, description="fewest pixels of what is accepted, of the picture itself")
    most: int = Field(default=8, ge=1, le=64, description="most candidates that are kept")
    working_px: int = Field(default=256, ge=96, le=1024, description="longest side of the copy that is searched")


@dataclass(frozen=True)
class Drawer:
    """Draws by :func:`~cemrad.pipeline.enhancement_candidates.candidates`; the same picture gives the same drawing.

    Parameters
    ----------
    settings : Settings
    """

    settings: Settings

    def draw(self, view: View) -> Mapping[str, Drawing | CaseError]:
        """A drawing, or an error, for each picture of the view.

        The codes are those of :func:`~cemrad.features.breast.find_breast`, of
        :func:`~cemrad.features.registration.register` and :func:`~cemrad.features.registration.carry`; and
        ``pair.missing`` where a picture is to be carried over from one that is not there, ``seed.outside`` where a
        point or a box lies outside of its picture.
        """
        source = _SOURCES.get(self.settings.arms)
        found: dict[str, Drawing | CaseError] = {}
        for image_type in view.images:
            try:
                if source is None or image_type not in _PAIR or image_type == source:
                    found[image_type] = self._own(view, image_type)
                else:
                    found[image_type] = self._carried(view, source, image_type)
            except CaseError as error:
                found[image_type] = error
        return found

    def provenance(self) -> dict[str, Any]:
        """Settings and version; it learned from no one."""
        return {"version": VERSION, "settings": self.settings.model_dump()}

    def _own(self, view: View, image_type: str) -> Drawing:
        """Drawn on the picture itself."""
        image = view.images[image_type]
        box, point = view.boxes.get(image_type), view.points.get(image_type)
        _require_inside(image, box, point)
        region = find_breast(image, view.laterality, view.name)
        ground = level(image, region, self.settings.working_px)
        if box is not None:
            top, bottom, left, right = (edge * ground.scale for edge in box)
            found = grown_within(ground, (top, bottom, left, right))[:1]
        elif point is not None:
            row, column = ((place + 0.5) * ground.scale - 0.5 for place in point)
            found = grown_from(ground, (row, column))[:1]
        else:
            found = distinct(candidates(ground), ground.breast.shape, self.settings.most)
        return self._drawing(found, ground, list(region.notes), chosen=box is not None or point is not None)

    def _carried(self, view: View, source: str, target: str) -> Drawing:
        """Drawn on the other picture and carried over, each candidate by the same shift."""
        if source not in view.images:
            raise ImageError(
                "pair.missing", f"{target} is to be drawn on {source}, which is not there; give it, or take arms: own"
            )
        shift = register(view.images["LE"], view.images["RC"])
        drawn = self._own(view, source)
        shape = view.images[target].shape
        towards: Towards = "LE" if target == "LE" else "RC"
        labels = np.zeros(shape, dtype=np.int32)
        if drawn.mask.any():
            carry(drawn.mask, shift, shape, towards)
        regions: list[Region] = []
        for region in drawn.regions:
            part = drawn.labels == region.number
            if outside_share(part, shift, shape, towards) > 0.5:
                continue
            carried = carry(part, shift, shape, towards)
            number = len(regions) + 1
            labels[carried] = number
            regions.append(replace(region, number=number, area_px=int(np.count_nonzero(carried))))
        notes = list(drawn.notes)
        if lost := len(drawn.regions) - len(regions):
            notes.append(f"{lost} candidates on {source} fall outside of {target} and were left out")
        return Drawing(labels, tuple(regions), drawn_on=source, shift=shift, notes=tuple(notes))

    def _drawing(self, found: list[Candidate], ground: Ground, notes: list[str], *, chosen: bool) -> Drawing:
        """The candidates at full size, numbered from the best, and which of them are accepted."""
        labels = np.zeros(ground.shape, dtype=np.int32)
        regions: list[Region] = []
        for candidate in found:
            part = _full_size(candidate, ground) & (labels == 0)
            area = int(np.count_nonzero(part))
            if not area:
                continue
            number = len(regions) + 1
            labels[part] = number
            reason = self._refusal(candidate.score, area, regions, chosen)
            regions.append(Region(number, area, candidate.score, not reason, reason))
        if not any(region.accepted for region in regions):
            notes.append("no lesion was found: no candidate was accepted")
        return Drawing(labels, tuple(regions), notes=tuple(notes))

    def _refusal(self, score: float, area_px: int, better: list[Region], chosen: bool) -> str:
        """Why a candidate is not accepted; empty where it is."""
        rules = self.settings
        if area_px < rules.min_area_px:
            return f"{area_px} pixels are fewer than {rules.min_area_px}"
        if chosen:
            return ""
        if score < rules.min_score:
            return f"score {score:.2f} is below {rules.min_score:g}"
        if not any(region.accepted for region in better):
            return ""
        if rules.lesions == "best":
            return "another candidate has a higher score"
        if score < rules.sure_score:
            return f"another candidate has a higher score, and {score:.2f} is below {rules.sure_score:g}"
        return ""


def _require_inside(image: Image, box: tuple[int, int, int, int] | None, point: tuple[float, float] | None) -> None:
    """Refuse a seed that was not placed on this picture."""
    rows, columns = image.shape
    size = f"the picture of {rows} x {columns} pixels (rows x columns); place it on this picture, at its own size"
    if box is not None:
        top, bottom, left, right = box
        if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
            raise MaskError("seed.outside", f"the box {box} is empty or does not lie on {size}")
    if point is not None and not (0 <= point[0] <= rows - 1 and 0 <= point[1] <= columns - 1):
        raise MaskError("seed.outside", f"the point {point} does not lie on {size}")


def _full_size(candidate: Candidate, ground: Ground) -> NDArray[np.bool_]:
    """The candidate on the picture: the zero level of its signed distance, enlarged."""
    if ground.scale == 1:
        full = np.zeros(ground.shape, dtype=bool)
        full[candidate.box] = candidate.part
        return full
    part = np.pad(candidate.part, 2)
    distance = ndimage.distance_transform_edt(part) - ndimage.distance_transform_edt(~part)
    signed = np.full([n + 4 for n in ground.breast.shape], -1.5, dtype=np.float32)
    rows, columns = part.shape
    signed[candidate.top : candidate.top + rows, candidate.left : candidate.left + columns] = (
        distance - np.sign(distance) / 2
    )
    size = ground.shape[1], ground.shape[0]
    return np.asarray(Pillow.fromarray(signed[2:-2, 2:-2]).resize(size, Pillow.Resampling.BILINEAR)) > 0
