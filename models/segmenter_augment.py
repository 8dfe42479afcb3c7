"""Augmentation of a segmenter's training pictures: turned, scaled, shifted, upside down, brighter, noisier."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ..features.settings import Settings


class AugmentSettings(Settings):
    """How far a training picture may differ from the one that was taken; 0 switches a change off."""

    turn_deg: float = Field(default=15, ge=0, le=180)
    scale: float = Field(default=0.2, ge=0, lt=1, description="largest change of size, as a share")
    shift: float = Field(default=0.06, ge=0, lt=1, description="of rows and columns")
    flip: bool = Field(default=True, description="upside down in half of the pictures")
    gamma: float = Field(default=0.35, ge=0, lt=2, description="spread of the logarithm of gamma")
    noise: float = Field(default=0.03, ge=0, description="standard deviation, of the grey range")
    alone: float = Field(default=0.3, ge=0, le=1, description="share of pairs whose partner is taken away")


def augment(x: Tensor, y: Tensor, settings: AugmentSettings, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Change pictures and their targets alike.

    Parameters
    ----------
    x : Tensor, shape (n, channels, rows, columns)
        Grey values from -1 to 1; of several channels the first two are pictures and the last says whether there is
        a second one (1) or not (-1).
    y : Tensor, shape (n, 1, rows, columns)
    settings : AugmentSettings
    rng : Generator
        All numbers come from it, whatever the device.

    Returns
    -------
    Tensor, Tensor
        Of the same shapes.
    """
    n, n_pictures = len(x), min(x.shape[1], 2)
    grid = functional.affine_grid(_transforms(n, x.shape[-2:], settings, rng).to(x), list(x.shape), False)
    x = functional.grid_sample(x + 1, grid, align_corners=False) - 1  # beyond the picture: air
    y = functional.grid_sample(y, grid, align_corners=False)
    spread = np.exp(rng.uniform(-settings.gamma, settings.gamma, (n, n_pictures, 1, 1)))
    power = torch.from_numpy(spread.astype(np.float32)).to(x)
    noise = rng.standard_normal((n, n_pictures, *x.shape[-2:]), dtype=np.float32) * (2 * settings.noise)
    pictures = ((x[:, :n_pictures] + 1) / 2).clamp(0, 1) ** power * 2 - 1
    seen = pictures > -1
    pictures = torch.where(seen, (pictures + torch.from_numpy(noise).to(x)).clamp(-1, 1), pictures)
    if x.shape[1] == 1:
        return pictures, y
    there = x[:, 2:].amax((2, 3), keepdim=True).expand_as(x[:, 2:])
    x = torch.cat([pictures, there.sign()], 1)
    alone = torch.from_numpy(rng.random(n) < settings.alone).to(x.device)
    x[alone, 1:] = -1.0
    return x, y


def _transforms(n: int, size: torch.Size, settings: AugmentSettings, rng: np.random.Generator) -> Tensor:
    """Transforms as ``affine_grid`` takes them, shape (n, 2, 3): from a place in the result to one in the source."""
    angle = np.deg2rad(rng.uniform(-settings.turn_deg, settings.turn_deg, n))
    scale = np.exp(rng.uniform(math.log(1 - settings.scale), -math.log(1 - settings.scale), n))
    shift = rng.uniform(-2 * settings.shift, 2 * settings.shift, (n, 2))
    upside = np.where(settings.flip & (rng.random(n) < 0.5), -1.0, 1.0)
    ratio = size[0] / size[1]
    made = np.empty((n, 2, 3))
    made[:, 0, 0] = np.cos(angle) / scale
    made[:, 0, 1] = -np.sin(angle) / scale * ratio * upside
    made[:, 1, 0] = np.sin(angle) / scale / ratio
    made[:, 1, 1] = np.cos(angle) / scale * upside
    made[:, :, 2] = shift
    return torch.from_numpy(made.astype(np.float32))
