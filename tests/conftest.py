"""Where tests find the data that the repository does not hold."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _realdata() -> Path:
    named = os.environ.get("CEMRAD_REALDATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Real CEM images, masks and tables; the test is skipped where they are absent."""
    folder = _realdata()
    if not folder.is_dir():
        pytest.skip("needs the real data: set CEMRAD_REALDATA to its folder")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """Published reference values beside the real data; the test is skipped where they are absent."""
    folder = _realdata().parent / "reference"
    if not folder.is_dir():
        pytest.skip("needs the reference values beside the real data: set CEMRAD_REALDATA")
    return folder


@pytest.fixture
def write_dicom():
    """A function that writes a small uncompressed DICOM mammogram: path, pixels, and any tags by keyword."""
    import numpy as np
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing, ExplicitVRLittleEndian, generate_uid

    def write(path, pixels, **tags):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForProcessing
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.Modality, data.SamplesPerPixel, data.PhotometricInterpretation = "MG", 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.Rows, data.Columns = pixels.shape[-2:]
        if pixels.ndim == 3:
            data.NumberOfFrames = len(pixels)
        for name, value in tags.items():
            setattr(data, name, value)
        data.PixelData = np.asarray(pixels).astype("<u2").tobytes()
        data.save_as(path, enforce_file_format=True)
        return path

    return write
