"""Drawn masks: what an automatic drawer left in a folder of drawn masks, as it is or by the numbers of its regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...features.decoded import file_content
from ...features.errors import ImageError, MaskError
from ...features.image import Image
from ...features.imagefile import decode
from ...features.mask import Mask, require_same_size
from ...features.training_ids import TrainingIds


@dataclass(frozen=True)
class DrawnMask:
    """A mask that nobody drew by hand.

    Parameters
    ----------
    path : Path
        A PNG file of labels.
    values : tuple of int
        Those that are lesion: 255 in a mask, the numbers of regions in a file of candidates.
    sha256 : str
        What the file's bytes must hash to.
    trained_on : TrainingIds, optional
        Whom the drawer had seen; None where it did not learn.
    source : str
        How it came about, for people: ``automatic``, or ``accepted`` where a reader chose the regions.
    """

    path: Path
    values: tuple[int, ...]
    sha256: str
    trained_on: TrainingIds | None = None
    source: str = "automatic"

    def read(self, image: Image) -> Mask:
        """The mask on its image's pixels.

        Raises
        ------
        MaskError
            ``geometry.size``, ``file.changed`` where someone altered the file, or another code of
            :func:`~cemrad.features.imagefile.decode`.
        """
        try:
            labels = decode(self.path, self.sha256).pixels
        except ImageError as error:
            advice = "; name a corrected mask in review.csv, or draw again" if error.code == "file.changed" else ""
            raise MaskError(error.code, f"mask {error}{advice}") from None
        if labels.ndim != 2:
            raise MaskError("mask.colour", f"{self.path.name}: a mask in colour; draw again")
        return require_same_size(np.isin(labels, self.values), image)

    def content(self) -> str:
        """Hash of the file, and which of its values are lesion."""
        return f"{file_content(self.path, self.sha256)} {self.values}"


SOURCE = DrawnMask
