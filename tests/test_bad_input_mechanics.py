"""Bad input: each fault ends in its own row with a stable code, and the other rows stay as they are, bit by bit."""

import csv
import os

import numpy as np
import PIL.Image
import pytest
import SimpleITK
from cemrad.features.errors import CohortError
from cemrad.features.mask import MaskRules
from cemrad.pipeline.check import check
from cemrad.pipeline.cohorts.manifest import Settings, read

HEADER = [
    "patient_id", "lesion_id", "laterality", "view", "image_type", "image_path", "mask_path", "mask_label",
    "malignancy", "er",
]  # fmt: skip
SHAPE = (48, 40)
IDS = ("007", "NA", "1e5")


def _mask():
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:30, 8:28] = 255
    return mask


def _png(path, pixels):
    PIL.Image.fromarray(pixels).save(path)
    return path.name


def _row(**cells):
    base = {"patient_id": "bad", "lesion_id": "1", "laterality": "L", "view": "CC", "image_type": "LE"}
    base |= {"image_path": "own.png", "mask_path": "own_mask.png", "malignancy": "malignant", "er": "positive"}
    return [str((base | cells).get(name, "")) for name in HEADER]


def _write(folder, rows, header=HEADER, name="manifest.csv"):
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return folder / name


@pytest.fixture
def good(tmp_path):
    """A folder with three good rows, and files for a fourth; returns the folder and the rows."""
    rng = np.random.default_rng(11)
    for k in (0, 1, 2, "own"):
        _png(tmp_path / f"{k}.png", rng.integers(0, 255, SHAPE, dtype=np.uint8))
        _png(tmp_path / f"{k}_mask.png", _mask())
    return tmp_path, [
        _row(patient_id=patient, image_path=f"{k}.png", mask_path=f"{k}_mask.png") for k, patient in enumerate(IDS)
    ]


def _pixels(cohort):
    """Everything that is read of the good cases, as bytes."""
    found = {}
    for case in cohort.cases:
        if case.patient_id in IDS:
            for key, picture in case.pictures.items():
                image, mask = picture.read(MaskRules())
                found[case.case_id, key] = (image.pixels.tobytes(), mask.tobytes(), dict(case.labels))
    return found


def _noise(folder, suffix=".png", shape=SHAPE, channels=()):
    pixels = np.random.default_rng(4).integers(0, 255, (*shape, *channels), dtype=np.uint8)
    return _png(folder / f"bad{suffix}", pixels)


def _cut(folder, suffix, kept):
    name = _noise(folder, suffix)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * kept)])
    return name


def _corrupt_jpeg(folder):
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\x00" * 400 + b"\xff\xd9")
    return "bad.jpg"


def _content(folder, name, content):
    (folder / name).write_bytes(content)
    return name


def _made_folder(folder):
    (folder / "bad.png").mkdir()
    return "bad.png"


def _outside(folder):
    _png(folder.parent / f"{folder.name}_outside.png", np.zeros(SHAPE, np.uint8))
    return f"../{folder.name}_outside.png"


def _link_out(folder):
    (folder / "link.png").symlink_to(folder / _outside(folder))
    return "link.png"


def _link_loop(folder):
    os.symlink("loop.png", folder / "loop.png")
    return "loop.png"


def _set(folder, pixels):
    return _png(folder / "bad_mask.png", pixels)


def _block(height, width, shape=SHAPE, value=255):
    mask = np.zeros(shape, np.uint8)
    mask[5 : 5 + height, 5 : 5 + width] = value
    return mask


def _two_labels(folder):
    return _set(folder, _block(20, 10, value=1) + np.roll(_block(20, 10, value=2), 15, axis=1))


def _soft(folder):
    mask = _mask()
    mask[10] = mask[10] // 2
    return _set(folder, mask)


def _volume(folder, name, pixels, **places):
    volume = SimpleITK.GetImageFromArray(pixels)
    for what, value in places.items():
        getattr(volume, what)(value)
    SimpleITK.WriteImage(volume, folder / name)
    return name


def _nan_image(folder):
    pixels = np.ones(SHAPE, np.float32)
    pixels[12, 12] = np.nan
    return _volume(folder, "bad.nrrd", pixels)


def _shifted(folder):
    pixels = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    image = _volume(folder, "bad.nrrd", pixels, SetSpacing=(0.1, 0.1))
    mask = _volume(folder, "bad_mask.nrrd", _mask(), SetSpacing=(0.1, 0.1), SetOrigin=(1.0, 0.0))
    return {"image_path": image, "mask_path": mask}


def _spaced(folder):
    return _shifted(folder) | {
        "mask_path": _volume(folder, "bad_mask.nrrd", _mask(), SetSpacing=(0.2, 0.2)),
    }


def _via(folder, text):
    return _content(folder, "via.json", text.encode())


def image(make):
    """A fault of the image alone."""
    return lambda folder: {"image_path": make(folder)}


def mask(make):
    """A fault of the mask alone."""
    return lambda folder: {"mask_path": make(folder)}


FAULTS = {
    "no image file": (image(lambda _: "absent.png"), "file.missing"),
    "no image named": (image(lambda _: ""), "path.missing"),
    "a folder as image": (image(_made_folder), "file.not_file"),
    "zero bytes": (image(lambda f: _content(f, "bad.png", b"")), "file.empty"),
    "corrupt JPEG": (image(_corrupt_jpeg), "file.corrupt"),
    "truncated JPEG": (image(lambda f: _cut(f, ".jpg", 0.6)), "file.truncated"),
    "truncated PNG": (image(lambda f: _cut(f, ".png", 0.6)), "file.truncated"),
    "text as DICOM": (image(lambda f: _content(f, "bad.dcm", b"not an image")), "file.not_dicom"),
    "PNG as DICOM": (image(lambda f: _content(f, "bad.dcm", (f / "own.png").read_bytes())), "file.not_dicom"),
    "text as PNG": (image(lambda f: _content(f, "bad.png", b"not an image")), "file.corrupt"),
    "unknown ending": (image(lambda f: _content(f, "bad.xyz", b"something")), "file.unknown_format"),
    "volume": (image(lambda f: _volume(f, "bad.nii.gz", np.zeros((3, *SHAPE), np.uint8))), "image.not_2d"),
    "NaN in the image": (image(_nan_image), "pixel.nonfinite"),
    "path out of the folder": (image(_outside), "path.outside_root"),
    "absolute path": (image(lambda _: "/etc/hostname"), "path.outside_root"),
    "link out of the folder": (image(_link_out), "path.outside_root"),
    "link to itself": (image(_link_loop), ("path.invalid", "file.missing")),
    "altered file": (lambda _: {"image_sha256": "0" * 64}, "file.changed"),
    "no mask file": (mask(lambda _: "absent.png"), "file.missing"),
    "mask out of the folder": (mask(_outside), "path.outside_root"),
    "empty mask": (mask(lambda f: _set(f, np.zeros(SHAPE, np.uint8))), "mask.empty"),
    "one pixel": (mask(lambda f: _set(f, _block(1, 1))), "mask.too_small"),
    "one row": (mask(lambda f: _set(f, _block(1, 30))), "mask.too_small"),
    "2 x 2 pixels": (mask(lambda f: _set(f, _block(2, 2))), "mask.too_small"),
    "mask of another size": (mask(lambda f: _set(f, _block(20, 20, (40, 48)))), "geometry.size"),
    "soft edges": (mask(_soft), "mask.not_binary"),
    "several labels": (mask(_two_labels), "mask.multilabel"),
    "label not there": (lambda f: {"mask_path": _two_labels(f), "mask_label": "3"}, "mask.label_absent"),
    "label not a number": (lambda _: {"mask_label": "tumour"}, "mask.label_invalid"),
    "mask in colour": (mask(lambda f: _noise(f, channels=(3,))), "mask.colour"),
    "mask elsewhere": (_shifted, "geometry.origin"),
    "mask of another spacing": (_spaced, "geometry.spacing"),
    "contours of another picture": (mask(lambda f: _via(f, "{}")), "mask.missing"),
    "contours that are not JSON": (mask(lambda f: _via(f, "{")), "mask.malformed"),
    "unknown view": (lambda _: {"view": "sideways"}, "view.unknown"),
    "unknown laterality": (lambda _: {"laterality": "both"}, "laterality.unknown"),
    "unknown image type": (lambda _: {"image_type": "MRI"}, "image_type.unknown"),
    "no patient": (lambda _: {"patient_id": " "}, "id.missing"),
}


def test_there_are_enough_faults():
    assert len(FAULTS) >= 25


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_row_and_harms_no_other(good, fault):
    folder, rows = good
    before = _pixels(read(Settings(path=_write(folder, rows, name="clean.csv"))))
    make, code = FAULTS[fault]
    header = [*HEADER, "image_sha256"]
    cells = make(folder)
    bad = [*_row(**cells), cells.get("image_sha256", "")]
    mixed = [[*rows[0], ""], bad, *([*row, ""] for row in rows[1:])]
    cohort = read(Settings(path=_write(folder, mixed, header)))
    report = check(cohort)
    (failure,) = report.failures
    assert failure.code in ((code,) if isinstance(code, str) else code)
    assert failure.state == "failed"
    assert failure.case_id in ("bad_L_1", "row 3")
    assert len(failure.reason) > 15
    assert str(folder) not in failure.reason
    assert _pixels(cohort) == before
    assert len(before) == 3
    assert report.exit_code == 3


def test_a_multi_frame_dicom(good, write_dicom):
    folder, rows = good
    write_dicom(folder / "bad.dcm", np.zeros((4, *SHAPE)))
    cohort = read(Settings(path=_write(folder, [*rows, _row(image_path="bad.dcm")])))
    assert [f.code for f in check(cohort).failures] == ["image.not_2d"]
    assert len(_pixels(cohort)) == 3


def test_a_real_tomosynthesis_object(good, realdata):
    folder, rows = good
    (folder / "bad.dcm").write_bytes((realdata / "dicom" / "jpeg2k_3d.dcm").read_bytes())
    cohort = read(Settings(path=_write(folder, [*rows, _row(image_path="bad.dcm")])))
    assert [f.code for f in check(cohort).failures] == ["image.not_2d"]


WARNED = {
    "full mask": (mask(lambda f: _set(f, np.full(SHAPE, 255, np.uint8))), "mask.full_image"),
    "receptor of a benign lesion": (lambda _: {"malignancy": "benign"}, "label.needs_cancer"),
}


@pytest.mark.parametrize("fault", WARNED)
def test_what_can_be_computed_is_warned_of(good, fault):
    folder, rows = good
    make, code = WARNED[fault]
    report = check(read(Settings(path=_write(folder, [*rows, _row(**make(folder))]))))
    assert [(f.case_id, f.code, f.state) for f in report.failures] == [("bad_L_1", code, "warned")]
    assert report.exit_code == 0


def test_a_constant_image_is_refused_by_both_families(good):
    folder, rows = good
    change = image(lambda f: _png(f / "bad.png", np.full(SHAPE, 9, np.uint8)))
    report = check(read(Settings(path=_write(folder, [*rows, _row(**change(folder))]))))
    told = [(f.case_id, f.stage, f.code, f.state) for f in report.failures]
    assert told == [
        ("bad_L_1", "radiomics", "roi.constant", "failed"),
        ("bad_L_1", "deep", "image.constant", "failed"),
    ]
    assert report.exit_code == 3


def test_conflicting_labels_leave_that_label_out(good):
    folder, rows = good
    both = [_row(), _row(image_type="RC", er="negative", image_path=_noise(folder))]
    cohort = read(Settings(path=_write(folder, [*rows, *both])))
    assert [(f.case_id, f.code) for f in cohort.failures] == [("bad_L_1", "label.conflict")]
    assert cohort.cases[-1].labels == {"malignancy": "malignant", "er": None}
    assert cohort.cases[0].labels == {"malignancy": "malignant", "er": "positive"}


def test_a_missing_label_is_none_and_no_failure(good):
    folder, rows = good
    cohort = read(Settings(path=_write(folder, [*rows, _row(malignancy="", er="unknown")])))
    assert cohort.failures == ()
    assert cohort.cases[-1].labels == {"malignancy": None, "er": None}


def test_a_colour_image_is_read_as_grey_and_said(good):
    folder, rows = good
    cohort = read(Settings(path=_write(folder, [*rows, _row(image_path=_noise(folder, channels=(3,)))])))
    report = check(cohort)
    assert report.failures == ()
    assert any("BT.601" in line for line in report.lines())


REFUSED = {
    "duplicate picture": (lambda rows: [*rows, rows[0]], HEADER, r"007_L_1 LE_CC \(2 times\)"),
    "ids alike but for case": (lambda rows: [*rows, _row(patient_id="na")], HEADER, "'NA' and 'na'"),
    "ids alike but for a blank": (lambda rows: [*rows, _row(patient_id="007 ")], HEADER, "'007' and '007 '"),
    "no column of images": (lambda rows: rows, ["imge_path" if n == "image_path" else n for n in HEADER], "imge_path"),
    "no column of masks": (lambda rows: rows, ["msk_path" if n == "mask_path" else n for n in HEADER], "msk_path"),
    "a column twice": (lambda rows: rows, [*HEADER[:-1], "view"], "'view'"),
    "no rows": (lambda rows: [], HEADER, "no rows"),
    "a row too long": (lambda rows: [rows[0], [*rows[1], "x"]], HEADER, "line 3 has 11 cells"),
    "no header": (lambda rows: rows, [""] * len(HEADER), "no header"),
    "two columns for one label": (lambda rows: rows, [*HEADER[:-1], "pathology"], "both state malignancy"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_table_that_nobody_can_read_is_refused_whole(good, fault):
    folder, rows = good
    change, header, message = REFUSED[fault]
    with pytest.raises(CohortError, match=message):
        read(Settings(path=_write(folder, change(rows), header)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", "no header"),
        ("m.csv", "Image,Mask\nä.png,b.png\n".encode("latin-1"), "not UTF-8"),
        ("m.csv", b'Image,Mask\n"a.png,b.png\n', "line"),
        ("m.xlsx", b"not a workbook", "workbook"),
        ("m.parquet", b"not a table", "Parquet"),
        ("m.pdf", b"%PDF", "not a table"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CohortError, match=message):
        read(Settings(path=tmp_path / name))


def test_a_byte_order_mark_and_semicolons_change_nothing(good):
    folder, rows = good
    before = _pixels(read(Settings(path=_write(folder, rows))))
    text = "\r\n".join(";".join(row) for row in [HEADER, *rows])
    (folder / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert _pixels(read(Settings(path=folder / "m.csv"))) == before


def test_masks_of_strange_ids_stay_in_their_folder(good):
    from cemrad.pipeline.write_masks import write_masks

    folder, rows = good
    strange = ["../../etc/passwd", "CON", "a" * 300, "x\u202ey", "Case", "c:ase"]
    more = [_row(patient_id=name) for name in strange] + [
        _row(patient_id="P", lesion_id="a"),
        _row(patient_id="P_L", laterality="", lesion_id="A"),
    ]
    cohort = read(Settings(path=_write(folder, [*rows, *more])))
    areas = write_masks(cohort, folder / "masks")
    assert (areas["state"] == "ok").all()
    assert len({name.casefold() for name in areas["file"]}) == len(areas) == 11
    assert {path.name for path in (folder / "masks").iterdir()} == {*areas["file"], "areas_px.csv"}
    assert set(areas["area_px"]) == {400}
    written = np.asarray(PIL.Image.open(folder / "masks" / areas["file"][0]))
    np.testing.assert_array_equal(written, _mask())
