"""From disk to table: `cemrad extract` against pyradiomics' own command line, the same files and worker processes."""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench_engines import PRESET, first_row_s
from bench_timing import deviation, disc, say, textured, verdict, write_manifest
from PIL import Image

SHAPE = (2048, 1664)
SMALLEST_PX, LARGEST_PX = 60, 400
N_TEXTURES = 4
JOBS = 2
GOAL = 25
CHUNK = 10
"""Cases that pyradiomics hands to a worker at once: with less than two of these, one worker does them all."""


def measure(options: Namespace) -> dict[str, Any]:
    n = options.images
    say(f"batch: {n} images from disk to table, wall time of the whole command with -j {JOBS}; preset {PRESET.stem},")
    say(f"  8-bit PNG of {SHAPE[0]} x {SHAPE[1]} px, lesions of {SMALLEST_PX} to {LARGEST_PX} px; one thread a worker,")
    say("  compiled code cached, files in the page cache. pyradiomics' main process polls without pause meanwhile.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = _write(folder, n)
        first_row_s()  # what is not compiled yet is compiled now
        own_s = _run(_cemrad(manifest, folder), folder / "cemrad.log")
        say(f"  cemrad extract  {own_s:8.1f} s  {1000 * own_s / n:7.0f} ms per image")
        theirs_s = _run(_pyradiomics(manifest, folder), folder / "pyradiomics.log")
        say(f"  pyradiomics     {theirs_s:8.1f} s  {1000 * theirs_s / n:7.0f} ms per image")
        n_same, off = _differences(folder)
    ratio = theirs_s / own_s
    say(f"  ratio           {ratio:8.1f}    {verdict(ratio, GOAL)}")
    if n < CHUNK * JOBS:
        say(f"  (too few images for a ratio: pyradiomics gives its workers {CHUNK} cases at a time)")
    say(f"  {n_same} rows in both tables, largest relative deviation {off:.0e}")
    return {
        "images": n, "jobs": JOBS, "cemrad_s": own_s, "pyradiomics_s": theirs_s, "ratio": ratio, "goal": GOAL,
        "verdict": verdict(ratio, GOAL), "rows": n_same, "deviation": off,
    }  # fmt: skip


def _write(folder: Path, n: int) -> Path:
    """Images, masks and pyradiomics' own kind of batch file, which cemrad reads too."""
    rng = np.random.default_rng(0)
    textures = [(textured(SHAPE, seed) >> 4).astype(np.uint8) for seed in range(min(n, N_TEXTURES))]
    rows = []
    for i in range(n):
        shift = rng.integers(0, SHAPE).tolist()  # the noise is periodic: no seam
        diameter = SMALLEST_PX + (LARGEST_PX - SMALLEST_PX) * i / max(n - 1, 1)
        margin = int(diameter / 2) + 8
        centre = [int(rng.integers(margin, side - margin)) for side in SHAPE]
        pixels = np.roll(textures[i % N_TEXTURES], shift, (0, 1))
        mask = disc(SHAPE, diameter, (centre[0], centre[1])).astype(np.uint8) * 255
        names = {"Image": f"{i:03d}.png", "Mask": f"{i:03d}_mask.png"}
        for name, array in zip(names.values(), (pixels, mask), strict=True):
            Image.fromarray(array).save(folder / name, compress_level=1)
        rows.append({**names, "Label": 255})
    rng.shuffle(rows)  # lesions of all sizes to every worker
    return write_manifest(folder / "cases.csv", rows)


def _cemrad(manifest: Path, folder: Path) -> list[str]:
    families = f"features.families={{radiomics: {{preset: {PRESET.stem}}}}}"
    return [_script("cemrad"), "extract", str(manifest), "-o", str(folder / "run"), "-j", str(JOBS), "-s", families]


def _pyradiomics(manifest: Path, folder: Path) -> list[str]:
    table = str(folder / "pyradiomics.csv")
    return [_script("pyradiomics"), str(manifest), "-p", str(PRESET), "-o", table, "-f", "csv", "-j", str(JOBS)]


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _run(command: list[str], log: Path) -> float:
    with log.open("w", encoding="utf-8") as file:
        started = time.perf_counter()
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
        seconds = time.perf_counter() - started
    if done.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{end}")
    return seconds


def _differences(folder: Path) -> tuple[int, float]:
    """Rows that both tables have, matched by their order, and the largest relative difference in them."""
    own = pd.read_parquet(folder / "run" / "features.parquet").filter(regex="^radiomics:")
    own.columns = [name.split(":")[2] for name in own.columns]
    theirs = pd.read_csv(folder / "pyradiomics.csv")[own.columns]
    if len(own) != len(theirs):
        raise RuntimeError(f"cemrad has {len(own)} rows, pyradiomics {len(theirs)}")
    return len(own), max(
        deviation(mine.dropna().to_dict(), other.dropna().to_dict())
        for (_, mine), (_, other) in zip(own.iterrows(), theirs.iterrows(), strict=True)
    )
