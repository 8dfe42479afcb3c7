"""Faults of pixels: each is one row with a stable code, numbers are kept where they mean something, no other case."""

import re
import struct

import numpy as np
import pytest
from cemrad.features.errors import StudyError
from cemrad.features.image import Image
from cemrad.features.reading import background_share

from .fault_cohort import HEALTHY, PARAMETERS, breast, clean, disc, require_contained, require_told, save, with_fault


def _volume(change, dtype=np.float32, **placed):
    def write(folder):
        pixels = breast(3, dtype)
        change(pixels)
        save(folder / "bad.nrrd", pixels, **placed)
        return {"image_path": "bad.nrrd"}

    return write


def _set(place, value):
    def change(pixels):
        pixels[place] = value

    return change


REGION = disc().astype(bool)
FAILED = {
    "B1 constant region": (_volume(_set(REGION, 70)), "roi.constant", ("70",)),
    "B1 constant picture": (_volume(_set(..., 70)), "roi.constant", ("70",)),
    "B2 NaN inside": (_volume(_set((40, 30), np.nan)), "pixel.nonfinite", ("NaN",)),
    "B3 NaN outside": (_volume(_set((1, 1), np.nan)), "pixel.nonfinite", ("NaN",)),
    "B4 Inf": (_volume(_set((40, 30), np.inf)), "pixel.nonfinite", ("infinite",)),
    "B4 minus Inf outside": (_volume(_set((1, 1), -np.inf)), "pixel.nonfinite", ("infinite",)),
}


@pytest.mark.parametrize("fault", FAILED)
def test_pixels_that_cannot_be_used_are_one_failed_row(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, words = FAILED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "failed", code, *words)
    require_contained(found, expected, gives=False)


def _padded(value):
    def change(pixels):
        pixels[:, 38:] = value  # the disc reaches column 40

    return change


WARNED = {
    "B19 air below the tissue": (_volume(_padded(0), np.int16), "roi.background", ("% of the mask", "padding")),
    "B19 padding above it": (_volume(_padded(4095), np.int16), "roi.background", ("% of the mask", "padding")),
    "B20 saturated": (_volume(_set((slice(38, 42), slice(25, 35)), 4095), np.int16), "roi.saturated", ("12.6%",)),
}


@pytest.mark.parametrize("fault", WARNED)
def test_doubtful_pixels_are_warned_of_and_keep_their_numbers(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, words = WARNED[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "warned", code, *words)
    require_contained(found, expected, gives=True)


@pytest.mark.parametrize(("n_columns", "judged"), [(12, False), (13, True)])
def test_less_than_a_fifth_of_the_picture_is_no_background(n_columns, judged):
    pixels = breast(3).astype(np.int16)
    pixels[:, :n_columns] = 0
    mask = np.roll(REGION, -15, axis=1)
    share = background_share(Image(pixels), mask)
    assert share == (mask[:, :n_columns].sum() / mask.sum() if judged else None)


def test_a_flat_area_away_from_the_edge_is_no_background():
    pixels = breast(3).astype(np.int16)
    pixels[5:75, 5:59] = 0
    assert background_share(Image(pixels), REGION) is None


def test_b5_one_hot_pixel_is_counted_before_memory_is_taken(tmp_path):
    # binWidth 25: healthy pictures have some 7 bins, one hot pixel makes 160,000
    asked = PARAMETERS | {"setting": {"binWidth": 25}}
    clean(tmp_path)
    healthy = with_fault(tmp_path, radiomics={"parameters": asked})
    found = with_fault(tmp_path, radiomics={"parameters": asked}, **_volume(_set((40, 30), 4e6))(tmp_path))
    require_told(found, "failed", "bins.too_many", "1024")
    own, other = (t.values.loc[list(HEALTHY)].to_numpy(float) for t in (found, healthy))
    assert own.tobytes() == other.tobytes()
    assert found.values.loc["bad"].isna().all()


IMPOSSIBLE = [
    {"binWidth": 0}, {"binWidth": -5}, {"binWidth": "25"}, {"binWidth": float("nan")}, {"binCount": 1},
    {"binCount": 0}, {"binCount": 100_000},
]  # fmt: skip


@pytest.mark.parametrize("setting", IMPOSSIBLE, ids=str)
def test_b6_bins_that_cannot_be_are_refused_before_work(tmp_path, setting):
    clean(tmp_path)
    with pytest.raises(StudyError, match="bin"):
        with_fault(tmp_path, radiomics={"parameters": PARAMETERS | {"setting": setting}})


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0)])
def test_b15_millimetres_are_never_invented(tmp_path, spacing):
    clean(tmp_path)
    cells = {} if spacing is None else _volume(_set((1, 1), 70), spacing=spacing)(tmp_path)
    found = with_fault(tmp_path, radiomics={"units": "mm"}, **cells)
    row = found.failures[found.failures.case_id == "bad"]
    assert row.code.tolist() == ["spacing.missing"]
    assert row.state.tolist() == ["failed"]
    assert "use px" in row.reason.item()
    assert found.values.isna().all(axis=None)


def _text_header(name, pattern, text):
    def write(folder):
        save(folder / name, breast(3, np.int16))
        content, n = re.subn(pattern, text, (folder / name).read_bytes(), count=1)
        assert n == 1
        (folder / name).write_bytes(content)
        return {"image_path": name}

    return write


def _nifti_header(folder):
    save(folder / "bad.nii", breast(3, np.int16))
    content = bytearray((folder / "bad.nii").read_bytes())
    struct.pack_into("<2f", content, 80, 0.0, 0.1)  # pixdim
    (folder / "bad.nii").write_bytes(content)
    return {"image_path": "bad.nii"}


NO_SPACING = {
    "B16 NRRD": _text_header("bad.nrrd", rb"space directions: [^\n]*", b"space directions: (0,0) (0,0.1)"),
    "B16 MHA": _text_header("bad.mha", rb"ElementSpacing = [^\n]*", b"ElementSpacing = 0 0.1"),
    "B16 NIfTI": _nifti_header,
}


@pytest.mark.parametrize("fault", NO_SPACING)
@pytest.mark.parametrize("units", ["px", "mm"])
def test_a_spacing_of_zero_is_never_replaced(tmp_path, fault, units):
    expected = clean(tmp_path)
    found = with_fault(tmp_path, radiomics={"units": units}, **NO_SPACING[fault](tmp_path))
    rows = found.failures[found.failures.case_id == "bad"]
    assert rows[["state", "code"]].to_numpy().tolist() == [["failed", "spacing.invalid"]]
    assert "0 x 0.1" in rows.reason.item()
    if units == "px":
        require_contained(found, expected, gives=False)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64])
def test_b17_every_number_type_gives_the_same_numbers(tmp_path, dtype):
    clean(tmp_path)
    pixels = breast(3) // 2
    save(tmp_path / "bad.png", pixels)
    expected = with_fault(tmp_path).values.loc["bad"].to_numpy(float)
    save(tmp_path / "bad.nrrd", pixels.astype(dtype))
    found = with_fault(tmp_path, image_path="bad.nrrd")
    assert found.failures.empty
    assert found.values.loc["bad"].to_numpy(float).tobytes() == expected.tobytes()


def test_b17_twelve_bits_in_a_sixteen_bit_png_are_taken_as_they_are(tmp_path):
    clean(tmp_path)
    pixels = breast(3, np.uint16) * 20 + 95  # up to 4095
    save(tmp_path / "bad.png", pixels)
    found = with_fault(tmp_path)
    save(tmp_path / "bad.nrrd", pixels)
    expected = with_fault(tmp_path, image_path="bad.nrrd")
    assert found.failures.empty
    assert found.values.to_numpy(float).tobytes() == expected.values.to_numpy(float).tobytes()
