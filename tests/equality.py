"""Native engine against pyradiomics on whole images, at full size: run it by `make equality`.

Every feature of every picture is compared. A value agrees if it differs by at most 1e-9 of pyradiomics' value, or by
at most 1e-12. Pictures: 317 real pairs, 200 simulated ones with lesions of 60 to 900 px, and slices of pyradiomics'
own test volumes. What agrees how well is written as a table per class and a list of every value that does not.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK
from bench import textured
from cemrad.features.errors import CaseError
from cemrad.features.native.engine import NativeEngine
from cemrad.features.parameters import read_parameters
from cemrad.features.reference import ReferenceEngine
from conftest import _realdata
from loky import get_reusable_executor

RELATIVE, ABSOLUTE = 1e-9, 1e-12
VOLUMES = {
    "breast1": ("breast1_image.nrrd", "breast1_label.nrrd"),
    "prostate": ("prostate_phantom_subvolume.nrrd", "prostate_phantom_subvolume-label.nrrd"),
}
LEAST_PX = 16
SHAPE = (2048, 1664)
PRESET = Path(__file__).parents[1] / "features" / "families" / "cem-2d.yaml"


def parameters(bins: dict) -> dict:
    asked = read_parameters(PRESET)
    return {**asked, "setting": bins}


def settings_of(index: int) -> dict:
    """Fixed count and fixed width in turn, so that both are tried on every kind of picture."""
    return {"binCount": 32} if index % 2 == 0 else {"binWidth": 25}


def lesion(shape: tuple[int, int], diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """A lobed outline somewhere in the picture, also over its border."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    row, column = rng.uniform(0.15, 0.85, 2) * shape
    angle = np.arctan2(rows - row, columns - column)
    radius = diameter_px / 2 * (1 + 0.12 * np.sin(rng.integers(2, 7) * angle + rng.uniform(0, 6)))
    return np.hypot(rows - row, columns - column) <= radius


def phantom(index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(index)
    pixels = textured(SHAPE, index)
    depth = index % 3
    if depth == 0:
        pixels = (pixels >> 4).astype(np.uint8)
    elif depth == 1:
        pixels = pixels.astype(np.float32) / 7 - 100
    return pixels, lesion(SHAPE, 60 * 15 ** (index / 199), rng)


def real(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    read = SimpleITK.ReadImage
    return SimpleITK.GetArrayFromImage(read(str(image))), SimpleITK.GetArrayFromImage(read(str(mask))) > 127


def volume_slice(image: Path, mask: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    read = SimpleITK.ReadImage
    pixels, label = (SimpleITK.GetArrayFromImage(read(str(path)))[index] for path in (image, mask))
    return pixels, label == 1


def tasks(n_real: int, n_phantoms: int) -> list[tuple]:
    folder = _realdata()
    found: list[tuple] = []
    images = folder / "cdd-cesm" / "pairs-512" / "images"
    if images.is_dir():
        for i, path in enumerate(sorted(images.iterdir())[:n_real]):
            found.append(("real pairs", i, real, (path, images.parent / "masks" / path.name)))
    for name, (image, label) in VOLUMES.items():
        path, drawn = folder / "pyradiomics" / image, folder / "pyradiomics" / label
        if not path.is_file() or not drawn.is_file():
            continue
        volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(drawn))) == 1
        for index, mask in enumerate(volume):
            if mask.sum() >= LEAST_PX and mask.any(axis=0).sum() > 2 and mask.any(axis=1).sum() > 2:
                found.append((f"{name} slices", index, volume_slice, (path, drawn, index)))
    step = max(1, 200 // max(n_phantoms, 1))
    found += [("simulated", i, phantom, (i,)) for i in range(0, 200, step)[:n_phantoms]]
    return found


def compare(task: tuple) -> tuple[str, str, list, str]:
    kind, index, make, arguments = task
    pixels, mask = make(*arguments)
    asked = parameters(settings_of(index))
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        expected, problems = ReferenceEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))
        found, own = NativeEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))
    except CaseError as error:
        return kind, f"{kind} {index}", [], str(error)
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        return kind, f"{kind} {index}", [], f"{len(odd)} features differ in being there: {odd[:4]}; {problems}; {own}"
    rows = [(name, found[name], value) for name, value in expected.items()]
    return kind, f"{kind} {index}", rows, ""


def class_of(name: str) -> str:
    return name.split("_")[-2]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--real", type=int, default=317)
    options.add_argument("--phantoms", type=int, default=200)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    out = sys.stdout.write
    table: dict[tuple[str, str], list[float]] = {}
    exceptions, notes, n_values, n_done = [], [], 0, 0
    pool = get_reusable_executor(given.jobs, timeout=600)
    for kind, name, rows, note in pool.map(compare, tasks(given.real, given.phantoms)):
        n_done += 1
        if note:
            notes.append((name, note))
        for feature, found, value in rows:
            n_values += 1
            off = abs(found - value)
            relative = off / abs(value) if value else (0.0 if off == 0 else float("inf"))
            agrees = off <= max(RELATIVE * abs(value), ABSOLUTE)
            entry = table.setdefault((kind, class_of(feature)), [0, 0.0, 0])
            entry[0] += 1
            entry[1] = max(entry[1], relative if off > ABSOLUTE else 0.0)
            entry[2] += not agrees
            if not agrees:
                exceptions.append((name, feature, found, value, relative))
        if n_done % 25 == 0:
            out(f"{n_done} pictures, {n_values} values, {len(exceptions)} over the limit\n")
            sys.stdout.flush()
    out(f"\n{n_done} pictures, {n_values} values, {len(exceptions)} over the limit\n\n")
    out(
        "| pictures | class | values | largest relative deviation | over the limit |\n| --- | --- | --- | --- | --- |\n"
    )
    for (kind, group), (n, worst, n_over) in sorted(table.items()):
        out(f"| {kind} | {group} | {n} | {worst:.1e} | {n_over} |\n")
    for name, note in notes:
        out(f"{name}: {note}\n")
    for name, feature, found, value, relative in exceptions[:200]:
        out(f"{name}: {feature}: {found!r} for {value!r}, relative {relative:.1e}\n")
    if given.output:
        record = {"table": [[*key, *value] for key, value in table.items()], "exceptions": exceptions, "notes": notes}
        given.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(1 if exceptions or notes else 0)


if __name__ == "__main__":
    main()
