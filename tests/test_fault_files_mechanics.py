"""Faults of files: what is no ordinary image file is refused at once, in one row, and nothing is followed."""

import os
import zipfile

import pytest

from .fault_cohort import breast, clean, require_contained, require_told, save, with_fault


def _content(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return {"image_path": name}

    return write


def _named_dicom(folder):
    (folder / "bad.dcm").write_bytes((folder / "bad.png").read_bytes())
    return {"image_path": "bad.dcm"}


def _cut(name, kept):
    def write(folder):
        save(folder / name, breast(3))
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


FAULTS = {
    "C1 empty": (_content("bad.dcm", b""), "file.empty", "0 bytes"),
    "C1 text": (_content("bad.dcm", b"no picture\n" * 90), "file.not_dicom", "bad.dcm"),
    "C1 random": (_content("bad.dcm", bytes(range(256)) * 9), "file.not_dicom", "bad.dcm"),
    "C1 PNG named dcm": (_named_dicom, "file.not_dicom", "bad.dcm"),
    "C1 text named png": (_content("bad.png", b"no picture\n" * 90), "file.corrupt", "bad.png"),
    "C1 text named nrrd": (_content("bad.nrrd", b"no picture\n" * 90), "file.corrupt", "bad.nrrd"),
    "C2 half a PNG": (_cut("bad.png", 0.5), "file.truncated", "copy it again"),
    "C2 PNG less one byte": (_cut("bad.png", 1), "file.truncated", "copy it again"),
    "C2 half a JPEG": (_cut("bad.jpg", 0.5), "file.truncated", "copy it again"),
    "C2 half a NRRD": (_cut("bad.nrrd", 0.5), "file.corrupt", "cut off"),
    "C2 half a NIfTI": (_cut("bad.nii", 0.5), "file.truncated", "copy it again"),
    "C2 NIfTI less one byte": (_cut("bad.nii", 1), "file.truncated", "1 bytes are missing"),
    "C2 half a packed NIfTI": (_cut("bad.nii.gz", 0.5), "file.corrupt", "cut off"),
    "C2 packed NIfTI less one byte": (_cut("bad.nii.gz", 1), "file.corrupt", "cut off"),
    "C2 half a MHA": (_cut("bad.mha", 0.5), "file.corrupt", "cut off"),
    "C18 link out": (_link(_outside), "path.outside_root", "leads out"),
    "C18 link to a device": (_link(lambda _: "/dev/zero"), "path.outside_root", "leads out"),
    "C18 link to itself": (_link(lambda folder: folder / "bad_link.png"), "path.invalid", "cannot be followed"),
    "C18 device": (lambda _: {"image_path": "/dev/zero"}, "path.outside_root", "leads out"),
    "C18 pipe": (_pipe, "file.not_file", "not a file"),
    "C18 pipe as mask": (_pipe_mask, "file.not_file", "not a file"),
    "C18 folder": (_folder, "file.not_file", "not a file"),
    "C20 archive": (_archive, "file.unknown_format", ".png"),
    "D7 parent": (lambda folder: {"image_path": f"../{_outside(folder).name}"}, "path.outside_root", "as root"),
    "D7 absolute": (lambda folder: {"image_path": str(_outside(folder))}, "path.outside_root", "as root"),
    "D7 UNC": (lambda _: {"image_path": r"\\server\share\a.png"}, "path.outside_root", "as root"),
    "D7 home": (lambda _: {"image_path": "~/a.png"}, "file.missing", "no such file"),
    "D8 missing": (lambda _: {"image_path": "none.png"}, "file.missing", "none.png"),
    "D8 missing mask": (lambda _: {"mask_path": "none.png"}, "file.missing", "none.png"),
    "D8 no cell": (lambda _: {"image_path": ""}, "path.missing", "name the file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_read_is_one_failed_row(tmp_path, fault):
    expected = clean(tmp_path)
    write, code, word = FAULTS[fault]
    found = with_fault(tmp_path, **write(tmp_path))
    require_told(found, "failed", code, word)
    require_contained(found, expected, gives=False)


def test_an_archive_is_never_unpacked(tmp_path):
    expected = clean(tmp_path)
    folder = tmp_path / "inner"
    folder.mkdir()
    save(folder / "bad.png", breast(3))
    _archive(folder)
    found = with_fault(tmp_path, image_path="inner/bad.zip")
    require_contained(found, expected, gives=False)
    assert sorted(path.name for path in folder.iterdir()) == ["bad.png", "bad.zip"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_permission_is_one_failed_row(tmp_path):
    expected = clean(tmp_path)
    (tmp_path / "bad.png").chmod(0)
    found = with_fault(tmp_path)
    require_told(found, "failed", "file.unreadable", "permission")
    require_contained(found, expected, gives=False)
