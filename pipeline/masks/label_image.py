"""Label images: masks saved as PNG, JPEG, TIFF, NRRD, NIfTI, MHA or DICOM files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...features.decoded import Decoded, file_content
from ...features.errors import ImageError, MaskError
from ...features.image import Grid, Image
from ...features.imagefile import decode, equal_channels
from ...features.mask import Mask, bounding_box, require_same_size

LOG = logging.getLogger("cemrad")

JPEG_THRESHOLD = 127.0
"""JPEG blurs the edge of a mask; halfway between 0 and 255 is where it was drawn."""

_MOST_LABELS = 32
_TOLERANCE_MM = 1e-3
_EXACT_MM = 1e-5
"""Up to here two grids differ by the rounding of their formats alone."""


@dataclass(frozen=True)
class LabelImage:
    """A mask in an image file of its own.

    Which pixels are lesion is decided by the first rule that applies:

    1. With a `threshold`, and always for JPEG (127 where none is given): values above it. A `label`
       other than 1 or 255 is refused then: grey values say nothing of labels.
    2. With a `label`: values equal to it. Label 1 also takes the 255 of a file that holds 0 and 255 only.
    3. Otherwise the one value that is not 0. Several values are refused, never chosen from.

    Parameters
    ----------
    path : Path
    label : int, optional
        Value of the lesion in a file with several labels.
    threshold : float, optional
        Grey value above which a pixel is lesion, for masks with soft edges.
    sha256 : str, optional
        What the file's bytes must hash to.
    """

    path: Path
    label: int | None = None
    threshold: float | None = None
    sha256: str | None = None

    def read(self, image: Image) -> Mask:
        """The mask on its image's pixels.

        Raises
        ------
        MaskError
            ``geometry.size``, ``geometry.spacing``, ``geometry.direction``, ``geometry.origin``, ``geometry.outside``,
            ``mask.multilabel``, ``mask.label_absent``, ``mask.not_binary``, ``mask.colour``,
            ``mask.not_2d``, or the code of :func:`~cemrad.features.imagefile.decode`.
        """
        try:
            decoded = decode(self.path, self.sha256)
        except ImageError as error:
            code = "mask.not_2d" if error.code == "image.not_2d" else error.code
            raise MaskError(code, f"mask {error}") from None
        values = _one_channel(self.path, decoded)
        mask = require_same_size(self._chosen(values, decoded.lossy), image)
        _require_same_grid(self.path, decoded.grid, image)
        return mask

    def content(self) -> str:
        """Hash of the file, and how lesion is told from the rest in it."""
        return f"{file_content(self.path, self.sha256)} {self.label} {self.threshold}"

    def _chosen(self, values: NDArray[Any], lossy: bool) -> Mask:
        threshold = JPEG_THRESHOLD if self.threshold is None and lossy else self.threshold
        if threshold is not None:
            if self.label not in (None, 1, 255):
                why = "a JPEG file cannot hold" if lossy else "a threshold was given, which cannot choose"
                raise MaskError("mask.not_binary", f"{self.path.name}: {why} label {self.label}; give one of the two")
            return np.asarray(values > threshold)
        found = _labels(self.path, values)
        if not found:
            return np.zeros(values.shape, dtype=bool)
        return np.asarray(values == self._label_among(found))

    def _label_among(self, found: list[int]) -> int:
        shown = ", ".join(map(str, found))
        if self.label is not None:
            if self.label == 1 and found == [255]:
                return 255
            if self.label not in found:
                raise MaskError(
                    "mask.label_absent", f"{self.path.name}: no pixel has label {self.label}; found: {shown}"
                )
            return self.label
        if len(found) == 1:
            return found[0]
        if 255 in found:
            raise MaskError(
                "mask.not_binary",
                f"{self.path.name}: grey values ({shown}) beside 255, as soft edges have; "
                "give mask_threshold (127 for halfway), or mask_label if these are labels",
            )
        raise MaskError("mask.multilabel", f"{self.path.name}: several labels ({shown}); give mask_label")


SOURCE = LabelImage


def _one_channel(path: Path, decoded: Decoded) -> NDArray[Any]:
    """Grey values; palette indices where a palette colours labels."""
    values = decoded.pixels
    if values.ndim == 2:
        return values
    if equal_channels(values):
        return np.asarray(values[..., 0])
    if decoded.indices is not None:
        return decoded.indices
    raise MaskError("mask.colour", f"{path.name}: a mask in colour; save it as grey, 0 outside the lesion")


def _labels(path: Path, values: NDArray[Any]) -> list[int]:
    """Distinct values other than 0; refused unless they are positive whole numbers and few."""
    found = _distinct(values)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise MaskError("mask.not_binary", f"{path.name}: NaN or infinite values; save the mask as whole numbers")
    shown = ", ".join(f"{value:g}" for value in found[:8].tolist()) + (", ..." if len(found) > 8 else "")
    if found.min() < 0 or (found != np.floor(found)).any():
        raise MaskError("mask.not_binary", f"{path.name}: values {shown}; a mask holds 0 and whole labels from 1")
    if len(found) > _MOST_LABELS:
        raise MaskError(
            "mask.not_binary",
            f"{path.name}: {len(found)} grey values ({shown}); give mask_threshold (127 for halfway) if it is a mask",
        )
    return [int(value) for value in found if value != 0]


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Distinct values in order; only the box around what is not 0 is searched, which is a small part of a picture."""
    there = values != 0
    if not there.any():
        return np.zeros(1, dtype=values.dtype)
    top, bottom, left, right = bounding_box(there)
    found = np.unique(values[top:bottom, left:right])
    return found if there.all() else np.union1d(np.zeros(1, dtype=values.dtype), found)


def _require_same_grid(path: Path, mask: Grid | None, image: Image) -> None:
    """Refuse a mask that lies elsewhere than its image, where both files say where they lie."""
    if mask is None or image.grid is None:
        return
    grid, (rows, columns) = image.grid, image.shape
    drift = [
        abs(a - b) * max(n - 1, 1) for a, b, n in zip(mask.spacing_mm, grid.spacing_mm, (rows, columns), strict=True)
    ]
    if max(drift) > _TOLERANCE_MM:
        raise MaskError(
            "geometry.spacing",
            f"the mask states a spacing of {_pair(mask.spacing_mm)} mm, its image {_pair(grid.spacing_mm)} mm",
        )
    if not np.allclose(mask.direction, grid.direction, rtol=0, atol=1e-4):
        raise MaskError("geometry.direction", "the mask is turned or mirrored against its image")
    shift = [abs(mask.origin_mm[axis] - grid.origin_mm[axis]) for axis in (0, 1)]
    if max(shift) > _TOLERANCE_MM:
        outside = _lies_outside(mask, grid, (rows, columns))
        raise MaskError(
            "geometry.outside" if outside else "geometry.origin",
            f"the mask starts at {_pair(mask.origin_mm)} mm, its image at {_pair(grid.origin_mm)} mm"
            + ("; no pixel of it lies on the image" if outside else "")
            + "; they are not moved onto each other: give the mask that was drawn on this image",
        )
    apart = max(*drift, *shift)
    if apart > _EXACT_MM:
        LOG.info("%s: laid on its image, whose stated grid is up to %.1g mm away", path.name, apart)


def _lies_outside(mask: Grid, image: Grid, shape: tuple[int, int]) -> bool:
    """Whether two grids of one direction and shape share no pixel."""
    (a, b, c, d), dy, dx = image.direction, *(m - i for m, i in zip(mask.origin_mm, image.origin_mm, strict=True))
    along_rows, along_columns = abs(dx * b + dy * d), abs(dx * a + dy * c)
    return along_rows >= shape[0] * image.spacing_mm[0] or along_columns >= shape[1] * image.spacing_mm[1]


def _pair(values: tuple[float, float]) -> str:
    return f"{values[0]:.6g} x {values[1]:.6g}"
