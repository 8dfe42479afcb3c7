"""The breast in a mammogram: its pixels, the side on which the chest wall lies, the pectoral muscle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage

from .errors import ImageError
from .image import Image
from .mask import Mask, bounding_box
from .pectoral import find_pectoral_line

T = TypeVar("T", bound=np.generic)
Grey = NDArray[np.float32]
Side = Literal["L", "R"]

_WORK_PX = 512  # longest side of the copy on which the breast is looked for
_LEVELS = 255.0  # grey levels of that copy
_NOISE = 4.0  # levels above air that its own noise reaches: JPEG
_PADDING = 12.0  # levels within which a row or column counts as empty: JPEG beside an edge
_TISSUE = 0.04  # of the way from air to the median of the tissue: where breast begins
_MIN_AIR = 0.01  # of the picture without its empty border: less is no background
_SPECK_PX = 8  # a part with fewer pixels is noise
_TRIM_PX = 4  # how deep air along the skin is taken away again
_MIN_SHARE = 0.03  # of the picture: the smallest breast
_MIN_RADIUS = 0.04  # of the longest side: the largest square in it is no smaller; lines of text are
_MIN_CORRELATION = 0.3  # between neighbouring pixels: noise has none


@dataclass(frozen=True, eq=False)
class BreastRegion:
    """What :func:`find_breast` found.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        Breast, pectoral muscle included; without air, padding, labels and text.
    side : {"L", "R"}
        Side of the picture on which the chest wall lies: left for a left breast as it is usually shown.
    pectoral : ndarray of bool, shape (rows, columns), optional
        The part of the mask that is pectoral muscle; None outside of MLO views, and where it was not found credibly.
    inverted : bool
        Whether air is bright and tissue dark.
    air : float
        Grey value, as stored, below which a pixel is air; above which, where the picture is inverted.
    notes : tuple of str
        What a reviewer should know, one sentence each.
    """

    mask: Mask
    side: Side
    pectoral: Mask | None = None
    inverted: bool = False
    air: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def tissue(self) -> Mask:
        """The breast without its pectoral muscle, where that was found."""
        return self.mask if self.pectoral is None else self.mask & ~self.pectoral

    def canonical(self, array: NDArray[T]) -> NDArray[T]:
        """The picture, or a mask of it, with the chest wall on the left. Twice is the array itself.

        Examples
        --------
        >>> region = BreastRegion(np.array([[False, True]]), "R")
        >>> region.canonical(region.mask)
        array([[ True, False]])
        """
        return array if self.side == "L" else array[:, ::-1]


class _Air(NamedTuple):
    """Grey levels of the working copy: where tissue begins, and whether the copy had to be inverted."""

    threshold: float
    inverted: bool


def find_breast(image: Image | NDArray[Any], laterality: str = "", view: str = "") -> BreastRegion:
    """Find the breast in a low-energy, recombined or other mammogram of any grey scale.

    Air is the even background of the picture, dark or bright. Breast is the largest part that is not air, with its
    holes filled; what lies apart from it (labels, text, padding) is left out. The work is done on a copy of at most
    512 pixels; the edge follows the grey values at full size.

    Parameters
    ----------
    image : Image or ndarray, shape (rows, columns)
    laterality : {"L", "R", ""}
        As stated; it decides only where the picture does not tell on which side the chest wall is.
    view : str
        The pectoral muscle is looked for where this begins with ``MLO``.

    Returns
    -------
    BreastRegion

    Raises
    ------
    ImageError
        ``breast.not_found``: the picture is empty, constant or noise, or holds nothing as large as a breast.

    Examples
    --------
    >>> pixels = np.zeros((60, 40)); pixels[10:50, :25] = 90 + 10 * np.arange(25)
    >>> region = find_breast(pixels)
    >>> region.side, int(region.mask.sum())
    ('L', 1000)
    """
    pixels = image.pixels if isinstance(image, Image) else image
    bright, block, low, high = _working_copy(pixels)
    small: Grey = bright.clip(0, _LEVELS)
    box = _inner_box(small)
    air = _find_air(small[box])
    if air.inverted:
        small = np.float32(_LEVELS) - small
        bright = small
    tissue = np.zeros(small.shape, dtype=bool)
    tissue[box] = small[box] > air.threshold
    tissue = _without_specks(tissue)
    found, notes = _breast_part(tissue)
    side, side_note = _chest_wall(found, laterality)
    found = _trimmed(_fill(found, side), tissue, box)
    notes += [*side_note, *_clips(bright, found)]
    if air.inverted:
        notes.append("air is brighter than tissue: the picture was read as inverted")
    mask = _at_full_size(found, small, air.threshold, block)[: pixels.shape[0], : pixels.shape[1]]
    level = _LEVELS - air.threshold if air.inverted else air.threshold
    pectoral = None
    if view.upper().startswith("MLO"):
        flip = slice(None, None, 1 if side == "L" else -1)
        line = find_pectoral_line(small[:, flip], found[:, flip])
        if line is None:
            notes.append("MLO view: no pectoral muscle was found credibly")
        else:
            pectoral = mask & line.side(block, small.shape)[: mask.shape[0], flip][:, : mask.shape[1]]
    return BreastRegion(mask, side, pectoral, air.inverted, low + level / _LEVELS * (high - low), tuple(notes))


def block_means(pixels: NDArray[Any], block: int) -> Grey:
    """Means of square blocks of `block` pixels a side; the last row and column are repeated to fill the last blocks.

    Examples
    --------
    >>> block_means(np.array([[0, 2, 5], [2, 4, 7]]), 2)
    array([[2., 6.]], dtype=float32)
    """
    grey = pixels.astype(np.float32)
    if block == 1:
        return grey
    grey = np.pad(grey, [(0, -n % block) for n in grey.shape], mode="edge")
    rows, columns = (n // block for n in grey.shape)
    means: Grey = grey.reshape(rows, block, columns, block).mean(axis=(1, 3), dtype=np.float32)
    return means


def _not_found(reason: str) -> ImageError:
    return ImageError("breast.not_found", f"no breast was found: {reason}; look at the picture")


def _working_copy(pixels: NDArray[Any]) -> tuple[Grey, int, float, float]:
    """Means of square blocks, at most 512 each way, from 0 to 255 with clips beyond; block, ends of the scale."""
    block = -(-max(pixels.shape) // _WORK_PX)
    grey = block_means(pixels, block)
    low, high = float(grey.min()), float(np.quantile(grey, 0.9995))
    if high <= low:
        high = float(grey.max())
    if high == low:
        raise _not_found(f"all pixels have the value {low:g}")
    scaled: Grey = (grey - low) * np.float32(_LEVELS / (high - low))
    return scaled, block, low, high


def _inner_box(small: Grey) -> tuple[slice, slice]:
    """The picture without the rows and columns of one value that pad it."""
    edges = []
    for axis in (1, 0):
        spread = np.ptp(small, axis=axis)
        filled = np.flatnonzero(spread > _PADDING)
        if filled.size < 2:
            raise _not_found("almost every row or column of it has one value")
        edges.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return edges[0], edges[1]


def _find_air(inner: Grey) -> _Air:
    """The level between air and tissue, from an even background at one end of the grey scale."""
    dark, bright = inner < 0.04 * _LEVELS, inner > 0.96 * _LEVELS
    inverted = bool(bright.mean() > 0.1 and bright.mean() > 3 * dark.mean() and _frame(bright) > 0.25 > _frame(dark))
    levels = _LEVELS - inner if inverted else inner
    centred = levels - levels.mean()
    neighbours = float((centred[:, 1:] * centred[:, :-1]).mean() / max(float(centred.var()), 1e-6))
    if neighbours < _MIN_CORRELATION:
        raise _not_found("neighbouring pixels have nothing in common, as in noise")
    counts = np.bincount(levels.astype(np.intp).ravel(), minlength=256)
    air = int(counts[:64].argmax())
    share, next_share = (float(counts[max(low, 0) : low + 9].mean()) for low in (air - 4, air + 8))
    if counts[max(air - 4, 0) : air + 5].sum() < _MIN_AIR * levels.size or share < 2 * next_share:
        return _Air(-1.0, inverted)  # no even background: the breast fills the picture
    beyond = levels[levels > air + _NOISE]
    return _Air(air + max(_NOISE, _TISSUE * (float(np.median(beyond)) - air)) if beyond.size else _LEVELS, inverted)


def _frame(part: Mask) -> float:
    """How much of the outermost rows and columns is in it."""
    return float(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]).mean())


def _breast_part(tissue: Mask) -> tuple[Mask, list[str]]:
    """The largest part that is not air, and what was left out."""
    size = _element(tissue)
    # Filters continue the picture beyond its frame: the breast is not rounded off there. Dark fat under the skin is
    # bridged first, then what hangs on by a thread (rulers, labels) is cut off.
    opened = _opened(_closed(tissue, size + 2), size)
    labels, _ = ndimage.label(opened)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    share, core = sizes.max() / tissue.size, 2 * round(_MIN_RADIUS * max(tissue.shape)) + 1
    if share < _MIN_SHARE or not ndimage.minimum_filter(opened, core, mode="nearest").any():
        raise _not_found(f"the largest part that is not background covers {share:.1%}, as labels and text do")
    breast = labels == sizes.argmax()
    apart = tissue & ~ndimage.maximum_filter(breast, 2 * size)
    others, _ = ndimage.label(apart, np.ones((3, 3), dtype=bool))
    large = int((np.bincount(others.ravel())[1:] >= size**2).sum())
    notes = [f"{large} parts apart from the breast were left out: labels, text or other objects"] if large else []
    return breast, notes


def _element(mask: Mask) -> int:
    """Side of the square of opening and smoothing: 1 % of the longest side, odd."""
    longest: int = max(mask.shape)
    return 2 * max(1, round(longest / 200)) + 1


def _without_specks(tissue: Mask) -> Mask:
    """Without parts of a few pixels: noise of the air, which closing would join to the skin."""
    labels, _ = ndimage.label(tissue, np.ones((3, 3), dtype=bool))
    large = np.bincount(labels.ravel()) >= _SPECK_PX
    large[0] = False
    return np.asarray(large[labels])


def _trimmed(breast: Mask, tissue: Mask, box: tuple[slice, slice]) -> Mask:
    """Without the air that closing has added along the skin, and what lies in the empty border; its edge smooth."""
    inside = np.zeros_like(breast)
    inside[box] = breast[box]
    outside = ndimage.binary_dilation(~inside, iterations=_TRIM_PX, mask=~tissue | ~inside)
    kept = np.zeros_like(breast)
    trimmed = (inside & ~outside)[box]
    kept[box] = trimmed & (ndimage.uniform_filter(trimmed.astype(np.float32), _element(breast), mode="nearest") > 0.5)
    return kept


def _closed(mask: Mask, size: int) -> Mask:
    closed: Mask = ndimage.minimum_filter(ndimage.maximum_filter(mask, size, mode="nearest"), size, mode="nearest")
    return closed


def _opened(mask: Mask, size: int) -> Mask:
    opened: Mask = ndimage.maximum_filter(ndimage.minimum_filter(mask, size, mode="nearest"), size, mode="nearest")
    return opened


def _chest_wall(breast: Mask, laterality: str) -> tuple[Side, list[str]]:
    """The side on which the breast is cut off straight."""
    top, bottom, left, right = bounding_box(breast)
    margin = max(1, round(0.02 * (right - left)))
    on_left = np.count_nonzero(breast[top:bottom, left : left + margin].any(axis=1))
    on_right = np.count_nonzero(breast[top:bottom, right - margin : right].any(axis=1))
    side: Side = "L" if on_left >= on_right else "R"
    stated = laterality.upper()[:1]
    if abs(on_left - on_right) < 0.1 * (bottom - top):
        if stated in ("L", "R"):
            side = "L" if stated == "L" else "R"
        return side, [f"the picture does not tell on which side the chest wall is; {side} was taken"]
    if stated in ("L", "R") and stated != side:
        return side, [f"the chest wall is on the {side} side of the picture of a breast stated as {stated}"]
    return side, []


def _fill(breast: Mask, side: Side) -> Mask:
    """The breast with its gaps and holes filled (dark fat), those that open to the chest wall too."""
    size = 2 * round(max(breast.shape) / 80) + 1
    breast = _closed(breast, size)
    wall = breast if side == "L" else breast[:, ::-1]
    top, bottom, left, _ = bounding_box(wall)
    touching = np.flatnonzero(wall[top:bottom, left : left + 3].any(axis=1)) + top
    closed = np.pad(wall[:, left:], ((0, 0), (1, 0)))
    closed[touching[0] : touching[-1] + 1, 0] = True
    filled = np.zeros_like(wall)
    filled[:, left:] = ndimage.binary_fill_holes(closed)[:, 1:]
    reach = np.maximum.accumulate(filled, axis=1) & np.maximum.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
    return reach if side == "L" else reach[:, ::-1]


def _clips(bright: Grey, breast: Mask) -> list[str]:
    """A note on small spots far brighter than what surrounds them."""
    inner = ndimage.minimum_filter(breast, 1 + 2 * round(max(bright.shape) / 50))
    if not inner.any():
        return []
    hat = bright - ndimage.grey_opening(bright, size=(9, 9))
    _, count = ndimage.label((hat > 0.7 * _LEVELS) & inner)
    if not count:
        return []
    return [f"{count} small very bright spots inside the breast: clips, markers or coarse calcifications"]


def _at_full_size(found: Mask, small: Grey, threshold: float, block: int) -> Mask:
    """The mask with every pixel as a block, its edge where the grey values between the blocks cross the threshold."""
    if block == 1:
        return found
    core = ndimage.binary_erosion(found, iterations=2, border_value=1)
    reach = ndimage.binary_dilation(found)
    edge = np.where(core, 255, np.where(reach, (8 * (small - threshold) + 128).clip(0, 255), 0)).astype(np.uint8)
    size = found.shape[1] * block, found.shape[0] * block
    return np.asarray(Pillow.fromarray(edge).resize(size, Pillow.Resampling.BILINEAR)) > 128
