"""Faults of what belongs together: files of another picture, and images that are no pair."""

import zlib

import numpy as np
import pytest

from .fault_cohort import (
    HEALTHY,
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


def _named(image, mask, **stated):
    def write(folder):
        save(folder / image, breast(3))
        save(folder / mask, disc())
        return {"image_path": image, "mask_path": mask} | stated

    return write


MISNAMED = {
    "A20 mask of another view": (_named("bad_L_CC.png", "bad_L_MLO_mask.png"), "mask.misnamed", ("MLO", "CC")),
    "A20 mask of another side": (
        _named("bad.png", "bad_right_mask.png", laterality="L"), "mask.misnamed", ("R", "L"),
    ),
    "B13 image of another side": (_named("bad_rcc.png", "m.png", laterality="L"), "image.misnamed", ("R", "L")),
    "B13 image of another view": (_named("bad_mlo.png", "m.png", view="CC"), "image.misnamed", ("MLO", "CC")),
}  # fmt: skip


@pytest.mark.parametrize("fault", MISNAMED)
def test_a_file_named_after_another_picture_is_warned_of(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, words = MISNAMED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "warned", code, "row 5", *words)
    require_contained(found, expected, gives=True)


def _copy(folder):
    (folder / "bad.png").write_bytes((folder / "007.png").read_bytes())
    return {}


SHARED = {
    "A20 mask of another patient": (lambda _: {"mask_path": "007_mask.png"}, "mask.shared"),
    "D2 image of another patient": (lambda _: {"image_path": "007.png"}, "image.shared"),
    "D2 copy of another patient's image": (_copy, "image.shared"),
}


@pytest.mark.parametrize("fault", SHARED)
def test_a_file_of_two_patients_is_warned_of_at_both(tmp_path, fault):
    expected = clean(tmp_path)
    write, code = SHARED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    told = found.failures
    assert told[["case_id", "state", "code"]].to_numpy().tolist() == [[i, "warned", code] for i in ("007", "bad")]
    for reason, other in zip(told.reason, ("row 5", "row 2"), strict=True):
        assert "'007' and 'bad'" in reason
        assert other in reason
    own = found.values.loc[list(HEALTHY)].to_numpy(float)
    assert own.tobytes() == expected.values.to_numpy(float).tobytes()
    assert found.values.loc["bad"].notna().all()


def _exam(folder, name, **of_recombined):
    """Two rows, of the low-energy and the recombined image of one view."""
    rows = []
    for kind in ("LE", "RC"):
        image, mask = f"{name}_{kind.lower()}.png", f"{name}_{kind.lower()}_mask.png"
        if not (folder / image).exists():
            save(folder / image, breast(zlib.crc32(image.encode())))
            save(folder / mask, disc())
        rows.append({"patient_id": name, "image_type": kind, "laterality": "L", "view": "CC"})
        rows[-1] |= {"image_path": image, "mask_path": mask}
    rows[1] |= of_recombined
    return rows


def _of_pairs(folder, *faulty):
    healthy = [row for name in HEALTHY for row in _exam(folder, name)]
    expected = computed(table(folder / "clean.csv", healthy)).values
    found = computed(table(folder / "cohort.csv", [*healthy, *faulty]))
    ids = [f"{name}_L_1" for name in HEALTHY]
    assert found.values.loc[ids, expected.columns].to_numpy(float).tobytes() == expected.to_numpy(float).tobytes()
    return found


@pytest.mark.parametrize(
    ("stated", "case_id", "absent"),
    [({"laterality": "R"}, "bad_R_1", "LE_CC"), ({"view": "MLO"}, "bad_L_1", "RC_CC")],
    ids=["B13 side", "B13 view"],
)
def test_images_of_two_sides_or_views_are_never_a_pair(tmp_path, stated, case_id, absent):
    found = _of_pairs(tmp_path, *_exam(tmp_path, "bad", **stated))
    told = found.failures[found.failures.case_id == case_id]
    assert told[["state", "code", "picture"]].to_numpy().tolist() == [["skipped", "picture.missing", absent]]
    assert found.values.loc[case_id].filter(like=absent).isna().all()


def test_b13_images_of_two_sizes_are_measured_each_with_its_own_mask(tmp_path):
    save(tmp_path / "bad_le.png", breast(3))
    save(tmp_path / "bad_le_mask.png", disc())
    save(tmp_path / "bad_rc.png", np.pad(breast(4), ((7, 0), (0, 5)), mode="edge"))
    save(tmp_path / "bad_rc_mask.png", np.pad(disc(), ((7, 0), (0, 5))))
    moved = _of_pairs(tmp_path, *_exam(tmp_path, "bad"))
    save(tmp_path / "bad_rc.png", breast(4))
    save(tmp_path / "bad_rc_mask.png", disc())
    plain = _of_pairs(tmp_path, *_exam(tmp_path, "bad"))
    assert moved.failures.empty
    assert moved.values.to_numpy(float).tobytes() == plain.values.to_numpy(float).tobytes()


def test_b13_a_mask_of_the_other_image_of_another_size_is_one_failed_picture(tmp_path):
    rows = _exam(tmp_path, "bad", mask_path="bad_le_mask.png")
    save(tmp_path / "bad_rc.png", np.pad(breast(4), ((7, 0), (0, 5)), mode="edge"))
    found = _of_pairs(tmp_path, *rows)
    told = found.failures[found.failures.state == "failed"]
    assert told[["case_id", "code", "picture"]].to_numpy().tolist() == [["bad_L_1", "geometry.size", "RC_CC"]]
    assert f"{SHAPE[0]} x {SHAPE[1]}" in told.reason.item()
    assert found.values.loc["bad_L_1"].notna().sum() * 2 == found.values.shape[1]
