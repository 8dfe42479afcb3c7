"""How fast extraction is on this machine, against pyradiomics and Nyxus: run it by `make bench`.

Sections (all without a name): engines, nyxus, batch, deep, cluster, study. Everything measured, with settings and
machine, is also written as JSON.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bench_timing import say, textured

__all__ = ["textured"]

SECTIONS = {
    "engines": "bench_engines",
    "nyxus": "bench_peer",
    "batch": "bench_batch",
    "deep": "bench_deep",
    "cluster": "bench_cluster",
    "study": "bench_study",
}
OUTPUT = Path(__file__).parents[1] / "runs" / "bench.json"
PACKAGES = (
    "cemrad",
    "pyradiomics-bhklab",
    "SimpleITK",
    "numpy",
    "scipy",
    "scikit-image",
    "PyWavelets",
    "numba",
    "torch",
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
     "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1",
)  # fmt: skip


def machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "threads": ONE_THREAD,
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def load() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all without one")
    parser.add_argument("--images", type=int, default=200, help="of the sections batch and cluster")
    parser.add_argument("--study-images", type=int, default=2006, help="of the section study")
    parser.add_argument("--repeats", type=int, default=3, help="of pyradiomics in the section engines")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON of everything measured")
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return options


def main() -> None:
    options = read_options()
    if any(os.environ.get(key) != value for key, value in ONE_THREAD.items()):
        # Thread counts are read when a library is loaded, and some are by now: start again with them.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    about = machine()
    say(f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    say(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    say("A verdict goes by processor time, which other work on the machine disturbs least; in batch by wall time.")
    record: dict[str, Any] = {"machine": about, "sections": {}}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name in options.sections or SECTIONS:
        before, started = load(), time.perf_counter()
        say(f"\n{'-' * 100}\n")
        measured = importlib.import_module(SECTIONS[name]).measure(options)
        seconds = time.perf_counter() - started
        say(f"\n  {seconds:.0f} s; load of the machine before {before}, after {load()}")
        record["sections"][name] = {"seconds": seconds, "load_before": before, "load_after": load(), **measured}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    say(f"\nwritten: {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()
