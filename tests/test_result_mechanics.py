"""A result on disk: complete, readable without this package's code, and refused when it is not one."""

import json
import zipfile
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.crop import Crop
from cemrad.features.errors import TableError
from cemrad.models.evaluate import evaluate
from cemrad.models.result import Result


@pytest.fixture(scope="module")
def result(make_table, quick):
    table, labels = make_table(40, seed=2)
    rare = labels.assign(rare=["1"] + ["0"] * (len(labels) - 1))
    found = evaluate(table, rare, ["malignancy", "rare"], quick, name="stored study")
    mask = np.zeros((5, 5), dtype=bool)
    mask[1:3, 2:4] = True
    crop = Crop(np.arange(25, dtype=np.float32).reshape(5, 5), mask, top=-2, left=7)
    whole = Crop(np.full((3, 3), 4095, dtype=np.uint16), np.ones((3, 3), dtype=bool), top=0, left=0)
    crops = {"case001": {"RC_CC": crop, "LE_CC": whole}, "7/../=x": {"IMG": whole}}
    return replace(found, crops=crops, phantom=True, cohort={"name": "c", "counts": {"cases": 3}, "notes": []})


def test_every_field_survives(result, tmp_path):
    result.save(tmp_path)
    again = Result.load(tmp_path)
    for field in fields(Result):
        one, other = getattr(result, field.name), getattr(again, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(other, one, check_exact=True, obj=field.name)
        elif field.name == "tables":
            assert list(other) == sorted(one)
            for name, table in one.items():
                pd.testing.assert_frame_equal(other[name], table, obj=name)
        elif field.name != "crops":
            assert other == one, field.name
    assert {case: set(pictures) for case, pictures in again.crops.items()} == {
        case: set(pictures) for case, pictures in result.crops.items()
    }
    for case, pictures in result.crops.items():
        for picture, crop in pictures.items():
            other = again.crops[case][picture]
            assert (other.top, other.left, other.pixels.dtype) == (crop.top, crop.left, crop.pixels.dtype)
            assert (other.pixels == crop.pixels).all()
            assert (other.mask == crop.mask).all()


def test_metrics_are_plain_json(result, tmp_path):
    result.save(tmp_path)
    stored = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=lambda name: 1 / 0)
    assert len(stored["metrics"]) == len(result.metrics)
    unknown = [row for row in stored["metrics"] if row["endpoint"] == "rare"]
    assert all(row["estimate"] is None and row["method"].startswith("not estimable") for row in unknown)


def test_crops_need_no_pickle(result, tmp_path):
    result.save(tmp_path)
    with np.load(tmp_path / "crops.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


def test_an_empty_gallery_is_stored_too(result, tmp_path):
    replace(result, crops={}).save(tmp_path)
    assert Result.load(tmp_path).crops == {}


@pytest.mark.parametrize("name", ["predictions.parquet", "metrics.json", "crops.npz", "result.json", "exclusions.csv"])
def test_a_missing_or_damaged_file_is_named(result, tmp_path, name):
    result.save(tmp_path)
    (tmp_path / name).write_bytes(b"\x80\x04nonsense")
    with pytest.raises(TableError, match="cannot be read"):
        Result.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(TableError, match=f"holds no {name}"):
        Result.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("../out.npy", b"", "leads out"), ("a.npy", bytes(2**26), "over 100 times")],
    ids=["C20 parent", "C20 ratio"],
)
def test_crops_that_are_no_honest_archive_are_refused(result, tmp_path, name, content, message):
    result.save(tmp_path)
    with zipfile.ZipFile(tmp_path / "crops.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    with pytest.raises(TableError, match=message):
        Result.load(tmp_path)


def test_further_tables_survive_and_go_with_a_later_result(result, tmp_path):
    curve = pd.DataFrame({"endpoint": ["=er"], "predicted": [0.5], "n": [3]})
    replace(result, tables={"calibration": curve, "audit": curve[:0]}).save(tmp_path)
    again = Result.load(tmp_path)
    assert list(again.tables) == ["audit", "calibration"]
    pd.testing.assert_frame_equal(again.tables["calibration"], curve)
    replace(result, tables={}).save(tmp_path)
    assert Result.load(tmp_path).tables == {}
    assert not list(tmp_path.glob("table_*"))


def test_a_result_stored_before_the_further_thresholds_is_read(result, tmp_path):
    result.save(tmp_path)
    path = tmp_path / "predictions.parquet"
    pd.read_parquet(path).drop(columns=["threshold_sens95", "threshold_sens100"]).to_parquet(path, index=False)
    again = Result.load(tmp_path).predictions
    assert again["threshold_sens95"].isna().all()
    assert list(again.columns) == list(result.predictions.columns)


def test_crops_are_unpacked_when_they_are_asked_for_and_saved_again(result, tmp_path):
    result.save(tmp_path / "a")
    stored = Result.load(tmp_path / "a")
    assert list(stored.crops) == list(result.crops)
    stored.save(tmp_path / "a")  # in the place of what it reads from
    stored.save(tmp_path / "b")
    again = Result.load(tmp_path / "b").crops
    for case_id, pictures in result.crops.items():
        assert list(again[case_id]) == list(pictures)
        for name, crop in pictures.items():
            back = again[case_id][name]
            np.testing.assert_array_equal(back.pixels, crop.pixels)
            np.testing.assert_array_equal(back.mask, crop.mask)
            assert (back.top, back.left) == (crop.top, crop.left)
