"""The phantom breast without lesions: outline, parenchyma, pectoral muscle, background enhancement.

All lengths are fractions of the picture, so the same breast can be drawn at any size. Breasts are
drawn with the chest wall on the left; right breasts are mirrored afterwards. Brightness is in
arbitrary units, 0 in air and about 1 in the densest tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt

from ..features.mask import Mask

Field = NDArray[np.float32]

BETA = 3.0  # power spectrum of mammographic parenchyma: Burgess et al. 2001, doi 10.1118/1.1355308
_GLAND = {"A": 0.04, "B": 0.12, "C": 0.22, "D": 0.32}  # mean brightness that glandular tissue adds
_TEXTURE = {"A": 0.05, "B": 0.09, "C": 0.11, "D": 0.10}  # its standard deviation
_BPE = {"minimal": 0.01, "mild": 0.05, "moderate": 0.10, "marked": 0.17}  # mean enhancement of glandular tissue
_FAT, _MUSCLE, _SKIN = 0.22, 0.20, 0.14
_NOISE_LE, _NOISE_RC = 0.010, 0.014


@dataclass(frozen=True, eq=False)
class Background:
    """A breast before its lesions.

    Parameters
    ----------
    low_energy, recombined : ndarray of float32, shape (rows, columns)
    breast : ndarray of bool
        Inside the skin, pectoral muscle included.
    skin_column : ndarray, shape (rows,)
        Where the skin is in each row, in pixels from the chest wall; 0 above and below the breast.
    middle_row, span_rows : float
        Row of the nipple and the reach of the breast above and below, in pixels: what a lesion's height means.
    """

    low_energy: Field
    recombined: Field
    breast: Mask
    skin_column: NDArray[np.float64]
    middle_row: float
    span_rows: float


def power_law_noise(
    shape: tuple[int, int], beta: float, rng: np.random.Generator, stretch: float = 1.0
) -> tuple[Field, Field]:
    """Two independent Gaussian fields whose power spectrum falls as 1 / f^beta.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    beta : float
        Exponent of the power spectrum, not of the amplitude.
    rng : numpy.random.Generator
    stretch : float
        How much longer along columns than along rows structures are; 1 is isotropic.

    Returns
    -------
    tuple of ndarray, float32
        Mean 0 and standard deviation 1 each.

    Examples
    --------
    >>> field, _ = power_law_noise((64, 48), 3.0, np.random.default_rng(0))
    >>> field.shape, bool(abs(field.std() - 1) < 1e-4)
    ((64, 48), True)
    """
    rows, columns = (fft.next_fast_len(n) for n in shape)
    longest = max(rows, columns)
    down = (np.fft.fftfreq(rows) * longest / stretch).astype(np.float32)
    across = (np.fft.fftfreq(columns) * longest * stretch).astype(np.float32)
    # Below two periods per picture the spectrum is flat: slower trends would be tilts, not tissue.
    frequency = np.maximum(np.hypot(down[:, None], across[None, :]), 2.0)
    spectrum = np.empty((rows, columns), dtype=np.complex64)
    spectrum.real = rng.standard_normal((rows, columns), dtype=np.float32)
    spectrum.imag = rng.standard_normal((rows, columns), dtype=np.float32)
    spectrum *= frequency ** np.float32(-beta / 2)
    spectrum[0, 0] = 0
    field = fft.ifft2(spectrum, overwrite_x=True)[: shape[0], : shape[1]]
    return _standardise(field.real), _standardise(field.imag)


def draw_background(view: str, shape: tuple[int, int], density: str, bpe: str, rng: np.random.Generator) -> Background:
    """Draw a breast without lesions, chest wall on the left.

    Parameters
    ----------
    view : {"CC", "MLO"}
    shape : tuple of int
        Rows and columns.
    density : {"A", "B", "C", "D"}
        ACR breast density class.
    bpe : {"minimal", "mild", "moderate", "marked"}
        Background parenchymal enhancement.
    rng : numpy.random.Generator
    """
    rows, columns = shape
    skin, middle, span = _outline(view, shape, rng)
    breast = np.arange(columns)[None, :] < skin[:, None]
    depth = distance_transform_edt(breast).astype(np.float32) / np.float32(rows)
    thickness = 1 - np.exp(-depth / np.float32(0.025))
    clouds, strands = power_law_noise(shape, BETA, rng, stretch=1.25)
    gland = _gland_region(view, depth, shape, middle, density)

    tissue = _FAT + 0.035 * clouds + 0.07 * np.exp(-np.abs(strands) / np.float32(0.12))
    tissue += gland * (_GLAND[density] + _TEXTURE[density] * clouds)
    uptake = gland * (1 + np.float32(0.45) * clouds).clip(0)
    contrast = np.float32(0.20) + np.float32(0.05) * _step(depth, 0.05, 0.09) + np.float32(0.008) * clouds
    contrast += np.float32(_BPE[bpe]) * uptake
    if view == "MLO":
        muscle = _muscle(shape, rng)
        tissue += muscle * np.float32(_MUSCLE)
        contrast += muscle * np.float32(0.03)
    skin_line = np.float32(_SKIN) * np.exp(-(((depth - 0.006) / np.float32(0.006)) ** 2))
    low_energy = thickness * tissue.clip(0.05) + skin_line + _NOISE_LE * _white(shape, rng)
    recombined = thickness * contrast.clip(0.02) + skin_line / 2 + _NOISE_RC * _white(shape, rng)
    air = ~breast
    low_energy[air] = 0
    recombined[air] = 0
    return Background(
        low_energy.astype(np.float32, copy=False), recombined.astype(np.float32, copy=False), breast, skin, middle, span
    )


def _outline(view: str, shape: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.float64], float, float]:
    """Skin column of every row, the row of the nipple and the reach of the breast above and below it."""
    rows, columns = shape
    size, tilt, top, shift = rng.uniform(-1, 1, 4)
    depth = columns * (0.76 + 0.10 * size)
    at = np.arange(rows) + 0.5
    if view == "CC":
        middle, reach = rows * (0.5 + 0.02 * shift), rows * (0.42 + 0.04 * size)
        away = np.abs(at - middle) / (reach * (1 + 0.06 * tilt * np.sign(at - middle)))
        skin = depth * (1 - away.clip(0, 1) ** 2.3) ** 0.62
        span = reach
    else:
        middle, bottom = rows * (0.60 + 0.02 * shift), rows * (0.92 + 0.03 * size)
        upper = (at / middle).clip(0, 1)
        neck = 0.42 + 0.08 * top
        rise = 0.55 * np.sin(upper * np.pi / 2) + 0.45 * upper**2 * (3 - 2 * upper)
        lower = ((at - middle) / (bottom - middle)).clip(0, 1)
        skin = depth * np.where(at < middle, neck + (1 - neck) * rise, (1 - lower**2.2) ** 0.6)
        span = rows * 0.42
    skin = skin + 0.035 * columns * np.exp(-(((at - middle) / (0.022 * rows)) ** 4))
    return np.where(skin > 2, skin, 0.0), float(middle), float(span)


def _gland_region(view: str, depth: Field, shape: tuple[int, int], middle: float, density: str) -> Field:
    """Share of glandular tissue, 0 to 1: none under the skin, less towards chest wall and axilla."""
    rows, columns = shape
    reach = {"A": 0.30, "B": 0.36, "C": 0.44, "D": 0.55}[density]
    down = (np.arange(rows, dtype=np.float32)[:, None] - np.float32(middle)) / np.float32(rows)
    across = np.arange(columns, dtype=np.float32)[None, :] / np.float32(columns)
    if view == "MLO":
        down = np.where(down < 0, down + 0.06, down * 1.2).astype(np.float32)
    nearness = 1 - np.sqrt((down / np.float32(reach * 0.85)) ** 2 + ((across - 0.45) / np.float32(reach * 1.15)) ** 2)
    return _step(depth, 0.02, 0.09) * _step(nearness, -0.05, 0.55)


def _muscle(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """The pectoral muscle of an MLO view: a triangle in the upper corner, slightly convex, 0 to 1."""
    rows, columns = shape
    width, length = rng.uniform(0.24, 0.33) * columns, rng.uniform(0.45, 0.60) * rows
    down = (np.arange(rows, dtype=np.float32)[:, None] / np.float32(length)).clip(0, 1)
    edge = np.float32(width) * (1 - down**1.15)
    inside = (edge - np.arange(columns, dtype=np.float32)[None, :]) / np.float32(0.008 * rows)
    muscle: Field = 1 / (1 + np.exp(-inside.clip(-30, 30)))
    return muscle


def _step(values: Field, low: float, high: float) -> Field:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t: Field = ((values - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def _white(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    return rng.standard_normal(shape, dtype=np.float32)


def _standardise(field: Field) -> Field:
    centred: Field = field - field.mean()
    scaled: Field = centred / centred.std()
    return scaled
