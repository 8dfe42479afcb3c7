"""Faults that show only when a region is resampled or re-segmented: one failed row, and no other case is harmed."""

import numpy as np
import pytest

from .fault_cohort import HEALTHY, PARAMETERS, SHAPE, breast, clean, disc, require_told, save, with_fault


def _asked(**setting):
    return {"parameters": PARAMETERS | {"setting": {"binCount": 16, **setting}}}


@pytest.mark.parametrize("share_in_range", [0.0, 0.4])
def test_a_region_that_resegmentation_empties(tmp_path, share_in_range):
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


def test_a_region_that_resampling_loses(tmp_path):
    clean(tmp_path)
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:67:2, 31] = mask[3:67:2, 33] = 1  # 64 px over 3 columns, none of them at a new pixel's centre
    save(tmp_path / "bad.nrrd", breast(3, np.int16))
    save(tmp_path / "bad_mask.nrrd", mask)
    asked = _asked(resampledPixelSpacing=[3.0, 3.0, 0], interpolator="sitkBSpline") | {"units": "mm"}
    found = with_fault(tmp_path, radiomics=asked, image_path="bad.nrrd", mask_path="bad_mask.nrrd")
    rows = found.failures[(found.failures.case_id == "bad") & (found.failures.state == "failed")]
    assert rows.code.tolist() == ["mask.lost_in_resampling"]
    assert found.values.loc["bad"].isna().all()
