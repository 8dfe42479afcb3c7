"""Image files that cannot be read say why, with a stable code; nothing is read from where it should not be."""

import hashlib
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import SimpleITK
from cemrad.features import decoded
from cemrad.features.errors import ImageError
from cemrad.features.imagefile import ImageFile

NOISE = np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)


def _code(path, sha256=None):
    with pytest.raises(ImageError) as caught:
        ImageFile(path, sha256).read()
    assert path.name in str(caught.value)
    return caught.value.code


def _saved(path, pixels=NOISE, **options):
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def test_no_file(tmp_path):
    assert _code(tmp_path / "a.png") == "file.missing"


def test_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert _code(tmp_path / "a.png") == "file.not_file"


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert _code(tmp_path / "a.png") == "file.not_file"


def test_zero_bytes(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert _code(tmp_path / "a.jpg") == "file.empty"


def test_an_unknown_ending(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"something")
    assert _code(tmp_path / "a.xyz") == "file.unknown_format"


@pytest.mark.parametrize("content", [b"plain text", os.urandom(4096), b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize(
    ("suffix", "code"),
    [(".png", "file.corrupt"), (".dcm", "file.not_dicom"), (".nrrd", "file.corrupt"), (".nii.gz", "file.corrupt")],
)
def test_other_content_than_the_name_says(tmp_path, suffix, code, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert _code(tmp_path / f"a{suffix}") == code


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_raster_file_cut_off(tmp_path, suffix, kept):
    path = _saved(tmp_path / f"a{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert _code(path) in ("file.truncated", "file.corrupt")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_raster_file_cut_off_by_its_last_bytes(tmp_path, suffix):
    path = _saved(tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[:-9])
    assert _code(path) == "file.truncated"


def test_a_png_whose_checksum_is_wrong(tmp_path):
    path = _saved(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 40] ^= 0xFF
    path.write_bytes(content)
    assert _code(path) == "file.corrupt"


def test_an_altered_file_that_decodes_is_caught_by_its_hash(tmp_path):
    path = _saved(tmp_path / "a.png")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert ImageFile(path, digest.upper()).read().shape == (64, 64)
    _saved(path, NOISE + 1)
    assert _code(path, digest) == "file.changed"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_sixteen_bit_colour_is_not_cut_to_eight(tmp_path, mode):
    channels = {"RGB": (2, 3), "RGBA": (6, 4), "LA": (4, 2)}[mode]
    rows = b"".join(b"\0" + os.urandom(2 * channels[1] * 4) for _ in range(4))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 16, channels[0], 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert _code(tmp_path / "a.png") == "image.depth"


def test_several_pages(tmp_path):
    pages = [PIL.Image.fromarray(NOISE), PIL.Image.fromarray(NOISE)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert _code(tmp_path / "a.tif") == "image.not_2d"


def test_nan_in_a_float_image(tmp_path):
    pixels = NOISE.astype(np.float32)
    pixels[3, 3] = np.nan
    with pytest.raises(ImageError) as caught:
        ImageFile(_saved(tmp_path / "a.tif", pixels)).read()
    assert caught.value.code == "pixel.nonfinite"


def test_a_picture_larger_than_the_limit_is_refused_from_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "MAX_PIXELS", 4000)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE), tmp_path / "a.mha")
    assert _code(tmp_path / "a.mha") == "file.too_large"
    assert _code(_saved(tmp_path / "a.png")) == "file.too_large"


def test_a_dicom_header_of_3_6_gigapixels_is_refused(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", NOISE, Rows=60000, Columns=60000)
    assert _code(path) == "file.too_large"


def test_a_volume(tmp_path, realdata):
    assert _code(realdata / "mask-edge-cases" / "img.nii.gz") == "image.not_2d"
    assert _code(realdata / "dicom" / "jpeg2k_3d.dcm") == "image.not_2d"


@pytest.mark.parametrize("kept", [-1, -13, 0.5])
def test_dicom_cut_off(tmp_path, write_dicom, kept):
    path = write_dicom(tmp_path / "a.dcm", NOISE)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept < 0 else int(len(content) * kept)])
    assert _code(path) in ("file.truncated", "file.corrupt")


@pytest.mark.parametrize(("kept", "code"), [(-1, "file.corrupt"), (-30, "file.truncated"), (0.5, "file.truncated")])
def test_compressed_dicom_cut_off(tmp_path, realdata, kept, code):
    content = (realdata / "dicom" / "GH133.dcm").read_bytes()
    path = tmp_path / "a.dcm"
    path.write_bytes(content[: kept if kept < 0 else int(len(content) * kept)])
    assert _code(path) == code


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.1, 0.1]}, "spacing.invalid"),
        ({"ImagerPixelSpacing": [0.1, -0.1]}, "spacing.invalid"),
        ({"BitsStored": 17}, "image.bits"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "image.colour"),
        ({"NumberOfFrames": 100000}, "image.not_2d"),
        ({"Rows": 0}, "image.no_pixels"),
        ({"Rows": 4096, "Columns": 4096}, "file.truncated"),
    ],
)
def test_dicom_headers_that_cannot_be(tmp_path, write_dicom, tags, code):
    assert _code(write_dicom(tmp_path / "a.dcm", NOISE, **tags)) == code


def test_dicom_without_an_ending_is_read(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "IM000123", NOISE)
    np.testing.assert_array_equal(ImageFile(path).read().pixels, NOISE)


def test_a_deflated_data_set_is_not_inflated(tmp_path):
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    data = FileDataset("a", {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows = 4
    pydicom.dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    assert _code(tmp_path / "a.dcm") == "file.unsupported"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.nrrd", b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\ndata file: other.raw\n\n"),
        (
            "a.mha",
            b"ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = other.raw\n",
        ),
    ],
)
def test_a_header_that_points_elsewhere(tmp_path, name, header):
    (tmp_path / "other.raw").write_bytes(b"abcd")
    (tmp_path / name).write_bytes(header)
    assert _code(tmp_path / name) == "file.unsupported"


def test_a_spacing_of_one_is_not_believed(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE), tmp_path / "a.nrrd")
    image = ImageFile(tmp_path / "a.nrrd").read()
    assert image.spacing_mm is None
    assert any("not stated" in note for note in image.notes)


def test_transparency_and_orientation_are_said(tmp_path):
    PIL.Image.fromarray(np.dstack([NOISE, NOISE])).save(tmp_path / "a.png")
    assert "transparency ignored" in ImageFile(tmp_path / "a.png").read().notes
    exif = PIL.Image.Exif()
    exif[274] = 6
    _saved(tmp_path / "b.jpg", exif=exif)
    assert any("orientation 6" in note for note in ImageFile(tmp_path / "b.jpg").read().notes)
