"""The review of drawn masks: an HTML contact sheet for the eye, and review.csv for the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.case import Case, Picture, PictureKey
from ..features.errors import CaseError, MaskError
from ..features.image import Image
from ..features.imagefile import ImageFile, decode
from ..features.mask import Mask
from ..features.whole import write_whole
from ..reports.review import ReviewCard, ReviewPage, ReviewPicture, ReviewRegion, render_review
from ..reports.thumbnail import Thumbnail, thumbnail
from .cohort import Cohort
from .mask_folder import MaskFolder, MaskRow, Place, RegionRow, csv_text
from .progress import Report
from .verdicts import COLUMNS, Judged, Verdict, judge, read_verdicts, review_files, review_rows

LARGEST_PX = 448
PAGE_BYTES = 14_000_000
"""A page is closed before its pictures take more."""
_PREFILLED = ("case_id", "picture", "region", "drawing")
_STATES = {
    "automatic": "Drawn automatically",
    "accepted": "Accepted by a reader",
    "corrected": "Corrected by a reader",
    "mask.rejected": "Rejected by a reader",
    "mask.none_found": "No lesion found",
    "mask.stated": "Drawn by a reader",
}
_KINDS = {"mask.rejected": "rejected", "mask.none_found": "none", "mask.stated": "reader"}


@dataclass(frozen=True)
class _Said:
    """What readers wrote: verdicts by place, and comments by place and region (empty for the picture)."""

    verdicts: Mapping[Place, Verdict]
    comments: Mapping[tuple[str, str, str], str]


def write_review(
    cohort: Cohort,
    folder: MaskFolder,
    path: Path | None = None,
    *,
    largest_px: int = LARGEST_PX,
    page_bytes: int = PAGE_BYTES,
    progress: Report | None = None,
) -> list[Path]:
    """Write the contact sheet, and ``review.csv`` beside the masks with a line for everything that can be judged.

    Parameters
    ----------
    cohort : Cohort
        As it was read, without the folder's masks.
    folder : MaskFolder
    path : Path, optional
        The HTML file; ``review.html`` in the folder without it. Further pages are ``NAME_2.html`` and so on.
    largest_px : int
        Longest side of a picture on it.
    page_bytes : int
        A page is closed before its pictures take more.
    progress : callable, optional
        Told how many cases are done.

    Returns
    -------
    list of Path
        The pages.

    Raises
    ------
    StudyError
        Naming the line of ``review.csv`` that cannot be used. What a reader wrote is never altered.
    """
    path = folder.path / "review.html" if path is None else path
    pages = _paged(cohort, folder, largest_px, page_bytes, progress)
    names = [path.name, *(f"{path.stem}_{number}{path.suffix}" for number in range(2, len(pages) + 1))]
    places = {(case.case_id, key.name) for case in cohort.cases for key in case.pictures}
    for number, (name, cards) in enumerate(zip(names, pages, strict=True), start=1):
        csv_name = "review.csv" if number == 1 else f"review_{number}.csv"
        page = ReviewPage(
            cohort.name,
            folder.name,
            cards,
            names,
            number,
            csv_name,
            kept=_prefill(folder, csv_name, cards),
            n_not_drawn=len(places.difference(folder.rows)),
            phantom=cohort.phantom or folder.phantom,
        )
        write_whole(path.parent, {name: partial(_write, render_review(page))})
    return [path.parent / name for name in names]


def _paged(
    cohort: Cohort, folder: MaskFolder, largest_px: int, page_bytes: int, progress: Report | None
) -> list[list[ReviewCard]]:
    """Cards of all cases, as many to a page as its pictures allow."""
    said = _Said(read_verdicts(folder), _comments(folder))
    pages: list[list[ReviewCard]] = [[]]
    size = 0
    for done, case in enumerate(cohort.cases, start=1):
        for card in _cards(case, folder, said, largest_px):
            needed = sum(len(one.thumbnail.data_uri) for one in card.pictures if one.thumbnail is not None)
            if pages[-1] and size + needed > page_bytes:
                pages.append([])
                size = 0
            pages[-1].append(card)
            size += needed
        if progress is not None:
            progress(done, len(cohort.cases), "review")
    return pages


def _write(text: str, path: Path) -> int:
    return path.write_text(text, encoding="utf-8", newline="\n")


def _prefill(folder: MaskFolder, name: str, cards: list[ReviewCard]) -> str:
    """Lines for what can be judged, with what a reader wrote kept; returns what of it the page does not show."""
    path = folder.path / name
    elsewhere = [row for other in review_files(folder) if other != path for _, row in review_rows(other)]
    before = [row for _, row in review_rows(path)] if path.is_file() else []
    wrote = [row for row in before if any(text.strip() for column, text in row.items() if column not in _PREFILLED)]
    taken = {_line(row) for row in (*wrote, *elsewhere)}  # a line without a drawing is about any
    fresh = [row for card in cards for picture in card.pictures for row in _rows(card, picture)]
    rows = [*wrote, *(row for row in fresh if taken.isdisjoint((_line(row), _line(row | {"drawing": ""}))))]
    columns = list(dict.fromkeys([*COLUMNS, *(column for row in before for column in row)]))
    write_whole(folder.path, {name: partial(_write, csv_text(rows, columns))})
    shown = {_line(row | about) for row in fresh for about in ({}, {"drawing": ""})}
    return csv_text((row for row in wrote if _line(row) not in shown), COLUMNS).partition("\n")[2]


def _line(row: Mapping[str, str]) -> tuple[str, str, str, str]:
    return row["case_id"], row["picture"].strip(), row["region"].strip(), row["drawing"].strip()


def _comments(folder: MaskFolder) -> dict[tuple[str, str, str], str]:
    """Comments on the drawings that are there now."""
    found = {}
    for path in review_files(folder):
        for _, row in review_rows(path):
            case_id, picture, region, drawing = _line(row)
            now = folder.rows.get((case_id, picture))
            if row["comment"] and now is not None and drawing in ("", now.drawing):
                found[case_id, picture, region] = row["comment"]
    return found


def _rows(card: ReviewCard, picture: ReviewPicture) -> Iterator[dict[str, str]]:
    if not picture.can_judge:
        return
    same = {"case_id": card.case_id, "picture": picture.name, "drawing": picture.drawing}
    for region in ("", *(str(one.number) for one in picture.regions)):
        yield dict.fromkeys(COLUMNS, "") | same | {"region": region}


def _cards(case: Case, folder: MaskFolder, said: _Said, largest_px: int) -> Iterator[ReviewCard]:
    views: dict[str, list[PictureKey]] = {}
    for key in sorted(case.pictures, key=lambda key: key.order):
        if (case.case_id, key.name) in folder.rows:
            views.setdefault(key.view, []).append(key)
    for view, keys in views.items():
        shown = [_picture(case, key, folder, said, largest_px) for key in keys]
        rows = [folder.rows[case.case_id, key.name] for key in keys]
        yield ReviewCard(case.case_id, view, case.laterality, tuple(shown), tuple(_reasons(rows, shown)))


def _reasons(rows: list[MaskRow], shown: list[ReviewPicture]) -> Iterator[str]:
    """Why a view should be looked at; a picture that a reader has judged needs it no more."""
    open_rows = [row for row, one in zip(rows, shown, strict=True) if not _is_judged(one) and row.state != "skipped"]
    for row in open_rows:
        if row.state == "failed":
            yield f"{row.picture}: failed"
        elif row.state == "none":
            yield f"{row.picture}: nothing accepted"
        elif row.n_accepted is not None and row.n_accepted > 1:
            yield f"{row.picture}: {row.n_accepted} regions"
    if open_rows and {row.state for row in rows} >= {"ok", "none"}:
        yield "found on one picture of the view only"


def _is_judged(picture: ReviewPicture) -> bool:
    return bool(picture.verdict or any(region.verdict for region in picture.regions))


def _picture(case: Case, key: PictureKey, folder: MaskFolder, said: _Said, largest_px: int) -> ReviewPicture:
    row = folder.rows[case.case_id, key.name]
    verdict = said.verdicts.get(row.place, Verdict())
    picture = case.pictures[key]
    judged = judge(folder, row, verdict, picture.image.path.name if isinstance(picture.image, ImageFile) else "")
    told = judged.source or judged.code
    kind = _KINDS.get(told, "found" if judged.mask is not None else "failed")
    shown = ReviewPicture(
        key.name,
        key.image_type,
        None,
        _STATES.get(told, "Failed"),
        kind,
        judged.reason,
        score=row.score if judged.source == "automatic" else None,
        notes=row.notes,
        can_judge=row.state != "skipped",
        can_accept=bool(row.n_accepted),
        verdict=verdict.whole,
        file="" if verdict.file is None else _relative(verdict.file, folder.path),
        comment=said.comments.get((*row.place, ""), ""),
        drawing=row.drawing,
    )
    try:
        image = picture.image.read()
    except CaseError as error:
        return replace(shown, reason=f"{shown.reason or error}", kind="failed")
    try:
        return _drawn(shown, image, folder, row, picture, judged, said, largest_px)
    except CaseError as error:
        seen = thumbnail(image.pixels, largest_px)
        return replace(shown, thumbnail=seen, reason=str(error), kind="failed", state="Failed")


def _drawn(
    shown: ReviewPicture,
    image: Image,
    folder: MaskFolder,
    row: MaskRow,
    picture: Picture,
    judged: Judged,
    said: _Said,
    largest_px: int,
) -> ReviewPicture:
    """The picture with its contours."""
    by_reader: Mask | None = None
    if judged.source == "corrected" and judged.mask is not None:
        by_reader = judged.mask.read(image)
    elif row.state == "skipped" and picture.mask is not None:
        by_reader = picture.mask.read(image)
    labels = _labels(folder, row, image)
    seen = thumbnail(image.pixels, largest_px, (labels > 0) if by_reader is None else (labels > 0) | by_reader)
    regions = tuple(_region(region, labels, seen, said) for region in folder.regions.get(row.place, ()))
    outline = "" if by_reader is None else seen.outline(by_reader)
    return replace(shown, thumbnail=seen, regions=regions, outline=outline)


def _labels(folder: MaskFolder, row: MaskRow, image: Image) -> NDArray[np.integer[Any]]:
    """Numbers of the candidates on the picture; raises CaseError where the file is not the one that was written."""
    if not row.regions_file:
        return np.zeros(image.shape, dtype=np.uint8)
    labels = decode(folder.file(row.regions_file), row.regions_sha256).pixels
    if labels.shape != image.shape:
        raise MaskError("mask.outdated", "the picture has another size than when the mask was drawn; draw again")
    return labels


def _region(region: RegionRow, labels: NDArray[np.integer[Any]], seen: Thumbnail, said: _Said) -> ReviewRegion:
    place = region.case_id, region.picture
    here = labels == region.region
    x, y = seen.place(region.top, float(np.flatnonzero(here[region.top]).mean()))
    return ReviewRegion(
        region.region,
        region.area_px,
        region.score,
        region.accepted,
        region.reason,
        seen.outline(here),
        x,
        max(y - 5, 13.0),
        said.verdicts.get(place, Verdict()).regions.get(region.region, ""),
        said.comments.get((*place, str(region.region)), ""),
    )


def _relative(file: Path, base: Path) -> str:
    """As a reader writes it in review.csv."""
    base = base.resolve()
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else str(file)
