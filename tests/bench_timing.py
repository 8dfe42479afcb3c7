"""What the sections of the benchmark share: pictures, clocks, ratios. numpy alone, as in Nyxus' environment."""

import csv
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def textured(shape: tuple[int, int], seed: int) -> np.ndarray:
    """12-bit power-law noise, beta 3: about the texture of a mammogram."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal(shape)) / frequency**1.5
    pixels = np.fft.irfft2(noise, shape)
    return np.interp(pixels, (pixels.min(), pixels.max()), (0, 4095)).round().astype(np.uint16)


def disc(shape: tuple[int, int], diameter_px: float, centre: tuple[int, int] | None = None) -> np.ndarray:
    row, column = centre or (shape[0] // 2, shape[1] // 2)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= (diameter_px / 2) ** 2


class Clock:
    """Wall and processor time of each call. They differ where something else had the core."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []

    def time(self, run: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        value = run()
        self.cpu_s.append(time.process_time() - cpu)
        self.wall_s.append(time.perf_counter() - wall)
        return value

    def repeat(self, run: Callable[[], Any], least: int, seconds: float = 1.0) -> Any:
        """Value of the last of at least so many calls, and as many as fit the time: short calls are the noisy ones."""
        run()
        end = time.perf_counter() + seconds
        while len(self.wall_s) < least or time.perf_counter() < end:
            value = self.time(run)
        return value

    def record(self) -> dict[str, Any]:
        return {
            "n": len(self.wall_s),
            "median_ms": 1000 * statistics.median(self.wall_s),
            "median_cpu_ms": 1000 * statistics.median(self.cpu_s),
            "best_ms": 1000 * min(self.wall_s),
        }


def compared(own: dict[str, Any], theirs: dict[str, Any], goal: float, aim: float | None = None) -> dict[str, Any]:
    """Two clocks' records with their ratios, and whether the goal is met.

    The verdict goes by processor time: with one thread it is the wall time that a core of one's own would give.
    """
    ratio = theirs["median_ms"] / own["median_ms"]
    cpu_ratio = theirs["median_cpu_ms"] / own["median_cpu_ms"]
    return {
        "native": own,
        "peer": theirs,
        "ratio": ratio,
        "cpu_ratio": cpu_ratio,
        "goal": goal,
        "aim": aim,
        "verdict": verdict(cpu_ratio, goal, aim),
    }


def verdict(ratio: float, goal: float, aim: float | None = None) -> str:
    if ratio < goal:
        return f"BELOW the goal of {goal:g}"
    if aim is not None and ratio < aim:
        return f"goal {goal:g} met, below the aim of {aim:g}"
    return f"goal {goal:g} met" if aim is None else f"aim {aim:g} met"


def met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def write_manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


HEADINGS = "  native wall / CPU ms    peer wall / CPU ms   ratio wall / CPU"


def row_text(row: dict[str, Any]) -> str:
    times = [f"{side['median_ms']:11.1f} {side['median_cpu_ms']:9.1f}" for side in (row["native"], row["peer"])]
    return f"  {'  '.join(times)} {row['ratio']:8.1f} x {row['cpu_ratio']:5.1f} x   {row['verdict']}"


def deviation(found: dict[str, float], expected: dict[str, float]) -> float:
    """Largest relative difference; differences up to 1e-12 do not count, and other names are an infinite one."""
    if found.keys() != expected.keys():
        return float("inf")
    pairs = ((abs(found[name] - value), abs(value)) for name, value in expected.items())
    return max((off / size if size else float("inf")) if off > 1e-12 else 0.0 for off, size in pairs)
