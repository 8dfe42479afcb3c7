"""Damaged bytes: whatever is wrong with a file, its row says so in our own words, and nothing else escapes."""

import json

import numpy as np
import PIL.Image
import pytest
import SimpleITK
from cemrad.features.errors import CaseError, CohortError, ImageError
from cemrad.features.image import Image
from cemrad.features.imagefile import ImageFile
from cemrad.pipeline.masks.label_image import LabelImage
from cemrad.pipeline.masks.via import read_via
from cemrad.pipeline.roots import Roots

PIXELS = np.random.default_rng(1).integers(0, 255, (16, 16), dtype=np.uint8)
N_MUTATIONS = 60


def _written(path, write_dicom):
    if path.suffix == ".dcm":
        write_dicom(path, PIXELS, PixelSpacing=[0.1, 0.1], PresentationIntentType="FOR PROCESSING")
    elif path.suffix in (".nrrd", ".nii", ".mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(PIXELS), path)
    else:
        PIL.Image.fromarray(PIXELS).save(path)
    return path.read_bytes()


def _mutated(content, rng):
    """A few bytes of the file, most of them in its header, replaced at random."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        end = len(damaged) if rng.random() < 0.3 else min(len(damaged), 700)
        damaged[rng.integers(0, end)] = rng.integers(0, 256)
    return bytes(damaged)


@pytest.mark.filterwarnings("ignore")  # decoders warn of what they pass over
@pytest.mark.parametrize("suffix", [".dcm", ".tif", ".png", ".jpg", ".nrrd", ".nii", ".mha"])
def test_mutated_files_are_read_or_refused(tmp_path, write_dicom, suffix):
    path = tmp_path / f"a{suffix}"
    content = _written(path, write_dicom)
    image = Image(PIXELS)
    rng = np.random.default_rng(7)
    refused = []
    for _ in range(N_MUTATIONS):
        path.write_bytes(_mutated(content, rng))
        for read in (ImageFile(path).read, lambda: LabelImage(path, threshold=9.0).read(image)):
            try:
                read()
            except CaseError as error:
                refused.append(f"{error.code}: {error}")
    assert refused
    assert all(path.name in text or text.startswith(("geometry.", "image.", "pixel.")) for text in refused)


def test_what_a_decoder_raises_is_named_and_not_quoted(tmp_path, monkeypatch):
    def stumble(path):
        raise NotImplementedError("Doe^Jane")

    (tmp_path / "a.dcm").write_bytes(b"something")
    monkeypatch.setattr("cemrad.features.imagefile.decode_dicom", stumble)
    with pytest.raises(ImageError, match="NotImplementedError") as caught:
        ImageFile(tmp_path / "a.dcm").read()
    assert caught.value.code == "file.corrupt"
    assert "Jane" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(b"something")
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(ImageError) as caught:
        ImageFile(tmp_path / "a.png").read()
    assert caught.value.code == "file.unreadable"


NRRD = b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\n"
MHA = b"ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.nrrd", NRRD + b"# remark\n" * 9000 + b"data file: ../outside/secret.raw\n\n"),
        ("a.nrrd", NRRD + b"Data File: ../outside/secret.raw\r\n\r\n"),
        ("a.nrrd ", NRRD + b"data file: ../outside/secret.raw\n\n"),
        ("a.mha", MHA + b"Comment = ElementDataFile=LOCAL\nElementDataFile = ../outside/secret.raw\n"),
        ("a.mha", MHA + b"ElementDataFile = ../outside/secret.raw\nElementDataFile = LOCAL\nabcd"),
        ("a.mha", MHA + b"ElementDataFile = ../outside/secret.raw\n"),
        ("a.mha", MHA + b"Comment =\nElementDataFile = LOCAL\nElementDataFile = ../outside/secret.raw\n"),
    ],
)
def test_no_header_leads_out_of_its_file(tmp_path, name, header):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.raw").write_bytes(b"abcd")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    path.write_bytes(header)
    with pytest.raises(ImageError) as caught:
        ImageFile(path).read()
    assert caught.value.code == "file.unsupported"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_attached_pixels_are_read_whatever_else_the_header_says(tmp_path, name):
    image = SimpleITK.GetImageFromArray(PIXELS)
    image.SetMetaData("0008|0060", "MG")
    SimpleITK.WriteImage(image, tmp_path / name)
    np.testing.assert_array_equal(ImageFile(tmp_path / name).read().pixels, PIXELS)


def test_a_name_too_long_for_a_file_is_one_bad_row(tmp_path):
    with pytest.raises(CaseError) as caught:
        Roots(tmp_path).file("a" * 300 + ".png")
    assert caught.value.code == "path.invalid"


def test_a_folder_that_may_not_be_entered_is_one_bad_row(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.exists", refuse)
    with pytest.raises(CaseError) as caught:
        Roots(tmp_path).file("a.png")
    assert caught.value.code == "file.unreadable"


@pytest.mark.parametrize(
    "regions",
    [
        [{"shape_attributes": {"name": "polygon", "all_points_x": [], "all_points_y": []}}],
        [{"shape_attributes": {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}}],
        [{"shape_attributes": {"name": "circle", "cx": 10**400, "cy": 1, "r": 1}}],
        [{"shape_attributes": ["polygon"]}],
        ["polygon"],
        None,
    ],
)
def test_regions_that_are_none_are_refused(tmp_path, regions):
    path = tmp_path / "via.json"
    path.write_text(json.dumps({"a": {"filename": "a.png", "size": 1, "regions": regions}}))
    with pytest.raises(CohortError, match=r"a\.png"):
        read_via(path)
