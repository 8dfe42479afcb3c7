"""Phantoms with a sign that only a network sees: a patch of slanted texture beside the lesion of each positive case.

The picture is noise of one spatial frequency band and one contrast everywhere. In the sign's square it runs along a
diagonal; in a second square, the distractor, along rows or columns, by chance. A negative case has a distractor in
both. Brightness, contrast and frequency are the same in all and outside; inside the contour nothing depends on the
class, so radiomics is blind. The sign stands in one class only: a feature that speaks by being silent, as where each
class had a sign of its own, has no place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import safetensors.torch
import timm
import torch
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep
from cemrad.features.family import FamilyRow
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.reading import read_case
from numpy.typing import NDArray

RC = PictureKey("RC", "CC")
SHAPE, LESION_PX, SIGN_PX = (112, 112), 24, 15
MARGIN = 0.5
SIDE_PX = round(LESION_PX * (1 + 2 * MARGIN))
CHANCE = (SIGN_PX / SIDE_PX) ** 2
"""Share of the crop that the sign's square takes: 9.8 %."""
CORNERS = [(row, column) for row in (0, SIDE_PX - SIGN_PX) for column in (0, SIDE_PX - SIGN_PX)]
"""Where a sign may begin in the crop: one of its corners."""
_PERIOD_PX, _BAND = 5.0, 0.35


@dataclass(frozen=True, eq=False)
class Planted:
    """A case, its class, and where in its crop the two squares begin (row, column). A negative has no sign there."""

    case: Case
    positive: bool
    sign: tuple[int, int]
    distractor: tuple[int, int]

    def holds(self, place: tuple[int, int], square: tuple[int, int]) -> bool:
        """Whether a pixel of the crop lies in a square."""
        return all(start <= at < start + SIGN_PX for at, start in zip(place, square, strict=True))


def planted_case(number: int, seed: int = 0) -> Planted:
    """Case `number`: the same for the same seed; every second is positive."""
    rng = np.random.default_rng([seed, number])
    positive = bool(number % 2)
    top, left = (int(rng.integers(36, SHAPE[0] - 36 - LESION_PX)) for _ in range(2))
    corner = (top - (SIDE_PX - LESION_PX) // 2, left - (SIDE_PX - LESION_PX) // 2)
    first, second = rng.permutation(4)[:2]
    pixels = _noise(rng, None)
    for at, angle in ((first, 45 if positive else 90 * int(rng.integers(2))), (second, 90 * int(rng.integers(2)))):
        row, column = corner[0] + CORNERS[at][0], corner[1] + CORNERS[at][1]
        square = (slice(row, row + SIGN_PX), slice(column, column + SIGN_PX))
        patch = _noise(rng, angle)[square]
        pixels[square] = (patch - patch.mean()) / patch.std() * pixels.std()
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    half = LESION_PX / 2
    mask = np.hypot(rows + 0.5 - top - half, columns + 0.5 - left - half) < half
    grey = 1000 + 150 * pixels + 150 * mask
    picture = Picture(ArrayImage(grey.clip(0, 4095).astype(np.uint16)), ArrayMask(mask))
    case = Case(
        f"S{number:04d}", f"P{number:04d}", "L", "1", {RC: picture},
        labels={"malignancy": "malignant" if positive else "benign"},
    )  # fmt: skip
    return Planted(case, positive, CORNERS[first], CORNERS[second])


def _noise(rng: np.random.Generator, angle_deg: float | None) -> NDArray[np.float64]:
    """Noise of one frequency band and standard deviation 1, in all directions or about one."""
    y, x = np.meshgrid(np.fft.fftfreq(SHAPE[0]), np.fft.fftfreq(SHAPE[1]), indexing="ij")
    radius = np.hypot(x, y)
    band = np.exp(-0.5 * ((radius * _PERIOD_PX - 1) / _BAND) ** 2)
    if angle_deg is not None:
        turn = np.arctan2(y, x) - np.deg2rad(angle_deg)
        band = band * np.exp(4 * (np.cos(2 * turn) - 1))
    found = np.fft.ifft2(np.fft.fft2(rng.standard_normal(SHAPE)) * band).real
    return found / found.std()


def inputs(family: deep.Family, planted: list[Planted]) -> torch.Tensor:
    """What the network sees of the cases."""
    readings = (read_case(one.case, MaskRules()) for one in planted)
    return torch.stack([
        item.channels for r in readings for item in family.inputs(r, [RC.name], FamilyRow(r.case_id))
    ])  # fmt: skip


def train_network(name: str, size: int, n_cases: int, n_epochs: int, path, seed: int = 0) -> float:
    """Train a timm network to tell the classes of phantoms of its own; its weights go to a safetensors file.

    Returns
    -------
    float
        Share of the last epoch's cases that it told rightly.
    """
    settings = deep.Settings(network=name, weights="random", size=size, composite=False, device="cpu")
    family = deep.Family(settings, MaskRules())
    planted = [planted_case(number, seed=seed + 1000) for number in range(n_cases)]
    x = (inputs(family, planted) - torch.tensor(family.weights.mean).view(-1, 1, 1)) / torch.tensor(
        family.weights.std
    ).view(-1, 1, 1)
    y = torch.tensor([float(one.positive) for one in planted])
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, num_classes=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    n_steps = n_epochs * (n_cases // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=n_steps)
    model.train()
    right = 0.0
    for _ in range(n_epochs):
        right = 0.0
        for part in torch.randperm(n_cases).split(32):
            if len(part) < 32:
                continue
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out := model(x[part])[:, 0], y[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            right += float(((out > 0) == (y[part] > 0.5)).float().mean()) / (n_cases // 32)
    model.eval()
    model.reset_classifier(0)
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return right
