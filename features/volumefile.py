"""Volume files that hold one picture: NRRD, NIfTI and MHA, looked at before ITK reads them.

ITK fills what a file lacks with zeros, passes over checksums, reads a packed MHA that is damaged as noise, and
follows a header to another file, each without an error. So the header and the packed bytes are read here first.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK

from .decoded import MAX_BYTES, Decoded, require_one_picture
from .errors import ImageError
from .image import Grid

SUFFIXES = {
    ".nrrd": "NrrdImageIO",
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".mha": "MetaImageIO",
}
"""What a name ends in, and ITK's reader of it."""

_CHUNK = 1024 * 1024
_SLACK = 1024 * 1024
"""Bytes that may follow the pixels."""
_LONGEST_HEADER = 16 * 1024 * 1024

_NRRD_BYTES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4, "uint32_t": 4,
    "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8, "signed long long int": 8, "int64": 8,
    "int64_t": 8, "ulonglong": 8, "unsigned long long": 8, "unsigned long long int": 8, "uint64": 8, "uint64_t": 8,
    "float": 4, "double": 8,
}  # fmt: skip
_META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 128: 1, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 2304: 1}
"""By NIfTI's code of the data type; the header's own number of bits is not what its readers go by."""

_NRRD_DATA_FILE = re.compile(rb"[\r\n][ \t]*data[ \t]*file[ \t]*:", re.IGNORECASE)
_META_LOCAL = re.compile(rb"(?:\A|\n)ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n")


@dataclass(frozen=True, eq=False)
class _Stored:
    """How a file stores its pixels.

    Parameters
    ----------
    chunks : iterator of bytes
        The pixels and what follows them, unpacked.
    pixel_bytes : int, optional
        Bytes of one number; None where they are written as text, whose length says nothing.
    spacing : tuple of float
        Of columns and rows, as the header states it; empty where it does not.
    """

    chunks: Iterator[bytes]
    pixel_bytes: int | None
    spacing: tuple[float, ...] = ()


def decode_volume(path: Path, reader_name: str) -> Decoded:
    """The picture of a NRRD, NIfTI or MHA file.

    Raises
    ------
    ImageError
        ``file.corrupt``, ``file.truncated``, ``file.too_large``, ``file.unsupported``, ``image.not_2d`` or
        ``spacing.invalid``.
    """
    with _damage_named(path), path.open("rb") as file:
        stored = _LOOK[reader_name](path, file)
        if not all(0 < abs(side) < math.inf for side in stored.spacing[:2]):
            shown = " x ".join(f"{side:g}" for side in stored.spacing[:2])
            raise ImageError("spacing.invalid", f"{path.name}: its header states a spacing of {shown}; correct it")
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO(reader_name)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = (*reader.GetSize(), 1)
        require_one_picture(path, size[1], size[0], int(np.prod(size[2:])))
        channels = reader.GetNumberOfComponents()
        expected = size[0] * size[1] * channels * (stored.pixel_bytes or 8)
        if expected > MAX_BYTES:
            raise ImageError("file.too_large", f"{path.name}: states {expected} bytes of pixels; at most {MAX_BYTES}")
        if stored.pixel_bytes is not None:
            _require_whole(path, stored.chunks, expected)
        volume = reader.Execute()
    pixels = SimpleITK.GetArrayFromImage(volume).reshape(size[1], size[0], channels)
    grid = _grid(volume)
    # 1 x 1 is what every library writes when it knows no spacing; no mammogram has it.
    unknown = grid.spacing_mm == (1.0, 1.0)
    notes = ("spacing: 1 x 1 in the file, taken as not stated",) if unknown else ()
    return Decoded(pixels[..., 0] if channels == 1 else pixels, None if unknown else grid.spacing_mm, grid, notes)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise ImageError("file.truncated", f"{path.name}: the file ends within its pixels; copy it again") from None
    except (RuntimeError, gzip.BadGzipFile, zlib.error, struct.error):
        raise ImageError("file.corrupt", f"{path.name}: damaged or not what its name says; copy it again") from None


def _require_whole(path: Path, chunks: Iterator[bytes], expected: int) -> None:
    """Read to the end, where the checksum of packed bytes is, but never far beyond the pixels."""
    found = 0
    for chunk in chunks:
        found += len(chunk)
        if found > expected + _SLACK:
            break
    if found < expected:
        raise ImageError("file.truncated", f"{path.name}: {expected - found} bytes are missing; copy it again")
    if found > expected + _SLACK:
        raise ImageError("file.too_large", f"{path.name}: holds far more than the {expected} bytes of its pixels")


def _grid(volume: Any) -> Grid:
    spacing, origin = volume.GetSpacing(), volume.GetOrigin()
    cosines = np.reshape(volume.GetDirection(), (volume.GetDimension(),) * 2)[:2, :2]
    (a, b), (c, d) = cosines.tolist()
    return Grid((spacing[1], spacing[0]), (origin[1], origin[0]), (a, b, c, d))


def _corrupt(path: Path) -> ImageError:
    return ImageError("file.corrupt", f"{path.name}: its header is damaged or not what its name says; copy it again")


def _unsupported(path: Path, what: str) -> ImageError:
    return ImageError("file.unsupported", f"{path.name}: {what}")


def _fields(header: bytes, mark: str) -> dict[str, str]:
    """Fields of a text header, by names in lower case without blanks."""
    lines = [line.partition(mark) for line in header.decode("latin-1").splitlines()]
    return {name.replace(" ", "").lower(): value.strip() for name, found, value in lines if found}


def _look_nrrd(path: Path, file: BinaryIO) -> _Stored:
    """Also refuses a header that points to another file: it would be read from wherever it names.

    The whole file is searched for that, because a header ends where its reader thinks it ends.
    """
    content = file.read()
    if not content.startswith(b"NRRD"):
        raise _corrupt(path)
    if _NRRD_DATA_FILE.search(content):
        raise _unsupported(path, "its pixels are in another file; save them in one")
    end = re.search(rb"\r?\n\r?\n", content)
    if end is None:
        raise _corrupt(path)
    fields = _fields(content[: end.start()], ":")
    if any(fields.get(name, "0") != "0" for name in ("lineskip", "byteskip")):
        raise _unsupported(path, "skips part of its data; save it without line skip and byte skip")
    encoding, kind = fields.get("encoding", "").lower(), _NRRD_BYTES.get(fields.get("type", ""))
    vectors = re.findall(r"\(([^)]*)\)", fields.get("spacedirections", ""))
    spacing = [math.hypot(*map(float, vector.split(","))) for vector in vectors]
    spacing = spacing or [float(text) for text in fields.get("spacings", "").split()]
    spacing = [side for side in spacing if not math.isnan(side)]  # NaN is the format's word for an unknown one
    file.seek(end.end())
    packed = encoding in ("gzip", "gz")
    chunks = _chunks(gzip.GzipFile(fileobj=file) if packed else file)
    return _Stored(chunks, kind if packed or encoding == "raw" else None, tuple(spacing))


def _look_meta(path: Path, file: BinaryIO) -> _Stored:
    content = file.read()
    if b"ElementDataFile" not in content:
        raise _corrupt(path)
    local = _META_LOCAL.search(content)
    if local is None or content.count(b"ElementDataFile") != 1:
        raise _unsupported(path, "its pixels are in another file; save them in one")
    fields = _fields(content[: local.start()], "=")
    if "headersize" in fields:
        raise _unsupported(path, "states a HeaderSize; save it without")
    is_text = fields.get("binarydata", "true").lower() in ("false", "0")
    kind = None if is_text else _META_BYTES.get(fields.get("elementtype", ""))
    spacing = tuple(float(text) for text in fields.get("elementspacing", "").split())
    file.seek(local.end())
    if fields.get("compresseddata", "").lower() in ("true", "1"):
        return _Stored(_inflated(file.read(int(fields.get("compresseddatasize") or -1))), kind, spacing)
    return _Stored(_chunks(file), kind, spacing)


def _look_nifti(path: Path, file: BinaryIO) -> _Stored:
    # By the content, as ITK does, not by the name: an unpacked file may be named .nii.gz.
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    header = stream.read(352)
    order = "<" if header[:4] in (struct.pack("<i", 348), struct.pack("<i", 540)) else ">"
    (size,) = struct.unpack(f"{order}i", header[:4])
    second = size == 540
    header += stream.read(544 - 352) if second else b""
    magic = header[4:12] if second else header[344:348]
    if magic == b"ni1\0" or magic.startswith(b"ni2\0"):
        raise _unsupported(path, "its pixels are in another file; save them in one")
    if (size, magic) not in ((348, b"n+1\0"), (540, b"n+2\0\r\n\x1a\n")):
        raise _corrupt(path)
    (kind,) = struct.unpack_from(f"{order}h", header, 12 if second else 70)
    spacing = struct.unpack_from(f"{order}3d" if second else f"{order}3f", header, 104 if second else 76)[1:]
    (start,) = struct.unpack_from(f"{order}q" if second else f"{order}f", header, 168 if second else 108)
    if not len(header) <= start <= _LONGEST_HEADER:
        raise _corrupt(path)
    if kind not in _NIFTI_BYTES:
        raise _unsupported(path, "its numbers are of a type that no picture has")
    stream.read(int(start) - len(header))
    return _Stored(_chunks(stream), _NIFTI_BYTES[kind], spacing)


def _chunks(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    return iter(lambda: stream.read(_CHUNK), b"")


def _inflated(packed: bytes) -> Iterator[bytes]:
    """What zlib packed, a chunk at a time; raises EOFError where it is cut off."""
    unpacker = zlib.decompressobj(47)  # zlib or gzip, by its first bytes, as ITK reads it
    while not unpacker.eof:
        chunk = unpacker.decompress(packed, _CHUNK)
        packed = unpacker.unconsumed_tail
        if not chunk and not packed and not unpacker.eof:
            raise EOFError
        yield chunk


_LOOK = {"NrrdImageIO": _look_nrrd, "MetaImageIO": _look_meta, "NiftiImageIO": _look_nifti}
