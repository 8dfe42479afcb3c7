"""Activation maps: what a network holds of a case's pictures just before it pools, checked to pool to its features."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from .case import PictureKey
from .crop import Crop
from .errors import StudyError
from .families.deep import MOST_PRECISION_ERROR, Family, Input
from .family import FamilyRow
from .reading import Reading

TOLERANCE = 1e-4
"""Largest difference, relative to the norm of the features, between pooled features and means of activation maps."""


@dataclass(frozen=True, eq=False)
class Activation:
    """The last activation maps of one unit of a case.

    Parameters
    ----------
    case_id : str
    picture : str
        The unit: ``RC_CC``, ``LERC_CC``.
    values : ndarray, shape (channels, rows, columns)
        The mean over rows and columns is the feature of the channel.
    crops : mapping of PictureKey to Crop
        The square that the maps cover, of each picture that the network was shown.
    """

    case_id: str
    picture: str
    values: NDArray[np.float64]
    crops: Mapping[PictureKey, Crop]

    @property
    def side_px(self) -> int:
        """Rows, and columns, of the square in the picture's own pixels."""
        return max(crop.side_px for crop in self.crops.values())

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The lesion in the square; of a composite what lies in either contour."""
        found: NDArray[np.bool_] = np.any([crop.mask for crop in self.crops.values()], axis=0)
        return found


def require_mean(family: Family) -> None:
    """Refuse a network whose features are not the means of its last activation maps.

    Such are networks that normalise or project after pooling, or pool otherwise; their features cannot be spread
    over a picture exactly.

    Raises
    ------
    StudyError
    """
    noise = torch.rand(1, 3, *family.size, generator=torch.Generator().manual_seed(0))
    name, n_features = family.settings.network, len(family.features)
    if not hasattr(family.network, "forward_features"):
        raise StudyError(f"{name} does not give its activation maps")
    maps = family.activations(noise)
    if maps.ndim != 4 or maps.shape[1] != n_features:
        raise StudyError(f"{name} gives {n_features} features from an output of shape {maps.shape[1:]}: not one a map")
    if not agrees(family, maps[0], family.pooled(noise)[0]):
        raise StudyError(f"the features of {name} are not the means of its activation maps: it does more than pool")


def agrees(family: Family, maps: NDArray[np.float64], pooled: NDArray[np.float64]) -> bool:
    """Whether maps have these means, as exactly as the family's precision allows."""
    allowed = TOLERANCE if family.settings.precision == "float32" else MOST_PRECISION_ERROR
    size = max(float(np.linalg.norm(pooled)), TOLERANCE)
    return bool(np.linalg.norm(maps.mean(axis=(1, 2)) - pooled) <= allowed * size)


def activations(
    family: Family, readings: Iterable[Reading], wanted: Mapping[str, Collection[str]]
) -> Iterator[Activation]:
    """Activation maps of the wanted units, one batch of the network in memory at a time.

    Parameters
    ----------
    family : Family
        One that :func:`require_mean` lets pass.
    readings : iterable of Reading
        Taken one by one. A unit that cannot be shown to the network is absent: the extraction says why.
    wanted : mapping of str to collection of str
        Units by case id.
    """
    shown = (
        (reading.case_id, item)
        for reading in readings
        for item in family.inputs(reading, wanted.get(reading.case_id, ()), FamilyRow(reading.case_id))
    )
    while batch := list(islice(shown, family.batch)):
        yield from _of_batch(family, batch)


def _of_batch(family: Family, batch: list[tuple[str, Input]]) -> Iterator[Activation]:
    maps = family.activations(torch.stack([item.channels for _, item in batch]))
    for (case_id, item), values in zip(batch, maps, strict=True):
        if np.isfinite(values).all():
            yield Activation(case_id, item.picture, values, item.crops)
