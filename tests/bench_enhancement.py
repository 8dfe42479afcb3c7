"""How well the drawer without training draws: ``python tests/bench_enhancement.py phantoms|pairs [N]``.

Phantoms: `N` patients, the union of a picture's lesions against what was accepted. Pairs: `N` views, in the order of
a hash, of the real pictures (CDD-CESM, letterboxed to 512 pixels), with the four arms of Danala et al. and with a
point (the middle of the reader's mask) or a box (its bounding box) as a user would place them. Weights and thresholds
were chosen on half of the patients: those whose hash is even. The table states both halves.
"""

import hashlib
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from bench_timing import say
from cemrad.features.errors import CaseError
from cemrad.features.image import Image
from cemrad.features.overlap import compare_masks
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.drawer import View
from cemrad.pipeline.masks.enhancement import Drawer, Settings
from PIL import Image as Pillow

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CEMRAD_REALDATA") or ROOT.parent / "shared" / "data")
TYPES = {"LE": "DM", "RC": "CM"}


def number(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def middle(mask):
    inside = np.argwhere(mask)
    row, column = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return float(row), float(column)


def box(mask):
    rows, columns = np.nonzero(mask)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def real_views(n):
    """Patient, side, view, and image and mask by type, of the first `n` views."""
    folder = DATA / "cdd-cesm" / "pairs-512"
    parts = [path.stem.split("_") for path in (folder / "images").glob("*.jpg")]
    stems = {(patient, side, "_".join(view)) for patient, side, _, *view in parts}
    for patient, side, view in sorted(stems, key=lambda stem: number("_".join(stem)))[:n]:
        pictures = {}
        for image_type, code in TYPES.items():
            name = f"{patient}_{side}_{code}_{view}.jpg"
            if (folder / "images" / name).exists():
                grey, mask = (np.asarray(Pillow.open(folder / k / name).convert("L")) for k in ("images", "masks"))
                pictures[image_type] = Image(grey), mask > 127
        yield patient, side, view, pictures


def phantom_views(n):
    """The same of `n` phantom patients, whose masks are united."""
    images, masks = defaultdict(dict), defaultdict(lambda: defaultdict(list))
    for case in phantom.read(phantom.Settings(n_patients=n, first_patient=400)).cases:
        for key, picture in case.pictures.items():
            name = case.patient_id, case.laterality, key.view
            image = images[name].setdefault(key.image_type, picture.image.read())
            masks[name][key.image_type].append(picture.mask.read(image))
    for name, pair in images.items():
        yield *name, {kind: (image, np.any(masks[name][kind], axis=0)) for kind, image in pair.items()}


def rows_of(views, arms):
    for patient, side, view, pictures in views:
        images = {kind: image for kind, (image, _) in pictures.items()}
        points = {kind: middle(mask) for kind, (_, mask) in pictures.items()}
        boxes = {kind: box(mask) for kind, (_, mask) in pictures.items()}
        for arm, seeds in arms:
            placed = {"points": points} if seeds == "point" else {"boxes": boxes} if seeds == "box" else {}
            start = time.process_time()
            drawn = Drawer(Settings(arms=arm)).draw(View(patient, patient, view, side, images, **placed))
            seconds = (time.process_time() - start) / len(images)
            for kind, (_, mask) in pictures.items():
                if arm == "own" or kind == arm[-2:].upper():
                    row = {"arm": arm, "seeds": seeds, "type": kind, "half": number(patient) % 2, "cpu_s": seconds}
                    yield {**row, **judged(drawn[kind], mask)}


def judged(drawing, mask):
    if isinstance(drawing, CaseError):
        return {"code": drawing.code}
    overlap = compare_masks(mask, drawing.mask)
    return {"code": "", "dice": overlap.dice, "iou": overlap.iou, "hd95_px": overlap.hd95_px}


def table(frame, by):
    groups = frame.groupby(by)
    columns = {
        "pictures": groups.size(),
        "refused": groups.code.apply(lambda codes: int((codes != "").sum())),
        "dice": groups.dice.mean(),
        "dice_median": groups.dice.median(),
        "iou": groups.iou.mean(),
        "hd95_px_median": groups.hd95_px.median(),
        "cpu_s": groups.cpu_s.mean(),
    }
    say(pd.DataFrame(columns).round(3).to_string())


if __name__ == "__main__":
    part, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10**6
    arms = [("own", "automatic"), ("own", "point")]
    if part == "pairs":
        arms += [("own", "box"), ("rc_to_le", "automatic"), ("le_to_rc", "automatic")]
    found = []
    for row in rows_of(phantom_views(min(n, 24)) if part == "phantoms" else real_views(n), arms):
        found.append(row)
        if len(found) % 80 == 0:
            table(pd.DataFrame(found), ["seeds", "arm", "type"])
    if not found:
        sys.exit(f"no pictures under {DATA}: set CEMRAD_REALDATA")
    frame = pd.DataFrame(found)
    table(frame, ["seeds", "arm", "type"])
    if part == "pairs":
        table(frame, ["half", "seeds", "arm", "type"])
