"""The native engine against Nyxus on the families that both have. Nyxus lives in an environment of its own."""

import json
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from bench_timing import HEADINGS, Clock, compared, disc, row_text, say, textured
from cemrad.features.native.engine import NativeEngine
from cemrad.features.native.glcm import FEATURES

HOME = Path(__file__).parents[1] / "runs" / "bench-peers" / "nyxus"
WANTED = "nyxus==0.11.*"
SHAPE = (2048, 1664)
LESIONS_PX = (60, 200, 600)
N_LEVELS = 32
REPEATS = 15
ROUNDS = 7
GOAL = 8
CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def measure(options: Namespace) -> dict[str, Any]:
    try:
        return _measured(_installed())
    except (subprocess.CalledProcessError, OSError) as error:
        text = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        reason = text[-1] if text else "no reason given"
        say(f"nyxus: left out, as {WANTED} could not be installed or run here: {reason}")
        return {"left_out": reason}


def _measured(python: Path) -> dict[str, Any]:
    say(f"nyxus: native against {WANTED}, original image, {', '.join(CLASSES)}, without shape;")
    say("  12-bit, region cropped to its box for both, in memory, one thread;")
    say(f"  medians of {ROUNDS} rounds, each the median of {REPEATS} calls or a second of them, after a warm-up\n")
    say(f"  lesion  features   {HEADINGS}")
    rows = [row for diameter in LESIONS_PX for row in _rows(python, diameter)]
    theirs = rows[0]["nyxus"]
    settings = ", ".join(f"{key} {value}" for key, value in theirs["settings"].items())
    say(f"\n  Nyxus {theirs['version']}: {settings}; {theirs['n_values']} values, directions one by one and averaged")
    say(f"  native: binCount {N_LEVELS}, {rows[0]['n_values']} values, directions averaged; Nyxus has no MCC")
    return {"rows": rows}


def _installed() -> Path:
    """Nyxus' Python; installed on the first call."""
    python = HOME / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import nyxus"], capture_output=True).returncode:
        say(f"nyxus: installing {WANTED} into {HOME.relative_to(HOME.parents[2])}")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(HOME)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED],
            [str(python), "-c", "import nyxus"],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    return python


def _rows(python: Path, diameter_px: int) -> list[dict[str, Any]]:
    """Against all of our features, and against those without the one that Nyxus has nothing like; taken in turn."""
    mask = disc(SHAPE, diameter_px)
    box = np.ix_(mask.any(axis=1), mask.any(axis=0))
    pixels, mask = textured(SHAPE, 0)[box], mask[box]
    engines = {
        name: NativeEngine(
            {
                "imageType": {"Original": {}},
                "featureClass": {**dict.fromkeys(CLASSES), "glcm": glcm},
                "setting": {"binCount": N_LEVELS},
            },
            1024,
        )
        for name, glcm in (("all", None), ("without MCC", [name for name in FEATURES if name != "MCC"]))
    }
    theirs: list[dict[str, Any]] = []
    own: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        theirs.append(_nyxus(python, pixels, mask))
        for name, engine in engines.items():
            clock = Clock()
            found, _ = clock.repeat(lambda engine=engine: engine.measure(pixels, mask, (1.0, 1.0)), REPEATS)
            own[name].append(clock.record() | {"n_values": len(found)})
    rows = []
    for name, records in own.items():
        row = compared(_middle(records), _middle([one["clock"] for one in theirs]), GOAL)
        say(f"  {diameter_px:3} px  {name:11}{row_text(row)}")
        n_values = records[0]["n_values"]
        rows.append({"lesion_px": diameter_px, "features": name, "n_values": n_values, "nyxus": theirs[0], **row})
    return rows


def _middle(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over the rounds."""
    return {key: statistics.median(record[key] for record in records) for key in records[0]}


def _nyxus(python: Path, pixels: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "image.npy"), pixels.astype(np.uint32))
        np.save(Path(folder, "mask.npy"), mask.astype(np.uint32))
        script = Path(__file__).with_name("bench_nyxus.py")
        command = [python, script, folder, str(N_LEVELS), str(REPEATS)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        record: dict[str, Any] = json.loads(Path(folder, "nyxus.json").read_text(encoding="utf-8"))
    return record
