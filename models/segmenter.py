"""A segmenter: a network that draws lesions on mammograms, with everything that its drawings depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from ..features.device import reproducible
from ..features.settings import Settings
from ..features.training_ids import TrainingIds, stated
from .networks.unet import Settings as UNetSettings
from .rejection import Rejector
from .segmenter_frame import Grey

Channels = Literal["own", "pair"]
Side = Annotated[int, Field(ge=32, le=4096)]


class SegmenterSettings(Settings):
    """What a segmenter sees, and how its map becomes regions."""

    network: UNetSettings = UNetSettings()
    channels: Channels = Field(
        default="own",
        description="own: each picture alone; pair: with the other picture of its view, where there is one",
    )
    size_px: tuple[Side, Side] = Field(default=(256, 160), description="rows and columns that the breast is scaled to")
    threshold: float = Field(default=0.5, gt=0, lt=1, description="probability above which a pixel is lesion")
    min_share: float = Field(default=0.0005, ge=0, lt=1, description="smallest region, of the breast's area")

    @property
    def n_channels(self) -> int:
        """One for a picture alone; its partner and a plane that says whether there is one beside it."""
        return 1 if self.channels == "own" else 3


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network.

    Parameters
    ----------
    network : Module
        In evaluation mode; it takes (n, channels, rows, columns) and gives logits (n, 1, rows, columns).
    settings : SegmenterSettings
    trained_on : TrainingIds
        Whom it has seen, those included on whom its training was stopped.
    record : mapping
        JSON values: encoder's weights, training, metrics on the patients on whom it was stopped.
    sha256 : str
        Of its tensors.
    rejector : Rejector, optional
        Sorts out its false positives.
    """

    network: nn.Module
    settings: SegmenterSettings
    trained_on: TrainingIds
    record: Mapping[str, Any]
    sha256: str
    rejector: Rejector | None = None

    def knows(self, patient_id: str, pixels: Iterable[str]) -> bool:
        """Whether it, or the encoder that it began from, has seen the patient or one of these pictures."""
        pixels = list(pixels)
        seen = [self.trained_on, *(ids for _, ids in stated(self.record))]
        return any(ids.knows(patient_id, pixels) for ids in seen)

    def probability(self, framed: NDArray[np.float32], *, flips: bool = True) -> Grey:
        """The map of lesion.

        Parameters
        ----------
        framed : ndarray of float32, shape (channels, rows, columns)
            As :func:`stack` makes it.
        flips : bool
            The mean of the picture's and of its upside-down copy's map.

        Returns
        -------
        ndarray of float32, shape (rows, columns)
        """
        device = next(self.network.parameters()).device
        x = torch.from_numpy(framed)[None].to(device)
        with torch.inference_mode(), reproducible():
            made = torch.sigmoid(self.network(x))
            if flips:
                made = (made + torch.sigmoid(self.network(x.flip(-2))).flip(-2)) / 2
        return np.asarray(made[0, 0].float().cpu().numpy())


def stack(own: Grey, other: Grey | None, channels: Channels) -> NDArray[np.float32]:
    """The network's input.

    Parameters
    ----------
    own : ndarray of float32, shape (rows, columns)
        The picture that is drawn on.
    other : ndarray of float32, shape (rows, columns), optional
        The other picture of the view on the same pixels, where it is there.
    channels : {"own", "pair"}

    Returns
    -------
    ndarray of float32, shape (channels, rows, columns)
    """
    if channels == "own":
        return own[None]
    there = np.full_like(own, -1.0 if other is None else 1.0)
    return np.stack([own, np.full_like(own, -1.0) if other is None else other, there])
