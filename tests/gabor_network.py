"""A network that needs no training: a bank of oriented filters, a ReLU, and the mean over the picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class GaborNetwork(nn.Module):
    """Features: energy of stripes about several directions; the maps have a cell per 16 x 16 px of the input.

    Parameters
    ----------
    period_px : float
        Of the stripes, in pixels of the input.
    angles_deg : tuple of float
    seed : int, optional
        Weights at random instead: of the same size, without any direction.
    """

    def __init__(self, period_px: float, angles_deg: tuple[float, ...] = (0, 45, 90, 135), seed: int | None = None):
        super().__init__()
        side = 2 * round(1.5 * period_px) + 1
        self.conv = nn.Conv2d(1, 2 * len(angles_deg), side, padding=side // 2, bias=False)
        if seed is None:
            weight = torch.from_numpy(_bank(side, period_px, angles_deg))
        else:
            weight = torch.randn(self.conv.weight.shape, generator=torch.Generator().manual_seed(seed))
        self.conv.weight = nn.Parameter(weight.float(), requires_grad=False)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        waves = self.conv(x.mean(dim=1, keepdim=True))
        energy = waves[:, 0::2] ** 2 + waves[:, 1::2] ** 2
        local = nn.functional.avg_pool2d(energy, 48, stride=16, padding=16, count_include_pad=False)
        return nn.functional.relu(local - local.mean(dim=(2, 3), keepdim=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_features(x).mean(dim=(2, 3))


def _bank(side: int, period_px: float, angles_deg: tuple[float, ...]) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    envelope = np.exp(-0.5 * (x**2 + y**2) / (0.5 * period_px) ** 2)
    filters = []
    for angle in np.deg2rad(angles_deg):
        phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period_px
        filters += [
            envelope * (np.cos(phase) - (envelope * np.cos(phase)).sum() / envelope.sum()),
            envelope * np.sin(phase),
        ]
    return np.array(filters)[:, None]
