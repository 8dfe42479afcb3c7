"""Verdicts: what a reader says of drawn masks in review.csv, and which mask counts then.

A line is about one picture, or about one candidate region of it: ``accept`` uses it, also if the drawer did not accept
it; ``reject`` does not; ``correct`` puts a mask of the reader's in the place of the picture's. An empty verdict says
nothing. A review of several pages keeps further lines in ``review_2.csv`` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..features.errors import CaseError, CohortError, StudyError
from ..features.mask import MaskSource
from ..features.settings import nearest
from .mask_folder import MaskFolder, MaskRow, Place
from .masks.drawn import DrawnMask
from .masks.label_image import LabelImage
from .masks.via import ViaMask, read_via
from .roots import Roots
from .text_table import read_text_table

REVIEW_FILE = "review.csv"
COLUMNS = ["case_id", "picture", "region", "verdict", "file", "comment", "drawing"]
NEEDED = COLUMNS[:4]
VERDICTS = ("accept", "reject", "correct")
_NAME = re.compile(r"review(?:_(\d+))?\.csv").fullmatch


@dataclass(frozen=True)
class Verdict:
    """What a reader says of one picture.

    Parameters
    ----------
    whole : str
        Of the picture: one of `VERDICTS`, or empty.
    regions : mapping of int to str
        Of single candidates: ``accept`` or ``reject``; it counts for more than `whole`.
    file : Path, optional
        The corrected mask.
    comment : str
    is_outdated : bool
        Whether there are verdicts about an earlier drawing, which do not count.
    """

    whole: str = ""
    regions: Mapping[int, str] = field(default_factory=dict)
    file: Path | None = None
    is_outdated: bool = False

    @property
    def is_given(self) -> bool:
        """Whether anything counts."""
        return bool(self.whole or self.regions)


@dataclass(frozen=True)
class Judged:
    """The mask that counts for a picture, or why there is none.

    Parameters
    ----------
    mask : MaskSource, optional
    source : str
        ``automatic``, ``accepted`` (a reader chose its regions) or ``corrected``; empty without a mask.
    code, reason : str
        Why there is no mask, or, beside one, what to look at.
    """

    mask: MaskSource | None
    source: str = ""
    code: str = ""
    reason: str = ""


def read_verdicts(folder: MaskFolder) -> dict[Place, Verdict]:
    """Verdicts of a folder's ``review.csv`` by case and picture; none where the file is not there.

    Raises
    ------
    StudyError
        Naming the line: a verdict that is none, a case, picture or region that the folder does not know, verdicts
        that contradict each other, a corrected mask that is not there.
    """
    found: dict[Place, Verdict] = {}
    for path in review_files(folder):
        for line, row in review_rows(path):
            try:
                _take(folder, row, found)
            except (CaseError, StudyError) as error:
                raise StudyError(f"{path}: line {line}: {error}") from None
    return found


def review_files(folder: MaskFolder) -> list[Path]:
    """Files of verdicts that are there, page by page."""
    numbered = {int(match[1] or 1): path for path in folder.path.glob("review*.csv") if (match := _NAME(path.name))}
    return [numbered[number] for number in sorted(numbered)]


def review_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Lines of a file of verdicts with their numbers; raises StudyError where it is none."""
    try:
        frame = read_text_table(path)
    except CohortError as error:
        raise StudyError(str(error)) from None
    absent = [name for name in NEEDED if name not in frame]
    if absent:
        raise StudyError(f"{path}: no column {absent[0]!r}; it needs {', '.join(NEEDED)}")
    records = frame.reindex(columns=[*frame.columns, *(n for n in COLUMNS if n not in frame)], fill_value="")
    names = list(map(str, records.columns))
    return [
        (int(line), dict(zip(names, cells, strict=True)))
        for line, cells in zip(records.index, records.to_numpy().tolist(), strict=True)
    ]


def judge(folder: MaskFolder, row: MaskRow, verdict: Verdict | None, image_name: str = "") -> Judged:
    """The mask that counts.

    Parameters
    ----------
    folder : MaskFolder
    row : MaskRow
        Of the picture.
    verdict : Verdict, optional
    image_name : str
        File name of the picture, under which a VIA file holds its contours.

    Raises
    ------
    StudyError
        If a corrected VIA file cannot be read, or holds nothing of the picture.
    """
    if verdict is not None and verdict.whole == "correct":
        assert verdict.file is not None
        return Judged(_corrected(verdict.file, image_name, row), "corrected")
    if row.state in ("failed", "skipped"):
        return Judged(None, "", row.code, row.reason)
    drawn = _as_drawn(folder, row)
    if verdict is None or not verdict.is_given:
        if drawn.mask is not None and verdict is not None and verdict.is_outdated:
            reason = "the verdict in review.csv was about an earlier drawing and does not count; look at this one"
            return replace(drawn, code="mask.review_outdated", reason=reason)
        return drawn
    chosen = _chosen(folder, row, verdict)
    if not chosen:
        return Judged(None, "", "mask.rejected", "a reader rejected the drawn mask in review.csv")
    name, sha256 = row.regions_file, row.regions_sha256
    return Judged(_drawn(folder, row, name, sha256, tuple(chosen), "accepted"), "accepted")


def _as_drawn(folder: MaskFolder, row: MaskRow) -> Judged:
    if row.state == "none":
        return Judged(None, "", row.code, row.reason)
    return Judged(_drawn(folder, row, row.file, row.sha256, (255,), row.source), row.source)


def _drawn(folder: MaskFolder, row: MaskRow, name: str, sha256: str, values: tuple[int, ...], source: str) -> DrawnMask:
    return DrawnMask(folder.path.resolve() / name, values, sha256, folder.models.get(row.model), source)


def _chosen(folder: MaskFolder, row: MaskRow, verdict: Verdict) -> list[int]:
    keeps = verdict.whole != "reject"
    return [
        region.region
        for region in folder.regions.get(row.place, ())
        if verdict.regions.get(region.region, "accept" if region.accepted and keeps else "reject") == "accept"
    ]


def _corrected(path: Path, image_name: str, row: MaskRow) -> MaskSource:
    """The mask source of a file, by its ending."""
    if path.suffix.lower() not in (".json", ".csv"):
        return LabelImage(path)
    try:
        drawn = read_via(path)
    except CohortError as error:
        raise StudyError(f"{REVIEW_FILE}: {row.case_id} {row.picture}: {error}") from None
    found = drawn.get(image_name) or (next(iter(drawn.values())) if len(drawn) == 1 else None)
    if found is None or not found.regions:
        which = f"no region of {image_name!r}" if image_name else "more than one picture, and none of this name"
        raise StudyError(f"{REVIEW_FILE}: {row.case_id} {row.picture}: {path.name} holds {which}")
    return ViaMask(found.regions)


def _place(folder: MaskFolder, row: Mapping[str, str]) -> Place:
    place = row["case_id"], row["picture"].strip()
    if place in folder.rows:
        return place
    if not any(case_id == place[0] for case_id, _ in folder.rows):
        guess = nearest(place[0], {case_id for case_id, _ in folder.rows})
        raise StudyError(f"no case {place[0]!r} in this folder" + (f"; did you mean {guess!r}?" if guess else ""))
    names = [picture for case_id, picture in folder.rows if case_id == place[0]]
    raise StudyError(f"case {place[0]!r} has no picture {place[1]!r}; there are: {', '.join(names)}")


def _take(folder: MaskFolder, row: Mapping[str, str], found: dict[Place, Verdict]) -> None:
    """Add what one line says."""
    said = row["verdict"].strip().lower()
    if not said:
        return
    if said not in VERDICTS:
        guess = nearest(said, VERDICTS)
        advice = f"did you mean {guess!r}? " if guess else ""
        raise StudyError(f"verdict {row['verdict']!r}; {advice}write {', '.join(VERDICTS)}, or leave it empty")
    place = _place(folder, row)
    before = found.get(place, Verdict())
    about = row["drawing"].strip()
    if about and about != folder.rows[place].drawing and said != "correct":
        found[place] = replace(before, is_outdated=True)
    elif row["region"].strip():
        found[place] = _of_region(folder, place, before, said, row["region"].strip())
    else:
        found[place] = _of_picture(folder, place, before, said, row)


def _of_region(folder: MaskFolder, place: Place, before: Verdict, said: str, text: str) -> Verdict:
    number = _region(folder, place, text)
    if said == "correct":
        raise StudyError("a corrected mask stands for the whole picture; leave region empty")
    if before.whole == "correct" or before.regions.get(number, said) != said:
        raise StudyError(f"contradicts another line on {place[0]} {place[1]}")
    return replace(before, regions={**before.regions, number: said})


def _of_picture(folder: MaskFolder, place: Place, before: Verdict, said: str, row: Mapping[str, str]) -> Verdict:
    if before.whole not in ("", said) or (said == "correct" and before.is_given):
        raise StudyError(f"contradicts another line on {place[0]} {place[1]}")
    if said == "accept" and not folder.rows[place].n_accepted:
        raise StudyError("the drawer accepted no region here; write the number of the region that is the lesion")
    file = _corrected_file(folder, row["file"]) if said == "correct" else None
    return replace(before, whole=said, file=file)


def _corrected_file(folder: MaskFolder, text: str) -> Path:
    try:
        return Roots(folder.path).file(text)
    except CaseError as error:
        if error.code == "path.outside_root":
            raise StudyError(f"{text.strip()}: copy the corrected mask into {folder.path} and name it there") from None
        raise


def _region(folder: MaskFolder, place: Place, text: str) -> int:
    numbers = [region.region for region in folder.regions.get(place, ())]
    if not text.isdecimal() or int(text) not in numbers:
        listed = ", ".join(map(str, numbers)) or "none"
        raise StudyError(f"no region {text!r} on {place[0]} {place[1]}; there are: {listed}")
    return int(text)
