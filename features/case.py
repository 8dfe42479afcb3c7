"""A case: one lesion in one breast of one patient, with its pictures, masks, clinical values and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .errors import MaskError
from .image import Image, ImageSource
from .mask import Mask, MaskRules, MaskSource, require_usable

Laterality = Literal["L", "R", ""]
Value = str | float | int | bool | None

_ORDER = {"LE": 0, "RC": 1, "LERC": 2, "IMG": 3}


class PictureKey(NamedTuple):
    """Which picture of an exam.

    ``LE`` is low energy (``DM`` in CDD-CESM), ``RC`` recombined (also called subtracted; ``CM``),
    ``IMG`` a picture whose type is not used: one row per image. A second exposure of a view is
    numbered: ``MLO2``. ``LERC`` names features of both images together.

    Examples
    --------
    >>> PictureKey("RC", "CC").name
    'RC_CC'
    >>> PictureKey.parse("LE_MLO2")
    PictureKey(image_type='LE', view='MLO2')
    """

    image_type: str
    view: str = ""

    @property
    def name(self) -> str:
        """``RC_CC``, or ``IMG`` where there is no view."""
        return f"{self.image_type}_{self.view}" if self.view else self.image_type

    @classmethod
    def parse(cls, name: str) -> PictureKey:
        """The key of a picture's name; raises ValueError for anything else."""
        if not re.fullmatch(r"(LE|RC|LERC|IMG)(_[A-Z]+[0-9]*)?", name):
            raise ValueError(f"not a picture name: {name!r} (expected for example RC_CC)")
        image_type, _, view = name.partition("_")
        return cls(image_type, view)

    @property
    def order(self) -> tuple[str, int]:
        """Sort key: view by view, low energy before recombined."""
        return self.view, _ORDER.get(self.image_type, 9)


@dataclass(frozen=True)
class Picture:
    """One image of a case and the lesion mask drawn on it (None where nothing was drawn)."""

    image: ImageSource
    mask: MaskSource | None = None

    def read(self, rules: MaskRules) -> tuple[Image, Mask]:
        """The image and its usable mask.

        Raises
        ------
        ImageError, MaskError
            With a stable code; ``mask.missing`` where no mask was given.
        """
        image = self.image.read()
        if self.mask is None:
            raise MaskError("mask.missing", "no mask was drawn on this picture; draw one, or let masks: do so")
        return image, require_usable(self.mask.read(image), rules)


@dataclass(frozen=True)
class Case:
    """One lesion in one breast of one patient.

    Parameters
    ----------
    case_id : str
        Unique in its cohort; text, kept byte for byte (``007`` stays ``007``).
    patient_id : str
        The person: what folds are grouped by.
    laterality : {"L", "R", ""}
        Side of the breast; empty where it was not stated.
    lesion_id : str
        The lesion within the breast.
    pictures : mapping of PictureKey to Picture
        Those that exist; a view that was not taken is absent.
    clinical : mapping
        Values known before the outcome, such as ``age``: numbers or category names.
    labels : mapping
        What the cohort states about the lesion, as stated; a target decides what it means.
    info : mapping of str to str
        Anything else that passes through: vendor, site, BPE grade.
    """

    case_id: str
    patient_id: str
    laterality: Laterality = ""
    lesion_id: str = ""
    pictures: Mapping[PictureKey, Picture] = field(default_factory=dict)
    clinical: Mapping[str, Value] = field(default_factory=dict)
    labels: Mapping[str, Value] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)

    @property
    def breast_id(self) -> str:
        """Patient and side; the patient's id alone where no side was stated."""
        return f"{self.patient_id}|{self.laterality}" if self.laterality else self.patient_id
