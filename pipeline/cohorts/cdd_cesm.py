"""CDD-CESM: the public contrast-enhanced mammography set, from its official folder in any layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...features.case import Case, Laterality, Picture, PictureKey, Value
from ...features.failure import Failure, State
from ...features.imagefile import ImageFile
from ...features.settings import Settings as BaseSettings
from ..cdd_cesm_notes import table_counts, table_notes
from ..cdd_cesm_tables import Annotation, Tables, by_breast, image_stem, read_tables
from ..cohort import Cohort, Note
from ..contour import POINT_RADIUS_PX, Polylines, analytic_area
from ..labels import settle, value_of
from ..masks.via import ViaMask

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class Settings(BaseSettings):
    """Where the data set is and what becomes a case."""

    path: Path
    """Folder that holds the workbook, the contours and the images, at any depth."""
    one_row_per: Literal["breast", "image"] = "breast"
    """Regions carry no lesion id, so a case is a breast with all its pictures, or one picture."""
    regions: Literal["union", "largest"] = "union"
    """Which regions of an image make its lesion mask."""
    point_radius_px: float = Field(default=POINT_RADIUS_PX, gt=0, description="radius of the disc for a point")
    polylines: Polylines = "closed"
    """Whether a polyline counts as the outline of a region."""
    accept_resaved: bool = False
    """Whether contours may be laid on files that are not the bytes they were drawn on: saved again at the same size."""


def read(settings: Settings) -> Cohort:
    """Cases of CDD-CESM.

    Every picture has the mask that was drawn on it: low-energy and recombined images differ in size
    and origin. The label ``malignancy`` is ``normal``, ``benign`` or ``malignant``; of a breast's
    images the most severe wins. Density stands on low-energy rows and is taken for the breast.

    Without any image below the folder the cases have no pictures, for checks of the tables alone.
    Where some images are there, each that is not becomes a failure, and a breast without any no case.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    Cohort

    Raises
    ------
    CohortError
        If there is no workbook or a table cannot be read.
    """
    tables = read_tables(settings.path)
    files = _ImageFiles(settings.path, tables)
    groups = by_breast(tables.annotations)
    densities = {breast: _density(group) for breast, group in groups.items()}
    if settings.one_row_per == "image":
        groups = {annotation.name: [annotation] for annotation in tables.annotations}
    cases, failures = [], list(tables.failures)
    for case_id, group in groups.items():
        failures += files.failures(case_id, group, settings)
        pictures = files.pictures(group, settings)
        if pictures or not files.found:
            cases.append(_case(case_id, group, pictures, densities[group[0].breast]))
    notes = (*table_notes(tables), *files.notes(), *_density_notes(tables.annotations, densities))
    return Cohort("CDD-CESM", tuple(cases), tuple(failures), notes, table_counts(tables) | files.counts())


def _case(case_id: str, group: list[Annotation], pictures: dict[PictureKey, Picture], density: str) -> Case:
    side: Laterality = "L" if group[0].side == "L" else "R"
    grades = [grade for a in group if (grade := a.birads_max) is not None]
    info = {name: "; ".join(dict.fromkeys(getattr(a, name) for a in group)) for name in ("machine", "findings", "tags")}
    info["birads"] = str(max(grades)) if grades else ""
    if len(group) == 1:
        info |= {"image_type": group[0].image_type, "view": group[0].view}
    return Case(
        case_id=case_id,
        patient_id=f"P{group[0].patient}",
        laterality=side,
        pictures=pictures,
        clinical={"age": _age(group), "density": density or None},
        labels={"malignancy": settle("malignancy", [a.finding for a in group]).value},
        info=info,
    )


def _age(group: list[Annotation]) -> Value:
    ages = {value_of(a.age) for a in group} - {None}
    return ages.pop() if len(ages) == 1 else None


def _density(group: list[Annotation]) -> str:
    """The breast's density: what most of its rows say, low-energy rows first; empty where none says."""
    stated = [a.density for a in sorted(group, key=lambda a: a.image_type) if a.density]
    return max(stated, key=stated.count, default="")


def _density_notes(annotations: tuple[Annotation, ...], densities: dict[str, str]) -> Iterable[Note]:
    taken = [a.name for a in annotations if not a.density and densities[a.breast]]
    yield Note(
        "density.propagated", "images that take the density of another image of the breast", len(taken), tuple(taken)
    )
    differing = sorted({a.breast for a in annotations if a.density and a.density != densities[a.breast]})
    if differing:
        text = "breasts whose images state different densities; the most frequent is taken"
        yield Note("density.differs", text, len(differing), tuple(differing))


def _key(annotation: Annotation, settings: Settings) -> PictureKey:
    return PictureKey("IMG") if settings.one_row_per == "image" else annotation.key


class _ImageFiles:
    """The image files below a folder, by image name, and the account of what is there."""

    def __init__(self, folder: Path, tables: Tables) -> None:
        self.tables = tables
        self.paths: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*")):
            parts = "/".join(path.relative_to(folder).parts[:-1]).lower()
            masks = "mask" in parts or "segment" in parts  # mirrors keep mask pictures under the image names
            if path.suffix.lower() in _IMAGE_SUFFIXES and not masks and path.is_file():
                self.paths.setdefault(image_stem(path.name), []).append(path)
        self.names = [a.name for a in tables.annotations]
        self.found = any(name in self.paths for name in self.names)

    def pictures(self, group: list[Annotation], settings: Settings) -> dict[PictureKey, Picture]:
        return {
            _key(a, settings): Picture(ImageFile(self.paths[a.name][0]), self._mask(a.name, settings))
            for a in group
            if a.name in self.paths and (settings.accept_resaved or not self._altered(a.name))
        }

    def _mask(self, name: str, settings: Settings) -> ViaMask | None:
        drawn = self.tables.contours.get(name)
        if drawn is None:
            return None
        regions = drawn.regions
        if settings.regions == "largest":
            regions = (max(regions, key=lambda r: analytic_area(r, settings.point_radius_px, settings.polylines)),)
        return ViaMask(regions, settings.point_radius_px, settings.polylines)

    def failures(self, case_id: str, group: list[Annotation], settings: Settings) -> Iterable[Failure]:
        """One row for each picture that is missing or whose contours were drawn on another file."""
        if not self.found:
            return
        state: State = "warned" if settings.accept_resaved else "failed"
        for a in group:
            key = _key(a, settings)
            if a.name not in self.paths:
                reason = f"no image file for {a.name}; complete the download"
                yield Failure(case_id, "cohort", "file.missing", reason, key.name)
            elif self._altered(a.name):
                reason = (
                    f"{a.name}: not the bytes on which the contours were drawn; if the size in pixels "
                    "is unchanged, set accept_resaved: true; resized pictures need contours of their own"
                )
                yield Failure(case_id, "mask", "image.not_original", reason, key.name, state)

    def _altered(self, name: str) -> bool:
        drawn = self.tables.contours.get(name)
        if drawn is None or drawn.file_size is None or name not in self.paths:
            return False
        return self.paths[name][0].stat().st_size != drawn.file_size

    def notes(self) -> Iterable[Note]:
        if not self.found:
            yield Note("image.none", "no image file below the folder: the tables alone are read", len(self.names))
        several = [name for name in self.names if len(self.paths.get(name, ())) > 1]
        if several:
            yield Note(
                "image.several", "images found more than once; the first path is taken", len(several), tuple(several)
            )
        altered = [name for name in self.names if self._altered(name)]
        if altered:
            text = "image files that are not the bytes on which the contours were drawn: resized, or saved again"
            yield Note("image.not_original", text, len(altered), tuple(altered))

    def counts(self) -> dict[str, int]:
        matched = sum(name in self.paths for name in self.names)
        return {
            "files_matched": matched,
            "files_missing": len(self.names) - matched,
            "files_unmatched": len(set(self.paths) - set(self.names)),
        }
