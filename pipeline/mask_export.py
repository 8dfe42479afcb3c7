"""Masks for other tools: every mask of a cohort as PNG, NRRD or VIA contours, with a manifest that reads them back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy import ndimage

from ..features.case import Case, Picture, PictureKey
from ..features.errors import CaseError, StudyError
from ..features.failure import Failure
from ..features.image import Image
from ..features.imagefile import ImageFile
from ..features.mask import Mask
from ..features.whole import write_whole
from .cohort import Cohort
from .contour import Region, rasterise
from .mask_folder import csv_text
from .write_masks import file_names, png_bytes

Format = Literal["png", "nrrd", "via"]
FORMATS: tuple[Format, ...] = ("png", "nrrd", "via")
MANIFEST_FILE, PROJECT_FILE = "manifest.csv", "via.json"
_COLUMNS = ["patient_id", "case_id", "lesion_id", "laterality", "view", "image_type", "image_path", "mask_path"]
_TOLERANCES_PX = (1.0, 0.7, 0.5, 0.35, 0.25)
_LEAST_DICE = 0.995


@dataclass(frozen=True)
class MaskExport:
    """What an export wrote.

    Parameters
    ----------
    manifest : Path
        A manifest of the cohort: its pictures, these masks, labels and clinical values.
    root : Path
        The folder in which all pictures lie: the manifest reader's setting ``root``.
    n_masks : int
    lowest_dice : float
        Of the masks that the contours give back, with those they were drawn from; 1 for PNG and NRRD.
    failures : tuple of Failure
        Pictures whose mask could not be read, or holds nothing.
    """

    manifest: Path
    root: Path
    n_masks: int
    lowest_dice: float
    failures: tuple[Failure, ...]


def export_masks(cohort: Cohort, folder: Path, kind: Format = "png") -> MaskExport:
    """Write every mask of a cohort for an annotation tool.

    Parameters
    ----------
    cohort : Cohort
        Its masks may be drawn ones, as :func:`~cemrad.pipeline.draw.apply` lays them on.
    folder : Path
        Receives ``masks/<case>__<picture>.png`` (0 and 255), ``.nrrd`` (0 and 1, with the picture's spacing and
        origin) or ``.json`` (one VIA annotation export per picture), and ``manifest.csv``; for VIA also ``via.json``
        with all pictures, to be opened in the annotator. Pictures that are in no file are written to ``images``.
    kind : {"png", "nrrd", "via"}

    Returns
    -------
    MaskExport

    Raises
    ------
    StudyError
        If the folder holds an export already, or the format is not known.
    OSError
        If the disk is full.
    """
    if kind not in FORMATS:
        raise StudyError(f"no mask format {kind!r}; there are: {', '.join(FORMATS)}")
    if (folder / MANIFEST_FILE).exists():
        raise StudyError(f"{folder}: holds a {MANIFEST_FILE} already; name a new folder")
    work = _Export(cohort, folder, kind)
    for case in cohort.cases:
        for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order):
            work.add(case, key, picture)
    if kind == "via":
        _write(folder / PROJECT_FILE, _json(work.project))
    labels = list(dict.fromkeys(name for row in work.rows for name in row if name not in _COLUMNS))
    _write(folder / MANIFEST_FILE, csv_text(work.rows, [*work.columns(), *labels]).encode())
    roots = [folder.resolve(), *(path.parent for path in work.images)]
    return MaskExport(
        folder / MANIFEST_FILE, Path(os.path.commonpath(roots)), work.n_masks, work.lowest_dice, tuple(work.failures)
    )


class _Export:
    """Files and rows of one export on their way."""

    def __init__(self, cohort: Cohort, folder: Path, kind: Format) -> None:
        self.folder = folder
        self.kind = kind
        self.names = file_names(case.case_id for case in cohort.cases)
        self.by_image = all(key.image_type == "IMG" for case in cohort.cases for key in case.pictures)
        self.rows: list[dict[str, Any]] = []
        self.images: set[Path] = set()
        self.project: dict[str, Any] = {}
        self.failures: list[Failure] = []
        self.n_masks = 0
        self.lowest_dice = 1.0

    def columns(self) -> list[str]:
        """Those of the manifest that say what is what; image types would make lesions of single images."""
        return [name for name in _COLUMNS if not (self.by_image and name in ("image_type", "view", "lesion_id"))]

    def add(self, case: Case, key: PictureKey, picture: Picture) -> None:
        """Write one picture's mask, and its row; a mask that cannot be had leaves its cell empty."""
        stem = f"{self.names[case.case_id]}__{key.name}"
        row = {
            "patient_id": case.patient_id,
            "case_id": case.case_id,
            "lesion_id": case.lesion_id,
            "laterality": case.laterality,
            "view": key.view,
            "image_type": key.image_type,
            **case.labels,
            **case.clinical,
        }
        try:
            image = picture.image.read()
            path = self._image(picture, image, stem)
            row["image_path"] = path.as_posix()
            if picture.mask is not None:
                row["mask_path"] = self._mask(case, key, image, picture.mask.read(image), path, stem)
        except CaseError as error:
            self.failures.append(Failure(case.case_id, "mask", error.code, str(error), key.name))
        if "image_path" in row:
            self.rows.append(row)

    def _image(self, picture: Picture, image: Image, stem: str) -> Path:
        if isinstance(picture.image, ImageFile):
            path = picture.image.path.resolve()
        else:
            path = (self.folder / "images" / f"{stem}{_suffix(image)}").resolve()
            _write(path, partial(_write_image, image))
        self.images.add(path)
        return path

    def _mask(self, case: Case, key: PictureKey, image: Image, mask: Mask, path: Path, stem: str) -> str:
        if not mask.any():
            raise CaseError("mask.empty", "no pixel of the mask is set")
        name = f"masks/{stem}.{'json' if self.kind == 'via' else self.kind}"
        if self.kind == "png":
            _write(self.folder / name, png_bytes(mask.astype(np.uint8) * 255))
        elif self.kind == "nrrd":
            _write(self.folder / name, partial(_write_volume, mask.astype(np.uint8), image))
        else:
            polygons, dice = contours(mask)
            self.lowest_dice = min(self.lowest_dice, dice)
            entry = _via_entry(path, polygons, {"case_id": case.case_id, "picture": key.name})
            _write(self.folder / name, _json(entry))
            self._add_to_project(entry)
        self.n_masks += 1
        return name

    def _add_to_project(self, entry: Mapping[str, Any]) -> None:
        """Regions of all lesions of a picture stand together in the file for the annotator."""
        for key, value in entry.items():
            known = self.project.setdefault(key, value)
            if known is not value:
                known["regions"] = [*known["regions"], *value["regions"]]


def contours(mask: Mask) -> tuple[tuple[Region, ...], float]:
    """Polygons around a mask, with the Dice of what they enclose and the mask.

    Outlines run halfway between pixels (marching squares) and are thinned (Douglas-Peucker) as far as a Dice of 0.995
    allows. Each part of the mask is a polygon; its holes are joined to it by a cut, as a VIA polygon has one outline.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        Not empty.

    Examples
    --------
    >>> mask = np.zeros((30, 30), bool); mask[4:24, 5:25] = True; mask[10:14, 10:15] = False
    >>> polygons, dice = contours(mask)
    >>> len(polygons), dice > 0.995
    (1, True)
    """
    for tolerance_px in _TOLERANCES_PX:
        polygons = _polygons(mask, tolerance_px)
        dice = _dice(polygons, mask)
        if dice >= _LEAST_DICE:
            return polygons, dice
    polygons = _polygons(mask, 0.0)
    return polygons, _dice(polygons, mask)


def _dice(polygons: Iterable[Region], mask: Mask) -> float:
    found = np.zeros(mask.shape, dtype=bool)
    for polygon in polygons:
        found |= rasterise(polygon, mask.shape)
    return float(2 * np.count_nonzero(found & mask) / (np.count_nonzero(found) + np.count_nonzero(mask)))


def _polygons(mask: Mask, tolerance_px: float) -> tuple[Region, ...]:
    # Parts that touch at a corner only are two polygons, as find_contours separates them.
    labels, _ = ndimage.label(mask)
    boxes = enumerate(ndimage.find_objects(labels), start=1)
    return tuple(_polygon(labels[box] == number, box, tolerance_px) for number, box in boxes)


def _polygon(part: Mask, box: tuple[slice, slice], tolerance_px: float) -> Region:
    """The outline of a 4-connected part, with its holes."""
    from skimage.measure import approximate_polygon, find_contours  # slow to import

    lines = find_contours(np.pad(part, 1).astype(np.float64), 0.5)
    lines = [approximate_polygon(line, tolerance_px) for line in lines]
    outer, *holes = sorted(lines, key=lambda line: -float(np.ptp(line, axis=0).prod()))
    points = [outer, *(point for hole in holes for point in (hole, outer[:1]))]
    # One pixel of padding; pixel centres lie at whole numbers there and at halves in a contour.
    rows, columns = (np.concatenate(points) - 0.5 + [box[0].start, box[1].start]).T
    return Region("polygon", tuple(columns.tolist()), tuple(rows.tolist()))


def _via_entry(image: Path, polygons: Sequence[Region], about: Mapping[str, str]) -> dict[str, Any]:
    """A VIA 2 annotation export of one picture."""
    size = image.stat().st_size
    regions = [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": [round(x, 2) for x in polygon.xs],
                "all_points_y": [round(y, 2) for y in polygon.ys],
            },
            "region_attributes": dict(about),
        }
        for polygon in polygons
    ]
    entry = {"filename": image.name, "size": size, "regions": regions, "file_attributes": {}}
    return {f"{image.name}{size}": entry}


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _suffix(image: Image) -> str:
    return ".png" if image.pixels.dtype in (np.uint8, np.uint16) and image.grid is None else ".nrrd"


def _write_image(image: Image, path: Path) -> None:
    if _suffix(image) == ".png":
        PIL.Image.fromarray(image.pixels).save(path, "PNG")
    else:
        _write_volume(image.pixels, image, path)


def _write_volume(pixels: NDArray[Any], image: Image, path: Path) -> None:
    """An NRRD file that lies where its picture does."""
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(np.ascontiguousarray(pixels))
    if image.grid is not None:
        (rows_mm, columns_mm), (y, x) = image.grid.spacing_mm, image.grid.origin_mm
        volume.SetSpacing((columns_mm, rows_mm))
        volume.SetOrigin((x, y))
        volume.SetDirection(image.grid.direction)
    elif image.spacing_mm is not None:
        volume.SetSpacing(image.spacing_mm[::-1])
    SimpleITK.WriteImage(volume, path, useCompression=True)


def _write(path: Path, content: bytes | partial[None]) -> None:
    writer = partial(_write_bytes, content) if isinstance(content, bytes) else content
    write_whole(path.parent, {path.name: writer})


def _write_bytes(content: bytes, path: Path) -> int:
    return path.write_bytes(content)
