"""Segmenters as files: one safetensors file each, whose metadata holds settings, training ids and record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from ..features.device import Device, choose_device
from ..features.errors import CemradError, WeightsError
from ..features.settings import parse_settings
from ..features.training_ids import TrainingIds
from ..features.weights import hash_tensors, read_tensors
from ..features.whole import write_whole
from .networks.unet import UNet
from .rejection import Rejector
from .segmenter import Segmenter, SegmenterSettings

SCHEMA = 1
_KEY = "cemrad_segmenter"


def save_segmenter(
    path: Path,
    tensors: dict[str, Tensor],
    settings: SegmenterSettings,
    ids: TrainingIds,
    record: dict[str, Any],
    rejector: Rejector | None = None,
) -> None:
    """Write a trained network.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    tensors : dict of str to Tensor
        The network's state.
    settings : SegmenterSettings
    ids : TrainingIds
        Whom it has seen.
    record : dict
        JSON values: encoder's weights, training, metrics.
    rejector : Rejector, optional
    """
    told = {
        "schema": SCHEMA,
        "settings": settings.model_dump(mode="json"),
        "trained_on": ids.as_record(),
        "record": record,
        "rejector": None if rejector is None else rejector.as_record(),
        "sha256": hash_tensors(tensors),
    }
    content = save(tensors, metadata={_KEY: json.dumps(told, sort_keys=True)})
    write_whole(path.parent, {path.name: lambda part: part.write_bytes(content)})


def load_segmenter(path: Path, device: Device = "auto") -> Segmenter:
    """Read a trained network.

    Raises
    ------
    WeightsError
        If it is not such a file, is of a later schema, or its tensors are not those that were saved.
    """
    tensors, metadata = read_tensors(path)
    if _KEY not in metadata:
        raise WeightsError(f"{path}: no segmenter of `cemrad masks train`: its metadata lacks {_KEY!r}")
    try:
        told = json.loads(metadata[_KEY])
        if told["schema"] != SCHEMA:
            raise WeightsError(f"{path}: schema {told['schema']!r}; this cemrad reads {SCHEMA}: update it")
        settings = parse_settings(SegmenterSettings, told["settings"], where=str(path))
        ids = TrainingIds.from_record(told["trained_on"])
        record, stated = dict(told["record"]), str(told["sha256"])
        rejector = None if told["rejector"] is None else Rejector.from_record(told["rejector"])
        network = UNet(settings.network, settings.n_channels)
        network.load_state_dict(tensors)
    except WeightsError:
        raise
    except (CemradError, ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged, or not of this version: {' '.join(str(error).split())[:300]}") from None
    found = hash_tensors(tensors)
    if found != stated:
        raise WeightsError(f"{path}: its tensors are not those that were saved: {found}, stated {stated}")
    network.eval().requires_grad_(False).to(choose_device(device))
    return Segmenter(network, settings, ids, record, found, rejector)
