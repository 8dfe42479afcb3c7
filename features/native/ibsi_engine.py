"""The native engine under IBSI's definitions: the preset ibsi."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError, StudyError
from . import ibsi
from .box import Box
from .engine import NativeEngine, filtered, texture_settings
from .ibsi import IbsiRules
from .region import bounding, normalise
from .request import ImageRequest, log_name
from .texture import TextureSettings
from .whole import Whole

_INTERPOLATION = {"sitkLinear": "linear", "sitkBSpline": "cubic"}


class IbsiEngine(NativeEngine):
    """Computes what a parameter file asks for as IBSI defines it.

    A picture is resampled, its mask re-segmented and only then filtered; shape is of the mask before re-segmentation,
    all else of the mask after it.

    Parameters
    ----------
    parameters : mapping
        Content of a pyradiomics parameter file.
    max_bins : int
        Images with more grey levels than this in the region are refused.
    rules : IbsiRules, optional
        Re-segmentation.

    Raises
    ------
    NotServed
        If it asks for something that only pyradiomics gives.
    StudyError
        If it asks for something that is not IBSI's: other interpolators, pyradiomics' own re-segmentation.

    Examples
    --------
    >>> engine = IbsiEngine({"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Kurtosis"]}}, 1024)
    >>> engine.names
    ['original_firstorder_Kurtosis', 'original_firstorder_excess_kurtosis']
    """

    def __init__(self, parameters: Mapping[str, Any], max_bins: int, rules: IbsiRules | None = None) -> None:
        super().__init__(parameters, max_bins)
        self.rules = rules or IbsiRules()
        self.names = list(ibsi.convert(dict.fromkeys(self.request.names(), 0.0), 1))
        settings = self.request.settings
        if settings.get("resegmentRange") is not None:
            raise StudyError(
                "resegmentRange is pyradiomics' re-segmentation; with IBSI's definitions use "
                "ibsi: {resegment_range: [low, high], resegment_sigma: 3}"
            )
        if settings.get("interpolator", "sitkBSpline") not in _INTERPOLATION:
            raise StudyError(f"interpolator {settings['interpolator']}: IBSI's are {' and '.join(_INTERPOLATION)}")

    def kept_fraction(self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
        """Share of the region that re-segmentation keeps, 0 to 1."""
        if self.rules == IbsiRules():
            return 1.0
        whole = self._resampled(pixels, mask, spacing)
        try:
            return float(np.count_nonzero(ibsi.resegment(whole.near, whole.mask, self.rules)) / whole.mask.sum())
        except MaskError:
            return 0.0

    def _prepare(
        self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]
    ) -> tuple[Whole, NDArray[np.bool_]]:
        whole = self._resampled(pixels, mask, spacing)
        _require_size(whole.box, whole.mask, self.request.settings)
        kept = ibsi.resegment(whole.near, whole.mask, self.rules)
        inner, (top, left) = bounding(kept), (whole.box.top, whole.box.left)
        _require_size(inner, kept, self.request.settings)
        smaller = Box(top + inner.top, top + inner.bottom, left + inner.left, left + inner.right)
        return Whole(whole.pixels, smaller, kept[inner.slices], whole.spacing), whole.mask

    def _resampled(self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Whole:
        """The picture on its new grid with the morphological mask."""
        settings = self.request.settings
        if settings.get("normalize", False):  # not IBSI's, but asked for
            pixels = normalise(pixels, settings.get("normalizeScale", 1), settings.get("removeOutliers"))
        wanted = settings.get("resampledPixelSpacing")
        if wanted:
            rows, columns = (new or old for new, old in zip(wanted[1::-1], spacing, strict=True))
            how: Any = _INTERPOLATION[settings.get("interpolator", "sitkBSpline")]
            pixels, mask, spacing = ibsi.resample(pixels, mask, spacing, (rows, columns), how)
        box = bounding(mask)
        return Whole(pixels, box, mask[box.slices], spacing)

    def _filtered(self, whole: Whole, image: ImageRequest) -> Iterator[tuple[str, NDArray[Any]]]:
        if image.kind != "LoG":
            yield from filtered(whole, image)
            return
        for sigma in image.settings.get("sigma", []):
            found = ibsi.log_filter(whole.pixels, whole.box, sigma, whole.spacing)
            yield log_name(sigma), found[whole.mask]

    def _discretise(self, values: NDArray[Any], image: ImageRequest) -> tuple[NDArray[np.int32], int]:
        values = values.astype(np.float64, copy=False)
        if image.bin_count:
            return ibsi.discretise(values, bin_count=image.bin_count)
        limits = self.rules.resegment_range
        origin = limits[0] if limits and image.kind == "Original" else None
        return ibsi.discretise(values, bin_width=image.bin_width, origin=origin)

    def _count_bins(self, values: NDArray[Any], image: ImageRequest) -> int:
        if image.bin_count:
            return image.bin_count
        limits = self.rules.resegment_range
        origin = limits[0] if limits and image.kind == "Original" else float(values.min())
        return int((float(values.max()) - origin) // image.bin_width) + 1

    def _texture_settings(self, image: ImageRequest, spacing: tuple[float, float]) -> TextureSettings:
        return replace(texture_settings(image, spacing), count_alone=False, drop_single=False)

    def _convert(self, found: dict[str, float], shape_mask: NDArray[np.bool_]) -> dict[str, float]:
        return ibsi.convert(found, int(np.count_nonzero(shape_mask)))


def _require_size(box: Box, mask: NDArray[np.bool_], settings: Mapping[str, Any]) -> None:
    n_dimensions = sum(length > 1 for length in box.shape)
    least = settings.get("minimumROIDimensions", 2)
    if n_dimensions < max(least, 1):
        raise MaskError("mask.too_small", f"the region has {n_dimensions} dimensions with more than one pixel")
    smallest, area = settings.get("minimumROISize"), int(np.count_nonzero(mask))
    if smallest is not None and area <= smallest:
        raise MaskError("mask.too_small", f"the region has {area} pixels, minimumROISize is {smallest}")
