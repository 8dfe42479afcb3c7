"""Drawing one view: its pictures are read, a drawer draws, and what comes of it is a row and two small files."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor
from numpy.typing import NDArray
from scipy import ndimage

from ..features.case import Case, PictureKey
from ..features.errors import CaseError, MaskError, StudyError, WeightsError
from ..features.image import Image, ImageSource
from ..features.mask import require_same_size
from ..features.reread import is_out_of_memory
from ..features.training_ids import TrainingIds, stated
from .drawer import Drawer, Drawing, View
from .mask_folder import MaskRow, RegionRow
from .work import NO_MEMORY
from .workers import end_with_parent, environment, without_ctrl_c
from .write_masks import png_bytes

_MOST_REGIONS = np.iinfo(np.uint16).max
_LOST = "the process that drew this view died, twice; too little memory, or a file that crashes its decoder"


@dataclass(frozen=True)
class Hint:
    """Where a user says that a lesion is on a picture.

    Parameters
    ----------
    point : tuple of float, optional
        Row and column of a pixel in it.
    box : tuple of int, optional
        Top, bottom, left and right around it; half-open.
    """

    point: tuple[float, float] | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class ViewTask:
    """A view to be drawn.

    Parameters
    ----------
    case : Case
        The first that shows it.
    view : str
    sources : mapping of str to ImageSource
        By image type.
    wanted : list of (str, PictureKey)
        Case ids and pictures that get what is drawn.
    hints : mapping of str to Hint
        By image type.
    key : str
        As in :class:`~cemrad.pipeline.mask_folder.MaskRow`.
    """

    case: Case
    view: str
    sources: Mapping[str, ImageSource]
    wanted: list[tuple[str, PictureKey]]
    hints: Mapping[str, Hint] = field(default_factory=dict)
    key: str = ""

    @property
    def hint(self) -> str:
        """The hints as text; empty without any."""
        return json.dumps({name: asdict(hint) for name, hint in sorted(self.hints.items())}) if self.hints else ""


@dataclass(frozen=True)
class Drawn:
    """What came of one picture: a row without its case, and PNG files; empty where there is nothing to keep."""

    row: MaskRow
    mask: bytes = b""
    labels: bytes = b""
    regions: tuple[RegionRow, ...] = ()
    model: TrainingIds | None = None


Results = Generator[tuple[ViewTask, dict[str, Drawn]]]


def draw_all(drawer: Drawer, tasks: Iterator[ViewTask]) -> Results:
    """Views one after another, in this process."""
    for task in tasks:
        yield task, draw_view(drawer, task)


def draw_in_processes(drawer: Drawer, tasks: Iterator[ViewTask], jobs: int) -> Results:
    """Views as they finish, in worker processes; one that takes its process with it twice is a failure."""
    while True:
        suspects: list[ViewTask] = []
        with _Pool(drawer, jobs) as pool:
            yield from pool.run(tasks, suspects)
        if not suspects:
            return
        while suspects:  # one of them is at fault: one at a time
            again: list[ViewTask] = []
            with _Pool(drawer, 1) as pool:
                yield from pool.run(_popped(suspects), again)
            for lost in again:
                yield lost, {image_type: _failed("worker.lost", _LOST) for image_type in lost.sources}


def _popped(tasks: list[ViewTask]) -> Iterator[ViewTask]:
    while tasks:
        yield tasks.pop(0)


def draw_view(drawer: Drawer, task: ViewTask) -> dict[str, Drawn]:
    """What a drawer makes of a view, by image type; whatever goes wrong with a picture is in its row."""
    images: dict[str, Image] = {}
    made: dict[str, Drawn] = {}
    for image_type, source in task.sources.items():
        try:
            images[image_type] = source.read()
        except Exception as error:  # noqa: BLE001 - a fault of one picture; the other one still counts
            made[image_type] = _failed(*_reason(error, "image.error", "the picture cannot be read"))
    case = task.case
    points = {name: hint.point for name, hint in task.hints.items() if hint.point is not None}
    boxes = {name: hint.box for name, hint in task.hints.items() if hint.box is not None}
    view = View(case.case_id, case.patient_id, task.view, case.laterality, images, points, boxes)
    for image_type, drawing in _drawings(drawer, view).items():
        try:
            made[image_type] = _made(drawer, drawing, images[image_type])
        except StudyError:
            raise
        except Exception as error:  # noqa: BLE001 - of whatever a drawer may return
            made[image_type] = _failed(*_reason(error, "drawer.error", "the drawer's drawing cannot be used"))
    return made


def _drawings(drawer: Drawer, view: View) -> dict[str, Drawing | CaseError]:
    if not view.images:
        return {}
    try:
        found = drawer.draw(view)
    except (StudyError, WeightsError):  # not this view's fault
        raise
    except Exception as error:  # noqa: BLE001 - a fault on data that nobody foresaw: the run goes on
        reason = MaskError(*_reason(error, "drawer.error", "the drawer failed on this view"))
        return dict.fromkeys(view.images, reason)
    absent = MaskError("mask.not_drawn", "the drawer gave nothing for this picture")
    return {image_type: found.get(image_type, absent) for image_type in view.images}


def _reason(error: Exception, code: str, what: str) -> tuple[str, str]:
    if isinstance(error, CaseError):
        return error.code, str(error)
    if is_out_of_memory(error):
        return NO_MEMORY, "memory was out; draw with fewer jobs"
    return code, f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _failed(code: str, reason: str) -> Drawn:
    return Drawn(_row("failed", code, reason))


def _row(state: Literal["ok", "none", "failed"], code: str = "", reason: str = "", **values: Any) -> MaskRow:
    return MaskRow("", "", "", state, code, reason, **values)


def _seen(drawer: Drawer, drawing: Drawing) -> TrainingIds | None:
    """Whom the model had seen; one that learned and does not say of whom would be judged on its own patients."""
    if drawing.trained_on is None and any(stated(drawer.provenance())):
        raise StudyError("the drawer states training records, and its drawings do not; they must say trained_on")
    return drawing.trained_on


def _made(drawer: Drawer, drawing: Drawing | CaseError, image: Image) -> Drawn:
    if isinstance(drawing, CaseError):
        raise drawing
    labels = np.asarray(drawing.labels)
    mask = require_same_size(drawing.mask, image)
    regions = _regions(drawing, labels)
    accepted = [region.score for region in regions if region.accepted]
    content = {"labels": png_bytes(labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16))}
    if accepted:
        content["mask"] = png_bytes(mask.astype(np.uint8) * 255)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    shift = drawing.shift
    told = () if accepted else ("mask.none_found", _none_found(regions))
    row = _row(
        "ok" if accepted else "none",
        *told,
        sha256=hashes.get("mask", ""),
        regions_sha256=hashes["labels"],
        rows=image.shape[0],
        columns=image.shape[1],
        area_px=int(np.count_nonzero(mask)),
        n_regions=len(regions),
        n_accepted=len(accepted),
        score=max(accepted, default=None),
        drawn_on=drawing.drawn_on,
        rows_px=None if shift is None else float(shift.rows_px),
        columns_px=None if shift is None else float(shift.columns_px),
        shift_method="" if shift is None else shift.method,
        shift_quality=None if shift is None else float(shift.quality),
        notes=" ".join(drawing.notes),
    )
    return Drawn(row, content.get("mask", b""), content["labels"], regions, _seen(drawer, drawing))


def _none_found(regions: tuple[RegionRow, ...]) -> str:
    if not regions:
        return "the drawer found no lesion on this picture"
    best = max(region.score for region in regions)
    return f"no lesion was found: none of {len(regions)} candidates was accepted (highest score {best:.2f})"


def _regions(drawing: Drawing, labels: NDArray[Any]) -> tuple[RegionRow, ...]:
    """A row per candidate, with its box; raises MaskError ``drawer.inconsistent`` where they do not fit the labels."""
    numbers = [region.number for region in drawing.regions]
    if labels.min(initial=0) < 0 or labels.max(initial=0) > _MOST_REGIONS:
        raise MaskError("drawer.inconsistent", f"numbers of candidates beyond 0 to {_MOST_REGIONS}")
    boxes = ndimage.find_objects(labels)
    if sorted(numbers) != [number for number, box in enumerate(boxes, start=1) if box is not None]:
        raise MaskError("drawer.inconsistent", "the drawer's candidates are not those in its labels")
    areas = np.bincount(labels.ravel())
    rows = []
    for region in drawing.regions:
        tall, wide = boxes[region.number - 1]
        box = tall.start, tall.stop, wide.start, wide.stop
        score, area = float(region.score), int(areas[region.number])
        rows.append(RegionRow("", "", region.number, area, score, bool(region.accepted), *box, region.reason))
    return tuple(rows)


class _Pool:
    """Worker processes that each hold the drawer."""

    def __init__(self, drawer: Drawer, jobs: int) -> None:
        self.jobs = jobs
        with without_ctrl_c():
            self.pool = ProcessPoolExecutor(
                jobs, env=environment(), initializer=_begin_worker, initargs=(os.getpid(), drawer)
            )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=True, kill_workers=True)

    def run(self, tasks: Iterator[ViewTask], suspects: list[ViewTask]) -> Results:
        """Results as they come; where a process dies, what was on its way goes to `suspects`, and it ends."""
        pending: dict[Future[dict[str, Drawn]], ViewTask] = {}
        most = 1 if self.jobs == 1 else self.jobs + 1
        while True:
            while len(pending) < most and (task := next(tasks, None)) is not None:
                with without_ctrl_c():
                    pending[self.pool.submit(_work, task)] = task
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                task = pending[future]
                try:
                    made = future.result()
                except BrokenProcessPool:
                    suspects += pending.values()
                    return
                del pending[future]
                yield task, made


_DRAWER: list[Drawer] = []


def _begin_worker(parent: int, drawer: Drawer) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    _DRAWER[:] = [drawer]


def _work(task: ViewTask) -> dict[str, Drawn]:
    return draw_view(_DRAWER[0], task)
