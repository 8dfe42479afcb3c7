"""The definitions of the Image Biomarker Standardisation Initiative where pyradiomics has others.

What is here: resampling on a grid aligned at the image's centre, both re-segmentations at once, grey levels counted
from a stated origin, the Laplacian of Gaussian on IBSI's scale, and the two features with another convention.
Everything else that the native engine computes follows IBSI already.

Sources: Zwanenburg et al., Radiology 2020, doi 10.1148/radiol.2020191145 (IBSI 1) and its reference manual,
arXiv 1612.07003v11, sections 2.4 to 2.7; Whybra et al., Radiology 2024, doi 10.1148/radiol.231319 (IBSI 2).
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..errors import MaskError
from ..settings import Settings
from .box import Box

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

TRUNCATE = 4.0
"""Where a Gaussian ends, in standard deviations (IBSI 2, parameter WGPM)."""

EXCESS_KURTOSIS = "excess_kurtosis"
"""IBSI's kurtosis (IPH6); pyradiomics' ``Kurtosis`` is larger by 3 and stays beside it."""

_ORDERS = {"linear": 1, "cubic": 3}


class IbsiRules(Settings):
    """Re-segmentation of the preset ibsi; pyradiomics' parameter file knows one of the two at a time."""

    resegment_range: tuple[float, float] | None = Field(
        default=None, description="grey values kept, both limits included (IBSI USB3, range)"
    )
    resegment_sigma: float | None = Field(
        default=None, gt=0, description="standard deviations around the mean kept, such as 3 (IBSI 7ACA)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> IbsiRules:
        if self.resegment_range and not self.resegment_range[0] < self.resegment_range[1]:
            raise ValueError(f"resegment_range: the first limit must be lower, got {list(self.resegment_range)}")
        return self


class Resampled(NamedTuple):
    """Image, morphological mask and spacing (rows, columns) on the new grid."""

    pixels: NDArray[Any]
    mask: Mask
    spacing: tuple[float, float]


def resample(
    pixels: NDArray[Any],
    mask: Mask,
    spacing: tuple[float, float],
    new_spacing: tuple[float, float],
    interpolation: Literal["linear", "cubic"] = "cubic",
) -> Resampled:
    """Interpolate image and mask on a grid whose centre is the image's centre (IBSI 2.4, VTM2 and 5QB6).

    The new grid has ``ceil(n s / s')`` pixels along an axis. The image is continued by its edge values. Values of an
    integer image are rounded to integers (68QD); the mask is interpolated linearly and kept where at least 0.5 (UMPJ).

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
    mask : ndarray of bool, same shape
    spacing, new_spacing : tuple of float
        Of rows and of columns, in one unit.
    interpolation : {"linear", "cubic"}
        Of the image; ``cubic`` is the interpolating cubic spline.

    Raises
    ------
    MaskError
        ``mask.lost_in_resampling`` where no pixel of the mask is left.

    Examples
    --------
    >>> pixels = np.array([[0, 10, 20, 30]])
    >>> resample(pixels, pixels > 5, (1.0, 1.0), (1.0, 2.0), "linear").pixels
    array([[ 5., 25.]])
    """
    shape = np.array(pixels.shape, dtype=float)
    ratio = np.array(new_spacing) / np.array(spacing)
    # The quotient of two decimals may come out a hair above a whole number: that is no further pixel.
    size = np.ceil(np.round(shape / ratio, 9)).astype(int)
    first = (shape - 1) / 2 - ratio * (size - 1) / 2
    image = _on_grid(pixels, ratio, first, size, _ORDERS[interpolation])
    if pixels.dtype.kind in "iub":
        image = np.rint(image)
    kept = _on_grid(mask, ratio, first, size, 1) >= 0.5 - 1e-9  # a half, whatever the last bit says
    if not kept.any():
        raise MaskError("mask.lost_in_resampling", "no pixel of the mask is left on the resampled grid")
    return Resampled(image, kept, (float(new_spacing[0]), float(new_spacing[1])))


def _on_grid(values: NDArray[Any], ratio: F64, first: F64, size: NDArray[np.int_], order: int) -> F64:
    found: F64 = scipy.ndimage.affine_transform(
        values.astype(np.float64), ratio, first, tuple(size.tolist()), order=order, mode="nearest"
    )
    return found


def resegment(values: F64, mask: Mask, rules: IbsiRules) -> Mask:
    """The intensity mask: pixels of the morphological mask within the range and within so many deviations (IBSI 2.5).

    Mean and standard deviation (the population's) are those of the whole morphological mask.

    Parameters
    ----------
    values : ndarray of float64, shape (rows, columns)
    mask : ndarray of bool, same shape
        The morphological mask; shape features are of this one.
    rules : IbsiRules

    Raises
    ------
    MaskError
        ``roi.resegmented`` where not more than one pixel is left.

    Examples
    --------
    >>> values = np.array([[0.0, 5.0, 6.0, 7.0, 900.0]])
    >>> resegment(values, values < 800, IbsiRules(resegment_range=(1, 100)))
    array([[False,  True,  True,  True, False]])
    """
    region = values[mask]
    inside = np.ones(region.size, dtype=bool)
    if rules.resegment_range is not None:
        low, high = rules.resegment_range
        inside &= (region >= low) & (region <= high)
    if rules.resegment_sigma is not None:
        reach = rules.resegment_sigma * np.std(region)
        inside &= (region >= np.mean(region) - reach) & (region <= np.mean(region) + reach)
    n_kept = int(np.count_nonzero(inside))
    if n_kept <= 1:
        reason = f"re-segmentation keeps {n_kept} of the {region.size} pixels of the region; widen it"
        raise MaskError("roi.resegmented", reason)
    kept = np.zeros_like(mask)
    kept[mask] = inside
    return kept


def discretise(
    values: F64, *, bin_width: float = 25.0, bin_count: int | None = None, origin: float | None = None
) -> tuple[NDArray[np.int32], int]:
    """Grey levels from 1 on, and the highest (IBSI 2.7: fixed bin number K15C, fixed bin size Q3RU).

    ``floor(N (x - min) / (max - min)) + 1``, the maximum in level N; or ``floor((x - origin) / width) + 1``.

    Parameters
    ----------
    values : ndarray of float64
    bin_width : float
        Taken where there is no bin_count.
    bin_count : int, optional
    origin : float, optional
        Where the first bin of fixed width begins: the lower limit of re-segmentation; else the minimum.

    Examples
    --------
    >>> discretise(np.array([30.0, 54.0, 55.0]), bin_width=25.0, origin=0.0)
    (array([2, 3, 3], dtype=int32), 3)
    >>> discretise(np.array([0.0, 1.0, 2.0, 3.0]), bin_count=2)
    (array([1, 1, 2, 2], dtype=int32), 2)
    """
    low = float(values.min())
    if bin_count is not None:
        reach = float(values.max()) - low
        scaled = bin_count * ((values - low) / reach) if reach > 0 else np.zeros_like(values)
        levels = np.minimum(np.floor(scaled) + 1, bin_count)
    else:
        levels = np.floor((values - (low if origin is None else origin)) / bin_width) + 1
    return levels.astype(np.int32), int(levels.max())


def log_filter(pixels: NDArray[Any], box: Box, sigma: float, spacing: tuple[float, float]) -> F64:
    """Laplacian of Gaussian in a box, per square pixel and without scale normalisation (IBSI 2, L6PA).

    The kernel is sampled and ends at four sigma; the image goes on mirrored at its edges. pyradiomics' value is about
    ``(sigma / spacing)^2`` times this one.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The whole image.
    box : Box
        Where the values are wanted: a margin of four sigma around it is read.
    sigma : float
        Width of the Gaussian, in units of `spacing`.
    spacing : tuple of float
        Of rows and of columns.
    """
    sigma_px = [sigma / s for s in spacing]
    halo = [int(TRUNCATE * s + 0.5) for s in sigma_px]
    wide = box.grown(halo[0], halo[1], pixels.shape)
    return laplacian(pixels[wide.slices], sigma_px)[box.within(wide).slices]


def laplacian(pixels: NDArray[Any], sigma_px: list[float], boundary: Literal["reflect", "constant"] = "reflect") -> F64:
    """Laplacian of Gaussian of a whole array with any number of axes; `boundary` constant goes on with zeros."""
    found: F64 = scipy.ndimage.gaussian_laplace(pixels.astype(np.float64), sigma_px, mode=boundary, truncate=TRUNCATE)
    return found


def convert(values: dict[str, float], n_pixels: int) -> dict[str, float]:
    """Features in IBSI's convention, from the names and values that pyradiomics has.

    ``Kurtosis`` gains ``excess_kurtosis`` beside it (IPH6: fourth moment over squared variance, minus 3). Axis
    lengths (TDIC, P9VJ) come from a covariance over N - 1 pixels instead of N: times ``sqrt(N / (N - 1))``.

    Parameters
    ----------
    values : dict
        Feature names as ``image_class_feature``, in order.
    n_pixels : int
        Of the morphological mask.

    Examples
    --------
    >>> convert({"original_firstorder_Kurtosis": 3.5}, 10)
    {'original_firstorder_Kurtosis': 3.5, 'original_firstorder_excess_kurtosis': 0.5}
    """
    longer = math.sqrt(n_pixels / (n_pixels - 1)) if n_pixels > 1 else 1.0
    found: dict[str, float] = {}
    for name, value in values.items():
        image, kind, feature = name.split("_", 2)
        found[name] = value * longer if kind == "shape2D" and feature.endswith("AxisLength") else value
        if (kind, feature) == ("firstorder", "Kurtosis"):
            found[f"{image}_firstorder_{EXCESS_KURTOSIS}"] = value - 3.0
    return found
