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
