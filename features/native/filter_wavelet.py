"""Stationary wavelet transform of the region alone, equal to that of the whole image.

One level at a time and undecimated: each level needs the wavelet's length of margin. Beyond the image it goes on
periodically, after an odd number of rows or columns was made even by one wrapped line. Sums run in PyWavelets' order.
Source: PyWavelets' ``swtn``, as pyradiomics calls it. IBSI 2: separable wavelets, 25BO.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pywt
from numpy.typing import NDArray

from .box import Box


def wavelet_filter(
    pixels: NDArray[Any], box: Box, wavelet: str, *, start_level: int, n_levels: int
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Sub-bands in a box, with pyradiomics' names.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image.
    box : Box
        Where the values are wanted.
    wavelet : str
        A discrete wavelet of PyWavelets.
    start_level : int
        Levels to go before the first that is given.
    n_levels : int
        How many are given.

    Yields
    ------
    name : str
        ``wavelet-LH``: low-pass along x, high-pass along y; from the second level on ``wavelet2-LH``.
    values : ndarray of float64, shape of the box
    """
    filters = pywt.Wavelet(wavelet)
    low, high = np.array(filters.dec_lo), np.array(filters.dec_hi)
    halo = (start_level + n_levels) * (filters.dec_len // 2)
    rows = _periodic(box.top - halo, box.bottom + halo, pixels.shape[0])
    columns = _periodic(box.left - halo, box.right + halo, pixels.shape[1])
    data = _taken(pixels, rows, columns)
    # Each level gives as many lines fewer as its filter is long: what is left in the end is the box.
    for _ in range(start_level):
        data = _split_rows(_split_columns(data, low, high)[0], low, high)[0]
    for level in range(1, n_levels + 1):
        by_low, by_high = _split_columns(data, low, high)
        data, low_high = _split_rows(by_low, low, high)
        high_low, high_high = _split_rows(by_high, low, high)
        margin = (data.shape[0] - box.shape[0]) // 2
        inner = slice(margin, margin + box.shape[0]), slice(margin, margin + box.shape[1])
        for band, values in (("LH", low_high), ("HL", high_low), ("HH", high_high)):
            yield _name(level, band), values[inner]
    yield _name(n_levels, "LL"), data


def wavelet_names(n_levels: int) -> list[str]:
    """Names of the sub-bands in the order in which they are given.

    Examples
    --------
    >>> wavelet_names(1)
    ['wavelet-LH', 'wavelet-HL', 'wavelet-HH', 'wavelet-LL']
    """
    details = [_name(level, band) for level in range(1, n_levels + 1) for band in ("LH", "HL", "HH")]
    return [*details, _name(n_levels, "LL")]


def _name(level: int, band: str) -> str:
    return f"wavelet-{band}" if level == 1 else f"wavelet{level}-{band}"


def _periodic(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Lines from start to stop of the periodic image; the line that makes their number even repeats the first."""
    place = np.arange(start, stop) % (length + length % 2)
    place[place == length] = 0
    return place


def _taken(pixels: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    if rows[-1] - rows[0] == rows.size - 1 and columns[-1] - columns[0] == columns.size - 1:
        near = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    else:
        near = pixels[np.ix_(rows, columns)]
    return np.ascontiguousarray(near, dtype=np.float64)


@numba.njit(cache=True, error_model="numpy")
def _split_columns(data, low, high):  # type: ignore[no-untyped-def]
    """Low- and high-pass along rows (x); half a filter's length of columns is lost on both sides."""
    n_taps = low.size
    width = data.shape[1] - n_taps
    by_low = np.zeros((data.shape[0], width), dtype=np.float64)
    by_high = np.zeros((data.shape[0], width), dtype=np.float64)
    for i in range(data.shape[0]):
        to_low, to_high = by_low[i], by_high[i]
        for k in range(n_taps):
            source = data[i, n_taps - k : n_taps - k + width]
            a, b = low[k], high[k]
            for j in range(width):
                to_low[j] += a * source[j]
                to_high[j] += b * source[j]
    return by_low, by_high


@numba.njit(cache=True, error_model="numpy")
def _split_rows(data, low, high):  # type: ignore[no-untyped-def]
    """Low- and high-pass along columns (y); half a filter's length of rows is lost on both sides."""
    n_taps = low.size
    height = data.shape[0] - n_taps
    by_low = np.zeros((height, data.shape[1]), dtype=np.float64)
    by_high = np.zeros((height, data.shape[1]), dtype=np.float64)
    for i in range(height):
        to_low, to_high = by_low[i], by_high[i]
        for k in range(n_taps):
            source = data[i + n_taps - k]
            a, b = low[k], high[k]
            for j in range(data.shape[1]):
                to_low[j] += a * source[j]
                to_high[j] += b * source[j]
    return by_low, by_high
