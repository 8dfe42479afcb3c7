"""Deep features: pooled activations of a pretrained network on the lesion and the tissue around it.

What the network sees, picture by picture:

1. Grey values are scaled by the picture's own 0.5th and 99.5th percentile to 0..1 and clipped, whatever the bit
   depth: 8-, 12- and 16-bit exports of one picture look alike. (Where these two are equal, by minimum and maximum.)
2. The square around the lesion's box with a margin on every side; beyond the image the edge value goes on.
3. Resampled to the weights' input size, bilinear with antialiasing.
4. Grey three times, or for the composite ``LERC``: low energy, recombined, and their mean. Each of the two is
   centred on its own mask and both are cut with the larger side, because they may be offset against each other.
5. Mean and standard deviation of the weights. On a CPU the network runs on one thread per process, and always on
   a full batch, which is filled up with zeros: libraries choose other kernels, and so other last digits, for other
   numbers of threads and images. What else is in a batch does not change an image's numbers, so results are the
   same bytes whatever runs beside them, however many processes there are.

Features are the pooled output without classifier: ``deep:LE_MLO:resnet18_0007``.
Reference of the networks: He et al., CVPR 2016, doi 10.1109/CVPR.2016.90; weights through timm.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from ..case import PictureKey
from ..crop import Crop, lesion_crop, lesion_side_px
from ..device import Device, choose_device, reproducible
from ..errors import ImageError, StudyError
from ..failure import Failure
from ..family import FamilyRow, FeatureFamily, Unit
from ..image import Image
from ..mask import Mask, MaskRules
from ..reading import Reading, require_varied_image
from ..settings import Settings as BaseSettings
from ..weights import RANDOM, load_network

NAME = "deep"
GREY_PERCENTILES = (0.5, 99.5)
MOST_PRECISION_ERROR = 0.02
"""Largest relative difference from float32 that another precision may make."""
PACKAGES = ("torch", "timm", "numpy")


class Settings(BaseSettings):
    """Which network looks at what."""

    network: str = Field(default="resnet18", description="any timm name, for example resnet50")
    weights: str = Field(default="imagenet", description="imagenet, random, or the path of a safetensors file")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", description="refuse other weights than these")
    download: bool = Field(default=False, description="fetch imagenet weights where the local cache lacks them")
    seed: int = Field(default=0, ge=0, description="of random weights")
    margin: float = Field(default=0.5, ge=0, le=5, description="tissue on every side, of the lesion's longer side")
    size: int | None = Field(default=None, ge=32, le=1024, description="input rows and columns; None: the weights' own")
    composite: bool = Field(default=True, description="LE and RC of a view also as one colour image")
    batch: int = Field(default=8, ge=1, le=1024, description="images at a time; part of what the numbers depend on")
    device: Device = "auto"
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="bfloat16 is faster where the processor has it; its error is measured and bounded",
    )


class Input(NamedTuple):
    """One image for the network: channels x rows x columns, scaled to 0..1, and the crops that it was made from."""

    picture: str
    channels: Tensor
    crops: Mapping[PictureKey, Crop]


class Family(FeatureFamily):
    """Deep features of every picture of a case, and of LE and RC together.

    Parameters
    ----------
    settings : Settings
    rules : MaskRules
        What a mask must be.

    Raises
    ------
    WeightsError
        If the weights cannot be had.
    StudyError
        If the network or the device is not there.
    """

    name = NAME

    def __init__(self, settings: Settings, rules: MaskRules) -> None:
        self.settings = settings
        self.batch = settings.batch
        self.rules = rules
        self.device = choose_device(settings.device)
        self.network, self.weights = load_network(
            settings.network,
            settings.weights,
            seed=settings.seed,
            sha256=settings.sha256,
            download=settings.download,
        )
        rows, columns = self.weights.input_size_px
        self.size = (settings.size, settings.size) if settings.size else (rows, columns)
        self.features = [f"{settings.network}_{i:04d}" for i in range(self._width())]
        self.precision_error = self._precision_error()

    def units(self, pictures: Sequence[PictureKey]) -> list[Unit]:
        """Every picture, and low energy and recombined of a view together."""
        composites = {key: _pair(key) for key in _composite_keys(pictures)} if self.settings.composite else {}
        keys = sorted([*pictures, *composites], key=lambda key: key.order)
        return [Unit(key.name, composites.get(key, (key,))) for key in keys]

    def identity(self) -> dict[str, Any]:
        """All that the numbers of a unit depend on, other than its pictures and masks."""
        return {
            "network": self.settings.network,
            "sha256": self.weights.sha256,
            "mean": list(self.weights.mean),
            "std": list(self.weights.std),
            "margin": self.settings.margin,
            "size_px": list(self.size),
            "grey_percentiles": list(GREY_PERCENTILES),
            "precision": self.settings.precision,
            "batch": self.settings.batch,
            "kernels": torch.backends.cpu.get_cpu_capability() if self.device.type == "cpu" else self.device.type,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def provenance(self) -> dict[str, Any]:
        """Settings, weights with their hash and preprocessing, device and versions."""
        untrained = self.weights.source == RANDOM
        return {
            "settings": self.settings.model_dump(mode="json"),
            "weights": self.weights.as_record(),
            "size_px": list(self.size),
            "grey_percentiles": list(GREY_PERCENTILES),
            "device": self.device.type,
            "precision_error": self.precision_error,
            "notes": [f"{self.weights.network} has random weights: nothing was learned from images"] * untrained,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def measure(self, readings: Sequence[Reading], wanted: Sequence[Collection[str]] | None = None) -> list[FamilyRow]:
        """One row per reading, in order; images of all of them share batches."""
        rows = [FamilyRow(reading.case_id) for reading in readings]
        asked = wanted or [[unit.picture for unit in self.units(reading.pictures)] for reading in readings]
        inputs = (
            (row, item)
            for reading, names, row in zip(readings, asked, rows, strict=True)
            for item in self.inputs(reading, names, row)
        )
        with reproducible():
            while batch := list(islice(inputs, self.settings.batch)):
                outputs, told = self._forward_somewhere(torch.stack([item.channels for _, item in batch]))
                for (row, item), output in zip(batch, outputs, strict=True):
                    self._store(row, item.picture, output)
                    row.failures.extend(Failure(row.case_id, NAME, *why, item.picture, "warned") for why in told)
        return rows

    def _store(self, row: FamilyRow, picture: str, output: NDArray[np.float64]) -> None:
        finite = np.isfinite(output)
        names = [f"{NAME}:{picture}:{feature}" for feature in self.features]
        row.values.update({name: float(v) for name, v, ok in zip(names, output, finite, strict=True) if ok})
        if not finite.all():
            reason = f"{int((~finite).sum())} of {len(names)} outputs of the network are not finite"
            row.failures.append(Failure(row.case_id, NAME, "feature.nonfinite", reason, picture))

    def inputs(self, reading: Reading, wanted: Collection[str], row: FamilyRow) -> Iterator[Input]:
        """What the network is shown of the wanted units of a case; failures go to `row`."""
        scaled: dict[PictureKey, _Scaled] = {}
        for key, (image, mask) in reading.usable.items():
            try:
                scaled[key] = _Scaled(image, mask, grey_range(image.pixels))
            except ImageError as error:
                row.failures.append(Failure(reading.case_id, NAME, error.code, str(error), key.name))
                continue
            if key.name in wanted:
                side = lesion_side_px(mask, self.settings.margin)
                crop = self._crop(scaled[key], side)
                yield Input(key.name, self._channel(scaled[key], crop).expand(3, -1, -1), {key: crop})
        if self.settings.composite:
            yield from self._composites(reading, wanted, scaled, row)

    def _composites(
        self,
        reading: Reading,
        wanted: Collection[str],
        usable: Mapping[PictureKey, _Scaled],
        row: FamilyRow,
    ) -> Iterator[Input]:
        for key in (key for key in _composite_keys(reading.pictures) if key.name in wanted):
            pair = _pair(key)
            absent = [one.name for one in pair if one not in usable]
            if absent:
                reason = f"needs low energy and recombined; not usable: {', '.join(absent)}"
                row.failures.append(Failure(reading.case_id, NAME, "pair.failed", reason, key.name))
                continue
            side = max(lesion_side_px(usable[one].mask, self.settings.margin) for one in pair)
            crops = {one: self._crop(usable[one], side) for one in pair}
            low_energy, recombined = (self._channel(usable[one], crops[one]) for one in pair)
            yield Input(key.name, torch.cat([low_energy, recombined, (low_energy + recombined) / 2]), crops)

    def pooled(self, images: Tensor) -> NDArray[np.float64]:
        """Features of at most ``batch`` :meth:`inputs`, shape (n, features), run as :meth:`measure` runs them."""
        with reproducible():
            return self._forward_somewhere(images)[0]

    def activations(self, images: Tensor) -> NDArray[np.float64]:
        """What the network holds of images before it pools, run as :meth:`measure` runs it.

        Parameters
        ----------
        images : Tensor, shape (n, 3, rows, columns)
            Channels of at most ``batch`` :meth:`inputs`.

        Returns
        -------
        ndarray
            Shape (n, channels, rows, columns) for a network of convolutions; others have other shapes.
        """
        with reproducible():
            return self._forward_somewhere(images, head=False)[0]

    def _crop(self, picture: _Scaled, side_px: int) -> Crop:
        return lesion_crop(picture.image, picture.mask, self.settings.margin, side_px)

    def _channel(self, picture: _Scaled, crop: Crop) -> Tensor:
        pixels = torch.from_numpy(_scaled(crop.pixels, *picture.grey_range))[None, None]
        return nn.functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)[0]

    def _forward_somewhere(
        self, images: Tensor, *, head: bool = True
    ) -> tuple[NDArray[np.float64], list[tuple[str, str]]]:
        """Pooled features, and what is to be told of how they came about: of the CPU, where the GPU has no memory."""
        try:
            return self._forward(images, head=head), []
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        reason = "the GPU had no memory left: computed on the CPU, whose last digits differ; use a smaller deep.batch"
        return self._forward(images, torch.device("cpu"), head=head), [("device.memory", reason)]

    def _forward(self, images: Tensor, device: torch.device | None = None, *, head: bool = True) -> NDArray[np.float64]:
        """Pooled features of images, shape (images, features), from batches that are always full."""
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.weights.mean, self.weights.std))
        padding = torch.zeros(self.settings.batch - len(images), *images.shape[1:])
        batch = torch.cat([(images - mean) / std, padding]).contiguous(memory_format=torch.channels_last)
        return self._run(batch, self.settings.precision, device, head=head)[: len(images)]

    def _run(
        self, batch: Tensor, precision: str, device: torch.device | None = None, *, head: bool = True
    ) -> NDArray[np.float64]:
        device = device or self.device
        network = self.network.to(device)
        moved = batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = network(moved).flatten(1) if head else network.forward_features(moved)  # type: ignore[operator]
        features: NDArray[np.float64] = output.float().cpu().numpy().astype(np.float64)
        return features

    def _width(self) -> int:
        try:
            with reproducible():
                return int(self._run(torch.zeros(1, 3, *self.size), "float32").shape[1])
        except (AssertionError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:300]
            raise StudyError(
                f"{self.settings.network} cannot look at {self.size[0]} x {self.size[1]} px: {text}"
            ) from None

    def _precision_error(self) -> float:
        """Norm of the difference from float32, relative, on a batch of noise.

        Raises
        ------
        StudyError
            If it is over :data:`MOST_PRECISION_ERROR`.
        """
        if self.settings.precision == "float32":
            return 0.0
        noise = torch.rand(self.settings.batch, 3, *self.size, generator=torch.Generator().manual_seed(0))
        with reproducible():
            exact, fast = (self._run(noise - 0.5, precision) for precision in ("float32", self.settings.precision))
        error = float(np.linalg.norm(fast - exact) / np.linalg.norm(exact))
        if not error <= MOST_PRECISION_ERROR:
            raise StudyError(
                f"precision: {self.settings.precision} changes the features of {self.settings.network} by {error:.1%}; "
                f"at most {MOST_PRECISION_ERROR:.0%} is allowed; use float32"
            )
        return error


class _Scaled(NamedTuple):
    """A picture, its mask, and the grey values that become 0 and 1."""

    image: Image
    mask: Mask
    grey_range: tuple[float, float]


def grey_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """The grey values that become 0 and 1: outer percentiles of a picture, or its minimum and maximum.

    Raises
    ------
    ImageError
        ``image.constant`` where every pixel has one value.
    """
    low, high = np.percentile(pixels, GREY_PERCENTILES)
    if low == high:  # nearly all of the picture is background
        require_varied_image(pixels)
        low, high = pixels.min(), pixels.max()
    return float(low), float(high)


def _scaled(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = ((pixels.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)
    return scaled


def scale_grey(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values between the picture's own outer percentiles as 0..1, clipped.

    Raises
    ------
    ImageError
        ``image.constant`` where every pixel has one value.

    Examples
    --------
    >>> scale_grey(np.array([[0, 50], [100, 100]], dtype=np.uint8)).round(2).tolist()
    [[0.0, 0.5], [1.0, 1.0]]
    """
    return _scaled(pixels, *grey_range(pixels))


def _composite_keys(pictures: Sequence[PictureKey]) -> list[PictureKey]:
    """The views of which both images are there."""
    have = set(pictures)
    views = sorted({key.view for key in have if key.image_type == "LE" and PictureKey("RC", key.view) in have})
    return [PictureKey("LERC", view) for view in views]


def _pair(composite: PictureKey) -> tuple[PictureKey, PictureKey]:
    return PictureKey("LE", composite.view), PictureKey("RC", composite.view)
