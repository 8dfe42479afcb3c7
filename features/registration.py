"""Registration of the two pictures of one view: how far the recombined image lies from the low-energy one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal
from skimage.registration import phase_cross_correlation

from .breast import BreastRegion, block_means, find_breast
from .errors import ImageError, MaskError
from .image import Image
from .mask import Mask, bounding_box

Towards = Literal["LE", "RC"]
Field = NDArray[np.float32]

MIN_DICE = 0.95  # of two contours after the shift: less, and one is no copy of the other
MOST_APART_PX = 5.0  # in rows or columns: contours and tissue that lie farther apart contradict each other
MIN_QUALITY = 0.22  # correlation of the textures: two patients' pictures of one view and side stay below
_WORK_PX = 512  # longest side of the copies that are compared
_FINE_PX, _COARSE_PX = 1.5, 6.0  # the texture compared lies between these two Gaussian widths
_CLIP = 3.0  # robust standard deviations: no vessel, clip or skin line weighs more
_UPSAMPLE = 10  # steps per pixel of the copies
_SCALE_STEP = 0.02  # of the size: what a difference in scale is looked for in
_SCALE_GAIN = 0.03  # of the correlation: what it must gain to be believed
_SCALE_REACH = 5  # steps each way


@dataclass(frozen=True)
class Shift:
    """Where a picture's pixels lie in the other picture of its view.

    Parameters
    ----------
    rows_px, columns_px : float
        A pixel (row, column) of the low-energy image is (row + rows_px, column + columns_px) of the recombined one.
    method : str
        ``contours``, ``phase_correlation`` or ``stated``.
    quality : float
        0 to 1. Of ``contours`` their Dice coefficient after the shift; of ``phase_correlation`` the correlation of the
        two pictures' textures after it.
    """

    rows_px: float
    columns_px: float
    method: str
    quality: float


def register(le: Image, rc: Image, le_mask: Mask | None = None, rc_mask: Mask | None = None) -> Shift:
    """Find the translation between the low-energy and the recombined picture of one view.

    Where both masks are given and one is a copy of the other, their offset is the shift, unless the texture says
    otherwise: a reader may have copied a contour without moving it. Without such masks the texture of the two breasts
    (a band-pass of the grey values, clipped, without the frame of the picture) is registered by phase correlation as
    in :func:`skimage.registration.phase_cross_correlation`, to a tenth of a pixel of copies at most 512 pixels long.
    The pictures may differ in size, grey scale and part shown, but not in scale.

    Parameters
    ----------
    le, rc : Image
    le_mask, rc_mask : ndarray of bool, optional
        Of the picture's shape.

    Returns
    -------
    Shift

    Raises
    ------
    ImageError
        ``breast.not_found``; ``registration.size`` where the pictures differ in scale; ``registration.poor`` where
        their textures do not match, as those of two patients or views, or their chest walls are on two sides;
        ``registration.contours`` where contours and texture match and their shifts are more than 5 px apart.
    """
    if le_mask is not None and rc_mask is not None and le_mask.any() and rc_mask.any():
        by_contours = _contour_shift(le_mask, rc_mask)
        if by_contours.quality >= MIN_DICE:
            return _uncontradicted(by_contours, le, rc)
    return _texture_shift(le, rc)


def _uncontradicted(by_contours: Shift, le: Image, rc: Image) -> Shift:
    """The shift of the contours; refused where the tissue is known to lie elsewhere."""
    try:
        tissue = _texture_shift(le, rc)
    except ImageError:  # nothing is known of the tissue
        return by_contours
    apart = max(abs(by_contours.rows_px - tissue.rows_px), abs(by_contours.columns_px - tissue.columns_px))
    if apart > MOST_APART_PX:
        raise ImageError(
            "registration.contours",
            f"the contours lie {by_contours.rows_px:g} rows and {by_contours.columns_px:g} columns apart, the tissue "
            f"{tissue.rows_px:g} and {tissue.columns_px:g}; one contour seems to be a copy that was not moved: draw it "
            "again, or leave the masks out to go by the tissue",
        )
    return by_contours


def _texture_shift(le: Image, rc: Image) -> Shift:
    """The shift of the tissue, by phase correlation."""
    _require_same_spacing(le, rc)
    block = -(-max(*le.shape, *rc.shape) // _WORK_PX)
    low, high = (_texture(image, name, block) for image, name in ((le, "low-energy"), (rc, "recombined")))
    if low.side != high.side:
        raise ImageError(
            "registration.poor",
            f"the chest wall is on the {low.side} side of the low-energy picture and on the {high.side} side of the "
            "recombined one; see that both show the same breast, and that none is mirrored",
        )
    low, high = _on_one_grid(low, high)
    found = _match(low, high)
    _require_same_scale(low, high, found)
    if found.quality < MIN_QUALITY:
        raise ImageError(
            "registration.poor",
            f"the low-energy and the recombined picture do not match: the correlation of their textures is "
            f"{found.quality:.2f} where at least {MIN_QUALITY} is asked for; see that both show the same breast and "
            "view, or give a mask for each",
        )
    return Shift(round(found.rows * block, 3), round(found.columns * block, 3), "phase_correlation", found.quality)


def carry(mask: Mask, shift: Shift, shape: tuple[int, int], towards: Towards = "RC") -> Mask:
    """Carry a mask from one picture of a view to the other, to the nearest whole pixel.

    Parameters
    ----------
    mask : ndarray of bool
        Of the picture that it was drawn on.
    shift : Shift
    shape : tuple of int
        Rows and columns of the picture that it is carried to.
    towards : {"RC", "LE"}
        Which picture that is.

    Returns
    -------
    ndarray of bool, shape `shape`

    Raises
    ------
    MaskError
        ``registration.outside`` if more than half of the mask falls outside of that picture.

    Examples
    --------
    >>> mask = np.array([[True, False, False]])
    >>> carry(mask, Shift(0, 2, "stated", 1), (1, 4))
    array([[False, False,  True, False]])
    """
    share = outside_share(mask, shift, shape, towards)
    if share > 0.5:
        raise MaskError(
            "registration.outside",
            f"{share:.0%} of the mask falls outside of the {towards} picture when it is carried there by "
            f"{shift.rows_px:.1f} rows and {shift.columns_px:.1f} columns; that picture does not show the lesion",
        )
    carried = np.zeros(shape, dtype=bool)
    rows, columns = _carried_pixels(mask, shift, towards)
    inside = _inside(rows, columns, shape)
    carried[rows[inside], columns[inside]] = True
    return carried


def outside_share(mask: Mask, shift: Shift, shape: tuple[int, int], towards: Towards = "RC") -> float:
    """Share of the mask's pixels, 0 to 1, that :func:`carry` would put outside of the other picture; 0 without any."""
    rows, columns = _carried_pixels(mask, shift, towards)
    return float(1 - _inside(rows, columns, shape).mean()) if rows.size else 0.0


def align(le: Image, rc: Image, shift: Shift) -> Image:
    """The recombined picture on the pixels of the low-energy one, by linear interpolation.

    Returns
    -------
    Image
        float32, of the low-energy picture's shape and spacing; what the recombined picture does not show has its
        lowest grey value.

    Examples
    --------
    >>> rc = Image(np.array([[1.0, 2.0, 5.0]]))
    >>> align(Image(np.zeros((1, 2))), rc, Shift(0, 1, "stated", 1)).pixels
    array([[2., 5.]], dtype=float32)
    """
    pixels = ndimage.affine_transform(
        rc.pixels.astype(np.float32),
        np.ones(2),
        offset=(shift.rows_px, shift.columns_px),
        output_shape=le.shape,
        order=1,
        cval=float(rc.pixels.min()),
    )
    return replace(le, pixels=pixels, notes=(*rc.notes, f"aligned with the low-energy picture by {shift.method}"))


def _carried_pixels(mask: Mask, shift: Shift, towards: Towards) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    sign = 1 if towards == "RC" else -1
    rows, columns = np.nonzero(mask)
    return rows + sign * round(shift.rows_px), columns + sign * round(shift.columns_px)


def _inside(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]) -> Mask:
    inside: Mask = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return inside


def _contour_shift(le_mask: Mask, rc_mask: Mask) -> Shift:
    """The whole-pixel shift at which two masks overlap most, and their Dice coefficient there."""
    low, high = bounding_box(le_mask), bounding_box(rc_mask)
    a, b = (mask[t:d, x:r].astype(np.float32) for mask, (t, d, x, r) in ((le_mask, low), (rc_mask, high)))
    overlap = signal.correlate(b, a, mode="full", method="fft")
    row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
    dice = 2 * float(overlap[row, column]) / float(a.sum() + b.sum())
    rows = high[0] - low[0] + int(row) - (a.shape[0] - 1)
    columns = high[2] - low[2] + int(column) - (a.shape[1] - 1)
    return Shift(rows, columns, "contours", min(dice, 1.0))


class _Texture(NamedTuple):
    """What is compared of a picture, where it can be, and on which side its chest wall is."""

    values: Field
    valid: Mask
    side: str


class _Match(NamedTuple):
    """A shift in pixels of the copies, and the correlation there."""

    rows: float
    columns: float
    quality: float


def _texture(image: Image, name: str, block: int) -> _Texture:
    """Band-pass of the breast's grey values in robust standard deviations; 0 outside and beside the frame."""
    try:
        region = find_breast(image)
    except ImageError as error:
        raise ImageError(error.code, f"{name} picture: {error}") from error
    grey = block_means(image.pixels, block)
    breast = block_means(region.mask, block) > 0.5
    band = ndimage.gaussian_filter(grey, _FINE_PX) - ndimage.gaussian_filter(grey, _COARSE_PX)
    margin = round(2 * _COARSE_PX)
    inner = ndimage.minimum_filter(breast, 2 * margin + 1)
    centre = band[inner if inner.any() else breast]
    spread = 1.4826 * float(np.median(np.abs(centre - np.median(centre))))
    if spread == 0:
        spread = float(centre.std()) or 1.0
    values = (band / np.float32(-spread if region.inverted else spread)).clip(-_CLIP, _CLIP)
    valid = _away_from_frame(breast, region, margin)
    return _Texture((values * valid).astype(np.float32), valid, region.side)


def _away_from_frame(breast: Mask, region: BreastRegion, margin: int) -> Mask:
    """The breast and its skin line, without what lies at the edges of the picture's content: they are no anatomy."""
    near: Mask = ndimage.maximum_filter(breast, 3)
    top, bottom, left, right = bounding_box(breast)
    near[: top + margin], near[bottom - margin :] = False, False
    wall = slice(0, left + margin) if region.side == "L" else slice(right - margin, None)
    near[:, wall] = False
    return near


def _on_one_grid(low: _Texture, high: _Texture) -> tuple[_Texture, _Texture]:
    """Both padded at the bottom and the right to a common shape."""
    rows, columns = (max(n) for n in zip(low.values.shape, high.values.shape, strict=True))

    def pad(texture: _Texture) -> _Texture:
        r, c = texture.values.shape
        space = ((0, rows - r), (0, columns - c))
        return texture._replace(values=np.pad(texture.values, space), valid=np.pad(texture.valid, space))

    return pad(low), pad(high)


def _match(low: _Texture, high: _Texture) -> _Match:
    """The shift of the highest cross-correlation, and the normalised correlation of what both show there."""
    found, _, _ = phase_cross_correlation(high.values, low.values, normalization=None, upsample_factor=_UPSAMPLE)
    moved = ndimage.shift(low.values, found, order=1)
    common = ndimage.shift(low.valid.astype(np.float32), found, order=0).astype(bool) & high.valid
    if np.count_nonzero(common) < 0.5 * min(np.count_nonzero(low.valid), np.count_nonzero(high.valid)):
        return _Match(float(found[0]), float(found[1]), 0.0)
    a, b = moved[common], high.values[common]
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    quality = float((a * b).sum()) / power if power > 0 else 0.0
    return _Match(float(found[0]), float(found[1]), min(max(quality, 0.0), 1.0))


def _require_same_spacing(le: Image, rc: Image) -> None:
    if le.spacing_mm is None or rc.spacing_mm is None or np.allclose(le.spacing_mm, rc.spacing_mm, rtol=0.01):
        return
    raise ImageError(
        "registration.size",
        f"the pixels of the low-energy picture are {le.spacing_mm} mm apart and those of the recombined one "
        f"{rc.spacing_mm} mm; only a translation is estimated: resample one of them",
    )


def _require_same_scale(low: _Texture, high: _Texture, found: _Match) -> None:
    """Refuse pictures that match better when one is enlarged."""
    best, scale = found.quality, 1.0
    for sign in (-1, 1):
        for step in range(1, _SCALE_REACH + 1):
            tried = 1 + sign * step * _SCALE_STEP
            quality = _match(_enlarged(low, tried), high).quality
            if quality <= best:
                break
            best, scale = quality, tried
    if scale != 1.0 and best >= max(MIN_QUALITY, found.quality + _SCALE_GAIN):
        raise ImageError(
            "registration.size",
            f"the pictures match best (correlation {best:.2f} instead of {found.quality:.2f}) when the low-energy one "
            f"is {scale:.2f} times as large: they were resized differently, and only a translation is estimated; "
            "give both at the scale at which they were taken",
        )


def _enlarged(texture: _Texture, scale: float) -> _Texture:
    """Enlarged about the middle."""
    middle = (np.array(texture.values.shape) - 1) / 2
    offset = middle - middle / scale
    values = ndimage.affine_transform(texture.values, np.full(2, 1 / scale), offset=offset, order=1)
    valid = ndimage.affine_transform(texture.valid.astype(np.float32), np.full(2, 1 / scale), offset=offset, order=0)
    return texture._replace(values=values, valid=valid.astype(bool))
