"""What extraction costs on this machine: run it by `make bench`."""

import os
import platform
import sys
import time
from collections.abc import Callable

import numpy as np
import SimpleITK
import torch
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep, radiomics
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules

SHAPE = (2048, 1664)
LESIONS_PX = (60, 200, 600)
RC = PictureKey("RC", "CC")


def textured(shape: tuple[int, int], seed: int) -> np.ndarray:
    """12-bit power-law noise, beta 3: about the texture of a mammogram."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal(shape)) / frequency**1.5
    pixels = np.fft.irfft2(noise, shape)
    return np.interp(pixels, (pixels.min(), pixels.max()), (0, 4095)).round().astype(np.uint16)


def exam(shape: tuple[int, int], diameter_px: int, seed: int = 0) -> Case:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    mask = (rows - shape[0] // 2) ** 2 + (columns - shape[1] // 2) ** 2 <= (diameter_px / 2) ** 2
    return Case(f"c{seed}", "p", pictures={RC: Picture(ArrayImage(textured(shape, seed)), ArrayMask(mask))})


def best_s(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)
    out = sys.stdout.write
    out(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ")
    out("one core, decoding not counted, best of the repeats\n\n")

    settings = radiomics.Settings()
    family = radiomics.Family(settings, MaskRules())
    out(f"radiomics, preset {settings.preset}, {len(family.columns([RC]))} features per picture\n")
    for shape, diameters, repeats in ((SHAPE, LESIONS_PX, 3), ((512, 512), (60, 200), 5), ((256, 256), (60,), 5)):
        for diameter in diameters:
            case = exam(shape, diameter)
            seconds = best_s(lambda case=case: family.extract([case]), repeats)
            out(f"  {shape[0]:4} x {shape[1]:4} px, lesion {diameter:3} px: {1000 * seconds:8.0f} ms per picture\n")

    out(f"\ndeep, random weights, cpu, torch {torch.__version__}, input 224 x 224 px, batch 16\n")
    cases = [exam((512, 512), 100, seed) for seed in range(32)]
    for network in ("resnet18", "resnet50"):
        family = deep.Family(deep.Settings(network=network, weights="random", device="cpu"), MaskRules())
        family.extract(cases[:16])
        seconds = best_s(lambda family=family: family.extract(cases), 2)
        out(f"  {network}: {len(cases) / seconds:6.1f} images per second\n")


if __name__ == "__main__":
    main()
