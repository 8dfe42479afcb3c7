"""The native engine against plain pyradiomics on whole images, and how long its first picture takes."""

import importlib.metadata
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from bench_timing import HEADINGS, Clock, compared, deviation, disc, met, row_text, say, textured
from cemrad.features.native.engine import NativeEngine
from cemrad.features.parameters import read_parameters
from radiomics.featureextractor import RadiomicsFeatureExtractor

PRESET = Path(__file__).parents[1] / "features" / "families" / "cem-2d.yaml"
SHAPES = ((2048, 1664), (3000, 2400))
BINS = ({"binCount": 32}, {"binWidth": 25})
LESIONS_PX = (60, 200, 600)
GOAL, AIM, AIM_UP_TO_PX = 30, 100, 200
NATIVE_PER_ROUND = 4
START_GOAL_S = 3.0


def measure(options: Namespace) -> dict[str, Any]:
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)
    rounds = options.repeats
    version = importlib.metadata.version("pyradiomics-bhklab")
    say(f"engines: native against pyradiomics {version} on the whole image (true 2-D, additionalInfo off),")
    say(f"  preset {PRESET.stem}, 12-bit, one thread, decoding not counted; median of")
    say(f"  {NATIVE_PER_ROUND * rounds} (native, after one warm-up) and {rounds} (pyradiomics), taken in turn\n")
    say(f"  image        bins         lesion {HEADINGS}")
    rows = []
    for shape in SHAPES:
        for bins in BINS:
            rows += [_cell(shape, bins, diameter, rounds) for diameter in LESIONS_PX]
    worst = max(row["deviation"] for row in rows)
    say(f"\n  {rows[0]['n_values']} values each; largest relative deviation {worst:.0e}")
    return {"rows": rows, "rounds": rounds, "start": _start()}


def _cell(shape: tuple[int, int], bins: dict[str, int], diameter_px: int, rounds: int) -> dict[str, Any]:
    asked = {**read_parameters(PRESET), "setting": {**bins, "additionalInfo": False}}
    pixels, mask = _picture(shape), disc(shape, diameter_px)
    native, plain = NativeEngine(asked, 4096), RadiomicsFeatureExtractor(asked)
    image, region = SimpleITK.GetImageFromArray(pixels), SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    own, theirs = Clock(), Clock()
    native.measure(pixels, mask, (1.0, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for _ in range(NATIVE_PER_ROUND):
                found, _ = own.time(lambda: native.measure(pixels, mask, (1.0, 1.0)))
            expected = theirs.time(lambda: plain.execute(image, region))
    row = compared(own.record(), theirs.record(), GOAL, AIM if diameter_px <= AIM_UP_TO_PX else None)
    setting = " ".join(f"{key} {value}" for key, value in bins.items())
    say(f"  {shape[0]} x {shape[1]}  {setting}  {diameter_px:4} px{row_text(row)}")
    off = deviation(found, {name: float(value) for name, value in expected.items()})
    return {"shape": shape, "setting": bins, "lesion_px": diameter_px, "n_values": len(found), "deviation": off, **row}


@lru_cache(maxsize=1)
def _picture(shape: tuple[int, int]) -> np.ndarray:
    return textured(shape, 0)


def _start() -> dict[str, Any]:
    """Seconds from starting Python to the first row, without compiled code and with it."""
    with tempfile.TemporaryDirectory() as folder:
        compiling = first_row_s(Path(folder))
        cached = [first_row_s(Path(folder)) for _ in range(3)]
    median = statistics.median(cached)
    say(f"  starting Python to first row, 60 px: {compiling:.1f} s with everything to compile (once per installation),")
    goal = f"goal below {START_GOAL_S:g} s: {met(median < START_GOAL_S)}"
    say(f"  {median:.1f} s after that, median of {len(cached)}; {goal}")
    return {"compiling_s": compiling, "cached_s": cached, "median_s": median, "goal_s": START_GOAL_S}


def first_row_s(cache: Path | None = None) -> float:
    """Of a fresh process, with compiled code in `cache` or in its usual place."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    started = time.perf_counter()
    command = [sys.executable, str(Path(__file__).with_name("bench_start.py")), str(PRESET)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - started
    if process.returncode or not said.strip().isdigit():
        raise RuntimeError(f"bench_start.py ended with {process.returncode} and said {said!r}")
    return seconds
