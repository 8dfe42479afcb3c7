"""U-Net: a timm encoder and a decoder that brings its maps back to the picture, for drawing lesions.

Ronneberger et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_28. The encoder is any timm network that gives its
intermediate maps; its weights may be pretrained. The last map is half the input's size, and its prediction is
interpolated to the whole.
"""

from __future__ import annotations

from typing import cast

import timm
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ...features.errors import StudyError, WeightsError
from ...features.settings import Settings as BaseSettings
from ...features.settings import nearest
from ...features.weights import RANDOM, Weights, load_network


class Settings(BaseSettings):
    """Which encoder, with which weights, and how wide a decoder."""

    encoder: str = Field(default="resnet18", description="a timm network that gives intermediate maps")
    weights: str = Field(default="imagenet", description="of the encoder: imagenet, random, or a safetensors file")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", description="refuse other weights than these")
    download: bool = Field(default=False, description="fetch imagenet weights where the local cache lacks them")
    decoder: tuple[int, ...] = Field(default=(96, 48, 32, 16), min_length=1, description="channels, deepest first")


class UNet(nn.Module):
    """The network.

    Parameters
    ----------
    settings : Settings
    n_channels : int
        Of the input.

    Raises
    ------
    StudyError
        If timm has no such network, or none that gives as many maps as the decoder has steps.
    """

    def __init__(self, settings: Settings, n_channels: int) -> None:
        super().__init__()
        self.encoder = _encoder(settings.encoder, n_channels)
        widths = self.encoder.feature_info.channels()  # type: ignore[operator, union-attr]
        if len(widths) != len(settings.decoder) + 1:
            raise StudyError(
                f"{settings.encoder} gives {len(widths)} maps: its decoder needs {len(widths) - 1} steps, "
                f"not {len(settings.decoder)}"
            )
        self.steps = nn.ModuleList()
        width = widths[-1]
        for skip, out in zip(widths[-2::-1], settings.decoder, strict=True):
            self.steps.append(_step(width + skip, out))
            width = out
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of lesion.

        Parameters
        ----------
        x : Tensor, shape (n, channels, rows, columns)
            Rows and columns are multiples of the encoder's reduction, usually 32.

        Returns
        -------
        Tensor, shape (n, 1, rows, columns)
        """
        *skips, deep = self.encoder(x)
        for step, skip in zip(self.steps, skips[::-1], strict=True):
            deep = step(torch.cat([_resized(deep, skip), skip], 1))
        return _resized(self.head(deep), x)


NETWORK = UNet


def build(settings: Settings, n_channels: int, seed: int = 0) -> tuple[UNet, Weights]:
    """A network that has its encoder's weights and a decoder drawn from `seed`.

    Parameters
    ----------
    settings : Settings
    n_channels : int
        Of the input; weights for colour are summed over their channels, or repeated and scaled, as timm does it.
    seed : int

    Raises
    ------
    StudyError, WeightsError
        As :func:`~cemrad.features.weights.load_network`.
    """
    pretrained, record = load_network(
        settings.encoder, settings.weights, seed=seed, sha256=settings.sha256, download=settings.download
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(settings, n_channels)
    if record.source != RANDOM:
        _load_encoder(network.encoder, pretrained, n_channels)
    return network, record


def _load_encoder(encoder: nn.Module, pretrained: nn.Module, n_channels: int) -> None:
    tensors = pretrained.state_dict()
    first = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[first] = timm.models.adapt_input_conv(n_channels, tensors[first])
    missing, _ = encoder.load_state_dict(tensors, strict=False)
    if missing:
        raise WeightsError(f"the encoder's maps need tensors that its weights lack: {', '.join(missing[:5])}")


def _encoder(name: str, n_channels: int) -> nn.Module:
    if not timm.is_model(name):
        guess = nearest(name, timm.list_models())
        raise StudyError(f"timm has no network {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    try:
        made = timm.create_model(name, pretrained=False, features_only=True, in_chans=n_channels)
    except (RuntimeError, AttributeError, TypeError, AssertionError) as error:
        raise StudyError(f"{name} does not give intermediate maps ({error}); take for example resnet18") from None
    return cast(nn.Module, made)


def _step(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (n_in, n_out):
        layers += [nn.Conv2d(width, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
