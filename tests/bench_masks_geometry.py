"""How well breast, pectoral muscle and LE/RC shift are found: ``python tests/bench_masks_geometry.py [PART ...]``.

Parts: phantoms, p40, pairs. Phantoms have planted outlines and offsets. The real pairs (CDD-CESM, letterboxed to 512
pixels) have no known shift: their figures are refusals, false acceptances of two patients' pictures, and the agreement
with the offset of the reader's masks. The P40 originals are also registered patch by patch, by normalised correlation.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from bench_timing import say
from cemrad.features.breast import find_breast
from cemrad.features.case import PictureKey
from cemrad.features.errors import CaseError
from cemrad.features.image import Image
from cemrad.features.mask import bounding_box
from cemrad.features.registration import register
from cemrad.pipeline.cohorts.phantom import Settings, read
from PIL import Image as Pillow
from scipy import ndimage
from skimage.feature import match_template

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CEMRAD_REALDATA") or ROOT.parent / "shared" / "data") / "cdd-cesm"
SHARES = (0, 5, 25, 50, 75, 90, 95, 100)


def spread(values):
    """Percentiles 0, 5, 25, 50, 75, 90, 95 and 100."""
    return np.percentile(values, SHARES).round(2).tolist() if len(values) else []


def tell(*parts):
    say(" ".join(str(part) for part in parts))


def grey(path):
    return np.asarray(Pillow.open(path).convert("L"))


def phantom_pairs(n_patients, seed):
    """Each view once: low-energy and recombined source."""
    seen = set()
    for case in read(Settings(n_patients=n_patients, seed=seed)).cases:
        for name in ("CC", "MLO"):
            keys = PictureKey("LE", name), PictureKey("RC", name)
            if keys[0] in case.pictures and case.pictures[keys[0]].image.view not in seen:
                seen.add(case.pictures[keys[0]].image.view)
                yield case, name, *(case.pictures[key].image for key in keys)


def phantoms():
    errors, dice, outcomes = [], [], Counter()
    for case, name, le, rc in phantom_pairs(60, seed=11):
        for picture in (le, rc):
            truth, found = picture.breast(), find_breast(picture.read(), case.laterality, name)
            dice.append(2 * np.count_nonzero(truth & found.mask) / (truth.sum() + found.mask.sum()))
            outcomes["side wrong"] += found.side != case.laterality
            outcomes[f"{picture.image_type} {name} pectoral found"] += found.pectoral is not None
            outcomes[f"{picture.image_type} {name}"] += 1
        try:
            shift = register(le.read(), rc.read())
        except CaseError as error:
            outcomes[error.code] += 1
            continue
        top, left = le.view.offset_px()
        errors.append(max(abs(shift.rows_px + top), abs(shift.columns_px + left)))
        outcomes[le.view.breast.vendor] += 1
    tell("phantoms: breast Dice", spread(dice))
    tell("  shift error px", spread(errors), "within 1 px:", np.mean(np.array(errors) <= 1), "of", len(errors))
    tell(" ", dict(outcomes))


def outcome(le, rc, *masks):
    try:
        return register(Image(le), Image(rc), *masks)
    except CaseError as error:
        return error.code


def pairs():
    breasts, codes, strangers, agreement, quality, seconds = Counter(), Counter(), Counter(), [], [], []
    before = {}
    for path in sorted((DATA / "pairs-512" / "images").glob("*.jpg")):
        _, side, _, view = path.stem.split("_")[:4]
        start = time.perf_counter()
        try:
            found = find_breast(grey(path), side, view)
        except CaseError as error:
            breasts[error.code] += 1
            continue
        seconds.append(time.perf_counter() - start)
        breasts["found"] += 1
        breasts["chest wall on another side than stated"] += found.side != side
        breasts[f"pectoral {path.stem.split('_')[2]} {view}"] += found.pectoral is not None
        other = path.with_name(path.name.replace("_DM_", "_CM_"))
        if "_DM_" not in path.name or not other.is_file():
            continue
        le, rc = grey(path), grey(other)
        shift = outcome(le, rc)
        codes[shift if isinstance(shift, str) else "registered"] += 1
        for stranger in before.get((side, view), [])[-1:]:
            result = outcome(stranger, rc)
            strangers[result if isinstance(result, str) else "registered"] += 1
        before.setdefault((side, view), []).append(le)
        if sum(codes.values()) % 25 == 0:
            tell("  so far", dict(codes), dict(strangers))
        if not isinstance(shift, str):
            quality.append(shift.quality)
            masks = [grey(Path(str(p).replace("/images/", "/masks/"))) > 127 for p in (path, other)]
            drawn = outcome(le, rc, *masks)
            boxes = [np.array(bounding_box(mask)) for mask in masks]
            same_size = np.abs(np.diff(boxes[0])[::2] - np.diff(boxes[1])[::2]).max() <= 2
            if drawn.method == "contours" and same_size:
                gap = max(abs(shift.rows_px - drawn.rows_px), abs(shift.columns_px - drawn.columns_px))
                agreement.append(gap)
    tell("pairs-512: breasts", dict(breasts), "seconds", spread(seconds))
    tell("  pairs", dict(codes), "quality", spread(quality))
    tell("  LE of another patient, same side and view", dict(strangers))
    tell("  gap px to the offset of masks that match", spread(agreement), "of", len(agreement))


def patches(le, rc):
    """Median shift and its quartiles over patches of 256 px, by normalised correlation of a band-pass."""
    low, high = (ndimage.gaussian_filter(x, 2.0) - ndimage.gaussian_filter(x, 12.0) for x in (le, rc))
    found = []
    for row in range(300, le.shape[0] - 200, 150):
        for column in range(300, le.shape[1] - 200, 150):
            around = (slice(row - 176, row + 176), slice(column - 176, column + 176))
            part = (slice(row - 128, row + 128), slice(column - 128, column + 128))
            if high[around].shape == (352, 352) and np.mean(le[part] < 5) < 0.05:
                peaks = match_template(high[around], low[part])
                if peaks.max() > 0.2:
                    found.append(np.array(np.unravel_index(peaks.argmax(), peaks.shape)) - 48)
    return np.percentile(found, (25, 50, 75), axis=0).tolist(), len(found)


def p40():
    for side in "LR":
        le, rc = (
            grey(DATA / "original-p40" / f"P40_{side}_{kind}_MLO.jpg").astype(np.float32) for kind in ("DM", "CM")
        )
        start = time.perf_counter()
        shift = outcome(le, rc)
        tell(f"P40 {side}:", shift, f"{time.perf_counter() - start:.2f} s")
        tell("  patches: quartiles of rows and columns", *patches(le, rc))
        cut = outcome(le, rc[37:-60, 20:-20])
        tell("  after cutting 37 rows and 20 columns:", cut)


if __name__ == "__main__":
    for part in sys.argv[1:] or ["phantoms", "p40", "pairs"]:
        {"phantoms": phantoms, "pairs": pairs, "p40": p40}[part]()
