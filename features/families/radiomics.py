"""Handcrafted features: pyradiomics on true two-dimensional images.

The numbers are pyradiomics' own, under pyradiomics' own names, by these rules:

- **Two dimensions.** A picture goes in as a 2-D SimpleITK image. A one-slice volume would lose the LoG
  features in silence. What a parameter file asks of volumes only (class ``shape``, ``LBP3D``, ``force2D``) is
  taken out, said once, and recorded in the provenance.
- **float64.** Pixels of every type are handed over as float64. With a fixed bin count this gives exactly what
  pyradiomics gives on the same integer file. With a fixed bin width pyradiomics computes the last edge in the
  file's own type, which overflows on 8-bit images (a region from 6 to 252 at width 25 gets 2 levels for 11);
  here it gets 11. Where a parameter file resamples, interpolated values are not cut to integers.
- **Pixels.** Lengths and areas count pixels. Millimetres are used only with ``units: mm`` and an image that
  states its spacing. The ``mm`` inside a LoG feature's name is pyradiomics' text, not a unit.
- **Nothing silent.** A feature that pyradiomics leaves out or returns as not finite is a failure that names it.

Reference: van Griethuysen et al., Cancer Res 2017, doi 10.1158/0008-5472.CAN-17-0339.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydantic import Field, model_validator
from radiomics.featureextractor import RadiomicsFeatureExtractor

from ..case import Case, PictureKey
from ..errors import ImageError, StudyError
from ..failure import Failure
from ..family import FamilyRow
from ..image import Image
from ..mask import Mask, MaskRules
from ..parameters import naming_only, read_parameters, two_dimensional
from ..reading import read_case, require_varied_region
from ..settings import Settings as BaseSettings
from ..settings import nearest

NAME = "radiomics"
DEFAULT_PRESET = "cem-2d"
PACKAGES = ("pyradiomics-bhklab", "SimpleITK", "numpy", "PyWavelets", "scikit-image")
_SOURCES = ("preset", "parameter_file", "parameters")
_N_NAMED = 12


class Settings(BaseSettings):
    """What pyradiomics is asked for: a preset, a pyradiomics parameter file, or the same inline."""

    preset: str | None = Field(default=None, description="cem-2d unless one of the other two is given")
    parameter_file: Path | None = Field(default=None, description="pyradiomics YAML or JSON; becomes `parameters`")
    parameters: dict[str, Any] | None = Field(default=None, description="content of a pyradiomics parameter file")
    units: Literal["px", "mm"] = Field(default="px", description="mm needs images that state their spacing")
    max_bins: int = Field(default=1024, ge=2, description="more grey levels than this in a region are refused")

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = [key for key in _SOURCES if values.get(key) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(given)}")
        if not given:
            return values | {"preset": DEFAULT_PRESET}
        if given == ["parameter_file"]:
            if not isinstance(values["parameter_file"], str | Path):
                raise ValueError(f"parameter_file: expected a path, got {values['parameter_file']!r}")
            read = read_parameters(Path(values["parameter_file"]))
            return values | {"parameter_file": None, "parameters": read}
        return values

    @model_validator(mode="after")
    def _usable(self) -> Settings:
        asked, _ = two_dimensional(self.asked())
        for where, bins in _bin_counts(asked):
            if not isinstance(bins, int) or not 2 <= bins <= self.max_bins:
                raise ValueError(f"{where}: binCount {bins!r} is not between 2 and {self.max_bins} (max_bins)")
        if self.units == "px" and asked.get("setting", {}).get("resampledPixelSpacing"):
            raise ValueError(
                "resampledPixelSpacing is in millimetres: set units: mm, for images that state their spacing, "
                "or take it out of the parameters"
            )
        _extractor(_as_key(asked), self.max_bins)
        return self

    def asked(self) -> dict[str, Any]:
        """The content of the pyradiomics parameter file that these settings mean, as written."""
        if self.parameters is not None:
            return self.parameters
        return read_parameters(_preset_path(self.preset or DEFAULT_PRESET))


class Family:
    """Radiomics of every picture of a case.

    Parameters
    ----------
    settings : Settings
    rules : MaskRules
        What a mask must be.
    """

    def __init__(self, settings: Settings, rules: MaskRules) -> None:
        self.settings = settings
        self.rules = rules
        self._asked, self._notes = two_dimensional(settings.asked())
        self._extractor = _extractor(_as_key(self._asked), settings.max_bins)

    def columns(self, pictures: Sequence[PictureKey]) -> list[str]:
        """Names of the columns that a cohort with these pictures has, in table order."""
        return [f"{NAME}:{key.name}:{feature}" for key in pictures for feature in self._extractor.names]

    def provenance(self) -> dict[str, Any]:
        """Parameters as handed to pyradiomics, notes on what was taken out of them, units and versions."""
        return {
            "preset": self.settings.preset,
            "parameters": self._asked,
            "notes": [f"taken out of the parameters: {note}" for note in self._notes],
            "units": self.settings.units,
            "max_bins": self.settings.max_bins,
            "pixel_type": "float64",
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def extract(self, cases: Sequence[Case]) -> list[FamilyRow]:
        """One row per case, in order."""
        return [self._case(case) for case in cases]

    def _case(self, case: Case) -> FamilyRow:
        reading = read_case(case, self.rules)
        row = FamilyRow(case.case_id, failures=list(reading.failures))
        for key, (image, mask) in reading.usable.items():
            try:
                values, problems = self._picture(image, mask)
            except ImageError as error:
                row.failures.append(Failure(case.case_id, NAME, error.code, str(error), key.name))
                continue
            row.values.update({f"{NAME}:{key.name}:{feature}": value for feature, value in values.items()})
            row.failures.extend(Failure(case.case_id, NAME, code, reason, key.name) for code, reason in problems)
        return row

    def _picture(self, image: Image, mask: Mask) -> tuple[dict[str, float], list[tuple[str, str]]]:
        require_varied_region(image, mask)
        spacing = _spacing(image, self.settings.units)
        label = int(self._asked.get("setting", {}).get("label", 1))
        labelled = mask.astype(np.uint32) * np.uint32(label)
        return self._extractor.measure(as_sitk(image.pixels.astype(np.float64), spacing), as_sitk(labelled, spacing))


def as_sitk(pixels: NDArray[Any], spacing: tuple[float, float]) -> Any:
    """A 2-D SimpleITK image; `spacing` is rows, columns, as in DICOM, and SimpleITK wants x, y."""
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing((spacing[1], spacing[0]))
    return image


def _spacing(image: Image, units: str) -> tuple[float, float]:
    if units == "px":
        return 1.0, 1.0
    if image.spacing_mm is None:
        raise ImageError("spacing.missing", "the image states no pixel spacing, and units: mm was asked for; use px")
    return image.spacing_mm


def _preset_path(name: str) -> Path:
    folder = Path(__file__).parent
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        guess = nearest(name, known)
        advice = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}"
        raise StudyError(f"no radiomics preset {name!r}; {advice}")
    return folder / f"{name}.yaml"


def _bin_counts(asked: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every binCount with its place: that of all images, and those of single filters."""
    places = {"setting": asked.get("setting"), **asked.get("imageType", {})}
    return [
        (where, place["binCount"])
        for where, place in places.items()
        if isinstance(place, dict) and place.get("binCount") is not None
    ]


def _as_key(parameters: dict[str, Any]) -> str:
    try:
        return json.dumps(parameters)
    except TypeError as error:  # YAML reads 2024-01-31 as a date
        raise StudyError(f"parameters: a value that is no number, text or list ({error})") from None


@lru_cache(maxsize=8)
def _extractor(parameters: str, max_bins: int) -> _Extractor:
    try:
        with _quiet():
            return _Extractor(json.loads(parameters), max_bins)
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise StudyError(f"pyradiomics refuses the parameters: {' '.join(str(error).split())}") from None


class _Extractor(RadiomicsFeatureExtractor):  # type: ignore[misc]
    """pyradiomics with a limit on grey levels, and the names of what it should return."""

    def __init__(self, parameters: dict[str, Any], max_bins: int) -> None:
        super().__init__(parameters)
        self.addProvenance(False)
        self.max_bins = max_bins
        self.left_out: dict[str, int] = {}
        self.names = _names(parameters)

    def computeFeatures(self, image: Any, mask: Any, imageTypeName: str, **kwargs: Any) -> dict[str, Any]:  # noqa: N802
        """Features of one filtered image, unless a texture matrix of it would fill the memory."""
        n_bins = _count_bins(image, mask, kwargs)
        if n_bins > self.max_bins:
            self.left_out[imageTypeName] = n_bins
            return {}
        found: dict[str, Any] = super().computeFeatures(image, mask, imageTypeName, **kwargs)
        return found

    def measure(self, image: Any, mask: Any) -> tuple[dict[str, float], list[tuple[str, str]]]:
        """Finite features of a region by name, and a code and reason for each kind that is absent."""
        self.left_out = {}
        try:
            with _quiet():
                found = {name: float(value) for name, value in self.execute(image, mask).items()}
        except (ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError) as error:
            reason = f"pyradiomics refuses this region: {' '.join(str(error).split())}"
            raise ImageError("radiomics.refused", reason) from None
        problems = [
            ("bins.too_many", f"{name}: {n} grey levels in the region, at most {self.max_bins}; use a wider bin")
            for name, n in self.left_out.items()
        ]
        absent = [n for n in self.names if n not in found and n.split("_", 1)[0] not in self.left_out]
        bad = [name for name, value in found.items() if not math.isfinite(value)]
        if absent:
            problems.append(("feature.missing", f"pyradiomics left out {_listed(absent)}"))
        if bad:
            problems.append(("feature.nonfinite", f"not a finite number: {_listed(bad)}"))
        return {name: value for name, value in found.items() if math.isfinite(value)}, problems


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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    return ", ".join(names[:_N_NAMED]) + more


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
