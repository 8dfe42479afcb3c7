"""A drawer: what draws lesion masks where nobody has drawn any; it sees both pictures of one view at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..features.errors import CaseError
from ..features.image import Image
from ..features.mask import Mask
from ..features.registration import Shift
from ..features.training_ids import TrainingIds


@dataclass(frozen=True)
class View:
    """The pictures of one view of one breast, as a drawer sees them.

    Parameters
    ----------
    case_id, patient_id : str
        Whose view it is; a drawer that learned from patients asks whether it knows this one.
    name : str
        ``CC``, ``MLO`` or as the cohort names it; empty where it was not stated.
    laterality : {"L", "R", ""}
        As stated.
    images : mapping of str to Image
        By image type, ``LE``, ``RC`` or ``IMG``; those that exist and could be read.
    points : mapping of str to tuple of float
        By image type: row and column of a point that the user placed in the lesion.
    boxes : mapping of str to tuple of int
        By image type: top, bottom, left and right of a box that the user drew around it; half-open.
    """

    case_id: str
    patient_id: str
    name: str
    laterality: str
    images: Mapping[str, Image]
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    boxes: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Region:
    """One candidate that a drawer found.

    Parameters
    ----------
    number : int
        Its value in the drawing's labels, from 1.
    area_px : int
    score : float
        0 to 1: how much like a lesion the drawer takes it to be; what it means is the drawer's to say.
    accepted : bool
        Whether it is handed on as lesion.
    reason : str
        Why it was not accepted; empty otherwise.
    """

    number: int
    area_px: int
    score: float
    accepted: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a drawer made of one picture.

    Parameters
    ----------
    labels : ndarray of int32, shape (rows, columns)
        0, or the number of the candidate that the pixel belongs to, accepted or not.
    regions : tuple of Region
        In the order of their numbers. Without one that is accepted no lesion was found.
    drawn_on : str
        Image type on which it was drawn, where it was carried over from the other picture; else empty.
    shift : Shift, optional
        How it was carried over.
    notes : tuple of str
        What a reviewer should know, one sentence each.
    trained_on : TrainingIds, optional
        Whom the networks that drew this picture had seen; cross-validated masks have one per fold.
    """

    labels: NDArray[np.int32]
    regions: tuple[Region, ...]
    drawn_on: str = ""
    shift: Shift | None = None
    notes: tuple[str, ...] = ()
    trained_on: TrainingIds | None = None

    @property
    def mask(self) -> Mask:
        """The accepted candidates together; empty where there is none."""
        accepted = [region.number for region in self.regions if region.accepted]
        return np.isin(self.labels, accepted)


class Drawer(Protocol):
    """The contract of ``Drawer`` in ``pipeline/masks/NAME.py``; its ``Settings`` stand beside it.

    A drawer is picklable and gives the same drawing for the same view.
    """

    def draw(self, view: View) -> Mapping[str, Drawing | CaseError]:
        """A drawing for each picture of the view; a :class:`~cemrad.features.errors.CaseError` where there is none.

        Finding no lesion is a drawing without accepted regions, not an error.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """JSON values: settings, versions, hashes of weights; whom it learned from is said by each drawing."""
        ...
