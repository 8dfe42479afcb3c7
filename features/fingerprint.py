"""Fingerprints of pictures: whether two files hold the same picture, or copies of one, whatever they are called.

A person may come under two ids: taken over from two archives, or pseudonymised twice. Equal pixels under another name
or in another format give her away, and so does a picture that was saved anew as JPEG, cut by a pixel or made brighter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIXELS, NEAR = "pixels_sha256", "pixels_near"
"""Columns of a table's cases: a fingerprint of each kind per picture that could be read, as ``RC_CC:1f03...``."""
COLUMNS = (PIXELS, NEAR)

NEAR_BITS = 512
MOST_NEAR_BITS = 56
"""Most bits in which the near hashes of two copies of one picture differ; pictures of two breasts differ in more."""

_SIDE = 16
_COARSE = 128
_MOST_SIDE = 512
_LEAST_BRIGHTNESS, _LEAST_SHARE = 0.05, 0.02

Array = NDArray[np.float64]


class Fingerprint(NamedTuple):
    """What a picture is known by.

    Parameters
    ----------
    pixels : str
        SHA-256 of size and grey values, the same for every file format and number type that holds them.
    near : str
        512 bits in hexadecimal digits: whether each of 16 x 16 fields of the breast is brighter than its neighbour
        to the left, and than the one above. Copies differ in few of them.
    """

    pixels: str
    near: str


def fingerprint(pixels: NDArray[Any]) -> Fingerprint | None:
    """The fingerprint of a picture; None for one of a single grey value, which says nothing about anybody.

    The near hash is a difference hash, taken in the box that holds the breast, so that margins do not count. Sums
    are whole numbers taken in a fixed order: every machine finds the same bits.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)

    Examples
    --------
    >>> picture = np.add.outer(np.arange(40), np.arange(30))
    >>> fingerprint(picture.astype(np.uint8)) == fingerprint(picture.astype(np.float32))
    True
    >>> fingerprint(np.ones((40, 30))) is None
    True
    """
    if pixels.min() == pixels.max():
        return None
    plain = _plain(pixels)
    digest = hashlib.sha256(f"{plain.dtype.str} {plain.shape}\n".encode())
    digest.update(np.ascontiguousarray(plain).data)
    return Fingerprint(digest.hexdigest(), _near(plain))


def near_bits(text: str) -> NDArray[np.uint64]:
    """A near hash as 8 words of 64 bits, to count in how many two of them differ."""
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint64)


def join(prints: Mapping[str, str]) -> str:
    """Fingerprints of one kind by picture, as the text of a table's cell.

    Examples
    --------
    >>> dict(split(join({"LE_CC": "1f", "RC_CC": "a0"})))
    {'LE_CC': '1f', 'RC_CC': 'a0'}
    """
    return " ".join(f"{picture}:{value}" for picture, value in prints.items())


def split(cell: str) -> Iterator[tuple[str, str]]:
    """Pictures with their fingerprints, from the text of a table's cell."""
    for part in str(cell).split():
        picture, _, value = part.partition(":")
        yield picture, value


def pixels_of(cell: str) -> list[str]:
    """The fingerprints alone, from the text of a table's cell."""
    return [value for _, value in split(cell)]


def _plain(pixels: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as the smallest type that holds them, whatever the file stored them as."""
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any():
        return pixels.astype("<f8")
    kinds = (("<u1", 0, 2**8), ("<u2", 0, 2**16), ("<i4", -(2**31), 2**31))
    return pixels.astype(next((kind for kind, start, end in kinds if start <= low and high < end), "<f8"), copy=False)


def _near(pixels: NDArray[Any]) -> str:
    small = _shrunk(pixels)
    down = np.zeros((small.shape[0] + 1, small.shape[1]), dtype=small.dtype)
    np.cumsum(small, axis=0, out=down[1:])
    (top, bottom), (left, right) = _breast(small, down)
    fields = _means(down, np.linspace(top, bottom, _SIDE + 2), np.linspace(left, right, _SIDE + 2))
    least = 1e-9 * float(np.abs(fields).max())  # below it is rounding
    across = np.diff(fields, axis=1)[:_SIDE] > least
    along = np.diff(fields, axis=0)[:, :_SIDE] > least
    return np.packbits(np.concatenate([across.ravel(), along.ravel()])).tobytes().hex()


def _shrunk(pixels: NDArray[Any]) -> NDArray[Any]:
    """Sums of square blocks, so that at most about a thousand rows and columns are left."""
    side = max(1, max(pixels.shape) // _MOST_SIDE)
    rows, columns = (size // side * side for size in pixels.shape)
    kind = np.float64 if pixels.dtype.kind == "f" else np.int64
    if not rows or not columns:
        return pixels.astype(kind)
    strips: NDArray[Any] = pixels[0:rows:side, :columns].astype(kind)
    for first in range(1, side):
        strips += pixels[first:rows:side, :columns]
    blocks = strips[:, 0:columns:side].copy()
    for first in range(1, side):
        blocks += strips[:, first:columns:side]
    return blocks


def _breast(pixels: NDArray[Any], down: NDArray[Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """First and last row and column of what is brighter than the background."""
    rows, columns = pixels.shape
    dark, bright = np.percentile(pixels[::2, ::2], [1, 99])
    coarse = _means(down, np.linspace(0, rows, _COARSE + 1), np.linspace(0, columns, _COARSE + 1))
    tissue = coarse > dark + _LEAST_BRIGHTNESS * (bright - dark)
    return _extent(tissue.mean(axis=1), rows), _extent(tissue.mean(axis=0), columns)


def _extent(share: Array, size: int) -> tuple[float, float]:
    at = np.flatnonzero(share > _LEAST_SHARE)
    if not len(at):
        return 0.0, float(size)
    return float(at[0] * size / len(share)), float((at[-1] + 1) * size / len(share))


def _means(down: NDArray[Any], rows: Array, columns: Array) -> Array:
    """Mean of each field between these edges, which may lie within pixels; `down` are sums from the top row on."""
    strips = np.diff(_at(down, rows), axis=0)
    across = np.zeros((strips.shape[0], strips.shape[1] + 1))
    np.cumsum(strips, axis=1, out=across[:, 1:])
    sums = np.diff(_at(across.T, columns), axis=0).T
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)))


def _at(sums: NDArray[Any], edges: Array) -> Array:
    low = np.clip(np.floor(edges).astype(np.int64), 0, len(sums) - 2)
    return np.asarray(sums[low] + (edges - low)[:, None] * (sums[low + 1] - sums[low]))
