"""A folder of drawn masks as an arm of a mask experiment: its masks on the cohort, and its candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.imagefile import decode
from .cohort import Cohort
from .draw import apply
from .drawer import Drawing, Region
from .mask_experiment import MaskArm
from .mask_folder import MaskFolder


@dataclass(frozen=True, eq=False)
class FolderCandidates:
    """What a drawer made of a case's picture, as its folder holds it; a reader's verdicts are not in it."""

    folder: MaskFolder

    def __call__(self, case_id: str, picture: str) -> Drawing | None:
        """The drawing; None where there is none. Raises CaseError where its file is not the one that was written."""
        row = self.folder.rows.get((case_id, picture))
        if row is None or not row.regions_file:
            return None
        labels = decode(self.folder.file(row.regions_file), row.regions_sha256).pixels.astype(np.int32)
        found = self.folder.regions.get(row.place, ())
        regions = tuple(Region(one.region, one.area_px, one.score, one.accepted, one.reason) for one in found)
        return Drawing(labels, regions, row.drawn_on)


def folder_arm(cohort: Cohort, folder: MaskFolder) -> MaskArm:
    """An arm whose masks are all a folder's, as a reader's verdicts leave them.

    Parameters
    ----------
    cohort : Cohort
        As its reader states it.
    folder : MaskFolder
        In which all its pictures were drawn.

    Raises
    ------
    StudyError
        As :func:`~cemrad.pipeline.draw.apply`.
    """
    return MaskArm(apply(cohort, folder, "all"), FolderCandidates(folder), folder.drawer)
