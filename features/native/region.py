"""From an image and its mask to the region that is measured: normalised, resampled, cropped, re-segmented.

These are pyradiomics' steps in pyradiomics' order, with SimpleITK where pyradiomics uses SimpleITK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from ..errors import ImageError, MaskError
from ..mask import bounding_box
from .box import Box
from .whole import Whole

Mask = NDArray[np.bool_]
PAD_DISTANCE = 5


def prepare(
    pixels: NDArray[Any], mask: Mask, spacing: tuple[float, float], settings: Mapping[str, Any]
) -> tuple[Whole, Mask]:
    """The image to filter with its region, and the mask for shape in the same box.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
    mask : ndarray of bool, same shape
    spacing : tuple of float
        Of rows and of columns.
    settings : mapping
        pyradiomics' general settings.

    Raises
    ------
    MaskError
        ``mask.lost_in_resampling``, ``roi.resegmented`` or ``mask.too_small``.
    """
    if settings.get("normalize", False):
        pixels = normalise(pixels, settings.get("normalizeScale", 1), settings.get("removeOutliers"))
    wanted = settings.get("resampledPixelSpacing")
    if wanted:
        pixels, mask, spacing = resample(pixels, mask, spacing, wanted, settings)
    box = bounding(mask)
    if not wanted and settings.get("preCrop", False):
        pad = settings.get("padDistance", PAD_DISTANCE)
        cut = box.grown(pad, pad, mask.shape)
        pixels, mask, box = pixels[cut.slices], mask[cut.slices], box.within(cut)
    _require_size(box, int(np.count_nonzero(mask[box.slices])), settings)
    whole = Whole(pixels, box, mask[box.slices], spacing)
    if settings.get("resegmentRange") is None:
        return whole, whole.mask
    kept = resegment(whole.near, whole.mask, settings["resegmentRange"], settings.get("resegmentMode", "absolute"))
    inner = bounding(kept)
    _require_size(inner, int(np.count_nonzero(kept)), settings)
    smaller = Box(box.top + inner.top, box.top + inner.bottom, box.left + inner.left, box.left + inner.right)
    # As pyradiomics has it: shape is that of the mask before, but inside the box of the mask after.
    shape = kept if settings.get("resegmentShape", False) else whole.mask
    return Whole(pixels, smaller, kept[inner.slices], spacing), shape[inner.slices]


def bounding(mask: Mask) -> Box:
    """Box around a mask that is not empty.

    Examples
    --------
    >>> mask = np.zeros((5, 6), bool); mask[1:3, 2:5] = True
    >>> bounding(mask)
    Box(top=1, bottom=3, left=2, right=5)
    """
    return Box(*bounding_box(mask))


def normalise(pixels: NDArray[Any], scale: float, outliers: float | None) -> NDArray[np.float64]:
    """Mean 0 and standard deviation 1 over the whole image, then clipped, then scaled."""
    image = SimpleITK.Normalize(SimpleITK.GetImageFromArray(pixels.astype(np.float64)))
    values: NDArray[np.float64] = SimpleITK.GetArrayFromImage(image)
    if outliers is not None:
        values = np.clip(values, -outliers, outliers)
    return values * scale


def resample(
    pixels: NDArray[Any], mask: Mask, spacing: tuple[float, float], wanted: list[float], settings: Mapping[str, Any]
) -> tuple[NDArray[np.float64], Mask, tuple[float, float]]:
    """Image and mask near the region on another grid, aligned as pyradiomics aligns it (at the corner pixel).

    Parameters
    ----------
    wanted : list of float
        Spacing along x and y; 0 keeps that of the mask.

    Raises
    ------
    MaskError
        ``mask.lost_in_resampling`` where no pixel of the mask is left.
    """
    old = np.array([spacing[1], spacing[0]])
    new = np.where(np.array(wanted, dtype=float) == 0, old, wanted)
    box = bounding(mask)
    low, size = np.array([box.left, box.top]), np.array([box.right - box.left, box.bottom - box.top])
    new = np.where(size != 1, new, old)
    pad = settings.get("padDistance", PAD_DISTANCE)
    if np.allclose(old, new):
        cut = box.grown(pad, pad, mask.shape)
        return pixels[cut.slices].astype(np.float64), mask[cut.slices], spacing
    ratio = old / new
    first = np.maximum(np.floor((low - 0.5) * ratio - pad), 0)
    last = np.ceil((low + size - 0.5) * ratio + pad)
    last = np.minimum(last, np.ceil(np.array(mask.shape[::-1]) * ratio) - 1)
    image = _as_sitk(pixels.astype(np.float64), spacing)
    label = _as_sitk(mask.astype(np.uint32), spacing)
    onto = SimpleITK.ResampleImageFilter()
    onto.SetOutputSpacing(new.tolist())
    onto.SetOutputDirection(label.GetDirection())
    onto.SetSize([int(n) for n in last - first + 1])
    start = 0.5 * (new - old) / old + first / ratio
    onto.SetOutputOrigin(label.TransformContinuousIndexToPhysicalPoint(start.tolist()))
    onto.SetInterpolator(getattr(SimpleITK, settings.get("interpolator", "sitkBSpline"), SimpleITK.sitkBSpline))
    resampled = SimpleITK.GetArrayFromImage(onto.Execute(image))
    onto.SetInterpolator(SimpleITK.sitkNearestNeighbor)
    region = SimpleITK.GetArrayFromImage(onto.Execute(label)) == 1
    if not region.any():
        raise MaskError("mask.lost_in_resampling", "no pixel of the mask is left on the resampled grid")
    return resampled, region, (float(new[1]), float(new[0]))


def resegment(values: NDArray[np.float64], mask: Mask, limits: list[float], mode: str) -> Mask:
    """The pixels of a mask whose grey value lies within limits.

    Parameters
    ----------
    limits : list of float
        One (lower) or two; grey values, parts of the largest value, or standard deviations from the mean.
    mode : {"absolute", "relative", "sigma"}

    Raises
    ------
    MaskError
        ``roi.resegmented`` where not more than one pixel is left.
    """
    region = values[mask]
    thresholds: list[Any] = sorted(limits)
    if mode == "relative":
        thresholds = [region.max() * limit for limit in thresholds]
    elif mode == "sigma":
        thresholds = [np.mean(region) + np.std(region) * limit for limit in thresholds]
    inside = region >= thresholds[0]
    if len(thresholds) == 2:
        inside &= region <= thresholds[1]
    n_kept = int(np.count_nonzero(inside))
    if n_kept <= 1:
        raise MaskError(
            "roi.resegmented",
            f"re-segmentation keeps {n_kept} of the {region.size} pixels of the region; widen resegmentRange",
        )
    kept = mask.copy()
    kept[mask] = inside
    return kept


def kept_fraction(pixels: NDArray[Any], mask: Mask, spacing: tuple[float, float], settings: Mapping[str, Any]) -> float:
    """Share of a region that re-segmentation keeps, 0 to 1."""
    plain = {key: value for key, value in settings.items() if key != "resegmentRange"}
    whole, _ = prepare(pixels, mask, spacing, plain)
    try:
        mode = settings.get("resegmentMode", "absolute")
        kept = resegment(whole.near, whole.mask, settings["resegmentRange"], mode)
    except MaskError:
        return 0.0
    return float(np.count_nonzero(kept) / np.count_nonzero(whole.mask))


def _require_size(box: Box, area: int, settings: Mapping[str, Any]) -> None:
    n_dimensions = sum(length > 1 for length in box.shape)
    least = settings.get("minimumROIDimensions", 2)
    if n_dimensions == 0 or n_dimensions < least:
        raise ImageError(
            "radiomics.refused", f"the region has {n_dimensions} dimensions with more than one pixel, of {least} asked"
        )
    smallest = settings.get("minimumROISize")
    if smallest is not None and area <= smallest:
        raise ImageError("radiomics.refused", f"the region has {area} pixels, minimumROISize is {smallest}")


def _as_sitk(pixels: NDArray[Any], spacing: tuple[float, float]) -> Any:
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing((spacing[1], spacing[0]))
    return image
