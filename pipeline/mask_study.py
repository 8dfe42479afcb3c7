"""Masks of a study: what its key ``masks`` says, and the cohort with those masks on its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from ..features.errors import CaseError, StudyError
from ..features.settings import Settings, parse_settings
from ..models.mask_comparison import summarise_overlap
from .cohort import Cohort
from .draw import apply, draw_cohort, provenance_of
from .drawer import Drawer
from .mask_folder import MaskFolder, MaskRow, Place, fingerprint_of, plain
from .mask_overlap import mask_facts, overlap_table
from .masks import SHELF
from .progress import LOG, Report, shown_progress
from .seeds import read_seeds

if TYPE_CHECKING:
    from .study import Study

DRAWN = "drawn_masks"
"""Folder of a run's own automatic masks, in its output."""
_OWN = ("source", "pictures", "folder", "seeds", "settings")


class MaskChoice(Settings):
    """Who draws masks, and on which pictures; the drawer's own keys stand beside ``source``."""

    source: str | None = Field(
        default=None, description="enhancement, unet, transferred; without it, what `folder` holds"
    )
    pictures: Literal["missing", "all"] = Field(
        default="missing", description="those on which the cohort states no mask, or all"
    )
    folder: Path | None = Field(default=None, description="where they are drawn; drawn_masks in the output without it")
    seeds: Path | None = Field(default=None, description="a table of points and boxes in the lesions, for enhancement")
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _drawable(self) -> MaskChoice:
        if self.source is None and self.folder is None:
            raise ValueError(f"name a source ({', '.join(drawers())}), or the folder of masks drawn before")
        if self.source is None and self.settings:
            raise ValueError(f"{', '.join(self.settings)}: keys of a drawer, and no source is named")
        if self.seeds is not None and not getattr(SHELF.take(self.source or "drawn"), "TAKES_SEEDS", False):
            raise ValueError(f"{self.source or 'a folder'} takes no seeds; enhancement does")
        if self.source is not None:
            self.drawer_settings()
        return self

    def drawer_settings(self) -> Settings:
        """The drawer's own settings, checked."""
        assert self.source is not None
        part = SHELF.take(self.source)
        if not hasattr(part, "Settings"):
            raise ValueError(f"{self.source} reads masks and draws none; there are: {', '.join(drawers())}")
        made: Settings = parse_settings(part.Settings, self.settings, where=f"masks ({self.source})")
        return made

    def lay(self) -> Callable[[Cohort], Cohort] | None:
        """What lays masks that are there already on other pictures; None where they are to be drawn."""
        lay = None if self.source is None else getattr(SHELF.take(self.source), "lay", None)
        return None if lay is None else partial(lay, settings=self.drawer_settings())

    def drawer(self) -> Drawer:
        """The drawer itself; raises what its making raises, such as WeightsError."""
        part = SHELF.take(self.source or "")
        if not hasattr(part, "Drawer"):
            raise StudyError(f"masks: {self.source} draws nothing; it is for a study's masks and mask_arms")
        made: Drawer = part.Drawer(self.drawer_settings())
        return made

    def place(self, drawer: Drawer, folder: Path, name: str = "") -> Path:
        """Where this drawer's masks lie: the folder that was chosen, or one of its own in `folder`."""
        told = fingerprint_of(plain(provenance_of(drawer, self.source or "")))
        return self.folder or folder / f"{name or self.source}-{told[:8]}"


def drawers() -> list[str]:
    """Parts of the shelf of mask sources that a study can choose; all of them are imported."""
    return [name for name in SHELF.names() if hasattr(SHELF.take(name), "Settings")]


def gather_choice(values: Any) -> Any:
    """What a user wrote under ``masks``, with the drawer's own keys gathered under ``settings``."""
    if not isinstance(values, Mapping) or not isinstance(values.get("settings") or {}, Mapping):
        return values
    own = {key: value for key, value in values.items() if key not in _OWN}
    return {key: value for key, value in values.items() if key in _OWN} | {
        "settings": {**dict(values.get("settings") or {}), **own}
    }


def spread_choice(values: Mapping[str, Any]) -> dict[str, Any]:
    """A stored choice as a user would have written it."""
    return {**{key: value for key, value in values.items() if key != "settings"}, **values["settings"]}


@dataclass(frozen=True)
class Masked:
    """A cohort with the masks that a study asks for.

    Parameters
    ----------
    cohort : Cohort
        With those masks.
    stated : Cohort
        As its reader states it.
    drawer : mapping
        Provenance of what drew; empty where nothing was drawn.
    folder : Path, optional
        Of the masks that were drawn.
    """

    cohort: Cohort
    stated: Cohort
    drawer: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def facts(self) -> dict[str, Any]:
        """Who drew the masks, for a result's provenance; empty where readers drew all of them."""
        if self.cohort is self.stated:
            return {}
        folder = {} if self.folder is None else {"folder": self.folder.name}
        return {"masks": {"used": mask_facts(self.cohort, self.drawer) | folder}}

    @property
    def drawer_name(self) -> str:
        """What drew, for people; empty where nothing was drawn."""
        return str(self.drawer.get("name") or self.drawer.get("source") or "")

    def rows(self) -> dict[Place, MaskRow]:
        """What the drawer wrote of each picture, by case id and picture; empty where it drew into no folder."""
        return {} if self.folder is None else MaskFolder.open(self.folder).rows

    def record(self, run: Path) -> dict[str, Any]:
        """The same for the record of a run in a folder, with the place of the drawn masks and a hash of them all."""
        told: dict[str, Any] = self.facts().get("masks", {})
        if self.folder is None:
            return told
        place, base = self.folder.resolve(), run.resolve()
        inside = place.is_relative_to(base)  # a run may be moved, and its masks with it
        folder = place.relative_to(base).as_posix() if inside else str(place)
        return told | {"folder": folder, "sha256": self.fingerprint()}

    def fingerprint(self) -> str:
        """Hash of the masks that the cohort's reader did not state."""
        return fingerprint_of([
            [case.case_id, key.name, _content(picture.mask)]
            for case, before in zip(self.cohort.cases, self.stated.cases, strict=True)
            for key, picture in case.pictures.items()
            if picture.mask is not before.pictures[key].mask
        ])  # fmt: skip

    def compared(self, jobs: int, seed: int) -> dict[str, pd.DataFrame]:
        """Tables of the masks against those that they stand in for, where the cohort states any."""
        name = str(self.drawer.get("source", "")) or "drawn"
        if self.cohort is self.stated or not _replaces(self.stated, self.cohort):
            return {}
        overlaps = overlap_table(self.stated, {name: self.cohort}, jobs=jobs)
        return {"mask_overlap": overlaps, "mask_summary": summarise_overlap(overlaps, seed)}


def with_masks(cohort: Cohort, choice: MaskChoice | None, folder: Path, jobs: int) -> Masked:
    """The cohort with the masks that were chosen, drawn now where they are not there yet.

    Parameters
    ----------
    cohort : Cohort
    choice : MaskChoice, optional
        Without it the cohort's own masks.
    folder : Path
        In which masks are drawn, as :func:`draw_masks` does it, unless the choice names a folder.
    jobs : int
        Processes.

    Raises
    ------
    StudyError, WeightsError
        If the drawer cannot be made, or the folder is not one of its masks.
    """
    if choice is None:
        return Masked(cohort, cohort)
    if (lay := choice.lay()) is not None:
        return Masked(lay(cohort), cohort, {"name": f"{choice.source} masks", "source": choice.source})
    made = draw_masks(cohort, choice, folder, jobs)
    return _applied(cohort, choice, made)


def _applied(cohort: Cohort, choice: MaskChoice, made: MaskFolder) -> Masked:
    return Masked(apply(cohort, made, choice.pictures), cohort, made.drawer, made.path)


def masked_before(study: Study, cohort: Cohort, run: Path, record: Mapping[str, Any]) -> Masked:
    """The cohort with the masks that an earlier run measured; nothing is drawn.

    Parameters
    ----------
    study : Study
    cohort : Cohort
        As its reader states it.
    run : Path
        The earlier run's folder.
    record : mapping
        Its ``run.json``.

    Raises
    ------
    StudyError
        If the masks, or a reader's verdicts on them, have changed since.
    """
    told = record.get("masks") or {}
    if study.masks is None or "folder" not in told:
        return masked(study, cohort)
    found = _applied(cohort, study.masks, MaskFolder.open(run / told["folder"]))
    if found.fingerprint() != told["sha256"]:
        raise StudyError(
            f"{found.folder}: masks, or a reader's verdicts on them, were changed after the features were extracted; "
            "run again (what did not change comes from the store)"
        )
    return found


def draw_masks(
    cohort: Cohort, choice: MaskChoice, folder: Path, jobs: int, *, name: str = "", force: bool = False
) -> MaskFolder:
    """Draw what is not drawn yet, with progress, and say what came of it.

    Parameters
    ----------
    cohort : Cohort
    choice : MaskChoice
        Without a source its folder is read as it is.
    folder : Path
        Where the choice names none: in it, a folder for this drawer with these settings, so that those of another one
        and a reader's verdicts on them stay.
    jobs : int
    name : str
        Of the folder's beginning; the source's name without it.
    force : bool
        Draw again what is there.
    """
    if choice.source is None:
        assert choice.folder is not None
        return MaskFolder.open(choice.folder)
    if cohort.table is not None:
        raise StudyError("masks: this cohort brings a table of features and has no pictures to draw on")
    drawer = choice.drawer()
    hints = read_seeds(choice.seeds, cohort) if choice.seeds else None
    place = choice.place(drawer, folder, name)
    with shown_progress() as progress:
        report: Report = progress
        made = draw_cohort(
            cohort, drawer, place,
            pictures=choice.pictures, jobs=jobs, progress=report, force=force, hints=hints,
            source=choice.source,
        )  # fmt: skip
    states = [row.state for row in made.rows.values()]
    LOG.info(
        "masks: %d drawn, %d pictures without a lesion found, %d failed: %s",
        states.count("ok"), states.count("none"), states.count("failed"), place,
    )  # fmt: skip
    return made


def masked(study: Study, cohort: Cohort) -> Masked:
    """The study's cohort with the masks that the study asks for, as :func:`with_masks`."""
    return with_masks(cohort, study.masks, study.output / DRAWN, study.jobs)


def _content(mask: Any) -> str:
    try:
        return "" if mask is None else str(mask.content())
    except CaseError as error:
        return error.code


def _replaces(stated: Cohort, used: Cohort) -> bool:
    """Whether a picture on which a reader drew carries another mask now."""
    before = {(case.case_id, key): picture.mask for case in stated.cases for key, picture in case.pictures.items()}
    return any(
        before.get((case.case_id, key)) is not None and picture.mask is not before[case.case_id, key]
        for case in used.cases
        for key, picture in case.pictures.items()
    )
