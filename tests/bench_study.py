"""A study of the size of CDD-CESM on the cores of this machine: seconds per stage, memory of the workers."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_timing import met, say, write_manifest
from PIL import Image

SHAPE = (2355, 1315)
JOBS = 2
NETWORKS = ("resnet18", "resnet50")
MOST_MEMORY_MIB, MOST_GROWTH = 1536, 0.10
POLL_S = 1.0


def measure(options: Namespace) -> dict[str, Any]:
    n = options.study_images
    say(f"study: {n} simulated images, JPEG of {SHAPE[0]} x {SHAPE[1]} px with masks; cem-2d (1,404 values) and the")
    say(f"  crops through {' and '.join(NETWORKS)} (random weights), `cemrad extract -j {JOBS}`, CPU\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        manifest = _write(folder, n)
        say(f"  images written in {time.perf_counter() - started:.0f} s")
        stages = [_stage(folder, manifest, n, families) for families in _families()]
    peak = max(stage["worker_peak_mib"] for stage in stages)
    growth = [stage["growth"] for stage in stages if stage["growth"] is not None]
    say(f"  largest memory of a worker {peak:.0f} MiB; goal below {MOST_MEMORY_MIB}: {met(peak < MOST_MEMORY_MIB)}")
    if growth:
        say(f"  growth from the middle to the end at most {max(growth):.1%}; goal below {MOST_GROWTH:.0%}: "
            f"{met(max(growth) < MOST_GROWTH)}")  # fmt: skip
    return {"images": n, "jobs": JOBS, "stages": stages, "peak_mib": peak, "growth": growth}


def _families() -> list[tuple[str, dict[str, Any]]]:
    """One after the other into one folder: what is there comes from the store, so each adds its own cost alone."""
    radiomics: dict[str, Any] = {"preset": "cem-2d"}
    deep = [(network, {"radiomics": radiomics, "deep": {"network": network, "weights": "random"}})
            for network in NETWORKS]  # fmt: skip
    return [("radiomics", {"radiomics": radiomics}), *deep]


def _stage(folder: Path, manifest: Path, n: int, stage: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    name, families = stage
    command = [str(Path(sys.executable).with_name("cemrad")), "extract", str(manifest), "-o", str(folder / "run"),
               "-j", str(JOBS), "-s", f"features.families={json.dumps(families)}"]  # fmt: skip
    started, seen = time.perf_counter(), []
    with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        before = _stored(folder)
        while process.poll() is None:
            time.sleep(POLL_S)
            seen.append((_stored(folder) - before, _worker_mib(process.pid)))
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError((folder / f"{name}.log").read_text(encoding="utf-8")[-2000:])
    effort = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["effort"]
    growth = _growth(seen, n)
    say(f"  {name:10} {seconds:7.1f} s wall, {n / seconds:5.1f} images/s, worker at most "
        f"{effort['worker_memory_mib']:.0f} MiB, driver {effort['memory_mib']:.0f} MiB"
        + (f", growth {growth:+.1%}" if growth is not None else ""))  # fmt: skip
    return {"stage": name, "seconds": seconds, "images_per_s": n / seconds, "growth": growth,
            "worker_peak_mib": effort["worker_memory_mib"], "driver_peak_mib": effort["memory_mib"],
            "effort": effort["seconds"]}  # fmt: skip


def _stored(folder: Path) -> int:
    store = folder / "run" / "store"
    return sum(sum(1 for _ in part.iterdir()) for part in store.iterdir()) if store.is_dir() else 0


def _worker_mib(pid: int) -> float:
    """Resident memory of the largest process that a run has started."""
    try:
        return max((child.memory_info().rss for child in psutil.Process(pid).children()), default=0) / 2**20
    except psutil.Error:
        return 0.0


def _growth(seen: list[tuple[int, float]], n: int) -> float | None:
    """Of the larger worker, from half of the cases (1,000 of CDD-CESM) to the end."""
    middle = [mib for done, mib in seen if 0.45 * n < done < 0.55 * n and mib > 0]
    end = [mib for done, mib in seen if 0.9 * n < done < n and mib > 0]
    return statistics.median(end) / statistics.median(middle) - 1 if middle and end else None


def _write(folder: Path, n: int) -> Path:
    with ProcessPoolExecutor(JOBS) as pool:
        rows = list(pool.map(_exam, [(folder, i) for i in range(n)], chunksize=16))
    return write_manifest(folder / "cases.csv", rows)


def _exam(of: tuple[Path, int]) -> dict[str, str]:
    """A breast of smooth noise at several scales on a black ground, and a lesion of 30 to 400 px in it."""
    folder, i = of
    rng = np.random.default_rng(i)
    texture = np.zeros(SHAPE, dtype=np.float32)
    for side, weight in ((8, 1.0), (32, 0.5), (128, 0.25), (512, 0.12)):
        coarse = Image.fromarray(rng.normal(size=(side, side * SHAPE[1] // SHAPE[0] + 1)).astype(np.float32))
        texture += weight * np.asarray(coarse.resize(SHAPE[::-1], Image.Resampling.BICUBIC))
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    breast = ((rows - SHAPE[0] / 2) / (0.45 * SHAPE[0])) ** 2 + (columns / (0.85 * SHAPE[1])) ** 2 < 1
    row, column = rng.uniform(0.35, 0.65) * SHAPE[0], rng.uniform(0.2, 0.45) * SHAPE[1]
    radius = 15 * (400 / 30) ** rng.random()
    lesion = ((rows - row) ** 2 + (columns - column) ** 2 < radius**2) & breast
    pixels = np.where(breast, 110 + 30 * texture + 40 * lesion, 0)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:04}.jpg", quality=92)
    Image.fromarray(lesion.astype(np.uint8) * 255).save(folder / f"{i:04}_mask.png", compress_level=1)
    return {"patient_id": f"p{i // 2}", "case_id": f"c{i:04}", "image_path": f"{i:04}.jpg",
            "mask_path": f"{i:04}_mask.png"}  # fmt: skip
