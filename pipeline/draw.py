"""Drawing a cohort: masks by a drawer for pictures that have none, into a folder, and from it onto the cohort."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from ..features.case import Case, Picture, PictureKey
from ..features.errors import StudyError
from ..features.failure import Failure, State
from ..features.image import ImageSource
from ..features.imagefile import ImageFile
from .cohort import Cohort, Note
from .draw_view import Drawn, Hint, ViewTask, draw_all, draw_in_processes
from .drawer import Drawer
from .lock import hold, release
from .mask_folder import MASKS, RECORD_FILE, REGIONS, MaskFolder, MaskRow, Place, fingerprint_of, plain
from .progress import Report
from .verdicts import Judged, Verdict, judge, read_verdicts
from .write_masks import file_names

Pictures = Literal["missing", "all"]
_SECONDS_BETWEEN_SAVES = 5.0
_SOURCES = {
    "automatic": "masks that {} drew, and no reader looked at",
    "accepted": "masks that {} drew, of regions that a reader accepted",
    "corrected": "masks of a reader, in the place of those that {} drew",
}


def draw_cohort(
    cohort: Cohort,
    drawer: Drawer,
    folder: Path,
    *,
    pictures: Pictures = "missing",
    jobs: int = 1,
    progress: Report | None = None,
    force: bool = False,
    hints: Mapping[Place, Hint] | None = None,
    source: str = "",
) -> MaskFolder:
    """Draw masks for a cohort.

    Every view is read and drawn once, however many lesions it shows. What was drawn is on the disk at once: after an
    interruption the same call goes on where it ended. Pictures whose content, patient and drawer are those of an
    earlier call are not drawn again; failures are tried again.

    Parameters
    ----------
    cohort : Cohort
    drawer : Drawer
    folder : Path
        Made where it is missing. It holds masks of one drawer.
    pictures : {"missing", "all"}
        Only those on which the cohort states no mask, or all.
    jobs : int
        Processes; 1 draws in this one.
    progress : callable, optional
        Told how many views are done.
    force : bool
        Draw again what is there, also in a folder of another drawer, whose masks are lost.
    hints : mapping of (str, str) to Hint, optional
        Where lesions are, by case id and picture name, for drawers that go by it.
    source : str
        The drawer's name on its shelf, for its provenance.

    Raises
    ------
    StudyError
        If the folder holds masks of another drawer, or the drawer cannot be used at all. A picture never raises.
    OSError
        If the disk is full.
    """
    hold(folder)
    try:
        target = _begin(cohort, provenance_of(drawer, source), folder, force=force)
        target.save()
        _draw(drawer, _Drawing(cohort, target, pictures, hints or {}, force=force), jobs, progress)
    finally:
        release(folder)
    return target


def provenance_of(drawer: Drawer, source: str) -> dict[str, Any]:
    """What a drawer says of itself, with its name on the shelf of mask sources where it has one."""
    return ({"source": source} if source else {}) | drawer.provenance()


def _draw(drawer: Drawer, work: _Drawing, jobs: int, progress: Report | None) -> None:
    """Draw what must be drawn, and keep the tables up to date."""
    target = work.target
    todo = draw_all(drawer, work.tasks()) if jobs == 1 else draw_in_processes(drawer, work.tasks(), jobs)
    saved = time.monotonic()
    try:
        with closing(todo) as results:
            for task, made in results:
                work.take(task, made)
                if progress is not None:
                    progress(work.n_done, len(work.views), "draw")
                if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                    target.save()
                    saved = time.monotonic()
    finally:
        target.save()
    if progress is not None:
        progress(len(work.views), len(work.views), "draw")


def apply(cohort: Cohort, folder: MaskFolder, pictures: Pictures = "missing") -> Cohort:
    """The same cohort with drawn masks on its pictures, as a reader's verdicts in ``review.csv`` leave them.

    Parameters
    ----------
    cohort : Cohort
    folder : MaskFolder
    pictures : {"missing", "all"}
        Those on which the cohort states no mask, or all: then no reader's mask is left.

    Returns
    -------
    Cohort
        A picture without a mask stays without one, and a failure of stage ``mask`` says why: ``mask.none_found``,
        ``mask.rejected``, ``mask.not_drawn``, ``mask.outdated`` (the picture was changed since) or the drawer's own
        code. Notes count masks by how they came about; lesions that share one mask are warned of.

    Raises
    ------
    StudyError
        Naming the line of ``review.csv`` that cannot be used.
    """
    work = _Applying(folder, read_verdicts(folder), pictures)
    cases = tuple(work.case(case) for case in cohort.cases)
    return replace(
        cohort, cases=cases, failures=(*cohort.failures, *work.all_failures()), notes=(*cohort.notes, *work.notes())
    )


class _Applying:
    """A folder's masks on their way to a cohort, with an account of them."""

    def __init__(self, folder: MaskFolder, verdicts: Mapping[Place, Verdict], pictures: Pictures) -> None:
        self.folder = folder
        self.verdicts = verdicts
        self.pictures = pictures
        self.drawer_sha256 = fingerprint_of(folder.drawer)
        self.failures: list[Failure] = []
        self.places: dict[str, list[Place]] = {}
        self.alike: dict[Hashable, list[Place]] = {}

    def case(self, case: Case) -> Case:
        """The case with masks where they are wanted."""
        found: dict[PictureKey, Picture] = dict(case.pictures)
        for view, sources in _views(case).items():
            wanted = [key for key in found if key.view == view and _is_wanted(found[key], self.pictures)]
            key_now = _key(case, view, sources, self.drawer_sha256) if wanted else ""
            for key in wanted:
                row = self.folder.rows.get((case.case_id, key.name))
                judged = self._judged(row, key_now, found[key].image)
                found[key] = replace(found[key], mask=judged.mask)
                self._note((case.case_id, key.name), row, judged)
        return replace(case, pictures=found)

    def _judged(self, row: MaskRow | None, key_now: str, image: ImageSource) -> Judged:
        if row is None or row.state == "skipped":
            reason = f"{self.folder.path.name} holds no drawing of this picture; draw again"
            return Judged(None, "", "mask.not_drawn", reason)
        verdict = self.verdicts.get(row.place)
        is_corrected = verdict is not None and verdict.whole == "correct"
        if row.key and key_now and row.key != key_now and not is_corrected:
            reason = "a picture of this view, or its patient, is another one than when the mask was drawn; draw again"
            return Judged(None, "", "mask.outdated", reason)
        return judge(self.folder, row, verdict, image.path.name if isinstance(image, ImageFile) else "")

    def _note(self, place: Place, row: MaskRow | None, judged: Judged) -> None:
        if judged.code:
            state: State = "skipped" if judged.code == "mask.rejected" else "failed"
            state = state if judged.mask is None else "warned"
            self.failures.append(Failure(place[0], "mask", judged.code, judged.reason, place[1], state))
        if judged.mask is not None:
            self.places.setdefault(judged.source, []).append(place)
        if row is not None and row.key and judged.source == "automatic":
            self.alike.setdefault((row.key, row.sha256, row.picture), []).append(place)

    def all_failures(self) -> list[Failure]:
        """Those of single pictures, and warnings of lesions that share a mask."""
        shared = [places for places in self.alike.values() if len(places) > 1]
        return [*self.failures, *(_shared(place, places) for places in shared for place in places)]

    def notes(self) -> list[Note]:
        """How many masks came about in which way."""
        return [
            Note(f"mask.{source}", text.format(self.folder.name), len(items), tuple(map(" ".join, items)))
            for source, text in _SOURCES.items()
            if (items := self.places.get(source))
        ]


def _shared(place: Place, places: list[Place]) -> Failure:
    others = ", ".join(case_id for case_id, _ in places if case_id != place[0])
    reason = f"the automatic mask is of all regions of the picture, and also that of {others}; review it"
    return Failure(place[0], "mask", "mask.shared", reason, place[1], "warned")


class _Drawing:
    """The views of a cohort on their way."""

    def __init__(
        self, cohort: Cohort, target: MaskFolder, pictures: Pictures, hints: Mapping[Place, Hint], *, force: bool
    ) -> None:
        self.target = target
        self.hints = hints
        self.force = force
        self.drawer_sha256 = fingerprint_of(target.drawer)
        self.names = file_names({case.case_id for case in cohort.cases} | {case_id for case_id, _ in target.rows})
        self.views: dict[Hashable, ViewTask] = {}
        self.n_done = 0
        for case in cohort.cases:
            for view, sources in _views(case).items():
                self._add(case, view, sources, pictures)

    def _add(self, case: Case, view: str, sources: Mapping[str, ImageSource], pictures: Pictures) -> None:
        keys = [PictureKey(image_type, view) for image_type in sources]
        wanted = [key for key in keys if _is_wanted(case.pictures[key], pictures)]
        for key in keys:
            if key not in wanted and (case.case_id, key.name) not in self.target.rows:
                reason = "a reader's mask was there, and nothing was drawn"
                self.target.put(MaskRow(case.case_id, case.patient_id, key.name, "skipped", "mask.stated", reason))
        if wanted:
            places = {key.image_type: (case.case_id, key.name) for key in keys}
            hints = {image_type: self.hints[place] for image_type, place in places.items() if place in self.hints}
            made = ViewTask(case, view, sources, [], hints)
            pictures_of = tuple((image_type, _identity(source)) for image_type, source in sources.items())
            task = self.views.setdefault((case.patient_id, case.laterality, view, pictures_of, made.hint), made)
            task.wanted.extend((case.case_id, key) for key in wanted)

    def tasks(self) -> Iterator[ViewTask]:
        """Views that must be drawn; content is hashed when their turn comes."""
        for task in self.views.values():
            key = _key(task.case, task.view, task.sources, self.drawer_sha256)
            if not self.force and key and all(self._is_there(one, key, task.hint) for one in task.wanted):
                self.n_done += 1
                continue
            yield replace(task, key=key)

    def _is_there(self, wanted: tuple[str, PictureKey], key: str, hint: str) -> bool:
        row = self.target.rows.get((wanted[0], wanted[1].name))
        is_same = row is not None and (row.key, row.hint) == (key, hint)
        return row is not None and is_same and row.state in ("ok", "none") and self.target.is_whole(row)

    def take(self, task: ViewTask, made: Mapping[str, Drawn]) -> None:
        """Keep what was made of a view, once for every case that it shows."""
        self.n_done += 1
        for case_id, key in task.wanted:
            drawn = made[key.image_type]
            file = f"{self.names[case_id]}__{key.name}.png"
            contents = {f"{MASKS}/{file}": drawn.mask, f"{REGIONS}/{file}": drawn.labels}
            row = replace(
                drawn.row,
                case_id=case_id,
                patient_id=task.case.patient_id,
                picture=key.name,
                hint=task.hint,
                key=task.key,
                file=f"{MASKS}/{file}" if drawn.mask else "",
                regions_file=f"{REGIONS}/{file}" if drawn.labels else "",
            )
            regions = tuple(replace(region, case_id=case_id, picture=key.name) for region in drawn.regions)
            self.target.put(row, regions, {name: content for name, content in contents.items() if content}, drawn.model)


def _begin(cohort: Cohort, provenance: Mapping[str, Any], path: Path, *, force: bool) -> MaskFolder:
    """The folder as it is, or a new one."""
    fresh = MaskFolder(path, provenance, phantom=cohort.phantom)
    if not (path / RECORD_FILE).is_file():
        return fresh
    if force:
        try:
            before = MaskFolder.open(path)
        except StudyError:
            return fresh
    else:
        before = MaskFolder.open(path)
    if before.drawer == plain(provenance):
        before.phantom = before.phantom or cohort.phantom
        return before
    if force:
        before.forget()
        return fresh
    names = sorted(n for n in {*before.drawer, *fresh.drawer} if before.drawer.get(n) != fresh.drawer.get(n))
    raise StudyError(
        f"{path}: holds masks of another drawer (other {', '.join(names)}); name another folder, or force to draw "
        "all again and lose them"
    )


def _views(case: Case) -> dict[str, dict[str, ImageSource]]:
    """Image sources of a case by view and image type."""
    found: dict[str, dict[str, ImageSource]] = {}
    for key, picture in sorted(case.pictures.items(), key=lambda item: item[0].order):
        found.setdefault(key.view, {})[key.image_type] = picture.image
    return found


def _is_wanted(picture: Picture, pictures: Pictures) -> bool:
    return pictures == "all" or picture.mask is None


def _identity(source: ImageSource) -> Hashable:
    """The source itself where equal ones are known to be; else which object it is."""
    try:
        hash(source)
    except TypeError:
        return id(source)
    return cast(Hashable, source)


def _key(case: Case, view: str, sources: Mapping[str, ImageSource], drawer_sha256: str) -> str:
    """Hash of what a drawing depends on; empty where a picture's content is not known."""
    try:
        contents = {image_type: source.content() for image_type, source in sources.items()}  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - whoever reads the picture will say what is wrong with it
        return ""
    return fingerprint_of([drawer_sha256, case.patient_id, case.laterality, view, contents])
