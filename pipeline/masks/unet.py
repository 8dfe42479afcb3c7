"""Masks drawn by networks of `cemrad masks train`, each picture by those that have not seen its patient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ...features.breast import find_breast
from ...features.device import Device
from ...features.errors import CaseError, MaskError, StudyError, WeightsError
from ...features.fingerprint import fingerprint
from ...features.image import Image
from ...features.settings import Settings as BaseSettings
from ...features.training_ids import TrainingIds
from ...models.segmenter import Segmenter
from ...models.segmenter_file import load_segmenter
from ...models.segmenter_regions import describe_candidates, find_candidates
from ..drawer import Drawing, Region, View
from ..mask_folder import fingerprint_of
from ..mask_samples import PARTNER
from ..segmenter_candidates import draw_map

INDEX = "segmenter.json"
"""What a training says of itself, beside its networks."""


class Settings(BaseSettings):
    """Which networks draw, and what of theirs is taken."""

    path: Path = Field(description="a folder of `cemrad masks train`, or one .safetensors file of it")
    lesions: Literal["all", "best"] = Field(default="all", description="every accepted region, or the best of them")
    reject: bool = Field(default=True, description="leave out what the networks' boosters call false positives")
    min_score: float = Field(default=0.0, ge=0, le=1, description="smallest score of a region, beside that")
    alone: bool = Field(default=False, description="draw each picture as if the other one of its view were not there")
    flips: bool = Field(default=True, description="draw upside down as well, and take the mean")
    device: Device = "auto"


class _File(NamedTuple):
    """A file of a network, the hash of its tensors where its training states it, and when it was written."""

    path: Path
    sha256: str
    written_ns: int

    @classmethod
    def of(cls, path: Path, sha256: str = "") -> _File:
        return cls(path, sha256, path.stat().st_mtime_ns if path.is_file() else 0)


class Drawer:
    """Draws with every network that does not know the patient, by id or by picture; their maps are averaged.

    A region's score is the booster's probability that it is a lesion, where there are boosters, else the mean of the
    map in it.

    Raises
    ------
    StudyError, WeightsError
        If there are no networks at the path, or a file of them is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.index = _read_index(settings.path)
        self.segmenters = _load(_files(settings.path, self.index), settings.device)

    def __reduce__(self) -> tuple[type[Drawer], tuple[Settings]]:
        return type(self), (self.settings,)  # each process loads its own

    def draw(self, view: View) -> Mapping[str, Drawing | CaseError]:
        """See :class:`~cemrad.pipeline.drawer.Drawer`."""
        prints = [fingerprint(image.pixels) for image in view.images.values()]
        pixels = [one.pixels for one in prints if one is not None]
        unseen = [one for one in self.segmenters if not one.knows(view.patient_id, pixels)]
        if not unseen:
            why = "every network here was trained on this patient; draw with the folder of all folds"
            return dict.fromkeys(view.images, MaskError("mask.trained_on", why))
        return {name: self._draw(view, name, image, unseen) for name, image in view.images.items()}

    def provenance(self) -> dict[str, Any]:
        """Settings, and of each network its hash, encoder, training and booster."""
        return {
            "name": "U-Net of cemrad masks train",
            "source": "unet",
            "weights": ", ".join(sorted({str(one.record["encoder"].get("name", "")) for one in self.segmenters})),
            "weights_sha256": fingerprint_of([one.sha256 for one in self.segmenters]),
            "validation": dict(self.index.get("validation", {})),
            "settings": self.settings.model_dump(mode="json", exclude={"path", "device"}),
            "networks": [
                {
                    "sha256": one.sha256,
                    "settings": one.settings.model_dump(mode="json"),
                    "encoder": one.record["encoder"],
                    "n_persons": len(one.trained_on.persons),
                    "best_epoch": one.record["best_epoch"],
                    "validation_dice": one.record["validation_dice"],
                    "rejector": None if one.rejector is None else one.rejector.threshold,
                }
                for one in self.segmenters
            ],
        }

    def _draw(self, view: View, name: str, image: Image, unseen: list[Segmenter]) -> Drawing | CaseError:
        try:
            region = find_breast(image, view.laterality, view.name)
            partner = None if self.settings.alone else view.images.get(PARTNER.get(name, ""))
            found_map, notes = draw_map(
                unseen, image, region, partner, le_first=name == "LE", flips=self.settings.flips
            )
        except CaseError as error:
            return error
        first = unseen[0].settings
        labels = find_candidates(found_map, region, first.threshold, first.min_share)
        rows = describe_candidates(image, region, found_map, labels)
        regions = self._judged(unseen, rows, labels)
        ids = unseen[0].trained_on if len(unseen) == 1 else TrainingIds.union(one.trained_on for one in unseen)
        return Drawing(labels, regions, notes=(*region.notes, *notes), trained_on=ids)

    def _judged(
        self, networks: list[Segmenter], rows: list[dict[str, float]], labels: np.ndarray[Any, np.dtype[np.int32]]
    ) -> tuple[Region, ...]:
        boosters = [one.rejector for one in networks if one.rejector is not None] if self.settings.reject else []
        areas = np.bincount(labels.ravel(), minlength=len(rows) + 1)
        scores = np.array([row["score"] for row in rows])
        least = 0.0
        if boosters:
            scores = np.mean([booster.scores(rows) for booster in boosters], axis=0)
            least = float(np.mean([booster.threshold for booster in boosters]))
        regions = []
        for place, score in enumerate(scores.tolist()):
            reason = ""
            if score < least:
                reason = f"false positive: score {score:.2f} below {least:.2f}"
            elif score < self.settings.min_score:
                reason = f"score {score:.2f} below {self.settings.min_score:.2f}"
            regions.append(Region(place + 1, int(areas[place + 1]), score, not reason, reason))
        if self.settings.lesions == "best":
            best = max((one for one in regions if one.accepted), key=lambda one: one.score, default=None)
            regions = [
                replace(one, accepted=False, reason="another region is the best")
                if one.accepted and one != best
                else one
                for one in regions
            ]
        return tuple(regions)


def _read_index(path: Path) -> dict[str, Any]:
    """What a training says of itself; empty for a single file, and where it is not finished."""
    index = path / INDEX
    if not index.is_file():
        return {}
    try:
        told = dict(json.loads(index.read_text(encoding="utf-8")))
        return told | {name: dict(told.get(name, {})) for name in ("files", "validation")}
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{index}: damaged ({error}); train again") from None


def _files(path: Path, index: Mapping[str, Any]) -> tuple[_File, ...]:
    """The networks' files."""
    if path.is_file():
        return (_File.of(path),)
    stated = index.get("files") or dict.fromkeys(sorted(file.name for file in path.glob("*.safetensors")), "")
    if not stated:
        raise StudyError(f"{path}: no networks there; `cemrad masks train` makes them")
    return tuple(_File.of(path / str(name), str(sha256)) for name, sha256 in stated.items())


@lru_cache(maxsize=2)
def _load(files: tuple[_File, ...], device: Device) -> tuple[Segmenter, ...]:
    """The networks of these files; once per process, until one of them is written anew."""
    made = []
    for file in files:
        one = load_segmenter(file.path, device)
        if file.sha256 not in ("", one.sha256):
            raise WeightsError(f"{file.path}: not the network that {INDEX} names; let `cemrad masks train` finish")
        made.append(one)
    if any((one.settings, one.trained_on.salt) != (made[0].settings, made[0].trained_on.salt) for one in made):
        raise WeightsError(f"{files[0].path.parent}: its networks are not of one training")
    return tuple(made)
