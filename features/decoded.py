"""What a decoder gives, and the limits that a file must keep before it is decoded."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .errors import ImageError
from .image import Grid

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded; the largest mammograms have about 20 million pixels."""

MAX_BYTES = 512 * 1024 * 1024
"""Largest file that is opened."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels as a file stores them, before anyone decides whether they are an image or a mask.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns) or (rows, columns, channels)
        Values as stored, in native byte order.
    spacing_mm : tuple of float, optional
        Row and column spacing, where the file states a physical one.
    grid : Grid, optional
        Placement as stated, where the format has one.
    notes : tuple of str
        What was decided.
    lossy : bool
        True for JPEG: grey values near edges are not what was saved.
    indices : ndarray of uint8, optional
        Palette indices, where the file stores a colour palette.
    """

    pixels: NDArray[Any]
    spacing_mm: tuple[float, float] | None = None
    grid: Grid | None = None
    notes: tuple[str, ...] = ()
    lossy: bool = False
    indices: NDArray[Any] | None = None


def require_regular_file(path: Path, sha256: str | None = None) -> None:
    """Refuse what is no ordinary file of a sensible size, or not the file that was named.

    Raises
    ------
    ImageError
        ``file.missing``, ``file.not_file``, ``file.unreadable``, ``file.empty``,
        ``file.too_large`` or ``file.changed``.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageError("file.missing", f"{path.name}: no such file") from None
    except OSError as error:
        raise ImageError("file.unreadable", f"{path.name}: {error.strerror or 'cannot be opened'}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("file.not_file", f"{path.name}: a folder or device, not a file")
    if status.st_size == 0:
        raise ImageError("file.empty", f"{path.name}: the file holds 0 bytes")
    if status.st_size > MAX_BYTES:
        raise ImageError("file.too_large", f"{path.name}: {status.st_size} bytes; at most {MAX_BYTES} are read")
    if sha256 is not None:
        _digest(path, sha256)
        return
    with _opened(path):
        pass


def file_content(path: Path, sha256: str | None = None) -> str:
    """What a file holds, as text: its SHA-256, and its ending, which says how it is decoded. Its name does not count.

    Raises
    ------
    ImageError
        As :func:`require_regular_file`, where there is nothing to hash or it is not what was stated.
    """
    require_regular_file(path)
    digest = _digest(path, sha256)
    return f"{digest}{''.join(path.suffixes[-2:]).strip().lower()}"


def _digest(path: Path, stated: str | None) -> str:
    """SHA-256 of a file, refused where it is not the one stated."""
    with _opened(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if stated is not None and digest != stated.strip().lower():
        raise ImageError("file.changed", f"{path.name}: its SHA-256 is not the one stated; the file was altered")
    return digest


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise ImageError("file.unreadable", f"{path.name}: {error.strerror or 'cannot be read'}") from None


def require_one_picture(path: Path, rows: int, columns: int, pictures: int = 1) -> None:
    """Refuse from the header what is not one 2-D picture of a sensible size.

    Raises
    ------
    ImageError
        ``image.not_2d`` or ``file.too_large``.
    """
    if pictures != 1:
        raise ImageError(
            "image.not_2d",
            f"{path.name}: {pictures} frames or slices; a mammogram is one picture, so give the one that is meant",
        )
    if rows * columns > MAX_PIXELS:
        raise ImageError(
            "file.too_large", f"{path.name}: {rows} x {columns} pixels stated; at most {MAX_PIXELS} are read"
        )
