"""A small cohort on disk, healthy but for one fault, and what must hold of its table whatever the fault is."""

import csv
from pathlib import Path

import numpy as np
import PIL.Image
import SimpleITK
from cemrad.features.settings import parse_settings
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.extract import FeatureSettings, extract

SHAPE = (80, 64)
HEALTHY = ("007", "NA", "1e5")
FAULTY = "bad"
PARAMETERS = {
    "imageType": {"Original": {}},
    "featureClass": {"firstorder": [], "glcm": []},
    "setting": {"binCount": 16},
}
BASE = {"case_id": FAULTY, "patient_id": FAULTY, "image_path": "bad.png", "mask_path": "bad_mask.png"}


def disc(value=1, dtype=np.uint8, centre=(40, 30), radius=10):
    """A round mask."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    return np.where(inside, value, 0).astype(dtype)


def breast(seed=1, dtype=np.uint8):
    """Noise between 40 and 200, as no picture with a flat background or saturated tissue is."""
    return np.random.default_rng(seed).integers(40, 200, SHAPE).astype(dtype)


def save(path: Path, pixels, spacing=None, origin=None, direction=None, *, packed=False):
    """Write an array by the ending of its path; spacing and origin are of columns and rows (x, y)."""
    if path.suffix in (".png", ".jpg", ".tif"):
        PIL.Image.fromarray(pixels).save(path)
        return path.name
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing(spacing or (0.1, 0.1))
    image.SetOrigin(origin or (0.0, 0.0))
    image.SetDirection(direction or (1.0, 0.0, 0.0, 1.0))
    SimpleITK.WriteImage(image, str(path), packed)
    return path.name


def table(path: Path, rows):
    """Write rows, given as mappings, as CSV."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def healthy(folder: Path):
    """Files of the healthy cases and of one more named ``bad``, which a fault then overwrites; rows of the former."""
    for k, name in enumerate((*HEALTHY, FAULTY)):
        save(folder / f"{name}.png", breast(k))
        save(folder / f"{name}_mask.png", disc())
    return [{key: text.replace(FAULTY, name) for key, text in BASE.items()} for name in HEALTHY]


def computed(path: Path, settings=None, mask_rules=None, **radiomics):
    """The product's own way: the manifest's cohort, then the extraction."""
    families = {"radiomics": {"parameters": PARAMETERS} | radiomics}
    asked = {"families": families, "mask_rules": mask_rules or {}}
    return extract(
        read(Settings(path=path, **(settings or {}))), parse_settings(FeatureSettings, asked, where="features")
    )


def clean(folder: Path):
    """The table of the healthy cases alone."""
    return computed(table(folder / "clean.csv", healthy(folder)))


def with_fault(folder: Path, settings=None, radiomics=None, mask_rules=None, **cells):
    """The table of the healthy cases and the faulty one; files must have been written."""
    rows = [{key: text.replace(FAULTY, name) for key, text in BASE.items()} for name in HEALTHY]
    path = table(folder / "cohort.csv", [*rows, BASE | cells])
    return computed(path, settings, mask_rules, **(radiomics or {}))


def require_contained(found, expected, *, gives: bool):
    """The healthy rows are those of the clean table bit by bit; the faulty row has all numbers or none."""
    assert list(found.values.columns) == list(expected.values.columns)
    own, clean_values = (t.values.loc[list(HEALTHY)].to_numpy(float) for t in (found, expected))
    assert own.tobytes() == clean_values.tobytes()
    assert np.isfinite(clean_values).all()
    assert set(found.failures.case_id) <= {FAULTY}
    n_failed = int(found.failures.state.eq("failed").any())
    counts = found.provenance["counts"]
    assert counts["cases"] + counts["rows_refused"] == len(HEALTHY) + 1
    assert counts["cases_ok"] + counts["cases_failed"] == counts["cases"]
    assert counts["cases_failed"] + counts["rows_refused"] == n_failed
    if FAULTY in found.values.index:
        numbers = found.values.loc[FAULTY].to_numpy(float)
        assert np.isfinite(numbers).all() if gives else np.isnan(numbers).all()
    else:
        assert not gives


def require_told(found, state, code, *words):
    """One row of the failures tells this, with these words; nothing else failed."""
    rows = found.failures[found.failures.code == code]
    assert len(rows) == 1, found.failures.to_string()
    assert rows.state.item() == state
    for word in words:
        assert word in rows.reason.item()
    assert found.failures[found.failures.code != code].state.ne("failed").all()
