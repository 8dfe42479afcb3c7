"""A small cohort on disk, the study that measures it, and real processes of the command line to interrupt."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
from cemrad.pipeline.run import Run
from cemrad.pipeline.study import parse_study
from cemrad.pipeline.work import work

RADIOMICS = {"parameters": {"featureClass": {"firstorder": ["Mean", "Range"], "glcm": ["Contrast"]}}}
COMMAND = [sys.executable, "-c", "from cemrad.pipeline.cli import main; main()"]
TABLE = ("features.parquet", "features.csv", "cases.csv", "failures.csv", "table.json", "labels.csv")


class Here:
    """An engine that works in the test's own process."""

    def run(self, tasks):
        for task in tasks:
            yield task, work(task)


def write_picture(folder, name, seed):
    pixels = np.random.default_rng(seed).integers(40, 200, (48, 40)).astype(np.uint8)
    mask = np.zeros((48, 40), np.uint8)
    mask[15:31, 12:30] = 255
    PIL.Image.fromarray(pixels).save(folder / f"{name}.png")
    PIL.Image.fromarray(mask).save(folder / f"{name}_mask.png")


def write_cohort(folder: Path, n=12, ids=None) -> Path:
    """Files of `n` cases with their manifest; the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["case_id", "patient_id", "image_path", "mask_path", "er"])
        for i in range(n):
            write_picture(folder, f"{i:04d}", i)
            case_id = ids[i] if ids else f"c{i:04d}"
            rows.writerow([case_id, f"p{i:04d}", f"{i:04d}.png", f"{i:04d}_mask.png", "positive" if i % 2 else ""])
    return path


def study(manifest, output, **more):
    return parse_study(
        {
            "schema_version": 1,
            "cohort": {"reader": "manifest", "path": str(manifest)},
            "features": {"families": {"radiomics": more.pop("radiomics", RADIOMICS)}},
            "output": str(output),
        }
        | more
    )


def words(manifest, output, *more):
    """The command that extracts the same as :func:`study`."""
    asked = f"features.families={{radiomics: {{parameters: {RADIOMICS['parameters']}}}}}"
    return ["extract", str(manifest), "-o", str(output), "-j", "2", "-s", asked, *more]


def extracted(manifest, output, **more):
    """The finished run, made in this process, and the bytes of its table."""
    run = Run.start(study(manifest, output, **more))
    run.extract(Here())
    return run, table_bytes(output)


def table_bytes(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in TABLE}


def start(*arguments, command=None, **options):
    """A process of the command line, in a session of its own; `command` is other code that ends there."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True} | options
    return subprocess.Popen([*COMMAND[:-1], command or COMMAND[-1], *arguments], **options)


def n_stored(folder):
    return sum(1 for path in (folder / "store").glob("??/*") if not path.name.startswith("."))


def session(leader):
    """Processes that a process of :func:`start` began, itself included, and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(condition, seconds=120.0):
    """Seconds until it held; fails if it never did."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - started


def interrupt(process, number):
    """Send a signal as a terminal or a batch system does; exit code, standard error, and seconds until all was gone."""
    started = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    try:
        _, told = process.communicate(timeout=30)
        wait_until(lambda: not session(process.pid), 15)
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
    return process.returncode, told.decode(), time.monotonic() - started
