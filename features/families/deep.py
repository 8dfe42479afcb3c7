"""Deep features: pooled activations of a pretrained network on the lesion and the tissue around it.

What the network sees, picture by picture:

1. Grey values are scaled by the picture's own 0.5th and 99.5th percentile to 0..1 and clipped, whatever the bit
   depth: 8-, 12- and 16-bit exports of one picture look alike. (Where these two are equal, by minimum and maximum.)
2. The square around the lesion's box with a margin on every side; beyond the image the edge value goes on.
3. Resampled to the weights' input size, bilinear with antialiasing.
4. Grey three times, or for the composite ``LERC``: low energy, recombined, and their mean. Each of the two is
   centred on its own mask and both are cut with the larger side, because they may be offset against each other.
5. Mean and standard deviation of the weights. The network runs in float32, on one thread per process on a CPU, so
   that the numbers do not depend on how many processes there are.

Features are the pooled output without classifier: ``deep:LE_MLO:resnet18_0007``.
Reference of the networks: He et al., CVPR 2016, doi 10.1109/CVPR.2016.90; weights through timm.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from ..case import Case, PictureKey
from ..crop import lesion_crop, lesion_side_px
from ..errors import ImageError, StudyError
from ..failure import Failure
from ..family import FamilyRow
from ..image import Image
from ..mask import Mask, MaskRules
from ..reading import read_case, require_varied_image
from ..settings import Settings as BaseSettings
from ..weights import RANDOM, load_network

NAME = "deep"
GREY_PERCENTILES = (0.5, 99.5)
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
    batch: int = Field(default=16, ge=1, le=1024, description="images at a time")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Input(NamedTuple):
    """One image for the network: channels x rows x columns, scaled to 0..1."""

    picture: str
    channels: Tensor


class Family:
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

    def __init__(self, settings: Settings, rules: MaskRules) -> None:
        self.settings = settings
        self.rules = rules
        self.device = _device(settings.device)
        self.network, self.weights = load_network(
            settings.network,
            settings.weights,
            seed=settings.seed,
            sha256=settings.sha256,
            download=settings.download,
        )
        rows, columns = self.weights.input_size_px
        self.size = (settings.size, settings.size) if settings.size else (rows, columns)
        self.n_features = self._width()

    def columns(self, pictures: Sequence[PictureKey]) -> list[str]:
        """Names of the columns that a cohort with these pictures has, in table order."""
        keys = [*pictures, *(_composite_keys(pictures) if self.settings.composite else [])]
        return [name for key in sorted(keys, key=lambda key: key.order) for name in self._names(key.name)]

    def provenance(self) -> dict[str, Any]:
        """Settings, weights with their hash and preprocessing, device and versions."""
        untrained = self.weights.source == RANDOM
        return {
            "settings": self.settings.model_dump(mode="json"),
            "weights": self.weights.as_record(),
            "size_px": list(self.size),
            "grey_percentiles": list(GREY_PERCENTILES),
            "device": self.device.type,
            "notes": [f"{self.weights.network} has random weights: nothing was learned from images"] * untrained,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def extract(self, cases: Sequence[Case]) -> list[FamilyRow]:
        """One row per case, in order; images of all cases share batches."""
        rows = [FamilyRow(case.case_id) for case in cases]
        inputs = ((row, item) for case, row in zip(cases, rows, strict=True) for item in self._inputs(case, row))
        with _reproducible():
            while batch := list(islice(inputs, self.settings.batch)):
                outputs = self._forward(torch.stack([item.channels for _, item in batch]))
                for (row, item), output in zip(batch, outputs, strict=True):
                    self._store(row, item.picture, output)
        return rows

    def _store(self, row: FamilyRow, picture: str, output: NDArray[np.float64]) -> None:
        finite = np.isfinite(output)
        names = self._names(picture)
        row.values.update({name: float(v) for name, v, ok in zip(names, output, finite, strict=True) if ok})
        if not finite.all():
            reason = f"{int((~finite).sum())} of {len(names)} outputs of the network are not finite"
            row.failures.append(Failure(row.case_id, NAME, "feature.nonfinite", reason, picture))

    def _names(self, picture: str) -> list[str]:
        return [f"{NAME}:{picture}:{self.settings.network}_{i:04d}" for i in range(self.n_features)]

    def _inputs(self, case: Case, row: FamilyRow) -> Iterator[Input]:
        reading = read_case(case, self.rules)
        row.failures.extend(reading.failures)
        scaled: dict[PictureKey, tuple[Image, Mask]] = {}
        for key, (image, mask) in reading.usable.items():
            try:
                scaled[key] = Image(scale_grey(image.pixels)), mask
            except ImageError as error:
                row.failures.append(Failure(case.case_id, NAME, error.code, str(error), key.name))
                continue
            side = lesion_side_px(mask, self.settings.margin)
            yield Input(key.name, self._channel(*scaled[key], side).expand(3, -1, -1))
        if self.settings.composite:
            yield from self._composites(case, scaled, row)

    def _composites(
        self, case: Case, usable: Mapping[PictureKey, tuple[Image, Mask]], row: FamilyRow
    ) -> Iterator[Input]:
        for key in _composite_keys(list(case.pictures)):
            pair = [PictureKey(image_type, key.view) for image_type in ("LE", "RC")]
            absent = [one.name for one in pair if one not in usable]
            if absent:
                reason = f"needs low energy and recombined; not usable: {', '.join(absent)}"
                row.failures.append(Failure(case.case_id, NAME, "pair.failed", reason, key.name))
                continue
            side = max(lesion_side_px(usable[one][1], self.settings.margin) for one in pair)
            low_energy, recombined = (self._channel(*usable[one], side) for one in pair)
            yield Input(key.name, torch.cat([low_energy, recombined, (low_energy + recombined) / 2]))

    def _channel(self, image: Image, mask: Mask, side_px: int) -> Tensor:
        crop = lesion_crop(image, mask, self.settings.margin, side_px)
        pixels = torch.from_numpy(crop.pixels)[None, None]
        return nn.functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)[0]

    def _forward(self, images: Tensor) -> NDArray[np.float64]:
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.weights.mean, self.weights.std))
        images = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            output = self.network.to(self.device)(images.to(self.device))
        features: NDArray[np.float64] = output.flatten(1).cpu().numpy().astype(np.float64)
        return features

    def _width(self) -> int:
        try:
            with _reproducible():
                return int(self._forward(torch.zeros(1, 3, *self.size)).shape[1])
        except (AssertionError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:300]
            raise StudyError(
                f"{self.settings.network} cannot look at {self.size[0]} x {self.size[1]} px: {text}"
            ) from None


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
    low, high = np.percentile(pixels, GREY_PERCENTILES)
    if low == high:  # nearly all of the picture is background
        require_varied_image(pixels)
        low, high = float(pixels.min()), float(pixels.max())
    scaled: NDArray[np.float32] = ((pixels.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)
    return scaled


def _composite_keys(pictures: Sequence[PictureKey]) -> list[PictureKey]:
    """The views of which both images are there."""
    have = set(pictures)
    views = sorted({key.view for key in have if key.image_type == "LE" and PictureKey("RC", key.view) in have})
    return [PictureKey("LERC", view) for view in views]


def _device(wanted: str) -> torch.device:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise StudyError("device: cuda was asked for and there is none; use device: auto or cpu")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


@contextmanager
def _reproducible() -> Iterator[None]:
    """One CPU thread and fixed algorithms: sums in one order, whatever runs beside."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(n_threads)
