"""The inputs of a run: what every picture and mask held when it was computed, so that a change is noticed."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..features.cells import guard, quoting, unguard
from .cohort import Cohort
from .store import contents

COLUMNS = ("case_id", "picture", "image", "mask")
_LONGEST_LINE = 100_000
"""What is longer was not written here: a disk may leave zeros behind a power cut."""


class InputLog:
    """A log that grows line by line, and survives a run that was killed.

    Parameters
    ----------
    path : Path
        A CSV file of ``case_id``, ``picture`` and the hashes of what image and mask held; it is read if it is there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "inputs.csv"
    >>> InputLog(path).note("A1", {"RC_CC": ("image", "mask")})
    []
    >>> InputLog(path).note("A1", {"RC_CC": ("another", "mask")})
    ['A1 RC_CC']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = dict(_read(path))
        self._is_cut_off = path.is_file() and path.read_bytes()[-1:] not in (b"\n", b"")

    def note(self, case_id: str, content: Mapping[str, tuple[str, str] | None]) -> list[str]:
        """Remember what the pictures of a case hold; returns those that held something else before."""
        changed, lines = [], []
        for picture, of_picture in content.items():
            if of_picture is None:
                continue
            image, mask = (hashlib.sha256(text.encode()).hexdigest() for text in of_picture)
            before = self._known.get((case_id, picture))
            if before != (image, mask):
                self._known[case_id, picture] = image, mask
                lines.append((guard(case_id), guard(picture), image, mask))
                changed += [f"{case_id} {picture}"] * (before is not None)
        if lines:
            self._append(lines)
        return changed

    def _append(self, lines: list[tuple[str, str, str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            if self._is_cut_off:
                file.write("\n")
                self._is_cut_off = False
            if file.tell() == 0:
                csv.writer(file, lineterminator="\n").writerow(COLUMNS)
            told = quoting(cell for line in lines for cell in line)
            csv.writer(file, lineterminator="\n", quoting=told).writerows(lines)


def picture_hashes(path: Path, cohort: Cohort) -> dict[str, list[str]]:
    """Hashes of what the pictures of each case hold: as the log says, or read now where it does not know the case.

    Parameters
    ----------
    path : Path
        Of an :class:`InputLog`; it need not be there.
    cohort : Cohort
        One that brings a table of features has no pictures.
    """
    logged: dict[str, list[str]] = {}
    for (case_id, _), (image, _) in dict(_read(path)).items():
        logged.setdefault(case_id, []).append(image)
    return {
        case.case_id: logged.get(case.case_id)
        or [hashlib.sha256(pair[0].encode()).hexdigest() for pair in contents(case).values() if pair is not None]
        for case in cohort.cases
        if case.pictures
    }


def file_sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        for line in file:
            row = next(csv.reader([line]), []) if len(line) < _LONGEST_LINE else []
            if len(row) == len(COLUMNS) and len(row[3]) == hashlib.sha256().digest_size * 2:  # not cut off
                yield (unguard(row[0]), unguard(row[1])), (row[2], row[3])
