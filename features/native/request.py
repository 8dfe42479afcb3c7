"""A request: what a pyradiomics parameter file asks of a two-dimensional image, resolved and checked.

What the native engine cannot give exactly is not approximated: :func:`parse_request` raises :class:`NotServed` with
the reason, and pyradiomics does the work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import firstorder, shape2d, texture
from .filter_lbp import METHODS as LBP_METHODS
from .filter_wavelet import wavelet_names

DEFAULT_BIN_WIDTH = 25.0
_NORMS = ("manhattan", "euclidean", "infinity", "no_weighting")
_POINTWISE = {"Square": "square", "SquareRoot": "squareroot", "Logarithm": "logarithm", "Exponential": "exponential"}
IMAGE_TYPES = ("Original", "LoG", "Wavelet", *_POINTWISE, "Gradient", "LBP2D")
CLASSES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm", "shape2D")
"""In pyradiomics' order, where a file names none."""


class NotServed(ValueError):  # noqa: N818 - a refusal, not a mistake
    """The native engine does not compute this; pyradiomics may."""


def _is(kind: type, low: float | None = None, *, above: float | None = None) -> Any:
    def check(value: Any) -> bool:
        if kind is bool:
            return isinstance(value, bool)
        if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and isinstance(value, float)):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (low is None or value >= low) and (above is None or value > above)

    return check


def _every(check: Any) -> Any:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


_CHECKS: dict[str, Any] = {
    "minimumROIDimensions": lambda value: value in (1, 2, 3) and not isinstance(value, bool),
    "minimumROISize": _is(int, above=0),
    "geometryTolerance": _is(float, above=0),
    "correctMask": _is(bool),
    "additionalInfo": _is(bool),
    "label": _is(int, above=0),
    "label_channel": _is(int, 0),
    "binWidth": _is(float, above=0),
    "binCount": _is(int, above=0),
    "normalize": _is(bool),
    "normalizeScale": _is(float, above=0),
    "removeOutliers": _is(float, above=0),
    "resampledPixelSpacing": _every(_is(float, 0)),
    "interpolator": lambda value: isinstance(value, str) and value.startswith("sitk"),
    "padDistance": _is(int, 0),
    "distances": _every(_is(int, above=0)),
    "force2Ddimension": lambda value: value in (0, 1, 2),
    "resegmentRange": _every(_is(float)),
    "resegmentMode": lambda value: value in ("absolute", "relative", "sigma"),
    "resegmentShape": _is(bool),
    "preCrop": _is(bool),
    "sigma": _every(_is(float, above=0)),
    "start_level": _is(int, 0),
    "level": _is(int, above=0),
    "wavelet": lambda value: isinstance(value, str) and _is_wavelet(value),
    "gradientUseSpacing": _is(bool),
    "lbp2DRadius": _is(float, above=0),
    "lbp2DSamples": _is(int, 1),
    "lbp2DMethod": lambda value: value in LBP_METHODS,
    "voxelArrayShift": _is(int),
    "symmetricalGLCM": _is(bool),
    "weightingNorm": lambda value: value is None or value in _NORMS,
    "gldm_a": _is(int, 0),
}
_OF_THE_PICTURE = ("label", "normalize", "resampledPixelSpacing", "interpolator", "padDistance", "preCrop", "resegment")


@dataclass(frozen=True)
class ImageRequest:
    """One image type with the settings that hold for it.

    Parameters
    ----------
    kind : str
        pyradiomics' name of the image type.
    settings : mapping
        General settings with those of the image type over them.
    """

    kind: str
    settings: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the images that this gives, as feature names begin."""
        if self.kind == "LoG":
            return [log_name(sigma) for sigma in self.settings.get("sigma", [])]
        if self.kind == "Wavelet":
            return wavelet_names(self.settings.get("level", 1))
        return [_POINTWISE.get(self.kind) or {"LBP2D": "lbp-2D"}.get(self.kind, self.kind.lower())]

    @property
    def bin_count(self) -> int | None:
        """Number of grey levels, where they are counted."""
        return self.settings.get("binCount")

    @property
    def bin_width(self) -> float:
        """Width of a grey level, where they are not."""
        return float(self.settings.get("binWidth", DEFAULT_BIN_WIDTH))


@dataclass(frozen=True)
class Request:
    """Everything that is asked of one picture.

    Parameters
    ----------
    images : tuple of ImageRequest
    shape : tuple of str
        shape2D features.
    classes : mapping of str to tuple of str
        Features of each other class, in the order asked.
    settings : mapping
        General settings.
    """

    images: tuple[ImageRequest, ...]
    shape: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]

    def names(self) -> list[str]:
        """Names of all features, in pyradiomics' order.

        Examples
        --------
        >>> parse_request({"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Mean"]}}).names()
        ['original_firstorder_Mean']
        """
        prefixes = [name for image in self.images for name in image.names]
        shape = [f"original_shape2D_{feature}" for feature in self.shape]
        rest = [f"{p}_{kind}_{feature}" for p in prefixes for kind, names in self.classes.items() for feature in names]
        return list(dict.fromkeys([*shape, *rest]))


def log_name(sigma: float) -> str:
    """pyradiomics' name of a LoG image.

    Examples
    --------
    >>> log_name(1.5)
    'log-sigma-1-5-mm-3D'
    """
    return f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"


def parse_request(parameters: Mapping[str, Any]) -> Request:
    """Resolve the content of a pyradiomics parameter file.

    Parameters
    ----------
    parameters : mapping
        As :func:`~cemrad.features.parameters.two_dimensional` leaves it.

    Raises
    ------
    NotServed
        If anything in it is unknown here, malformed, or needs pyradiomics itself.
    """
    for section in parameters:
        # pyradiomics reads voxelSetting only when it makes maps.
        if section not in ("imageType", "featureClass", "setting", "voxelSetting"):
            raise NotServed(f"section {section}")
    general = _checked(parameters.get("setting") or {}, "setting")
    images = parameters.get("imageType") or {"Original": {}}
    classes = parameters.get("featureClass") or dict.fromkeys(CLASSES)
    resolved = {kind: _features(kind, names) for kind, names in classes.items()}
    _require_plain(general)
    return Request(
        tuple(_image(kind, custom, general) for kind, custom in images.items()),
        resolved.pop("shape2D", ()),
        resolved,
        general,
    )


def _checked(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        if value is None and key in ("binCount", "minimumROISize", "removeOutliers", "resegmentRange",
                                     "resampledPixelSpacing", "geometryTolerance", "weightingNorm"):  # fmt: skip
            continue
        if key not in _CHECKS or not _CHECKS[key](value):
            raise NotServed(f"{where}: {key}: {value!r}")
        found[key] = value
    return found


def _require_plain(general: Mapping[str, Any]) -> None:
    if general.get("resegmentRange") is not None and len(general["resegmentRange"]) not in (1, 2):
        raise NotServed("setting: resegmentRange has one or two limits")
    if len(general.get("resampledPixelSpacing", (0, 0))) != 2:
        raise NotServed("setting: resampledPixelSpacing has two entries")
    if not general.get("distances", [1]):
        raise NotServed("setting: distances is empty")


def _image(kind: str, custom: Any, general: Mapping[str, Any]) -> ImageRequest:
    if kind not in IMAGE_TYPES:
        raise NotServed(f"imageType: {kind}")
    own = _checked(custom or {}, f"imageType: {kind}")
    for key in own:
        if key.startswith(_OF_THE_PICTURE) and own[key] != general.get(key):
            raise NotServed(f"imageType: {kind}: {key} for one image type alone")
    return ImageRequest(kind, {**general, **own})


def _features(kind: str, names: Any) -> tuple[str, ...]:
    if kind not in CLASSES:
        raise NotServed(f"featureClass: {kind}")
    served = _served(kind)
    if not names:
        return served
    if not isinstance(names, list):
        raise NotServed(f"featureClass: {kind}: {names!r}")
    for name in names:
        if name not in served:
            raise NotServed(f"featureClass: {kind}: {name}")
    return tuple(dict.fromkeys(names))


def _served(kind: str) -> tuple[str, ...]:
    if kind == "firstorder":
        return tuple(firstorder.FEATURES)
    if kind == "shape2D":
        return tuple(shape2d.FEATURES)
    return tuple(texture.CLASSES[kind].FEATURES)


def _is_wavelet(name: str) -> bool:
    import pywt

    return name in pywt.wavelist(kind="discrete")
