"""Faults of archives: what leads out of one, or unpacks to far too much, is refused before memory is taken."""

import gzip
import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import openpyxl
import pandas as pd
import pytest
from cemrad.features.archive import FREE_BYTES
from cemrad.features.errors import BundleError, CohortError
from cemrad.models.bundle import Bundle
from cemrad.pipeline.cohorts.manifest import Settings, read

from .fault_cohort import SHAPE, breast, clean, require_contained, require_told, save, with_fault

BOMB = bytes(4 * FREE_BYTES)
MOST_BYTES = 2 * FREE_BYTES  # of memory, where a bomb is refused


def _zip(path, members, *, keep=b""):
    """A ZIP file of these members beside those of another."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if keep:
            with zipfile.ZipFile(io.BytesIO(keep)) as old:
                for name in old.namelist():
                    archive.writestr(name, old.read(name))
        for name, content in members:
            archive.writestr(name, content)
    return path


def _workbook():
    stream = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["case_id", "image_path", "mask_path"])
    book.active.append(["a", "a.png", "m.png"])
    book.save(stream)
    return stream.getvalue()


def _manifest(path):
    return read(Settings(path=path))


MEMBERS = {
    "C20 parent": ([("../out.txt", b"x")], "leads out"),
    "C20 parent of Windows": ([("xl\\..\\..\\out.txt", b"x")], "leads out"),
    "C20 absolute": ([("/out.txt", b"x")], "leads out"),
    "C20 drive": ([("C:out.txt", b"x")], "leads out"),
    "C20 twice": ([("a.txt", b"x"), ("a.txt", b"y")], "two members of one name"),
    "C20 ratio over 100": ([("a.bin", BOMB)], "over 100 times"),
    "C20 many of ratio under 100": ([(f"{i}.bin", bytes(FREE_BYTES)) for i in range(5)], "over 100 times"),
}
READERS = {
    "workbook": (_manifest, "cohort.xlsx", _workbook(), CohortError),
    "bundle": (Bundle.load, "a.cemrad", b"", BundleError),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", MEMBERS)
@pytest.mark.parametrize("reader", READERS)
def test_a_hostile_member_is_refused_and_nothing_is_written(tmp_path, reader, fault):
    members, message = MEMBERS[fault]
    read_it, name, keep, error = READERS[reader]
    folder = tmp_path / "inner"
    folder.mkdir()
    _zip(folder / name, members, keep=keep)
    with pytest.raises(error, match=rf"{name}.*{message}"):
        read_it(folder / name)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name]


@pytest.mark.parametrize("reader", READERS)
def test_c20_the_members_together_have_a_cap(tmp_path, monkeypatch, reader):
    read_it, name, keep, error = READERS[reader]
    noise = np.random.default_rng(1).bytes(5000)
    _zip(tmp_path / name, [("a.bin", noise), ("b.bin", noise)], keep=keep)
    monkeypatch.setattr("cemrad.pipeline.text_table.MAX_TABLE_BYTES", 12_000)
    monkeypatch.setattr("cemrad.models.bundle_file.MAX_TOTAL_BYTES", 9_000)
    with pytest.raises(error, match=r"at most \d+ are read|larger than 12000 bytes"):
        read_it(tmp_path / name)


@pytest.mark.parametrize("name", ["cohort.xlsx", "cohort.parquet"])
def test_c20_a_table_of_more_cells_than_are_read(tmp_path, monkeypatch, name):
    frame = pd.DataFrame({"case_id": ["a"] * 50, "image_path": "a.png", "mask_path": "m.png"})
    frame.to_excel(tmp_path / name, index=False) if name.endswith("x") else frame.to_parquet(tmp_path / name)
    monkeypatch.setattr("cemrad.pipeline.text_table.MAX_CELLS", 100)
    with pytest.raises(CohortError, match=rf"{name}.*at most 100 cells"):
        _manifest(tmp_path / name)


def test_c20_a_directory_that_lies_about_a_size_is_found(tmp_path):
    path = _zip(tmp_path / "a.cemrad", [("a.bin", BOMB)])
    content = path.read_bytes()
    size = len(BOMB).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(BundleError, match="damaged"):
        Bundle.load(path)


def test_c20_a_packed_table_that_never_ends(tmp_path):
    (tmp_path / "cohort.csv.gz").write_bytes(gzip.compress(b"case_id,image_path\n" + BOMB))
    tracemalloc.start()
    with pytest.raises(CohortError, match=r"cohort\.csv\.gz: unpacks to over 100 times"):
        _manifest(tmp_path / "cohort.csv.gz")
    assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    tracemalloc.stop()


def _packed_nifti(folder):
    save(folder / "bad.nii", breast(3))
    (folder / "bad.nii.gz").write_bytes(gzip.compress((folder / "bad.nii").read_bytes() + BOMB))
    return "bad.nii.gz"


def _packed_nrrd(folder):
    save(folder / "bad.nrrd", breast(3))
    header = (folder / "bad.nrrd").read_bytes().partition(b"\n\n")[0].replace(b"encoding: raw", b"encoding: gzip")
    (folder / "bad.nrrd").write_bytes(header + b"\n\n" + gzip.compress(breast(3).tobytes() + BOMB))
    return "bad.nrrd"


def _packed_mha(folder):
    packed = zlib.compress(breast(3).tobytes() + BOMB)
    header = f"NDims = 2\nDimSize = {SHAPE[1]} {SHAPE[0]}\nElementType = MET_UCHAR\nElementSpacing = 0.1 0.1\n"
    header += f"BinaryData = True\nCompressedData = True\nCompressedDataSize = {len(packed)}\nElementDataFile = LOCAL\n"
    (folder / "bad.mha").write_bytes(header.encode() + packed)
    return "bad.mha"


def _wide_mha(folder):
    header = "NDims = 2\nDimSize = 8000 8000\nElementType = MET_DOUBLE\nElementNumberOfChannels = 90\n"
    header += "ElementSpacing = 0.1 0.1\nBinaryData = True\nCompressedData = False\nElementDataFile = LOCAL\n"
    (folder / "bad.mha").write_bytes(header.encode() + breast(3).tobytes())
    return "bad.mha"


PICTURES = {
    "C20 NIfTI": (_packed_nifti, "far more than"),
    "C20 NRRD": (_packed_nrrd, "far more than"),
    "C20 MHA": (_packed_mha, "far more than"),
    "C20 channels": (_wide_mha, "at most"),
}


@pytest.mark.parametrize("column", ["image_path", "mask_path"])
@pytest.mark.parametrize("fault", PICTURES)
def test_a_picture_that_unpacks_to_too_much_is_one_failed_row(tmp_path, fault, column):
    expected = clean(tmp_path)
    write, word = PICTURES[fault]
    cells = {column: write(tmp_path)}
    tracemalloc.start()
    found = with_fault(tmp_path, **cells)
    assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    tracemalloc.stop()
    require_told(found, "failed", "file.too_large", word)
    require_contained(found, expected, gives=False)
