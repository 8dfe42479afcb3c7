"""A pyradiomics parameter file: read, and made to fit two-dimensional images."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

from .errors import StudyError
from .plain_yaml import parse_yaml

MAX_FILE_BYTES = 1_000_000
SECTIONS = ("imageType", "featureClass", "setting", "voxelSetting")
_FOR_VOLUMES = (
    ("featureClass", "shape", "class shape is for volumes; a 2-D image has shape2D"),
    ("imageType", "LBP3D", "filter LBP3D is for volumes; a 2-D image has LBP2D"),
)
_NAMING_KEYS = ("sigma", "wavelet", "start_level", "level", "lbp2DRadius", "lbp2DSamples", "lbp2DMethod", "distances")


def read_parameters(path: Path) -> dict[str, Any]:
    """A pyradiomics parameter file, YAML or JSON, as values.

    Raises
    ------
    StudyError
        If it is absent, too large, not plain YAML (a key twice), or does not hold keys and values.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such parameter file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise StudyError(f"{path}: larger than {MAX_FILE_BYTES} bytes; this is not a pyradiomics parameter file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise StudyError(f"{path}: not text in UTF-8 that can be read") from None
    values = parse_yaml(text, where=str(path))
    if not isinstance(values, dict):
        raise StudyError(f"{path}: expected keys and values such as imageType, featureClass and setting")
    return values


def two_dimensional(parameters: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Parameters without what applies to volumes only, and a sentence for each thing taken out.

    Parameters
    ----------
    parameters : dict
        Content of a pyradiomics parameter file; not changed.

    Raises
    ------
    StudyError
        If a section is not of keys and values, a number is written as text or is not finite, or nothing of it
        applies to a 2-D image.

    Examples
    --------
    >>> two_dimensional({"featureClass": {"shape": None, "glcm": None}})
    ({'featureClass': {'glcm': None}}, ['class shape is for volumes; a 2-D image has shape2D'])
    """
    _require_numbers(parameters, "parameters")
    asked = {key: copy.deepcopy(value) for key, value in parameters.items() if value is not None}
    for section in SECTIONS:
        if not isinstance(asked.get(section, {}), dict):
            raise StudyError(f"parameters: {section}: expected keys and values, got {asked[section]!r}")
    notes = []
    for section, name, reason in _FOR_VOLUMES:
        if name in asked.get(section, {}):
            del asked[section][name]
            notes.append(reason)
            if not asked[section]:  # pyradiomics would take an empty section as "everything"
                raise StudyError(f"parameters: {section} asks for nothing that a 2-D image has: {reason}")
    setting = asked.get("setting", {})
    if setting.pop("force2D", False):
        notes.append("force2D slices volumes; on a 2-D image it would drop one direction of the filters")
    spacing = setting.get("resampledPixelSpacing")
    if spacing is not None and not isinstance(spacing, list):
        raise StudyError(f"parameters: resampledPixelSpacing: expected a list such as [0.1, 0.1], got {spacing!r}")
    if spacing and len(spacing) > 2:
        setting["resampledPixelSpacing"] = spacing[:2]
        notes.append("resampledPixelSpacing has an entry for slices; its first two entries are used")
    return asked, notes


def _require_numbers(values: Any, where: str) -> None:
    """Refuse NaN, infinity, and numbers in quotes, as JSON's NaN is to YAML: pyradiomics' schema lets them pass."""
    if isinstance(values, dict):
        for key, value in values.items():
            _require_numbers(value, f"{where}: {key}")
    elif isinstance(values, list):
        for value in values:
            _require_numbers(value, where)
    elif isinstance(values, float | str):
        try:
            number = float(values)
        except ValueError:
            return
        if isinstance(values, str) or not math.isfinite(number):
            raise StudyError(f"{where}: {values!r} is no number that can be computed with; write it as in 25 or 0.5")


def naming_only(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that lead to the same feature names on any image: no grey-level or region settings.

    Examples
    --------
    >>> naming_only({"imageType": {"LoG": {"sigma": [2.0], "binWidth": 5}}, "setting": {"resegmentRange": [0, 9]}})
    {'imageType': {'LoG': {'sigma': [2.0]}}, 'featureClass': {}, 'setting': {}}
    """
    images = parameters.get("imageType") or {"Original": {}}
    return {
        "imageType": {name: _naming(custom) for name, custom in images.items()},
        "featureClass": parameters.get("featureClass", {}),
        "setting": _naming(parameters.get("setting")),
    }


def _naming(settings: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (settings or {}).items() if key in _NAMING_KEYS}
