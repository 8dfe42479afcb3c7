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


@pytest.fixture(scope="session")
def make_table():
    """A maker of feature tables with their labels, whose effects are known: no pixels, no extraction."""
    import numpy as np
    import pandas as pd
    from cemrad.features.table import FeatureTable

    pictures = ("LE_CC", "RC_CC", "LE_MLO", "RC_MLO")

    def make(n_patients=60, *, n_columns=30, effect=1.0, seed=0, missing=0.1):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
        n = len(person)
        latents = np.sqrt(0.5) * rng.normal(size=(n_patients, 3))[person] + np.sqrt(0.5) * rng.normal(size=(n, 3))
        malignant = rng.random(n) < 1 / (1 + np.exp(-effect * latents @ [1.6, 1.4, 0.8]))
        blocks = {}
        for k, family in enumerate(("radiomics", "deep")):
            x = rng.normal(size=(n, n_columns))
            x[:, :5] = latents[:, [k]] + 0.7 * x[:, :5]
            blocks |= {f"{family}:{pictures[i % 4]}:{family[0]}{i:03d}": x[:, i] for i in range(n_columns)}
        blocks["clinical:case:age"] = 55 + 10 * latents[:, 2]
        blocks["clinical:case:density=C"] = rng.integers(0, 2, n).astype(float)
        ids = [f"case{i:03d}" for i in range(n)]
        values = pd.DataFrame(blocks, index=ids)
        no_mlo = rng.random(n) < missing
        values.loc[no_mlo, [name for name in values if "_MLO" in name]] = np.nan
        patients = [f"P{i:03d}" for i in person]
        cases = pd.DataFrame(
            {
                "patient_id": patients,
                "laterality": "L",
                "lesion_id": [str(i) for i in range(n)],
                "breast_id": [f"{patient}|L" for patient in patients],
            },
            index=ids,
        )
        er_share = 1 / (1 + np.exp(-effect * (latents[:, 0] - latents[:, 1])))
        er = np.where(rng.random(n) < er_share, "positive", "negative")
        labels = pd.DataFrame(
            {"malignancy": np.where(malignant, "malignant", "benign"), "er": np.where(malignant, er, None)},
            index=ids,
            dtype=object,
        )
        return FeatureTable(values, cases), labels

    return make


@pytest.fixture(scope="session")
def quick():
    """Evaluation settings that cost little: few trees, nothing to tune."""
    from cemrad.models.evaluate import EvaluationSettings

    return EvaluationSettings(
        n_candidates=1,
        selector_settings={"n_features": 8},
        learner_settings={"max_depth": [2], "n_rounds": [30], "max_bin": 32},
        scoring={"n_bootstrap": 200},
    )
