"""Faults of files: what is no ordinary image file is refused at once, in one row, and nothing is followed."""

import os
import zipfile
from pathlib import Path

import pytest
from cemrad.features.errors import BundleError, CohortError, StudyError
from cemrad.features.parameters import read_parameters
from cemrad.models.bundle import Bundle
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.masks.via import read_via
from cemrad.pipeline.study import read_study

from .fault_cohort import breast, clean, require_contained, require_told, save, with_fault


def _content(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return {"image_path": name}

    return write


def _named_dicom(folder):
    (folder / "bad.dcm").write_bytes((folder / "bad.png").read_bytes())
    return {"image_path": "bad.dcm"}


def _cut(name, kept, packed=False):
    def write(folder):
        save(folder / name, breast(3), packed=packed)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * kept) if kept < 1 else -1])
        return {"image_path": name}

    return write


def _folder(folder):
    (folder / "bad_folder.png").mkdir()
    return {"image_path": "bad_folder.png"}


def _pipe(folder):
    os.mkfifo(folder / "bad_pipe.png")
    return {"image_path": "bad_pipe.png"}


def _pipe_mask(folder):
    return {"mask_path": _pipe(folder)["image_path"]}


def _link(target):
    def write(folder):
        (folder / "bad_link.png").symlink_to(target(folder))
        return {"image_path": "bad_link.png"}

    return write


def _outside(folder):
    path = folder.parent / f"{folder.name}_outside.png"
    save(path, breast(3))
    return path


def _archive(folder):
    with zipfile.ZipFile(folder / "bad.zip", "w") as archive:
        archive.write(folder / "bad.png", "../bad.png")
    return {"image_path": "bad.zip"}


def _link_mask(folder):
    return {"mask_path": _link(_outside)(folder)["image_path"]}


FAULTS = {
    "C1 empty": (_content("bad.dcm", b""), "file.empty", "0 bytes"),
    "C1 text": (_content("bad.dcm", b"no picture\n" * 90), "file.not_dicom", "bad.dcm"),
    "C1 random": (_content("bad.dcm", bytes(range(256)) * 9), "file.not_dicom", "bad.dcm"),
    "C1 PNG named dcm": (_named_dicom, "file.not_dicom", "bad.dcm"),
    "C1 text named png": (_content("bad.png", b"no picture\n" * 90), "file.corrupt", "bad.png"),
    "C1 random named nii": (_content("bad.nii", bytes(range(256)) * 9), "file.corrupt", "bad.nii"),
    "C1 random named mha": (_content("bad.mha", bytes(range(256)) * 9), "file.corrupt", "bad.mha"),
    "C1 text named nrrd": (_content("bad.nrrd", b"no picture\n" * 90), "file.corrupt", "bad.nrrd"),
    "C2 half a PNG": (_cut("bad.png", 0.5), "file.truncated", "copy it again"),
    "C2 PNG less one byte": (_cut("bad.png", 1), "file.truncated", "copy it again"),
    "C2 half a JPEG": (_cut("bad.jpg", 0.5), "file.truncated", "copy it again"),
    "C2 half a TIFF": (_cut("bad.tif", 0.5), "file.truncated", "file again"),
    "C2 half a NRRD": (_cut("bad.nrrd", 0.5), "file.truncated", "copy it again"),
    "C2 NRRD less one byte": (_cut("bad.nrrd", 1), "file.truncated", "1 bytes are missing"),
    "C2 packed NRRD less one byte": (_cut("bad.nrrd", 1, packed=True), "file.truncated", "copy it again"),
    "C2 half a NIfTI": (_cut("bad.nii", 0.5), "file.truncated", "copy it again"),
    "C2 NIfTI less one byte": (_cut("bad.nii", 1), "file.truncated", "1 bytes are missing"),
    "C2 half a packed NIfTI": (_cut("bad.nii.gz", 0.5), "file.truncated", "copy it again"),
    "C2 packed NIfTI less one byte": (_cut("bad.nii.gz", 1), "file.truncated", "copy it again"),
    "C2 half a MHA": (_cut("bad.mha", 0.5), "file.truncated", "copy it again"),
    "C2 MHA less one byte": (_cut("bad.mha", 1), "file.truncated", "1 bytes are missing"),
    "C2 packed MHA less one byte": (_cut("bad.mha", 1, packed=True), "file.truncated", "copy it again"),
    "C18 link out": (_link(_outside), "path.outside_root", "leads out"),
    "C18 link to a device": (_link(lambda _: "/dev/zero"), "path.outside_root", "leads out"),
    "C18 link out as mask": (_link_mask, "path.outside_root", "leads out"),
    "C18 link to itself": (_link(lambda folder: folder / "bad_link.png"), "path.invalid", "cannot be followed"),
    "C18 device": (lambda _: {"image_path": "/dev/zero"}, "path.outside_root", "leads out"),
    "C18 pipe": (_pipe, "file.not_file", "not a file"),
    "C18 pipe as mask": (_pipe_mask, "file.not_file", "not a file"),
    "C18 folder": (_folder, "file.not_file", "not a file"),
    "C20 archive": (_archive, "file.unknown_format", ".png"),
    "D6 path with NUL": (lambda _: {"image_path": "bad.png\0.txt"}, "path.invalid", "not a path"),
    "D7 parent": (lambda folder: {"image_path": f"../{_outside(folder).name}"}, "path.outside_root", "as root"),
    "D7 absolute": (lambda folder: {"image_path": str(_outside(folder))}, "path.outside_root", "as root"),
    "D7 UNC": (lambda _: {"image_path": r"\\server\share\a.png"}, "path.outside_root", "as root"),
    "D7 home": (lambda _: {"image_path": "~/a.png"}, "path.outside_root", "as root"),
    "D8 missing": (lambda _: {"image_path": "none.png"}, "file.missing", "none.png"),
    "D8 missing mask": (lambda _: {"mask_path": "none.png"}, "file.missing", "none.png"),
    "D7 mask": (lambda folder: {"mask_path": f"../{_outside(folder).name}"}, "path.outside_root", "as root"),
    "D8 no cell": (lambda _: {"image_path": ""}, "path.missing", "name the file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_read_is_one_failed_row(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, word = FAULTS[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "failed", code, word)
    require_contained(found, expected, gives=False)


def test_c20_an_archive_is_never_unpacked(tmp_path):
    expected = clean(tmp_path)
    folder = tmp_path / "inner"
    folder.mkdir()
    save(folder / "bad.png", breast(3))
    _archive(folder)
    found = with_fault(tmp_path, image_path="inner/bad.zip")
    require_contained(found, expected, gives=False)
    assert sorted(path.name for path in folder.iterdir()) == ["bad.png", "bad.zip"]


def test_c18_a_link_that_stays_inside_is_followed(tmp_path):
    expected = clean(tmp_path)
    plain = with_fault(tmp_path).values
    (tmp_path / "inner").mkdir()
    (tmp_path / "bad.png").rename(tmp_path / "inner" / "real.png")
    (tmp_path / "bad.png").symlink_to("inner/real.png")
    found = with_fault(tmp_path)
    assert found.failures.empty
    assert found.values.equals(plain)
    require_contained(found, expected, gives=True)


def test_d8_a_file_without_permission_is_one_failed_row(tmp_path, monkeypatch):
    expected = clean(tmp_path)
    opened = Path.open

    def refused(path, *args, **kwargs):
        if path.name == "bad.png":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)  # the superuser may read a file of mode 0
    found = with_fault(tmp_path)
    require_told(found, "failed", "file.unreadable", "ermission")
    require_contained(found, expected, gives=False)


def _table(path):
    return read(Settings(path=path))


SPECIAL = {
    "C18 study": (read_study, "study.yaml", StudyError),
    "C18 parameter file": (read_parameters, "p.yaml", StudyError),
    "C18 CSV": (_table, "cohort.csv", CohortError),
    "C18 packed CSV": (_table, "cohort.csv.gz", CohortError),
    "C18 workbook": (_table, "cohort.xlsx", CohortError),
    "C18 Parquet": (_table, "cohort.parquet", CohortError),
    "C18 contours": (read_via, "via.json", CohortError),
    "C18 contours as table": (read_via, "via.csv", CohortError),
    "C18 bundle": (Bundle.load, "a.cemrad", BundleError),
}


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_before_work(tmp_path, what, make):
    read_it, name, error = SPECIAL[what]
    make(tmp_path / name)
    with pytest.raises(error, match=name):
        read_it(tmp_path / name)
