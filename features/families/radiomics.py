"""Handcrafted features: pyradiomics' numbers on true two-dimensional images, under pyradiomics' own names.

Two engines give the same numbers (relative 1e-9) and share one contract:

- ``native`` (default): compiled loops on the region and the margin that each filter needs, many times faster.
- ``pyradiomics``: the reference, on the whole image. It also takes what the native engine does not serve.
- ``verify``: both on a stated sample of the pictures; a difference over 1e-6 stops the run.

Rules for both:

- **Two dimensions.** What a parameter file asks of volumes only (class ``shape``, ``LBP3D``, ``force2D``) is
  taken out, said once, and recorded in the provenance.
- **float64.** Pixels of every type are taken as float64, so that no type overflows in the discretisation.
- **Pixels.** Lengths and areas count pixels. Millimetres are used only with ``units: mm`` and an image that
  states its spacing. The ``mm`` inside a LoG feature's name is pyradiomics' text, not a unit.
- **Nothing silent.** A feature that is left out or not finite is a failure that names it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ..case import PictureKey
from ..errors import CaseError, EngineError, ImageError, MaskError, StudyError
from ..failure import Failure
from ..family import FamilyRow, FeatureFamily, Unit
from ..image import Image
from ..mask import Mask, MaskRules
from ..native.engine import VERSION, NativeEngine
from ..native.ibsi import IbsiRules
from ..native.ibsi_engine import IbsiEngine
from ..native.region import kept_fraction
from ..native.request import NotServed
from ..parameters import read_parameters, two_dimensional
from ..reading import Reading, require_varied_region
from ..settings import Settings as BaseSettings
from ..settings import nearest

if TYPE_CHECKING:
    from ..reference import ReferenceEngine

NAME = "radiomics"
DEFAULT_PRESET, IBSI_PRESET = "cem-2d", "ibsi"
PACKAGES = ("SimpleITK", "numpy", "PyWavelets")
TOLERANCE = 1e-6
_SOURCES = ("preset", "parameter_file", "parameters")


class Settings(BaseSettings):
    """What is asked: a preset, a pyradiomics parameter file, or the same inline."""

    preset: str | None = Field(default=None, description="cem-2d unless one of the other two is given")
    parameter_file: Path | None = Field(default=None, description="pyradiomics YAML or JSON; becomes `parameters`")
    parameters: dict[str, Any] | None = Field(default=None, description="content of a pyradiomics parameter file")
    units: Literal["px", "mm"] = Field(default="px", description="mm needs images that state their spacing")
    max_bins: int = Field(default=1024, ge=2, description="more grey levels than this in a region are refused")
    engine: Literal["native", "pyradiomics", "verify"] = Field(default="native", description="who computes")
    verify_share: float = Field(default=0.1, gt=0, le=1, description="share of pictures that `verify` computes twice")
    ibsi: IbsiRules | None = Field(
        default=None, description="IBSI's definitions and re-segmentation; preset ibsi has them"
    )
    min_kept: float = Field(default=0.5, ge=0, le=1, description="least share of a region after re-segmentation")

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
        _engines(_as_key(asked), self.max_bins, self.engine, self.ibsi_rules())
        return self

    def ibsi_rules(self) -> IbsiRules | None:
        """IBSI's rules, where they are asked for: by the preset ibsi, or beside other parameters."""
        return self.ibsi or (IbsiRules() if self.preset == IBSI_PRESET else None)

    def asked(self) -> dict[str, Any]:
        """The content of the pyradiomics parameter file that these settings mean, as written."""
        if self.parameters is not None:
            return self.parameters
        return read_parameters(_preset_path(self.preset or DEFAULT_PRESET))


class Family(FeatureFamily):
    """Radiomics of every picture of a case.

    Parameters
    ----------
    settings : Settings
    rules : MaskRules
        What a mask must be.
    """

    name = NAME

    def __init__(self, settings: Settings, rules: MaskRules) -> None:
        self.settings = settings
        self.rules = rules
        self._asked, self._notes = two_dimensional(settings.asked())
        self._native, self._reference, unserved = _engines(
            _as_key(self._asked), settings.max_bins, settings.engine, settings.ibsi_rules()
        )
        self._notes = [f"taken out of the parameters: {note}" for note in self._notes]
        if unserved:
            self._notes.append(f"computed by pyradiomics, as the native engine does not serve {unserved}")
        first = self._native or self._reference
        assert first is not None
        self._engine: NativeEngine | ReferenceEngine = first
        self.features = self._engine.names

    def units(self, pictures: Sequence[PictureKey]) -> list[Unit]:
        """Every picture on its own."""
        return [Unit(key.name, (key,)) for key in pictures]

    def identity(self) -> dict[str, Any]:
        """All that the numbers of a picture depend on, other than the picture and its mask."""
        return {
            "parameters": self._asked,
            "units": self.settings.units,
            "max_bins": self.settings.max_bins,
            "min_kept": self.settings.min_kept,
            "engine": self._used(),
            "versions": self._versions(),
        }

    def provenance(self) -> dict[str, Any]:
        """Parameters as computed, notes on what was taken out of them, units, engine and versions."""
        verify = {"verify_share": self.settings.verify_share} if self.settings.engine == "verify" else {}
        return {
            "preset": self.settings.preset,
            "parameters": self._asked,
            "notes": self._notes,
            "units": self.settings.units,
            "max_bins": self.settings.max_bins,
            "pixel_type": "float64",
            "engine": self._used(),
            **verify,
            "versions": self._versions(),
        }

    def measure(self, readings: Sequence[Reading], wanted: Sequence[Collection[str]] | None = None) -> list[FamilyRow]:
        """One row per reading, in order.

        Raises
        ------
        EngineError
            With ``engine: verify``, where the engines differ.
        """
        asked = wanted or [[key.name for key in reading.usable] for reading in readings]
        return [self._row(reading, names) for reading, names in zip(readings, asked, strict=True)]

    def _row(self, reading: Reading, wanted: Collection[str]) -> FamilyRow:
        row = FamilyRow(reading.case_id)
        for key, (image, mask) in reading.usable.items():
            if key.name not in wanted:
                continue
            try:
                values, problems = self._picture(image, mask, f"{reading.case_id} {key.name}")
            except CaseError as error:
                stage = "mask" if isinstance(error, MaskError) else NAME
                row.failures.append(Failure(reading.case_id, stage, error.code, str(error), key.name))
                continue
            row.values.update({f"{NAME}:{key.name}:{feature}": value for feature, value in values.items()})
            row.failures.extend(Failure(reading.case_id, NAME, code, reason, key.name) for code, reason in problems)
        return row

    def _picture(self, image: Image, mask: Mask, name: str) -> tuple[dict[str, float], list[tuple[str, str]]]:
        require_varied_region(image, mask)
        spacing = spacing_of(image, self.settings.units)
        self._require_kept(image, mask, spacing)
        values, problems = self._engine.measure(image.pixels, mask, spacing)
        if self.settings.engine == "verify" and self._reference is not self._engine and self._is_sampled(name):
            assert self._reference is not None
            expected, _ = self._reference.measure(image.pixels, mask, spacing)
            require_equal(values, expected, name)
        return values, problems

    def _require_kept(self, image: Image, mask: Mask, spacing: tuple[float, float]) -> None:
        settings = self._asked.get("setting") or {}
        if isinstance(self._native, IbsiEngine):
            kept = self._native.kept_fraction(image.pixels, mask, spacing)
        elif settings.get("resegmentRange"):
            kept = kept_fraction(image.pixels, mask, spacing, settings)
        else:
            return
        if kept < self.settings.min_kept:
            raise MaskError(
                "roi.resegmented",
                f"re-segmentation keeps {kept:.1%} of the region, at least {self.settings.min_kept:.0%} is asked for; "
                "widen resegmentRange or set min_kept",
            )

    def _is_sampled(self, name: str) -> bool:
        """Whether `verify` takes this picture: by its name, so that the sample is the same in every run."""
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        return place < self.settings.verify_share

    def _used(self) -> str:
        if self._native is None:
            return "pyradiomics"
        if isinstance(self._native, IbsiEngine):
            return f"native {VERSION}, IBSI's definitions {self._native.rules.model_dump_json(exclude_none=True)}"
        return f"native {VERSION}" + (", verified against pyradiomics" if self.settings.engine == "verify" else "")

    def _versions(self) -> dict[str, str]:
        names = (*PACKAGES, *(["numba"] if self._native is not None else ["scikit-image"]))
        if self._reference is not None:
            names = ("pyradiomics-bhklab", *names)
        return {name: importlib.metadata.version(name) for name in names}


def require_equal(values: dict[str, float], expected: dict[str, float], name: str) -> None:
    """Refuse features of the two engines that differ by more than :data:`TOLERANCE`, relative.

    Raises
    ------
    EngineError
        That names the worst feature.
    """
    if values.keys() != expected.keys():
        differing = sorted(values.keys() ^ expected.keys())
        raise EngineError(
            f"{name}: one engine gives {len(differing)} features that the other does not: {differing[:3]}"
        )
    worst, feature = max((abs(values[f] - e) / max(abs(e), TOLERANCE), f) for f, e in expected.items())
    if worst > TOLERANCE:
        raise EngineError(
            f"{name}: the engines differ in {feature}: native {values[feature]!r}, pyradiomics {expected[feature]!r}; "
            "use engine: pyradiomics, and report this"
        )


def spacing_of(image: Image, units: str) -> tuple[float, float]:
    """Of rows and columns as the features take it; raises ImageError where millimetres were asked for in vain."""
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
def _engines(
    parameters: str, max_bins: int, engine: str, ibsi: IbsiRules | None
) -> tuple[NativeEngine | None, ReferenceEngine | None, str | None]:
    """The engines that a choice needs, and what the native one does not serve. pyradiomics is imported if needed."""
    asked = json.loads(parameters)
    if ibsi is not None:
        if engine != "native":
            raise StudyError(f"engine: {engine}: pyradiomics has other definitions than IBSI; use engine: native")
        try:
            return IbsiEngine(asked, max_bins, ibsi), None, None
        except NotServed as refusal:
            raise StudyError(f"parameters: not served with IBSI's definitions: {refusal}") from None
    native, unserved = None, None
    if engine != "pyradiomics":
        try:
            native = NativeEngine(asked, max_bins)
        except NotServed as refusal:
            unserved = str(refusal)
    if native is not None and engine == "native":
        return native, None, None
    from ..reference import ReferenceEngine  # pyradiomics takes a second to import

    return native, ReferenceEngine(asked, max_bins), unserved
