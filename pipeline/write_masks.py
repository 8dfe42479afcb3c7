"""Masks as files: each picture's mask as PNG, with its area beside the contour's own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
from numpy.typing import NDArray

from ..features.case import Case, Picture, PictureKey
from ..features.cells import write_csv
from ..features.errors import CaseError
from ..features.whole import write_whole
from .cohort import Cohort
from .identity import safe_file_name
from .masks.via import ViaMask

AREA_COLUMNS = [
    "case_id", "picture", "file", "rows", "columns", "area_px", "n_contours", "contour_area_px", "state", "code",
    "reason",
]  # fmt: skip
AREA_FILE = "areas_px.csv"


def write_masks(cohort: Cohort, folder: Path) -> pd.DataFrame:
    """Write every mask of a cohort as PNG: 0 outside, 255 inside.

    Parameters
    ----------
    cohort : Cohort
    folder : Path
        Receives ``<case>__<picture>.png`` (a hash stands for a case id that is no plain file name)
        and ``areas_px.csv``. Made if it is not there.

    Returns
    -------
    DataFrame
        One row per picture, columns `AREA_COLUMNS`: area of the mask in pixels; for contours their
        number and the sum of their areas in closed form, which overlaps and the picture's edge make
        larger than the mask. ``state`` is ``ok``, ``skipped`` (no mask was drawn) or ``failed``.
        Pictures that the cohort's reader refused are rows as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = file_names(case.case_id for case in cohort.cases)
    rows = [
        _write_one(case, key, picture, folder / f"{names[case.case_id]}__{key.name}.png")
        for case in cohort.cases
        for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order)
    ]
    rows += [
        {"case_id": f.case_id, "picture": f.picture, "state": f.state, "code": f.code, "reason": f.reason}
        for f in cohort.failures
        if f.stage != "label" and f.state == "failed"
    ]
    areas = pd.DataFrame(rows, columns=AREA_COLUMNS)
    counts = ["rows", "columns", "area_px", "n_contours"]
    areas[counts] = areas[counts].astype("Int64")
    write_whole(folder, {AREA_FILE: partial(write_csv, areas)})
    return areas


def file_names(case_ids: Iterable[str]) -> dict[str, str]:
    """A file name per case that no other case has, also where upper and lower case are one.

    Examples
    --------
    >>> list(file_names(["P40_L_1", "a", "A"]).values())
    ['P40_L_1', 'id-6a50dc8584134c7d', 'id-7436eae81cb77ce3']
    """
    names = {case_id: safe_file_name(case_id) for case_id in case_ids}
    folded = [name.casefold() for name in names.values()]
    return {
        case_id: name if folded.count(name.casefold()) == 1 else safe_file_name(f"/{case_id}")
        for case_id, name in names.items()
    }


def _write_one(case: Case, key: PictureKey, picture: Picture, path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"case_id": case.case_id, "picture": key.name}
    if picture.mask is None:
        return row | {"state": "skipped", "code": "mask.missing", "reason": "no mask was drawn on this picture"}
    try:
        mask = picture.mask.read(picture.image.read())
    except CaseError as error:
        return row | {"state": "failed", "code": error.code, "reason": str(error)}
    if not mask.any():
        return row | {"state": "failed", "code": "mask.empty", "reason": "no pixel of the mask is set"}
    _replace(path, png_bytes(mask.astype(np.uint8) * 255))
    row |= {"file": path.name, "rows": mask.shape[0], "columns": mask.shape[1], "state": "ok"}
    row["area_px"] = int(np.count_nonzero(mask))
    if isinstance(picture.mask, ViaMask):
        areas = picture.mask.areas_px()
        row |= {"n_contours": len(areas), "contour_area_px": round(sum(areas), 3)}
    return row


def png_bytes(values: NDArray[Any]) -> bytes:
    """Whole numbers of 8 or 16 bits as a PNG file."""
    stream = BytesIO()
    PIL.Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
