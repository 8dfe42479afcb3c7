"""Training of a segmenter: Dice and cross-entropy, augmentation, early stopping, and checkpoints that go on.

Every random number comes from seed and epoch, never from what came before: on a CPU, with as many threads, a training
that was interrupted and goes on from its last checkpoint ends with the same tensors as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..features.device import Device, choose_device
from ..features.errors import StudyError
from ..features.settings import Settings
from ..features.weights import read_tensors
from ..features.whole import write_whole
from .segmenter_augment import AugmentSettings, augment

LOG = logging.getLogger("cemrad")
_OPTIMISER, _NETWORK, _MEAN, _BEST = "optimiser", "network", "mean", "best"


class TrainingSettings(Settings):
    """How a segmenter is trained."""

    epochs: int = Field(default=30, ge=1, description="at most; the rate falls to 0 along a cosine over all of them")
    patience: int = Field(default=10, ge=1, description="epochs without a better validation Dice before it stops")
    batch: int = Field(default=8, ge=2, description="a last one of a single picture is left out")
    rate: float = Field(default=2e-3, gt=0, description="of AdamW, for the decoder")
    encoder_rate: float = Field(default=0.3, gt=0, le=1, description="of the encoder, as a share of the decoder's")
    weight_decay: float = Field(default=1e-2, ge=0)
    average: float = Field(
        default=0.99, ge=0, lt=1, description="decay per step of the running mean of the tensors, which is what is kept"
    )
    dice_weight: float = Field(default=0.5, ge=0, le=1, description="of the Dice loss; the rest is cross-entropy")
    validation: float = Field(default=0.15, gt=0, lt=0.5, description="share of the patients on whom it is stopped")
    augment: AugmentSettings = AugmentSettings()
    seed: int = Field(default=0, ge=0)
    device: Device = "auto"


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures for a network, in memory.

    Parameters
    ----------
    inputs : ndarray of float16, shape (n, channels, rows, columns)
    targets : ndarray of float16, shape (n, rows, columns)
        Share of each pixel that is lesion.
    persons : tuple of str
        Who each picture belongs to.
    """

    inputs: NDArray[np.float16]
    targets: NDArray[np.float16]
    persons: tuple[str, ...]


@dataclass
class Trained:
    """A network at its best epoch, and how it came there.

    Parameters
    ----------
    tensors : dict of str to Tensor
    epoch : int
        The best, from 1.
    history : list of dict
        Per epoch: training loss, validation Dice, seconds.
    """

    tensors: dict[str, Tensor]
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Validation Dice of the best epoch."""
        return self.history[self.epoch - 1]["validation_dice"] if self.epoch else -1.0


def train_network(
    network: nn.Module,
    samples: Samples,
    learn: Sequence[int],
    stop: Sequence[int],
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    each_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> Trained:
    """Train a network; it is left with the tensors of its last step, the running mean of the best epoch is returned.

    The running mean of the tensors is validated: on few patients it varies less from epoch to epoch, and overfits less,
    than the tensors themselves (Tarvainen and Valpola 2017, arXiv 1703.01780).

    Parameters
    ----------
    network : Module
        With an ``encoder``; changed in place, and moved to the device.
    samples : Samples
    learn, stop : sequence of int
        Which samples teach, and which decide when to stop.
    settings : TrainingSettings
    checkpoint : Path, optional
        Written after each epoch; where it is there already and of the same `identity`, the training goes on from it.
    identity : str
        What the training depends on, as text: data, split, settings.
    each_epoch : callable, optional
        Called with the number of the epoch, from 1, and its row of the history.

    Raises
    ------
    StudyError
        If there is nothing to learn from, or CUDA was asked for and is not there.
    """
    import time

    if not len(learn) or not len(stop):
        raise StudyError("training needs pictures with a mask of at least two patients, one of them to stop by")
    device = choose_device(settings.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, settings)
    mean = AveragedModel(network, multi_avg_fn=_running(settings), use_buffers=True)
    trained = Trained({})
    if checkpoint is not None and checkpoint.is_file():
        trained = _restore(checkpoint, identity, network, mean, optimiser) or trained
    for epoch in range(len(trained.history) + 1, settings.epochs + 1):
        if epoch - trained.epoch > settings.patience:
            break
        started = time.perf_counter()
        loss = _train_epoch(network, mean, optimiser, samples, learn, settings, epoch, device)
        dice = float(np.mean(dice_of(mean.module, samples, stop, settings.batch, device)))
        row = {"epoch": epoch, "loss": loss, "validation_dice": dice, "seconds": time.perf_counter() - started}
        if not math.isfinite(loss):
            raise StudyError(f"the training loss became {loss} in epoch {epoch}; lower training.rate")
        better = dice > trained.best
        trained.history.append(row)
        if better:
            trained.epoch, trained.tensors = epoch, _copied(mean.module.state_dict())
        if checkpoint is not None:
            _save(checkpoint, identity, network, mean, optimiser, trained)
        if each_epoch is not None:
            each_epoch(epoch, row)
    return trained


def dice_of(
    network: nn.Module, samples: Samples, which: Sequence[int], batch: int, device: torch.device
) -> list[float]:
    """Dice of each picture's prediction above 0.5 with its target above 0.5, on the network's own pixels."""
    network.eval()
    found = []
    with torch.inference_mode():
        for part in _batches(list(which), batch):
            x, y = _tensors(samples, part, device)
            drawn, truth = network(x) > 0, y > 0.5
            both = (drawn & truth).sum((1, 2, 3)).double()
            total = (drawn.sum((1, 2, 3)) + truth.sum((1, 2, 3))).double()
            found += torch.where(total > 0, 2 * both / total.clamp(min=1), torch.ones_like(both)).tolist()
    return found


def loss_of(logits: Tensor, target: Tensor, dice_weight: float) -> Tensor:
    """Dice loss of each picture, averaged, and binary cross-entropy (Milletari et al. 2016, doi 10.1109/3DV.2016.79).

    Parameters
    ----------
    logits, target : Tensor, shape (n, 1, rows, columns)
    dice_weight : float
        Share of the Dice loss.
    """
    probability = torch.sigmoid(logits)
    both = (probability * target).sum((1, 2, 3))
    total = probability.sum((1, 2, 3)) + target.sum((1, 2, 3))
    dice = 1 - ((2 * both + 1) / (total + 1)).mean()
    return dice_weight * dice + (1 - dice_weight) * functional.binary_cross_entropy_with_logits(logits, target)


def _train_epoch(
    network: nn.Module,
    mean: AveragedModel,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    learn: Sequence[int],
    settings: TrainingSettings,
    epoch: int,
    device: torch.device,
) -> float:
    """One pass; returns the mean loss."""
    network.train()
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(np.asarray(learn))
    parts = [part for part in _batches(order.tolist(), settings.batch) if len(part) > 1 or len(order) == 1]
    total, on_gpu = 0.0, device.type == "cuda"
    for step, part in enumerate(parts):
        _set_rate(optimiser, settings, (epoch - 1 + step / len(parts)) / settings.epochs)
        x, y = augment(*_tensors(samples, part, device), settings.augment, rng)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu and torch.cuda.is_bf16_supported()):
            logits = network(x)
        loss = loss_of(logits.float(), y, settings.dice_weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        mean.update_parameters(network)
        total += float(loss.detach())
    return total / len(parts)


def _set_rate(optimiser: torch.optim.Optimizer, settings: TrainingSettings, done: float) -> None:
    """A short rise, then a cosine down to 0."""
    share = min(1.0, done * settings.epochs) * 0.5 * (1 + math.cos(math.pi * done))
    for group, of_rate in zip(optimiser.param_groups, (settings.encoder_rate, 1.0), strict=True):
        group["lr"] = settings.rate * of_rate * share


def _optimiser(network: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    encoder = list(network.encoder.parameters())  # type: ignore[union-attr, operator]
    own = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in own]
    groups = [{"params": encoder}, {"params": rest}]
    return torch.optim.AdamW(groups, lr=settings.rate, weight_decay=settings.weight_decay)


def _running(settings: TrainingSettings) -> Any:
    return get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]


def _batches(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _tensors(samples: Samples, part: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(samples.inputs[part].astype(np.float32)).to(device, memory_format=torch.channels_last)
    y = torch.from_numpy(samples.targets[part].astype(np.float32))[:, None].to(device)
    return x, y


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _save(
    path: Path,
    identity: str,
    network: nn.Module,
    mean: AveragedModel,
    optimiser: torch.optim.Optimizer,
    trained: Trained,
) -> None:
    parts = {_NETWORK: network.state_dict(), _MEAN: mean.state_dict(), _BEST: trained.tensors}
    for number, state in optimiser.state_dict()["state"].items():
        parts[f"{_OPTIMISER}/{number}"] = {name: torch.as_tensor(value) for name, value in state.items()}
    tensors = {f"{part}/{name}": tensor for part, of in parts.items() for name, tensor in _copied(of).items()}
    told = json.dumps({"identity": identity, "epoch": trained.epoch, "history": trained.history})
    write_whole(path.parent, {path.name: lambda part: save_file(tensors, part, metadata={"cemrad": told})})


def _restore(
    path: Path, identity: str, network: nn.Module, mean: AveragedModel, optimiser: torch.optim.Optimizer
) -> Trained | None:
    """What a checkpoint holds; None where it is of another training."""
    tensors, metadata = read_tensors(path)
    told: dict[str, Any] = json.loads(metadata.get("cemrad", "{}"))
    if told.get("identity") != identity:
        LOG.info("%s: the checkpoint of another training; it starts anew", path.name)
        return None
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = tensor
    network.load_state_dict(parts[_NETWORK])
    mean.load_state_dict(parts[_MEAN])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts.get(_OPTIMISER, {}).items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    LOG.info("%s: goes on after epoch %d", path.name, len(told["history"]))
    return Trained(parts.get(_BEST, {}), int(told["epoch"]), told["history"])
