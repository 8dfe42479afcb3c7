"""The reference engine: pyradiomics itself, on true two-dimensional images.

The only file that imports pyradiomics. The native engine is held to its numbers, and what that does not serve is
computed here. Rules:

- A picture goes in as a 2-D SimpleITK image of float64. With a fixed bin count this gives exactly what pyradiomics
  gives on the same integer file. With a fixed bin width pyradiomics computes the last edge in the file's own type,
  which overflows on 8-bit images (a region from 6 to 252 at width 25 gets 2 levels for 11); here it gets 11. Where a
  parameter file resamples, interpolated values are not cut to integers.
- A feature that pyradiomics leaves out or returns as not finite is a problem that names it.

Reference: van Griethuysen et al., Cancer Res 2017, doi 10.1158/0008-5472.CAN-17-0339.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from radiomics.featureextractor import RadiomicsFeatureExtractor

from .errors import ImageError, StudyError
from .native.engine import Problem, listed
from .parameters import naming_only

MOST_LOCAL_CELLS = 8_000_000
"""Cells of all texture matrices of a local map: some 3 s; 7,812 px of a GLCM with 32 grey levels."""
_BATCH_CELLS = 2_000_000
_MATRICES_PER_ANGLE = ("glcm", "glrlm")
_EIGENVALUES = 4
"""How many times as long MCC takes, which needs those of every matrix."""


class ReferenceEngine:
    """pyradiomics with a limit on grey levels, and the names of what it should return.

    Parameters
    ----------
    parameters : mapping
        Content of a pyradiomics parameter file, as :func:`~cemrad.features.parameters.two_dimensional` leaves it.
    max_bins : int
        Images with more grey levels than this in the region are refused.

    Raises
    ------
    StudyError
        If pyradiomics refuses the parameters.
    """

    def __init__(self, parameters: Mapping[str, Any], max_bins: int) -> None:
        try:
            with _quiet():
                self._extractor = _Extractor(json.loads(json.dumps(parameters)), max_bins)
                self.names = _names(dict(parameters))
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise StudyError(f"pyradiomics refuses the parameters: {' '.join(str(error).split())}") from None
        self._label = int((parameters.get("setting") or {}).get("label", 1))

    def measure(
        self, pixels: NDArray[Any], mask: NDArray[np.bool_], spacing: tuple[float, float]
    ) -> tuple[dict[str, float], list[Problem]]:
        """Finite features of a region by name, and a code and reason for each kind that is absent.

        Parameters and errors are those of :meth:`~cemrad.features.native.engine.NativeEngine.measure`.
        """
        labelled = mask.astype(np.uint32) * np.uint32(self._label)
        extractor = self._extractor
        extractor.left_out = {}
        try:
            with _quiet():
                given = extractor.execute(as_sitk(pixels.astype(np.float64), spacing), as_sitk(labelled, spacing))
                found = {name: float(value) for name, value in given.items()}
        except (ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError) as error:
            reason = f"pyradiomics refuses this region: {' '.join(str(error).split())}"
            raise ImageError("radiomics.refused", reason) from None
        problems = [
            ("bins.too_many", f"{name}: {n} grey levels in the region, at most {extractor.max_bins}; use a wider bin")
            for name, n in extractor.left_out.items()
        ]
        absent = [n for n in self.names if n not in found and n.split("_", 1)[0] not in extractor.left_out]
        bad = [name for name, value in found.items() if not math.isfinite(value)]
        if absent:
            problems.append(("feature.missing", f"pyradiomics left out {listed(absent)}"))
        if bad:
            problems.append(("feature.nonfinite", f"not a finite number: {listed(bad)}"))
        return {name: value for name, value in found.items() if math.isfinite(value)}, problems


class LocalMap(NamedTuple):
    """A feature's value in the neighbourhood of each pixel of a region.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        NaN outside the region.
    top, left : int
        Place of its first pixel in the image.
    """

    values: NDArray[np.float64]
    top: int
    left: int


def local_map(
    parameters: Mapping[str, Any],
    feature: str,
    pixels: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing: tuple[float, float],
    *,
    max_bins: int,
    radius_px: int = 2,
) -> LocalMap:
    """A feature computed in a square around each pixel of a region, as far as the square lies in the region.

    Filters see the whole image, and grey levels are those of the whole region, as in the extraction. First-order and
    texture features only. Where the square holds too little for the feature, its value is NaN.

    Parameters
    ----------
    parameters, max_bins
        As of :class:`ReferenceEngine`.
    feature : str
        ``original_glcm_Contrast``.
    pixels, mask, spacing
        As of :meth:`ReferenceEngine.measure`.
    radius_px : int
        The square has ``2 radius_px + 1`` rows and columns.

    Raises
    ------
    ImageError
        ``local.none`` where there can be no such map, ``local.too_large`` where it would take long,
        ``radiomics.refused`` where pyradiomics refuses.
    """
    filtered, kind, name = feature.split("_", 2)
    asked = _only(parameters, filtered, kind, name)
    label = int(asked["setting"].get("label", 1))
    asked["voxelSetting"] = {"kernelRadius": radius_px, "maskedKernel": True, "initValue": math.nan}
    image = as_sitk(pixels.astype(np.float64), spacing)
    labelled = as_sitk(mask.astype(np.uint32) * np.uint32(label), spacing)
    try:
        with _quiet():
            given = _LocalExtractor(asked, max_bins, filtered, kind).execute(image, labelled, voxelBased=True)
    except (ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError) as error:
        if isinstance(error, ImageError):
            raise
        reason = f"pyradiomics refuses this region: {' '.join(str(error).split())}"
        raise ImageError("radiomics.refused", reason) from None
    if feature not in given:
        raise ImageError("local.none", f"{feature} cannot be computed around single pixels of this region")
    column, row = image.TransformPhysicalPointToIndex(given[feature].GetOrigin()[:2])
    return LocalMap(SimpleITK.GetArrayFromImage(given[feature])[0].astype(np.float64), row, column)


def _only(parameters: Mapping[str, Any], filtered: str, kind: str, name: str) -> dict[str, Any]:
    """Parameters that ask for one feature of one filtered image, everything else as it was."""
    if kind.startswith("shape"):
        raise ImageError("local.none", "a shape is of the whole outline: it has no value around single pixels")
    setting = dict(parameters.get("setting") or {})
    if setting.get("resampledPixelSpacing"):
        raise ImageError("local.none", "the extraction resamples, so that its pixels are not those of the picture")
    first = filtered.split("-")[0]
    images = parameters.get("imageType") or {"Original": {}}
    own = {key: value for key, value in images.items() if key.lower().removesuffix("2d") == first}
    return {"imageType": own, "featureClass": {kind: [name]}, "setting": setting}


def as_sitk(pixels: NDArray[Any], spacing: tuple[float, float]) -> Any:
    """A 2-D SimpleITK image; `spacing` is rows, columns, as in DICOM, and SimpleITK wants x, y."""
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing((spacing[1], spacing[0]))
    return image


class _Extractor(RadiomicsFeatureExtractor):  # type: ignore[misc]
    def __init__(self, parameters: dict[str, Any], max_bins: int) -> None:
        super().__init__(parameters)
        self.addProvenance(False)
        self.max_bins = max_bins
        self.left_out: dict[str, int] = {}

    def computeFeatures(self, image: Any, mask: Any, imageTypeName: str, **kwargs: Any) -> dict[str, Any]:  # noqa: N802
        """Features of one filtered image, unless a texture matrix of it would fill the memory."""
        n_bins = _count_bins(image, mask, kwargs)
        if n_bins > self.max_bins:
            self.left_out[imageTypeName] = n_bins
            return {}
        found: dict[str, Any] = super().computeFeatures(image, mask, imageTypeName, **kwargs)
        return found


class _LocalExtractor(_Extractor):
    """One class of features of one filtered image, around each pixel."""

    def __init__(self, parameters: dict[str, Any], max_bins: int, filtered: str, kind: str) -> None:
        super().__init__(parameters, max_bins)
        self.filtered, self.kind = filtered, kind

    def computeFeatures(self, image: Any, mask: Any, imageTypeName: str, **kwargs: Any) -> dict[str, Any]:  # noqa: N802
        """Maps of the wanted image, as one slice of a volume: pyradiomics has no local first-order values in 2-D."""
        if imageTypeName != self.filtered:
            return {}
        n_px = int(np.count_nonzero(SimpleITK.GetArrayViewFromImage(mask)))
        n_bins = max(1, _count_bins(image, mask, kwargs))
        cells = n_bins * (n_bins if self.kind in _MATRICES_PER_ANGLE else (2 * kwargs["kernelRadius"] + 1) ** 2)
        if n_px * cells * (_EIGENVALUES if self.enabledFeatures == {"glcm": ["MCC"]} else 1) > MOST_LOCAL_CELLS:
            reason = f"{n_px} px with {n_bins} grey levels: more than a local {self.kind} map is computed of"
            raise ImageError("local.too_large", reason)
        batch = max(1, _BATCH_CELLS // cells)
        own = kwargs | {"force2D": True, "force2Ddimension": 0, "voxelBatch": batch}
        return super().computeFeatures(SimpleITK.JoinSeries(image), SimpleITK.JoinSeries(mask), imageTypeName, **own)


def _count_bins(image: Any, mask: Any, kwargs: dict[str, Any]) -> int:
    if kwargs.get("binCount") is not None:
        return int(kwargs["binCount"])
    width = kwargs.get("binWidth", 25)
    values = SimpleITK.GetArrayViewFromImage(image)[SimpleITK.GetArrayViewFromImage(mask) == kwargs.get("label", 1)]
    low, high = float(values.min()), float(values.max())
    # A filter may overflow to infinity: no bins can be counted then, and pyradiomics says why it stops.
    return int(high // width - low // width) + 1 if math.isfinite(high - low) else 0


def _names(parameters: dict[str, Any]) -> list[str]:
    """Names that these parameters lead to: pyradiomics itself is asked, on a small image of noise."""
    probe = naming_only(parameters)
    sigmas = [s for part in (probe["setting"], *probe["imageType"].values()) for s in part.get("sigma", [])]
    side = 2 * math.ceil(max([32.0, *sigmas]))
    pixels = np.random.default_rng(0).uniform(0.0, 255.0, (side, side))
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[8:-8, 8:-8] = 1
    extractor = RadiomicsFeatureExtractor(probe, binCount=8, additionalInfo=False)
    return list(extractor.execute(as_sitk(pixels, (1.0, 1.0)), as_sitk(mask, (1.0, 1.0))))


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines or warnings of pyradiomics: what matters of them becomes a failure with a name."""
    loggers = [logging.getLogger(name) for name in ("radiomics", "pykwalify")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # 0 / 0 in a degenerate matrix
            warnings.filterwarnings("ignore", message="Applying `local_binary_pattern`")  # float64 of integers
            warnings.filterwarnings("ignore", message="the load_module", category=DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
