"""The texture classes of one discretised region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import glcm, gldm, glrlm, glszm, matrices, ngtdm
from .matrices_far import count_far_neighbours, count_far_pairs, offsets

CLASSES = {"glcm": glcm, "glrlm": glrlm, "glszm": glszm, "gldm": gldm, "ngtdm": ngtdm}
"""Class to the module that computes it, with its FEATURES."""

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class TextureSettings:
    """Settings of the texture classes, as pyradiomics has them.

    Parameters
    ----------
    distances : tuple of int
        Pixels to a neighbour (glcm, gldm, ngtdm), the larger of rows and columns.
    weighting_norm : str, optional
        Add directions up, weighted by their length under this norm (glcm, glrlm), instead of averaging features.
    symmetrical_glcm : bool
    gldm_a : int
        Largest difference of dependent levels.
    spacing : tuple of float
        Of rows and of columns, for the weights.
    count_alone : bool
        Count a pixel without neighbours in ngtdm, as pyradiomics does and IBSI does not.
    drop_single : bool
        Leave out a direction of glrlm along which no line meets the region in two pixels, as pyradiomics does and
        IBSI does not.
    """

    distances: tuple[int, ...] = (1,)
    weighting_norm: str | None = None
    symmetrical_glcm: bool = True
    gldm_a: int = 0
    spacing: tuple[float, float] = (1.0, 1.0)
    count_alone: bool = True
    drop_single: bool = True


def measure(
    framed: NDArray[np.signedinteger[Any]],
    n_levels: int,
    classes: Mapping[str, Sequence[str]],
    settings: TextureSettings,
) -> dict[tuple[str, str], float]:
    """Features by class and name; nan where a matrix is empty.

    Parameters
    ----------
    framed : ndarray of a signed integer, shape (rows + 2, columns + 2)
        1 to n_levels in the region, 0 elsewhere and in a frame of one pixel; :func:`~.matrices.type_of_levels` tells
        the type.
    n_levels : int
        Largest level.
    classes : mapping of str to sequence of str
        Names of the features of each class.
    settings : TextureSettings
    """
    found: dict[tuple[str, str], float] = {}
    for kind, names in classes.items():
        values = dict(
            zip(CLASSES[kind].FEATURES, _class(kind, names, framed, n_levels, settings).tolist(), strict=True)
        )
        found.update({(kind, name): values[name] for name in names})
    return found


def _class(
    kind: str, names: Sequence[str], framed: NDArray[np.signedinteger[Any]], n_levels: int, settings: TextureSettings
) -> F64:
    near = settings.distances == (1,)
    steps = offsets(settings.distances)
    if kind == "glcm":
        pairs = matrices.count_pairs(framed, n_levels) if near else count_far_pairs(framed, n_levels, steps)
        weights = _glcm_weights(steps, settings)
        return glcm.measure(
            pairs,
            symmetrical=settings.symmetrical_glcm,
            weights=weights,
            n_present=_n_present(pairs, framed) if "MCC" in names else None,
        )
    if kind == "glrlm":
        runs = matrices.count_runs(framed, n_levels)
        if settings.drop_single:
            _drop_single(runs, framed)
        return glrlm.measure(runs, weights=_glrlm_weights(settings))
    if kind == "glszm":
        return glszm.measure(*matrices.count_zones(framed, n_levels))
    if near and kind == "gldm":
        return gldm.measure(matrices.count_dependence(framed, n_levels, settings.gldm_a))
    if near:
        return ngtdm.measure(matrices.count_neighbours(framed, n_levels, settings.count_alone))
    dependence, neighbours = count_far_neighbours(framed, n_levels, steps, settings.gldm_a, settings.count_alone)
    return gldm.measure(dependence) if kind == "gldm" else ngtdm.measure(neighbours)


def _n_present(pairs: F64, framed: NDArray[np.signedinteger[Any]]) -> int:
    """Levels of the region; those of pixels without neighbours are looked for only where it could matter."""
    n_met = int(np.count_nonzero(pairs.sum(axis=(0, 1)) + pairs.sum(axis=(0, 2))))
    return n_met if n_met > 1 else int(np.unique(framed[framed > 0]).size)


def _drop_single(runs: NDArray[np.int32], framed: NDArray[np.signedinteger[Any]]) -> None:
    """Empty the counts of directions along which no line meets the region in two pixels: those of thin regions."""
    for k in np.flatnonzero(~runs[:, :, 1:].any(axis=(1, 2))):
        rows, columns = np.nonzero(framed)
        down, across = matrices.FORWARD[k]
        line = rows * across - columns * down
        if np.unique(line).size == line.size:
            runs[k] = 0


def _lengths(steps: NDArray[np.int64], settings: TextureSettings) -> F64 | None:
    """Length of each step under the norm, in units of the spacing."""
    norm = settings.weighting_norm
    if norm is None:
        return None
    part = np.abs(steps) * np.array(settings.spacing)
    lengths: F64 = np.ones(len(steps))
    if norm == "infinity":
        lengths = part.max(axis=1)
    elif norm == "euclidean":
        lengths = np.sqrt((part**2).sum(axis=1))
    elif norm == "manhattan":
        lengths = part.sum(axis=1)
    return lengths


def _glcm_weights(steps: NDArray[np.int64], settings: TextureSettings) -> F64 | None:
    lengths = _lengths(steps, settings)
    if lengths is None or settings.weighting_norm == "no_weighting":
        return lengths
    weights: F64 = np.exp(-(lengths**2))
    return weights


def _glrlm_weights(settings: TextureSettings) -> F64 | None:
    return _lengths(np.array(matrices.FORWARD), settings)
