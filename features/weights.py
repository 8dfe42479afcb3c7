"""Network weights: named by source, hashed, and kept with the preprocessing that they expect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import safetensors
import timm
import torch
from torch import Tensor, nn

from .errors import StudyError, WeightsError
from .settings import nearest
from .training_ids import KEY, TrainingIds

IMAGENET, RANDOM = "imagenet", "random"


@dataclass(frozen=True)
class Weights:
    """What stands behind a network's numbers.

    Parameters
    ----------
    name : str
        For readers: ``resnet18.a1_in1k``, ``random (seed 0)``, or the file's name.
    network : str
        timm name of the network.
    source : str
        ``imagenet``, ``random`` or ``file``.
    sha256 : str
        Of the tensors in use (names, types, shapes and bytes in the order of their names), wherever they came from.
    input_size_px : tuple of int
        Rows and columns that the weights were trained on.
    mean, std : tuple of float
        Per channel, subtracted and divided after grey values were scaled to 0..1.
    licence : str, optional
        As timm states it; None where nobody stated one.
    trained_on : mapping, optional
        Whom a fine-tuned network was trained on, as :class:`~cemrad.features.training_ids.TrainingIds` records it:
        JSON under ``trained_on`` in the metadata of a safetensors file.
    """

    name: str
    network: str
    source: str
    sha256: str
    input_size_px: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str | None = None
    trained_on: Mapping[str, Any] | None = None

    def as_record(self) -> dict[str, Any]:
        """JSON values for a provenance; training ids only where there are any."""
        record = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        if self.trained_on is None:
            del record[KEY]
        return record


@lru_cache(maxsize=4)
def load_network(
    network: str, weights: str, *, seed: int = 0, sha256: str | None = None, download: bool = False
) -> tuple[nn.Module, Weights]:
    """A network without its classifier, ready for inference, and the record of its weights.

    Loaded once per process and shared: callers must not change it.

    Parameters
    ----------
    network : str
        Any timm name, with or without a tag: ``resnet18``, ``resnet50.a1_in1k``.
    weights : str
        ``imagenet`` (timm's pretrained weights, from the local Hugging Face cache), ``random`` (from `seed`),
        or the path of a safetensors file, which must fit the network tensor by tensor; a classifier in it is
        left out.
    seed : int
        For random weights.
    sha256 : str, optional
        Refuse other weights than these: hash of the file, or of the tensors as a run's record states it.
    download : bool
        Whether `imagenet` may be fetched from the hub where the cache lacks it. Nothing else ever uses the network.

    Raises
    ------
    StudyError
        If timm has no such network.
    WeightsError
        If the weights cannot be had, or are not those that were named. Weights never become random instead.
    """
    if network.startswith(("hf_hub:", "hf-hub:", "local-dir:")) or not timm.is_model(network):
        guess = nearest(network, timm.list_models())
        raise StudyError(f"timm has no network {network!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    if weights == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = timm.create_model(network, pretrained=False, num_classes=0)
        name, source, file_hash = f"random (seed {seed})", RANDOM, None
    elif weights == IMAGENET:
        model = _pretrained(network, download)
        name, source, file_hash = _pretrained_name(model), IMAGENET, None
    else:
        model = timm.create_model(network, pretrained=False, num_classes=0)
        file_hash = _load_file(model, Path(weights))
        name, source = Path(weights).name, "file"
    record = _record(model, name, network, source)
    if source == "file":
        record = replace(record, trained_on=_trained_on(Path(weights)))
    if sha256 is not None and sha256 not in (file_hash, record.sha256):
        found = f"{record.sha256} for the tensors" + (f" and {file_hash} for the file" if file_hash else "")
        raise WeightsError(
            f"weights {weights!r} are not those that were named: expected sha256 {sha256}, found {found}"
        )
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last), record


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes in the order of the names.

    Examples
    --------
    >>> hash_tensors({"a": torch.zeros(2)}) == hash_tensors({"a": torch.zeros(1, 2)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises
    ------
    WeightsError
        If there is no such file, or it is something else.
    """
    if not path.is_file():
        known = f"it is neither {IMAGENET!r} nor {RANDOM!r}"
        raise WeightsError(f"no weights at {path}: {known}, nor a file; give the path of a safetensors file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise WeightsError(
            f"{path} is not a safetensors file ({error}). Pickled checkpoints (.pt, .pth, .bin) are not read here: "
            "they can run code; convert the tensors with safetensors.torch.save_file"
        ) from None


def _record(model: nn.Module, name: str, network: str, source: str) -> Weights:
    stated = _stated(model)
    size = tuple(stated.get("input_size") or (3, 224, 224))
    return Weights(
        name=name,
        network=network,
        source=source,
        sha256=hash_tensors(model.state_dict()),
        input_size_px=(int(size[1]), int(size[2])),
        mean=tuple(stated.get("mean") or timm.data.IMAGENET_DEFAULT_MEAN),
        std=tuple(stated.get("std") or timm.data.IMAGENET_DEFAULT_STD),
        licence=stated.get("license") if source == IMAGENET else None,
    )


def _stated(model: nn.Module) -> dict[str, Any]:
    """What timm states about a network and its weights."""
    return dict(model.pretrained_cfg)  # type: ignore[arg-type]


def _pretrained(network: str, download: bool) -> nn.Module:
    _require_hub(network)
    try:
        with _hub(download):
            model: nn.Module = timm.create_model(network, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises errors of several libraries
        stated = timm.get_pretrained_cfg(network, allow_unregistered=True)
        hub = getattr(stated, "hf_hub_id", None) or f"timm/{network}"
        tried = f"({type(error).__name__}: {' '.join(str(error).split())[:200]})" if download else "in the local cache"
        allow = (
            ""
            if download
            else "Allow the download, once, with download: true beside weights. Or, without internet here: "
        )
        raise WeightsError(
            f"the pretrained weights of {network} cannot be had {tried}. {allow}on a machine with internet, get "
            f"model.safetensors from https://huggingface.co/{hub} and name it: weights: path/to/model.safetensors. "
            f"For a dry run without trained weights: weights: random."
        ) from error
    return model


def _require_hub(network: str) -> None:
    """Refuse networks whose weights timm fetches as a pickle from a web address, which no offline switch holds back."""
    stated = timm.get_pretrained_cfg(network, allow_unregistered=True)
    if not getattr(stated, "hf_hub_id", None):
        raise WeightsError(
            f"timm has no weights of {network} on the Hugging Face hub, and pickles from elsewhere are not read here; "
            "convert them with safetensors.torch.save_file and name the file: weights: path/to/model.safetensors"
        )


@contextmanager
def _hub(download: bool) -> Iterator[None]:
    """The hub's client, which answers from its cache alone unless a download was asked for."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or not download
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def _pretrained_name(model: nn.Module) -> str:
    stated = _stated(model)
    return ".".join(part for part in (stated.get("architecture"), stated.get("tag")) if part)


def _trained_on(path: Path) -> dict[str, Any] | None:
    """The training ids that a safetensors file states, checked."""
    with safetensors.safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        return None
    try:
        return TrainingIds.from_record(json.loads(text)).as_record()
    except (ValueError, RecursionError) as error:  # a TableError is a ValueError
        raise WeightsError(f"{path}: its {KEY} is not a record of training ids ({error}); save it again") from None


def _load_file(model: nn.Module, path: Path) -> str:
    """Load a safetensors file, strictly; returns the file's SHA-256."""
    tensors, _ = read_tensors(path)
    classifier = _stated(model).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    kept = {name: value for name, value in tensors.items() if not name.startswith(tuple(f"{h}." for h in heads))}
    try:
        model.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise WeightsError(f"{path} does not fit the network: {text[:400]}") from None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
