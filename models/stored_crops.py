"""Crops of a result as a file, read case by case: pictures of thousands of cases need no memory until they are seen."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..features.archive import require_safe_members
from ..features.crop import Crop

LOG = logging.getLogger("cemrad")
MAX_BYTES, MAX_CROPS = 16 * 2**30, 50_000
"""Most that the stored crops may unpack to, and most of them."""
MAX_CROP_BYTES = 64 * 2**20
"""Most that one of their arrays may unpack to."""


class StoredCrops(Mapping[str, Mapping[str, Crop]]):
    """Crops of a file by case and picture, unpacked each time that one is asked for.

    Parameters
    ----------
    path : Path
        What :func:`save_crops` wrote.

    Raises
    ------
    ValueError
        If the file is damaged, or unpacks to too much.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                require_safe_members(archive, max_bytes=MAX_BYTES, max_members=2 * MAX_CROPS + 1)
                if max(info.file_size for info in archive.infolist()) > MAX_CROP_BYTES:
                    raise ValueError(f"{path.name}: an array unpacks to more than {MAX_CROP_BYTES} bytes")
                if bad := archive.testzip():
                    raise ValueError(f"{path.name}: {bad} is damaged")
            self._stored: Any = np.load(path, allow_pickle=False)
        except (zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"{path.name}: {error}") from None
        self._places: dict[str, dict[str, tuple[int, int, int]]] = {}
        for number, item in enumerate(json.loads(self._stored["index"].tobytes())):
            place = number, int(item["top"]), int(item["left"])
            self._places.setdefault(str(item["case_id"]), {})[str(item["picture"])] = place

    def __getitem__(self, case_id: str) -> Mapping[str, Crop]:
        return _Pictures(self._stored, self._places[case_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Pictures(Mapping[str, Crop]):
    """Crops of one case."""

    def __init__(self, stored: Any, places: Mapping[str, tuple[int, int, int]]) -> None:
        self._stored, self._places = stored, places

    def __getitem__(self, picture: str) -> Crop:
        number, top, left = self._places[picture]
        return Crop(self._stored[f"pixels_{number}"], self._stored[f"mask_{number}"], top, left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def save_crops(path: Path, crops: Mapping[str, Mapping[str, Crop]]) -> None:
    """One numbered pair of arrays per crop; which is whose stands in an array of JSON text.

    Parameters
    ----------
    path : Path
    crops : mapping of case_id to mapping of picture name to Crop
    """
    if isinstance(crops, StoredCrops):
        shutil.copyfile(crops.path, path)
        return
    index: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    every = ((case_id, *pair) for case_id, pictures in crops.items() for pair in pictures.items())
    for number, (case_id, picture, crop) in enumerate(every):
        if number == MAX_CROPS:
            LOG.warning("pictures: no more than %d crops are kept; those of later cases are left out", MAX_CROPS)
            break
        index.append({"case_id": case_id, "picture": picture, "top": crop.top, "left": crop.left})
        arrays |= {f"pixels_{number}": crop.pixels, f"mask_{number}": crop.mask}
    text = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    np.savez_compressed(path, index=text, **arrays)
