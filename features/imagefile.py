"""Image files: PNG, JPEG, TIFF, NRRD, NIfTI, MHA and DICOM, each as one 2-D grey picture."""

from __future__ import annotations

import gzip
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import SimpleITK
from numpy.typing import NDArray

from .decoded import Decoded, require_one_picture, require_regular_file
from .dicomfile import decode_dicom
from .errors import CaseError, ImageError
from .image import Grid, Image

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
VOLUME_SUFFIXES = {
    ".nrrd": "NrrdImageIO",
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".mha": "MetaImageIO",
}
DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (*RASTER_SUFFIXES, *VOLUME_SUFFIXES, *DICOM_SUFFIXES)

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_EXIF_ORIENTATION = 274
_CHUNK = 1024 * 1024
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_NRRD_DATA_FILE = re.compile(rb"[\r\n][ \t]*data[ \t]*file[ \t]*:", re.IGNORECASE)
_PNG_END = b"IEND\xaeB`\x82"
_META_LOCAL = re.compile(rb"(?:\A|\n)ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n")


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
            With a code of :func:`decode`, ``image.channels`` or ``image.nonfinite``.
        """
        decoded = decode(self.path, self.sha256)
        pixels, notes = _as_grey(self.path, decoded.pixels)
        return Image(pixels, decoded.spacing_mm, (*decoded.notes, *notes), decoded.grid)


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
    for suffix, reader in VOLUME_SUFFIXES.items():
        if name.endswith(suffix):
            return _decode_volume(path, reader)
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


# --- PNG, JPEG, TIFF ------------------------------------------------------------------------------


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
            return PIL.Image.open(BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
    except PIL.Image.DecompressionBombError:
        raise ImageError("file.too_large", f"{path.name}: the header states a picture too large to read") from None
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


# --- NRRD, NIfTI, MHA -----------------------------------------------------------------------------


def _decode_volume(path: Path, reader_name: str) -> Decoded:
    _require_attached(path, reader_name)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = (*reader.GetSize(), 1)
        require_one_picture(path, size[1], size[0], int(np.prod(size[2:])))
        if reader_name == "NiftiImageIO":
            _require_whole_nifti(path, size[0] * size[1])
        volume = reader.Execute()
    except RuntimeError:
        raise ImageError("file.corrupt", f"{path.name}: damaged, cut off or not what its name says") from None
    shape = (size[1], size[0], volume.GetNumberOfComponentsPerPixel())
    pixels = SimpleITK.GetArrayFromImage(volume).reshape(shape)
    grid = _volume_grid(volume)
    # 1 x 1 is what every library writes when it knows no spacing; no mammogram has it.
    unknown = grid.spacing_mm == (1.0, 1.0)
    notes = ("spacing: 1 x 1 in the file, taken as not stated",) if unknown else ()
    return Decoded(pixels[..., 0] if shape[2] == 1 else pixels, None if unknown else grid.spacing_mm, grid, notes)


def _require_whole_nifti(path: Path, n_pixels: int) -> None:
    """Refuse a file that ends before its pixels do: its reader fills the rest with zeros and says nothing."""
    # The reader goes by the content, not by the name: an unpacked file may be named .nii.gz.
    with path.open("rb") as stream:
        opened = gzip.open if stream.read(2) == b"\x1f\x8b" else open
    try:
        with opened(path, "rb") as stream:
            header = stream.read(352)
            expected = _nifti_bytes(header, n_pixels) - len(header)
            # To the end, or the checksum of a packed file is not looked at; never far beyond the pixels.
            found = sum(len(stream.read(_CHUNK)) for _ in range(expected // _CHUNK + 2))
    except (OSError, EOFError, zlib.error, struct.error):
        raise ImageError("file.corrupt", f"{path.name}: damaged, cut off or not what its name says") from None
    if found < expected:
        raise ImageError("file.truncated", f"{path.name}: {expected - found} bytes are missing; copy it again")


def _nifti_bytes(header: bytes, n_pixels: int) -> int:
    """Bytes from the start of the file to the end of the pixels, as a header of NIfTI-1 or NIfTI-2 states them."""
    order = "<" if header[:4] in (struct.pack("<i", 348), struct.pack("<i", 540)) else ">"
    second = struct.unpack(f"{order}i", header[:4])[0] == 540
    (bits,) = struct.unpack_from(f"{order}h", header, 14 if second else 72)
    (start,) = struct.unpack_from(f"{order}q" if second else f"{order}f", header, 168 if second else 108)
    return int(start) + n_pixels * int(bits) // 8


def _volume_grid(volume: Any) -> Grid:
    spacing, origin = volume.GetSpacing(), volume.GetOrigin()
    cosines = np.reshape(volume.GetDirection(), (volume.GetDimension(),) * 2)[:2, :2]
    (a, b), (c, d) = cosines.tolist()
    return Grid((spacing[1], spacing[0]), (origin[1], origin[0]), (a, b, c, d))


def _require_attached(path: Path, reader_name: str) -> None:
    """Refuse a header that points to another file: it would be read from wherever it names.

    The whole file is searched, because a header ends where its reader thinks it ends.
    """
    detached = False
    if reader_name == "NrrdImageIO":
        detached = _NRRD_DATA_FILE.search(path.read_bytes()) is not None
    elif reader_name == "MetaImageIO":
        content = path.read_bytes()
        detached = content.count(b"ElementDataFile") != 1 or _META_LOCAL.search(content) is None
    if detached:
        raise ImageError("file.unsupported", f"{path.name}: its pixels are in another file; save them in one")
