"""Image files: PNG, JPEG, TIFF, NRRD, NIfTI, MHA and DICOM, each as one 2-D grey picture."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .decoded import Decoded, file_content, require_one_picture, require_regular_file
from .dicomfile import decode_dicom
from .errors import CaseError, ImageError
from .image import Image
from .volumefile import SUFFIXES as VOLUMES
from .volumefile import decode_volume

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (*RASTER_SUFFIXES, *VOLUMES, *DICOM_SUFFIXES)

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_EXIF_ORIENTATION = 274
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_TIFF_STARTS = (b"II", b"MM")
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class ImageFile:
    """An image in a file.

    Parameters
    ----------
    path : Path
    sha256 : str, optional
        What the file's bytes must hash to; the only guard against damage that decodes.
    """

    path: Path
    sha256: str | None = None

    def read(self) -> Image:
        """Decode the file.

        A colour file whose channels are equal is read as that channel. Any other 8-bit colour file
        becomes grey by the luma of ITU-R BT.601, with a note: a mammogram has no colour, so look at it.

        Raises
        ------
        ImageError
            With a code of :func:`decode`, ``image.channels`` or ``pixel.nonfinite``.
        """
        decoded = decode(self.path, self.sha256)
        pixels, notes = _as_grey(self.path, decoded.pixels)
        return Image(pixels, decoded.spacing_mm, (*decoded.notes, *notes), decoded.grid)

    def content(self) -> str:
        """Hash of the file; raises ImageError where there is none."""
        return file_content(self.path, self.sha256)


def decode(path: Path, sha256: str | None = None) -> Decoded:
    """Pixels of one file as stored, by what its name ends in; a file without a known ending may be DICOM.

    Raises
    ------
    ImageError
        ``file.missing``, ``file.not_file``, ``file.unreadable``, ``file.empty``, ``file.too_large``,
        ``file.changed``, ``file.unknown_format``, ``file.not_dicom``, ``file.corrupt``,
        ``file.truncated``, ``file.unsupported``, ``image.not_2d``, ``image.depth`` or those of
        :func:`~cemrad.features.dicomfile.decode_dicom`.
    """
    require_regular_file(path, sha256)
    try:
        return _decode(path)
    except CaseError:
        raise
    except PermissionError:
        raise ImageError("file.unreadable", f"{path.name}: no permission to read it") from None
    except Exception as error:  # noqa: BLE001 - decoders of damaged bytes raise whatever they stumble over
        # Not the error's own text: it may quote what the file holds.
        raise ImageError("file.corrupt", f"{path.name}: cannot be decoded ({type(error).__name__})") from None


def _decode(path: Path) -> Decoded:
    name = path.name.strip().lower()
    if name.endswith(RASTER_SUFFIXES):
        return _decode_raster(path)
    for suffix, reader in VOLUMES.items():
        if name.endswith(suffix):
            return decode_volume(path, reader)
    if name.endswith(DICOM_SUFFIXES) or _has_dicom_preamble(path):
        return decode_dicom(path)
    raise ImageError("file.unknown_format", f"{path.name}: not one of {', '.join(SUFFIXES)}")


def _has_dicom_preamble(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _as_grey(path: Path, pixels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    if pixels.ndim == 2:
        return pixels, ()
    if equal_channels(pixels):
        return np.ascontiguousarray(pixels[..., 0]), ("equal colour channels read as one",)
    if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ImageError(
            "image.channels", f"{path.name}: {pixels.shape[2]} channels of {pixels.dtype}; save it as grey"
        )
    grey = np.asarray(PIL.Image.fromarray(pixels).convert("L"))
    return grey, ("colour read as grey: luma of ITU-R BT.601",)


def equal_channels(pixels: NDArray[Any]) -> bool:
    """Whether all channels of (rows, columns, channels) hold the same values."""
    return bool((pixels == pixels[..., :1]).all())


def _decode_raster(path: Path) -> Decoded:
    data = path.read_bytes()
    picture = _open_raster(path, data)
    require_one_picture(path, picture.height, picture.width, getattr(picture, "n_frames", 1))
    _require_depth(path, picture, data)
    _require_complete(path, picture, data)
    try:
        picture.load()
    except _DAMAGE as error:
        code = "file.truncated" if "truncated" in str(error) else "file.corrupt"
        raise ImageError(code, f"{path.name}: cannot be decoded ({error}); export the file again") from None
    notes = []
    orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation != 1:
        notes.append(f"EXIF orientation {orientation} not applied: pixels as stored")
    pixels, indices = _raster_pixels(path, picture, notes)
    return Decoded(pixels, notes=tuple(notes), lossy=picture.format == "JPEG", indices=indices)


def _open_raster(path: Path, data: bytes) -> PIL.Image.Image:
    try:
        with warnings.catch_warnings():
            # The size is held to MAX_PIXELS below, with a code of its own.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            if data.startswith(_TIFF_STARTS):  # its tags are the file; in a JPEG the same warning is of a side matter
                warnings.filterwarnings("error", "Corrupt EXIF data", UserWarning)
            return PIL.Image.open(BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
    except PIL.Image.DecompressionBombError:
        raise ImageError("file.too_large", f"{path.name}: the header states a picture too large to read") from None
    except UserWarning:
        raise ImageError("file.truncated", f"{path.name}: the TIFF file ends within its tags; copy it again") from None
    except _DAMAGE:
        raise ImageError("file.corrupt", f"{path.name}: not a PNG, JPEG or TIFF file inside") from None


def _require_depth(path: Path, picture: PIL.Image.Image, data: bytes) -> None:
    """Refuse what Pillow would cut to 8 bits, or show inverted, without a word."""
    bits, grey, inverted = 8, len(picture.getbands()) == 1, False
    if picture.format == "PNG":
        bits, grey = data[24], data[25] == 0  # IHDR: bit depth, colour type
    elif picture.format == "TIFF":
        tags = picture.tag_v2  # type: ignore[attr-defined]
        bits = max(tags.get(_TIFF_BITS, (1,)))
        inverted = tags.get(_TIFF_PHOTOMETRIC) == 0 and bits > 8
    if bits > 8 and (not grey or inverted):
        what = "white-is-zero" if inverted else "colour or alpha"
        raise ImageError("image.depth", f"{path.name}: {bits} bits with {what}; save it as plain {bits}-bit grey")


def _require_complete(path: Path, picture: PIL.Image.Image, data: bytes) -> None:
    """Find what libjpeg and Pillow pass over: a lost end, a chunk whose checksum is wrong."""
    if picture.format == "JPEG" and data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
        raise ImageError("file.truncated", f"{path.name}: the JPEG file has no end; copy it again")
    if picture.format == "PNG":
        if _PNG_END not in data[-64:]:
            raise ImageError("file.truncated", f"{path.name}: the PNG file has no end; copy it again")
        try:
            PIL.Image.open(BytesIO(data), formats=("PNG",)).verify()
        except _DAMAGE as error:
            raise ImageError("file.corrupt", f"{path.name}: {error}; copy the file again") from None


def _raster_pixels(
    path: Path, picture: PIL.Image.Image, notes: list[str]
) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    indices = np.asarray(picture) if picture.mode == "P" else None
    if picture.mode in ("P", "PA", "LA", "RGBA"):
        if picture.mode != "P" and np.asarray(picture.getchannel("A")).min() < 255:
            notes.append("transparency ignored")
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode not in ("L", "I", "F", "RGB") and not picture.mode.startswith("I;16"):
        raise ImageError("image.channels", f"{path.name}: colour mode {picture.mode}; save it as grey")
    pixels = np.asarray(picture)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), indices
