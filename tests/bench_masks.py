"""Automatic masks on the real pairs: trained, drawn and compared as docs/masks.md states them.

    python tests/bench_masks.py OUT --weights tf_efficientnet_lite0.safetensors [--jobs 2] [--epochs 14]

Writes a manifest and a study file, runs `cemrad masks train` and `cemrad masks compare` on them, and pictures of the
best and the worst masks. Interrupted, it goes on where it was.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageDraw
from scipy import ndimage

DATA = Path(os.environ.get("CEMRAD_REALDATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
STUDY = """\
schema_version: 1
name: cdd-cesm-pairs
cohort: {{reader: manifest, path: manifest.csv, root: {root}}}
mask_training:
  folds: 5
  segmenter:
    channels: pair
    network: {{encoder: {encoder}, weights: {weights}}}
  training: {{epochs: {epochs}, patience: {epochs}, rate: 0.0015, average: 0.98}}
mask_arms:
  classic: {{source: enhancement}}
  classic_rc_to_le: {{source: enhancement, arms: rc_to_le}}
  classic_le_to_rc: {{source: enhancement, arms: le_to_rc}}
  unet: {{source: unet, path: segmenter}}
  unet_alone: {{source: unet, path: segmenter, alone: true}}
  unet_unsorted: {{source: unet, path: segmenter, reject: false}}
  transferred: {{source: transferred}}
features:
  families: {{radiomics: {{parameters: {{imageType: {{Original: {{}}}}, featureClass: {{firstorder: , shape2D: , glcm: }}, setting: {{binCount: 32}}}}}}}}
endpoints: []
"""  # noqa: E501


def write_manifest(folder: Path) -> Path:
    """A row per picture; LE and RC of a view are pictures of one case, a breast."""
    root = DATA / "cdd-cesm" / "pairs-512"
    rows = []
    for image in sorted((root / "images").glob("*.jpg")):
        patient, side, kind, view = image.stem.split("_", 3)
        rows.append({
            "patient_id": patient, "lesion_id": "1", "laterality": side, "view": view, "image_type": kind,
            "image_path": f"images/{image.name}", "mask_path": f"masks/{image.name}",
        })  # fmt: skip
    path = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
    return path


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def cemrad(*arguments: str) -> None:
    started = time.perf_counter()
    code = "from cemrad.pipeline.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    say(f"cemrad {' '.join(arguments[:2])}: {time.perf_counter() - started:.0f} s")


def picture(overlaps: pd.DataFrame, masks: str, drawn: Path, path: Path) -> None:
    """The 12 best and the 12 worst RC masks of an arm: the reader's contour green, the drawn one red."""
    root = DATA / "cdd-cesm" / "pairs-512"
    of = overlaps[(overlaps["masks"] == masks) & (overlaps["image_type"] == "RC")].sort_values("dice")
    tiles = []
    for row in [*of.tail(12)[::-1].itertuples(), *of.head(12).itertuples()]:
        patient, side, _ = row.case_id.split("_")
        stem = f"{patient}_{side}_CM_{row.view}"
        grey = np.array(PIL.Image.open(root / "images" / f"{stem}.jpg").convert("L"))
        reader = np.array(PIL.Image.open(root / "masks" / f"{stem}.jpg").convert("L")) > 127
        file = drawn / f"{row.case_id}__{row.picture}.png"
        found = np.array(PIL.Image.open(file)) > 0 if file.is_file() else np.zeros_like(reader)
        tile = np.stack([grey] * 3, -1)
        for mask, colour in ((reader, (0, 255, 0)), (found, (255, 60, 60))):
            tile[mask & ~ndimage.binary_erosion(mask, iterations=2)] = colour
        made = PIL.Image.fromarray(tile).resize((256, 256))
        PIL.ImageDraw.Draw(made).text((4, 4), f"Dice {row.dice:.2f}", fill=(255, 255, 0))
        tiles.append(np.array(made))
    rows = [np.hstack(tiles[start : start + 6]) for start in range(0, len(tiles), 6)]
    PIL.Image.fromarray(np.vstack(rows)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="imagenet", help="of the encoder: imagenet, random, or a safetensors file")
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--jobs", default="2")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    out = asked.out.resolve()
    write_manifest(out)
    study = out / "study.yaml"
    weights = str(Path(asked.weights).resolve()) if asked.weights.endswith(".safetensors") else asked.weights
    study.write_text(
        STUDY.format(root=DATA / "cdd-cesm" / "pairs-512", encoder=asked.encoder, weights=weights, epochs=asked.epochs),
        encoding="utf-8",
    )
    cemrad("masks", "train", str(study), "--output", str(out / "segmenter"), "--jobs", asked.jobs)
    cemrad("masks", "compare", str(study), "--output", str(out / "compared"), "--jobs", asked.jobs)
    summary = pd.read_csv(out / "compared" / "mask_summary.csv")
    shown = summary[(summary["view"].isna()) & (summary["counted"] != "all") | summary["metric"].isin(["dice", "iou"])]
    say(shown.to_string(index=False))
    overlaps = pd.read_csv(out / "compared" / "mask_overlap.csv")
    for masks in ("unet", "classic"):
        (drawn,) = (out / "compared" / "drawn_masks").glob(f"{masks}-????????")
        picture(overlaps, masks, drawn / "masks", out / f"{masks}_best_and_worst.png")


if __name__ == "__main__":
    main()
