"""A drawer for tests of what drawers are used for: every bright area is a candidate."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import MaskError
from cemrad.features.image import ArrayImage
from cemrad.features.registration import Shift
from cemrad.features.training_ids import TrainingIds
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.drawer import Drawing, Region, View
from scipy import ndimage


@dataclass
class FakeDrawer:
    """Candidates are what is brighter than `cut`; those of at least `least_px` are accepted."""

    cut: float = 100.0
    least_px: int = 20
    record: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    stop_after: int | None = None
    ids: TrainingIds | None = None

    def draw(self, view: View) -> dict[str, Drawing | MaskError]:
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(f"{view.case_id} {view.name} {'+'.join(sorted(view.images))}")
        if view.patient_id == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        if view.patient_id == "clumsy":
            raise RuntimeError("unforeseen")
        return {image_type: self._one(view, image_type, image.pixels) for image_type, image in view.images.items()}

    def _one(self, view: View, image_type: str, pixels: np.ndarray) -> Drawing | MaskError:
        if pixels.max() == 0:
            return MaskError("breast.not_found", "the picture is black; look at the file")
        labels, n = ndimage.label(pixels > self.cut)
        if image_type in view.points:
            row, column = map(int, view.points[image_type])
            labels, n = (labels == labels[row, column]).astype(int), 1
        if image_type in view.boxes:
            top, bottom, left, right = view.boxes[image_type]
            inside = np.zeros(pixels.shape, bool)
            inside[top:bottom, left:right] = True
            labels, n = ndimage.label((pixels > self.cut) & inside)
        areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
        regions = tuple(
            Region(
                i,
                int(area),
                min(1.0, area / 100),
                bool(area >= self.least_px),
                "" if area >= self.least_px else "small",
            )
            for i, area in enumerate(areas, start=1)
        )
        if view.patient_id == "liar":
            regions = regions[:-1]
        shift = Shift(1.5, -2.0, "contours", 0.9) if view.name == "MLO" else None
        return Drawing(labels.astype(np.int32), regions, "RC" if shift else "", shift, ("a note.",), self.seen_by(view))

    def seen_by(self, view: View) -> TrainingIds | None:
        return self.ids

    def provenance(self) -> dict[str, Any]:
        return {"name": "fake", "cut": self.cut, "least_px": self.least_px, **self.record}


def picture(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (40, 30)) -> ArrayImage:
    """A dim picture with bright boxes: top, bottom, left, right."""
    pixels = np.full(shape, 10, np.uint8)
    pixels[:, 0] = np.arange(shape[0])
    for top, bottom, left, right in boxes:
        pixels[top:bottom, left:right] = 200
    return ArrayImage(pixels)


BIG, OTHER, SMALL = (5, 15, 5, 15), (20, 30, 10, 20), (35, 37, 25, 27)


def case(case_id: str, patient_id: str = "", lesion: str = "1", **pictures: Picture | ArrayImage) -> Case:
    """A case with pictures by name."""
    found = {
        PictureKey.parse(name): value if isinstance(value, Picture) else Picture(value)
        for name, value in pictures.items()
    }
    return Case(case_id, patient_id or case_id, "L", lesion, found)


def cohort(*cases: Case, name: str = "fakes") -> Cohort:
    return Cohort(name, cases)
