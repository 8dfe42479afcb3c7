"""Transferred masks: the mask of one picture of a view carried to the other one, through their registration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ...features.case import Case, Picture, PictureKey
from ...features.failure import Failure
from ...features.image import Image
from ...features.mask import Mask, MaskSource
from ...features.registration import Towards, carry, register
from ...features.settings import Settings as BaseSettings
from ...features.training_ids import TrainingIds
from ..cohort import Cohort

_OTHER: dict[str, Towards] = {"LE": "RC", "RC": "LE"}


class Settings(BaseSettings):
    """Which masks are carried."""

    to: Literal["both", "LE", "RC"] = "both"
    """Pictures whose own mask is replaced by that of the other one; the rest keep theirs."""


@dataclass(frozen=True)
class TransferredMask:
    """The mask of the other picture of a view.

    Parameters
    ----------
    origin : Picture
        On which it was drawn.
    towards : {"LE", "RC"}
        The picture that it is read for.
    """

    origin: Picture
    towards: Towards
    source: str = "transferred"

    def read(self, image: Image) -> Mask:
        """The mask, carried to the nearest whole pixel.

        Raises
        ------
        ImageError, MaskError
            Of the other picture and its mask; those of :func:`~cemrad.features.registration.register` and
            :func:`~cemrad.features.registration.carry`.
        """
        other = self.origin.image.read()
        mask = self._mask().read(other)
        pair = (image, other) if self.towards == "LE" else (other, image)
        return carry(mask, register(*pair), image.shape, self.towards)

    def content(self) -> str:
        """Content of the other picture and of its mask."""
        parts = [source.content() for source in (self.origin.image, self._mask())]  # type: ignore[union-attr]
        return " ".join(["transferred", self.towards, *parts])

    @property
    def trained_on(self) -> TrainingIds | None:
        """Whom the drawer of the other picture's mask had seen."""
        return getattr(self.origin.mask, "trained_on", None)

    def _mask(self) -> MaskSource:
        assert self.origin.mask is not None
        return self.origin.mask


SOURCE = TransferredMask


def lay(cohort: Cohort, settings: Settings) -> Cohort:
    """The cohort whose pictures carry the mask of the other picture of their view.

    A picture whose other one is missing or has no mask has none, and a failure says so.
    """
    failures: list[Failure] = []
    cases = tuple(_laid(case, settings, failures) for case in cohort.cases)
    return replace(cohort, cases=cases, failures=(*cohort.failures, *failures))


def _laid(case: Case, settings: Settings, failures: list[Failure]) -> Case:
    pictures = dict(case.pictures)
    for key, picture in case.pictures.items():
        if settings.to not in ("both", key.image_type):
            continue
        other = _OTHER.get(key.image_type)
        origin = None if other is None else case.pictures.get(PictureKey(other, key.view))
        if origin is None or origin.mask is None or other is None:
            reason = "there is no mask on the other picture of this view to carry over"
            failures.append(Failure(case.case_id, "mask", "pair.missing", reason, key.name, "skipped"))
            pictures[key] = replace(picture, mask=None)
        else:
            pictures[key] = replace(picture, mask=TransferredMask(origin, _OTHER[other]))
    return replace(case, pictures=pictures)
