"""Local maps: the radiomics features that moved a shown case most, computed around each pixel of its region."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..features.case import PictureKey
from ..features.errors import CaseError, ImageError
from ..features.families import radiomics
from ..features.image import Image
from ..features.mask import Mask
from ..features.reading import Reading
from ..features.settings import parse_settings
from .extract import FeatureSettings

MOST_CELLS = 64
"""Most rows, and columns, of a map that is kept; a larger one is reduced to means."""


class Found(NamedTuple):
    """A local map in its picture, or the reason why there is none.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        NaN outside the region; empty without a map.
    top, left : int
        Place of the first cell's first pixel in the picture.
    cell_px : int
        Rows, and columns, of picture in a cell.
    reason : str
        Empty where there is a map.
    """

    values: NDArray[np.float64]
    top: int = 0
    left: int = 0
    cell_px: int = 1
    reason: str = ""


class LocalMaps:
    """Makes local maps with the study's own radiomics parameters.

    Parameters
    ----------
    features : FeatureSettings
    """

    def __init__(self, features: FeatureSettings) -> None:
        raw = features.families[radiomics.NAME]
        where = f"features.families.{radiomics.NAME}"
        self._settings = parse_settings(radiomics.Settings, json.loads(json.dumps(raw)), where=where)
        self._parameters: Mapping[str, Any] = radiomics.Family(self._settings, features.mask_rules).provenance()[
            "parameters"
        ]

    def of_case(self, reading: Reading, columns: Sequence[str]) -> dict[str, Found]:
        """The map of each of these columns, by its name."""
        return {column: self._of_column(reading, column) for column in columns}

    def _of_column(self, reading: Reading, column: str) -> Found:
        _, picture, feature = column.split(":", 2)
        nothing = np.empty((0, 0))
        usable = reading.usable.get(PictureKey.parse(picture))
        if usable is None:
            return Found(nothing, reason="the picture is not there or cannot be used")
        try:
            return self._map(*usable, feature)
        except CaseError as error:
            return Found(nothing, reason=str(error))

    def _map(self, image: Image, mask: Mask, feature: str) -> Found:
        from ..features.reference import local_map  # pyradiomics takes a second to import

        if self._settings.ibsi_rules() is not None:
            raise ImageError("local.none", "features by IBSI's definitions have no local maps: pyradiomics has others")
        spacing = radiomics.spacing_of(image, self._settings.units)
        found = local_map(self._parameters, feature, image.pixels, mask, spacing, max_bins=self._settings.max_bins)
        cell_px = -(-max(found.values.shape) // MOST_CELLS)
        return Found(block_means(found.values, cell_px), found.top, found.left, cell_px)


def block_means(values: NDArray[np.float64], cell_px: int) -> NDArray[np.float64]:
    """Means of square blocks over what is not NaN; NaN where nothing else is in a block.

    Examples
    --------
    >>> block_means(np.array([[1.0, 3.0, np.nan], [np.nan, 5.0, np.nan]]), 2).tolist()
    [[3.0, nan]]
    """
    rows, columns = (-(-side // cell_px) for side in values.shape)
    padded = np.full((rows * cell_px, columns * cell_px), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows, cell_px, columns, cell_px)
    counts = np.isfinite(blocks).sum(axis=(1, 3))
    return np.where(counts > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(counts, 1), np.nan)


def top_columns(shap: pd.DataFrame, n: int) -> dict[str, list[str]]:
    """Columns of the `n` largest SHAP values of each case and endpoint, by case id; none that moved nothing.

    Parameters
    ----------
    shap : DataFrame
        Columns ``endpoint, case_id, feature, shap``.
    n : int
    """
    found: dict[str, dict[str, None]] = {}
    moved = shap[shap["shap"] != 0].assign(size=lambda frame: frame["shap"].abs())
    for (_, case_id), own in moved.groupby(["endpoint", "case_id"], sort=False):
        top = own.sort_values("size", ascending=False, kind="stable")["feature"].head(n)
        found.setdefault(str(case_id), {}).update(dict.fromkeys(top))
    return {case_id: list(columns) for case_id, columns in found.items()}
