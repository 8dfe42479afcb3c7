"""DICOM mammograms: one grey picture, decoded once, with what its tags say about it."""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from .decoded import Decoded, require_one_picture
from .errors import ImageError
from .image import Grid

Pair = tuple[float, float]
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_DAMAGE = (OSError, EOFError, RecursionError, ValueError, KeyError, TypeError, AttributeError, struct.error)


@dataclass(frozen=True)
class _Tags:
    rows: int
    columns: int
    frames: int
    channels: int
    bits_allocated: int
    bits_stored: int
    photometric: str
    compressed: bool
    pixel_spacing_mm: Pair | None
    imager_spacing_mm: Pair | None
    magnification: float
    padding: tuple[int, int] | None
    intent: str
    lossy: bool


def decode_dicom(path: Path) -> Decoded:
    """The picture of a DICOM file.

    Pixels come from SimpleITK (GDCM), which applies the modality rescale once and turns MONOCHROME1
    round, so that in every picture a larger value is a brighter pixel. No window and no VOI LUT is
    applied. Tags come from pydicom.

    Returns
    -------
    Decoded
        ``spacing_mm`` is PixelSpacing; without it ImagerPixelSpacing (at the detector) divided by
        EstimatedRadiographicMagnificationFactor; without both None. The grid keeps the spacing as
        other software reads it, for comparison with masks.

    Raises
    ------
    ImageError
        ``file.not_dicom``, ``file.unsupported``, ``file.corrupt``, ``file.truncated``,
        ``file.too_large``, ``image.no_pixels``, ``image.not_2d``, ``image.colour``,
        ``image.bits`` or ``spacing.invalid``.

    Notes
    -----
    DICOM PS3.3 C.7.6.3.1 (pixels), C.8.11.7 (mammography image), 10.7.1.3 (what each spacing means).
    """
    tags = _read_tags(path)
    _require_one_grey_picture(path, tags)
    spacing_mm, notes = _spacing(path, tags)
    pixels, grid = _read_pixels(path, tags)
    return Decoded(pixels, spacing_mm, grid, (*notes, *_remarks(tags)))


def _read_tags(path: Path) -> _Tags:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of each value that breaks its VR
            syntax = read_file_meta_info(str(path)).get("TransferSyntaxUID")
            if syntax == DeflatedExplicitVRLittleEndian:
                raise ImageError(
                    "file.unsupported",
                    f"{path.name}: a deflated data set has no bound on its size; save it uncompressed",
                )
            return _tags(pydicom.dcmread(path, stop_before_pixels=True), syntax)
    except InvalidDicomError:
        raise ImageError("file.not_dicom", f"{path.name}: no DICOM header; export the file again") from None
    except ImageError:
        raise
    except _DAMAGE:
        raise ImageError("file.corrupt", f"{path.name}: its DICOM header is damaged; export the file again") from None


def _tags(header: Any, syntax: Any) -> _Tags:
    def pair(keyword: str) -> Pair | None:
        value = header.get(keyword)
        return None if not value else (float(value[0]), float(value[1]))

    padding = header.get("PixelPaddingValue")
    limit = header.get("PixelPaddingRangeLimit", padding)
    return _Tags(
        rows=int(header.get("Rows") or 0),
        columns=int(header.get("Columns") or 0),
        frames=int(header.get("NumberOfFrames") or 1),
        channels=int(header.get("SamplesPerPixel") or 1),
        bits_allocated=int(header.get("BitsAllocated") or 0),
        bits_stored=int(header.get("BitsStored") or 0),
        photometric=str(header.get("PhotometricInterpretation", "")),
        compressed=bool(syntax is not None and syntax.is_compressed),
        pixel_spacing_mm=pair("PixelSpacing"),
        imager_spacing_mm=pair("ImagerPixelSpacing"),
        magnification=float(header.get("EstimatedRadiographicMagnificationFactor") or 1.0),
        padding=None if padding is None else (int(min(padding, limit)), int(max(padding, limit))),
        intent=str(header.get("PresentationIntentType", "")),
        lossy=str(header.get("LossyImageCompression", "")) == "01",
    )


def _require_one_grey_picture(path: Path, tags: _Tags) -> None:
    if tags.rows < 1 or tags.columns < 1:
        raise ImageError("image.no_pixels", f"{path.name}: a DICOM object without a picture")
    require_one_picture(path, tags.rows, tags.columns, tags.frames)
    if tags.channels != 1 or not tags.photometric.startswith("MONOCHROME"):
        raise ImageError("image.colour", f"{path.name}: {tags.photometric or 'colour'} pixels; a mammogram is grey")
    if not 0 < tags.bits_stored <= tags.bits_allocated:
        raise ImageError(
            "image.bits", f"{path.name}: {tags.bits_stored} bits stored in {tags.bits_allocated}; the header is wrong"
        )
    needed = tags.rows * tags.columns * tags.bits_allocated // 8
    if not tags.compressed and path.stat().st_size < needed:
        raise ImageError(
            "file.truncated", f"{path.name}: {path.stat().st_size} bytes, its pixels alone need {needed}; copy it again"
        )


def _spacing(path: Path, tags: _Tags) -> tuple[Pair | None, tuple[str, ...]]:
    for name, value in (("PixelSpacing", tags.pixel_spacing_mm), ("ImagerPixelSpacing", tags.imager_spacing_mm)):
        if value is not None and not all(0 < side < math.inf for side in value):
            raise ImageError("spacing.invalid", f"{path.name}: {name} is {value[0]:g} x {value[1]:g}")
    if tags.pixel_spacing_mm is not None:
        return tags.pixel_spacing_mm, ("spacing: PixelSpacing",)
    if tags.imager_spacing_mm is None:
        return None, ("spacing: none stated",)
    if tags.magnification <= 0:
        raise ImageError("spacing.invalid", f"{path.name}: a magnification factor of {tags.magnification:g}")
    rows, columns = tags.imager_spacing_mm
    note = f"spacing: ImagerPixelSpacing divided by the magnification factor {tags.magnification:g}"
    return (rows / tags.magnification, columns / tags.magnification), (note,)


def _read_pixels(path: Path, tags: _Tags) -> tuple[Any, Grid]:
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        volume = reader.Execute()
    except RuntimeError:
        raise _undecodable(path, tags) from None
    pixels = SimpleITK.GetArrayFromImage(volume).reshape(tags.rows, tags.columns)
    spacing, origin = volume.GetSpacing(), volume.GetOrigin()
    return pixels, Grid((spacing[1], spacing[0]), (origin[1], origin[0]))


def _undecodable(path: Path, tags: _Tags) -> ImageError:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4096))
        complete = not tags.compressed or _SEQUENCE_END in stream.read()
    if complete:
        return ImageError("file.corrupt", f"{path.name}: its pixels cannot be decoded; export the file again")
    return ImageError("file.truncated", f"{path.name}: the file ends within its pixels; copy it again")


def _remarks(tags: _Tags) -> tuple[str, ...]:
    remarks = []
    if tags.photometric == "MONOCHROME1":
        remarks.append("MONOCHROME1 turned round: larger is brighter")
    if tags.padding is not None:
        low, high = tags.padding
        remarks.append(f"padding: values {low} to {high} are not breast" if high > low else f"padding: value {low}")
    if tags.intent:
        remarks.append(f"presentation intent: {tags.intent}")
    if tags.lossy:
        remarks.append("lossy compression")
    return tuple(remarks)
