"""A phantom lesion on a square patch: contour, texture and enhancement inside, planted signs around it.

Inside the contour everything follows the radiomics latent; around it, beyond a gap, everything
follows the deep latent. The gap keeps the signs out of reach of short filters (wavelets, small
Laplacians of Gaussian) evaluated inside the contour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.special import ndtr

from ..features.mask import Mask, bounding_box
from .phantom_anatomy import Field
from .phantom_plan import Lesion

Brightness = NDArray[np.floating[Any]]

CROP_MARGIN = 0.5  # the lesion crop inside which signs are planted: fraction of the box's longer side
GAP_MIN_PX, GAP_OF_RADIUS = 4.0, 0.38
_PATCH = 4.0  # half the patch's side, in lesion radii
_SIGN_LE, _SIGN_RC = 0.34, 0.34  # brightness of a sign at full strength
_SEEN = 0.3  # of a sign's full strength: what counts as planted region


@dataclass(frozen=True, eq=False)
class Stamp:
    """A lesion to be added to a background.

    Parameters
    ----------
    low_energy, recombined : ndarray of float32, shape (side_px, side_px)
        Brightness to be added.
    mask : ndarray of bool
        The contour, filled.
    signs : ndarray of bool
        Where the planted signs around the lesion are; nowhere nearer than the gap.
    """

    low_energy: Field
    recombined: Field
    mask: Mask
    signs: Mask


def draw_lesion(lesion: Lesion, rows: int, rng: np.random.Generator) -> Stamp:
    """Draw one lesion as one view shows it.

    Parameters
    ----------
    lesion : Lesion
    rows : int
        Rows of the picture: the scale of all lengths.
    rng : numpy.random.Generator
        Of this lesion in this view; the two views of a lesion share latents, not contours.
    """
    radius = lesion.radius * rows
    half = int(np.ceil(_PATCH * radius))
    at = np.arange(-half, half + 1, dtype=np.float32)
    x, y = at[None, :], at[:, None]
    distance = np.hypot(x, y)
    angle = np.arctan2(y, x)
    contour = radius * _contour(lesion, angle, rng)
    mask = distance < contour
    inner = distance / contour
    edge_px = max(0.7, 0.06 * radius)
    soft = 1 / (1 + np.exp(((distance - contour) / edge_px).clip(-30, 30)))
    low_energy, recombined = _inside(lesion, inner, radius, rng)
    signs = _signs(lesion, mask, distance, angle, radius, rng)
    return Stamp(
        (low_energy * soft + _SIGN_LE * signs).astype(np.float32),
        (recombined * soft + _SIGN_RC * signs).astype(np.float32),
        mask,
        signs > _SEEN * _strength(lesion.z_deep),
    )


def _contour(lesion: Lesion, angle: Field, rng: np.random.Generator) -> Field:
    """Radius by angle in units of the nominal one: an ellipse, lobes, and spicules that grow with the latent."""
    share = float(ndtr(lesion.z_radiomics))
    long = lesion.finding != "mass"
    stretch = rng.uniform(0.30, 0.45) if long else rng.uniform(0.04, 0.14)
    turn = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    radius = 1 + stretch * np.cos(2 * (turn - rng.uniform(0, np.pi)))
    for lobe in (3, 4, 5):
        radius += (0.01 + 0.05 * share) * rng.uniform(0.5, 1.0) * np.cos(lobe * turn + rng.uniform(0, 2 * np.pi))
    n_spicules = 10
    where = 2 * np.pi * (np.arange(n_spicules) + rng.uniform(-0.3, 0.3, n_spicules)) / n_spicules
    for spicule, height in zip(where, rng.uniform(0.5, 1.0, n_spicules), strict=True):
        radius += 0.55 * share**1.5 * height * np.exp(40 * (np.cos(turn - spicule) - 1))
    radius /= np.sqrt(np.mean(radius**2))  # same area whatever the latent: size tells nothing
    return np.interp(angle, turn, radius, period=2 * np.pi).astype(np.float32)


def _inside(lesion: Lesion, inner: Field, radius: float, rng: np.random.Generator) -> tuple[Brightness, Brightness]:
    """Brightness inside the contour: density in the low-energy image, enhancement in the recombined one."""
    z = lesion.z_radiomics
    fine = _speckle(inner.shape, 0.13 * radius, rng)
    uneven = 0.05 + 0.30 * float(ndtr(z))
    level = float(np.exp(0.22 * z + 0.12 * rng.standard_normal()))
    profile: Brightness = np.ones(inner.shape)
    if lesion.enhancement == "rim":
        profile = 0.55 + 0.75 * np.exp(-(((inner - 0.82) / 0.16) ** 2))
    elif lesion.enhancement == "heterogeneous":
        profile = 0.85 + 0.25 * _speckle(inner.shape, 0.30 * radius, rng)
    enhancement: Brightness = 0.24 * level * (profile + uneven * fine)
    density: Brightness = 0.20 * (1 - 0.25 * inner**2 + 0.5 * uneven * fine)
    if lesion.finding != "mass":
        clumps = 1 / (1 + np.exp(-3 * _speckle(inner.shape, 0.18 * radius, rng)))
        return 0.25 * density, 0.8 * enhancement * (0.45 + 0.8 * clumps)
    return density, enhancement


def _signs(
    lesion: Lesion, mask: Mask, distance: Field, angle: Field, radius: float, rng: np.random.Generator
) -> Brightness:
    """Radiating strands and satellite foci around the lesion, more and brighter as the deep latent grows."""
    share = float(ndtr(lesion.z_deep))
    strands, foci = 2 + round(10 * share), round(10 * share)
    width = max(0.9, 0.10 * radius)
    field: Brightness = np.zeros(distance.shape)
    start = rng.uniform(0, 2 * np.pi)
    for k in range(strands):
        bend, bright = rng.uniform(-0.5, 0.5), rng.uniform(0.6, 1.1)
        first, last = radius * rng.uniform(1.25, 1.6), radius * rng.uniform(2.0, 2.8)
        turn = angle - (start + 2 * np.pi * (k + rng.uniform(-0.35, 0.35)) / strands) - bend * (distance / radius - 1.5)
        along = (np.minimum(distance - first, last - distance) / (0.2 * radius)).clip(0, 1) * (np.cos(turn) > 0)
        field = np.maximum(field, bright * along * np.exp(-0.5 * (distance * np.sin(turn) / width) ** 2))
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    for _ in range(foci):
        far, toward = radius * rng.uniform(1.6, 2.4), rng.uniform(0, 2 * np.pi)
        off = np.hypot(x - far * np.cos(toward), y - far * np.sin(toward))
        field = np.maximum(field, 1.2 * np.exp(-0.5 * (off / (1.5 * width)) ** 2))
    away = distance_transform_edt(~mask)
    gap = max(GAP_MIN_PX, GAP_OF_RADIUS * radius)
    field *= ((away - gap) / max(1.0, 0.10 * radius)).clip(0, 1) * _within_crop(mask, radius)
    # Less their local mean: wide filters inside the contour average over the surroundings and see little of them.
    mean = gaussian_filter(field, 0.45 * radius) * ((away - 0.5 * gap) / (0.5 * radius)).clip(0, 1)
    signs: Brightness = _strength(lesion.z_deep) * (field - mean)
    return signs


def _within_crop(mask: Mask, radius: float) -> Field:
    """1 inside the lesion crop, a square here without its corners; 0 outside, soft between."""
    top, bottom, left, right = bounding_box(mask)
    half = max(bottom - top, right - left) * (0.5 + CROP_MARGIN)
    rows = np.arange(mask.shape[0]) + 0.5 - (top + bottom) / 2
    columns = np.arange(mask.shape[1]) + 0.5 - (left + right) / 2
    inward = half - 1 - (rows[:, None] ** 4 + columns[None, :] ** 4) ** 0.25
    return (inward / max(1.0, 0.10 * radius)).clip(0, 1).astype(np.float32)


def _strength(z_deep: float) -> float:
    return 0.10 + 0.90 * float(ndtr(z_deep))


def _speckle(shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma_px, mode="wrap")
    return (noise / noise.std()).astype(np.float32)  # type: ignore[no-any-return]
