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
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from radiomics.featureextractor import RadiomicsFeatureExtractor

from .errors import ImageError, StudyError
from .native.engine import Problem, listed
from .parameters import naming_only


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
