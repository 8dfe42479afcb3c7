"""The native engine: pyradiomics' features of a two-dimensional region, from the region and its margin alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from . import discretise, filter_pointwise, firstorder, matrices, shape2d, texture
from .filter_gradient import gradient_filter
from .filter_lbp import lbp_filter
from .filter_log import log_filter
from .filter_wavelet import wavelet_filter
from .region import prepare
from .request import ImageRequest, log_name, parse_request
from .whole import Whole

VERSION = 3
"""Raised with every change that changes a number: results of another version are computed again."""

_N_NAMED = 12
_POINTWISE = {
    "Square": filter_pointwise.square,
    "SquareRoot": filter_pointwise.square_root,
    "Logarithm": filter_pointwise.logarithm,
    "Exponential": filter_pointwise.exponential,
}

Problem = tuple[str, str]
"""A stable code and a reason."""


class NativeEngine:
    """Computes what a pyradiomics parameter file asks for.

    Parameters
    ----------
    parameters : mapping
        Content of the file, as :func:`~cemrad.features.parameters.two_dimensional` leaves it.
    max_bins : int
        Images with more grey levels than this in the region are refused.

    Raises
    ------
    NotServed
        If it asks for something that only pyradiomics gives.

    Examples
    --------
    >>> engine = NativeEngine({"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Mean"]}}, 1024)
    >>> pixels = np.arange(100.0).reshape(10, 10)
    >>> engine.measure(pixels, pixels > 49, (1.0, 1.0))
    ({'original_firstorder_Mean': 74.5}, [])
    """

    def __init__(self, parameters: Mapping[str, Any], max_bins: int) -> None:
        self.request = parse_request(parameters)
        self.max_bins = max_bins
        self.names = self.request.names()

    def measure(
        self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]
    ) -> tuple[dict[str, float], list[Problem]]:
        """Finite features of a region by name, and a code and reason for each kind that is absent.

        Parameters
        ----------
        pixels : ndarray, shape (rows, columns)
            The whole image in any real type; values are taken as float64.
        mask : ndarray of bool, same shape
            The region.
        spacing : tuple of float
            Of rows and of columns.

        Raises
        ------
        ImageError, MaskError
            If nothing of the region can be measured.
        """
        whole, shape_mask = self._prepare(pixels, mask, spacing)
        found: dict[str, float] = {}
        problems: list[Problem] = []
        if self.request.shape:
            shape = shape2d.measure(shape_mask, self.request.shape, spacing=whole.spacing)
            found.update({f"original_shape2D_{name}": value for name, value in shape.items()})
        with np.errstate(all="ignore"):
            for image in self.request.images:
                given = {}
                for name, values in self._filtered(whole, image):
                    given[name] = values
                    problems += self._classes(name, values, whole, image, found)
                problems += [self._too_small(name, whole) for name in image.names if name not in given]
        found = self._convert(found, shape_mask)
        known = [(name, found[name]) for name in self.names if name in found]
        finite = {name: value for name, value in known if math.isfinite(value)}
        if len(finite) < len(known):
            bad = [name for name, _ in known if name not in finite]
            problems.append(("feature.nonfinite", f"not a finite number: {listed(bad)}"))
        return finite, problems

    def _classes(
        self, name: str, values: NDArray[Any], whole: Whole, image: ImageRequest, found: dict[str, float]
    ) -> list[Problem]:
        """Features of one filtered image, unless a texture matrix of it would fill the memory."""
        low, high = firstorder.span(values)
        if not math.isfinite(high - low):
            raise ImageError("radiomics.refused", f"the image {name} has values in the region that are not finite")
        n_bins = self._count_bins(values, image)
        if n_bins > self.max_bins:
            reason = f"{name}: {n_bins} grey levels in the region, at most {self.max_bins}; use a wider bin"
            return [("bins.too_many", reason)]
        levels, n_levels = self._discretise(values, image)
        classes = dict(self.request.classes)
        first = classes.pop("firstorder", ())
        if first:
            statistics = firstorder.measure(
                values.astype(np.float64, copy=False), levels, n_levels, first,
                voxel_area=whole.spacing[0] * whole.spacing[1],
                voxel_array_shift=image.settings.get("voxelArrayShift", 0),
            )  # fmt: skip
            found.update({f"{name}_firstorder_{feature}": value for feature, value in statistics.items()})
        if classes:
            framed = whole.framed(levels, matrices.type_of_levels(n_levels, whole.mask.shape))
            measured = texture.measure(framed, n_levels, classes, self._texture_settings(image, whole.spacing))
            found.update({f"{name}_{kind}_{feature}": value for (kind, feature), value in measured.items()})
        return []

    # Where definitions differ, the engine of another standard overrides one of these.

    def _prepare(
        self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]
    ) -> tuple[Whole, NDArray[np.bool_]]:
        """The image with its region, and the mask for shape."""
        return prepare(pixels, mask, spacing, self.request.settings)

    def _filtered(self, whole: Whole, image: ImageRequest) -> Iterator[tuple[str, NDArray[Any]]]:
        """The images of one type, by name."""
        return filtered(whole, image)

    def _count_bins(self, values: NDArray[Any], image: ImageRequest) -> int:
        """How many grey levels there will be."""
        return discretise.count_bins(values, **_bins(image))

    def _discretise(self, values: NDArray[Any], image: ImageRequest) -> tuple[NDArray[np.int32], int]:
        """Grey levels from 1 on, and how many."""
        return discretise.discretise(values, **_bins(image))

    def _texture_settings(self, image: ImageRequest, spacing: tuple[float, float]) -> texture.TextureSettings:
        """The settings of the texture classes."""
        return texture_settings(image, spacing)

    def _convert(self, found: dict[str, float], shape_mask: NDArray[np.bool_]) -> dict[str, float]:
        """The values by the names that they go by."""
        return found

    def _too_small(self, name: str, whole: Whole) -> Problem:
        n_absent = sum(absent.startswith(f"{name}_") for absent in self.names)
        rows, columns = whole.pixels.shape
        return "feature.missing", f"{name}: {n_absent} features left out: {rows} x {columns} px are too few for it"


def _bins(image: ImageRequest) -> dict[str, Any]:
    return {"bin_width": None if image.bin_count else image.bin_width, "bin_count": image.bin_count}


def filtered(whole: Whole, image: ImageRequest) -> Iterator[tuple[str, NDArray[Any]]]:
    """The images of one type: their names, and their values in the region, row by row."""
    kind, settings = image.kind, image.settings
    if kind == "Original":
        yield "original", whole.values
    elif kind in _POINTWISE:
        yield image.names[0], _POINTWISE[kind](whole.values, whole.largest)
    elif kind == "LoG":
        yield from _laplacians(whole, settings.get("sigma", []))
    elif kind == "Wavelet":
        wavelet, start, level = (
            settings.get("wavelet", "coif1"),
            settings.get("start_level", 0),
            settings.get("level", 1),
        )
        for name, values in wavelet_filter(whole.pixels, whole.box, wavelet, start_level=start, n_levels=level):
            yield name, whole.taken(values)
    elif kind == "Gradient":
        use = settings.get("gradientUseSpacing", True)
        yield "gradient", whole.taken(gradient_filter(whole.pixels, whole.box, whole.spacing, use_spacing=use))
    else:
        yield "lbp-2D", lbp_filter(
            whole.pixels, whole.box, whole.mask, radius=settings.get("lbp2DRadius", 1),
            n_samples=settings.get("lbp2DSamples", 8), method=settings.get("lbp2DMethod", "uniform"),
        )  # fmt: skip


def _laplacians(whole: Whole, sigmas: list[float]) -> Iterator[tuple[str, NDArray[Any]]]:
    shape = whole.pixels.shape
    for sigma in sigmas:
        fits = all(n >= math.ceil(sigma / s) + 1 for n, s in zip(shape, whole.spacing, strict=True))
        if min(shape) >= 4 and fits:
            yield log_name(sigma), whole.taken(log_filter(whole.pixels, whole.box, sigma, whole.spacing))


def texture_settings(image: ImageRequest, spacing: tuple[float, float]) -> texture.TextureSettings:
    """The settings of the texture classes, as the image type has them."""
    settings = image.settings
    return texture.TextureSettings(
        distances=tuple(settings.get("distances", (1,))),
        weighting_norm=settings.get("weightingNorm"),
        symmetrical_glcm=settings.get("symmetricalGLCM", True),
        gldm_a=settings.get("gldm_a", 0),
        spacing=spacing,
    )


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    return ", ".join(names[:_N_NAMED]) + more
