"""Extraction through Dask with 1, 2 and more workers on loopback, and how many tasks the driver can hand out."""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_timing import say
from cemrad.features.mask import MaskRules
from cemrad.pipeline import cluster
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts.phantom import Settings, read
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.means import Means
from cemrad.pipeline.store import Store
from cemrad.pipeline.work import Done, Found, Recipe, Task
from cemrad.pipeline.workers import Limits

WORKERS = (1, 2, 4)
PER_PATIENT = 6
"""Pictures of a phantom patient, about: more are drawn, and the first cases taken."""
N_TRIVIAL = 2000
FEATURES = FeatureSettings(families={"radiomics": {"preset": "cem-2d"}}, clinical=False)


def measure(options: Namespace) -> dict[str, Any]:
    cohort, n = _cohort(options.images)
    say(f"cluster: {n} phantom images of 512 x 416 px, preset cem-2d, Dask workers of one thread on this machine's")
    say(f"  {len(os.sched_getaffinity(0))} cores, scheduler and driver beside them; wall time with warm workers\n")
    say("  workers      wall   images/s   ratio to 1   same bytes")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = _bytes(cohort, Means(store=Store(folder / "store")), folder / "here")
        stored = [path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file()]
        for n_workers in WORKERS:
            with _machines(folder, n_workers) as address, cluster.open_cluster(address, Limits()) as engine:
                engine.client.wait_for_workers(n_workers, timeout=120)
                _bytes(cohort, Means(engine=engine), folder / "warm")
                started = time.perf_counter()
                found = _bytes(cohort, Means(engine=engine), folder / "there")
                seconds = time.perf_counter() - started
            ratio = rows[0]["seconds"] / seconds if rows else 1.0
            rows.append({"workers": n_workers, "seconds": seconds, "ratio": ratio, "same_bytes": found == expected})
            same = "yes" if found == expected else "NO"
            say(f"  {n_workers:7d} {seconds:7.1f} s {n / seconds:10.1f} {ratio:12.2f}   {same}")
        per_s = _trivial_per_s(cohort, folder)
    say(f"\n  store: {sum(stored) / len(stored):,.0f} bytes per image in {len(stored)} files")
    say(f"  tasks that do nothing: {per_s:.0f} per second through scheduler and driver")
    return {"images": n, "rows": rows, "store_bytes_per_image": sum(stored) / len(stored), "tasks_per_s": per_s}


def _cohort(n_images: int) -> tuple[Cohort, int]:
    """A phantom cohort of about so many images, and how many they are."""
    whole = read(Settings(n_patients=max(2, -(-n_images // PER_PATIENT) + 2), rows=512, columns=416))
    cases, n = [], 0
    for case in whole.cases:
        if n >= n_images:
            break
        cases.append(case)
        n += len(case.pictures)
    return Cohort(whole.name, tuple(cases), phantom=True), n


def _bytes(cohort: Cohort, means: Means, folder: Path) -> list[bytes]:
    extract(cohort, FEATURES, means).save(folder)
    return [(folder / name).read_bytes() for name in ("features.parquet", "failures.csv")]


@contextmanager
def _machines(folder: Path, n_workers: int, n_threads: int = 1) -> Iterator[str]:
    """Address of a scheduler with workers, which end with it."""
    about = folder / "scheduler.json"
    about.unlink(missing_ok=True)
    processes = [_dask("scheduler", "--port", "0", "--scheduler-file", str(about))]
    try:
        while not about.is_file() or not about.stat().st_size:
            time.sleep(0.1)
            if processes[0].poll() is not None:
                raise RuntimeError("the scheduler did not start")
        address: str = json.loads(about.read_text(encoding="utf-8"))["address"]
        processes += [
            _dask("worker", address, "--nthreads", str(n_threads), "--no-nanny") for _ in range(n_workers)
        ]  # fmt: skip
        yield address
    finally:
        for process in processes:  # told to end all at once, Dask's workers wait a minute for the scheduler
            process.kill()
            process.wait()


def _dask(role: str, *arguments: str) -> subprocess.Popen[bytes]:
    near = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
    return subprocess.Popen(
        [sys.executable, "-m", "dask", role, *arguments, *near],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},  # for nothing_to_do
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def nothing_to_do(task: Task, *_: Any) -> Done:
    """What a task of one picture returns, without any work."""
    return Done([Found(case.case_id, {("radiomics", "LE_CC"): np.zeros(1404)}) for case in task.cases])


def _trivial_per_s(cohort: Cohort, folder: Path) -> float:
    recipe = Recipe("radiomics", json.dumps(FEATURES.families["radiomics"]), MaskRules())
    tasks = [Task((recipe,), (cohort.cases[i % len(cohort.cases)],), ({},)) for i in range(N_TRIVIAL)]
    real, cluster.on_worker = cluster.on_worker, nothing_to_do
    try:
        with _machines(folder, 1, 16) as address, cluster.open_cluster(address, Limits()) as engine:
            engine.client.wait_for_workers(1, timeout=120)
            list(engine.run(iter(tasks[:50])))
            started = time.perf_counter()
            assert sum(1 for _ in engine.run(iter(tasks))) == N_TRIVIAL
            return N_TRIVIAL / (time.perf_counter() - started)
    finally:
        cluster.on_worker = real
