"""Images per second of the deep family on one thread of the CPU, with random weights: speed does not depend on them."""

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from bench_timing import Clock, disc, say, textured
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules

NETWORKS = ("resnet18", "resnet50")
SHAPE = (512, 512)
LESION_PX = 100
BATCH = 16
REPEATS = 3
RC = PictureKey("RC", "CC")


def measure(options: Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    say(f"deep: random weights, cpu, one thread, torch {torch.__version__}, batch {BATCH}, median of {REPEATS}\n")
    say("  network    whole extraction   network alone, images per second")
    return {"rows": [_network(name) for name in NETWORKS]}


def _network(name: str) -> dict[str, Any]:
    settings = deep.Settings(network=name, weights="random", device="cpu", batch=BATCH)
    family = deep.Family(settings, MaskRules())
    cases = [_case(seed) for seed in range(BATCH)]
    whole, alone = per_second(lambda: family.extract(cases)), per_second(lambda: _forward(family))
    say(f"  {name}  {whole:17.1f} {alone:15.1f}")
    return {"network": name, "extraction_per_s": whole, "forward_per_s": alone}


def _forward(family: deep.Family) -> np.ndarray:
    """The network alone on one batch, as the family runs it."""
    return family._forward(torch.full((BATCH, 3, *family.size), 0.5))


def per_second(run) -> float:
    clock = Clock()
    clock.repeat(run, REPEATS)
    return 1000 * BATCH / clock.record()["median_ms"]


def _case(seed: int) -> Case:
    picture = Picture(ArrayImage(textured(SHAPE, seed)), ArrayMask(disc(SHAPE, LESION_PX)))
    return Case(f"c{seed}", "p", pictures={RC: picture})
