"""Faults that show only when a region is resampled or re-segmented: one failed row, and no other case is harmed."""

import numpy as np
import pytest

from .fault_cohort import (
    HEALTHY,
    PARAMETERS,
    SHAPE,
    breast,
    clean,
    computed,
    disc,
    require_contained,
    require_told,
    save,
    table,
    with_fault,
)


def _asked(**setting):
    return {"parameters": PARAMETERS | {"setting": {"binCount": 16, **setting}}}


@pytest.mark.parametrize("share_in_range", [0.0, 0.4])
def test_a22_a_region_that_resegmentation_empties(tmp_path, share_in_range):
    clean(tmp_path)
    asked = _asked(resegmentRange=[40, 200])
    healthy = with_fault(tmp_path, radiomics=asked)
    pixels = breast(3, np.int16)
    inside = np.flatnonzero(disc())
    pixels.flat[inside[int(share_in_range * len(inside)) :]] += 1000
    save(tmp_path / "bad.nrrd", pixels)
    found = with_fault(tmp_path, radiomics=asked, image_path="bad.nrrd")
    kept = int(share_in_range * len(inside)) / len(inside)
    require_told(found, "failed", "roi.resegmented", f"{kept:.1%}", "resegmentRange")
    own, other = (t.values.loc[list(HEALTHY)].to_numpy(float) for t in (found, healthy))
    assert own.tobytes() == other.tobytes()
    assert found.values.loc["bad"].isna().all()


def test_a21_a_region_that_resampling_loses(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:67:2, 30] = mask[3:67:2, 33] = 1  # 64 px; new pixels have their centres in columns 1, 4, 7, ...
    rows = []
    for k, name in enumerate((*HEALTHY, "bad")):
        save(tmp_path / f"{name}.nrrd", breast(k, np.int16), spacing=(0.5, 0.5))
        save(tmp_path / f"{name}_mask.nrrd", mask if name == "bad" else disc(), spacing=(0.5, 0.5))
        cells = {"case_id": name, "patient_id": name, "image_path": f"{name}.nrrd", "mask_path": f"{name}_mask.nrrd"}
        rows.append(cells)
    asked = _asked(resampledPixelSpacing=[1.5, 1.5, 0], interpolator="sitkBSpline") | {"units": "mm"}
    expected = computed(table(tmp_path / "clean.csv", rows[:-1]), **asked)
    found = computed(table(tmp_path / "cohort.csv", rows), **asked)
    require_told(found, "failed", "mask.lost_in_resampling", "mask")
    require_contained(found, expected, gives=False)
