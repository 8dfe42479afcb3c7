"""What names and bytes of files say of the rows that name them: a hint that a row has another's file, never a proof."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .identity import contradictions

_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
_VIEWS = ("CC", "MLO")
_TYPES = {"le": "LE", "dm": "LE", "rc": "RC", "cm": "RC"}
_SAMPLE = 64 * 1024
_SHOWN = 8


class Said(NamedTuple):
    """What is said of a picture; empty where nothing is."""

    laterality: str = ""
    view: str = ""
    image_type: str = ""


@dataclass(frozen=True)
class RowFiles:
    """A row's files and what the row states of them.

    Parameters
    ----------
    line : int
    stated : Said
    patient : str
        Empty where the table has no column of patients.
    image : Path
    mask : Path, optional
        A label image; contours are found by their picture's name, so they cannot be another's.
    label : int, optional
        Of the mask.
    """

    line: int
    stated: Said
    patient: str
    image: Path
    mask: Path | None = None
    label: int | None = None


def said_by_name(name: str) -> Said:
    """Side, view and image type by the words of a file name; each only where one alone is named.

    Examples
    --------
    >>> said_by_name("P12_L_CM_MLO2.png")
    Said(laterality='L', view='MLO', image_type='RC')
    >>> said_by_name("left-rcc_mask.png"), said_by_name("scan 7.png")
    (Said(laterality='', view='CC', image_type=''), Said(laterality='', view='', image_type=''))
    """
    sides, views, types = set(), set(), set()
    for word in re.split(r"[^a-z0-9]+", name.rsplit(".", 1)[0].lower()):
        match = re.fullmatch(rf"([lr]?)({'|'.join(_VIEWS).lower()})\d?", word)
        if match:
            views.add(match[2].upper())
        side = match[1] if match else word
        sides |= {_SIDES[side]} if side in _SIDES else set()
        types |= {_TYPES[word]} if word in _TYPES else set()
    return Said(*(found.pop() if len(found) == 1 else "" for found in (sides, views, types)))


def doubts(rows: Sequence[RowFiles]) -> dict[int, list[tuple[str, str]]]:
    """Codes and reasons for which a row and its files may not belong together, by the row's line.

    ``image.misnamed`` and ``mask.misnamed``: the file is named after another side, view or (images only) image
    type. A word that stands in every name, such as a project's, is not judged. ``image.shared`` and
    ``mask.shared``: rows of different patients, sides or views (or image types) have the same file; for images a
    copy counts too.
    """
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    masked = [(row, row.mask) for row in rows if row.mask is not None]
    for row, said in zip(rows, _judged([row.image for row in rows]), strict=True):
        found[row.line] += _misnamed("image", row.image, said, row.stated, "the row states")
    for (row, mask), said in zip(masked, _judged([mask for _, mask in masked]), strict=True):
        stated = Said(*(a or b for a, b in zip(row.stated, said_by_name(row.image.name), strict=True)))
        picture = stated._replace(image_type="")  # one outline is often meant for both images of a view
        found[row.line] += _misnamed("mask", mask, said, picture, "its picture is")
    same = _same_bytes([row.image for row in rows])
    for line, reason in _shared([(row, str(same[row.image]), row.image) for row in rows], typed=True):
        found[line].append(("image.shared", f"{reason}; a picture is of one breast of one person"))
    for line, reason in _shared([(row, f"{mask} {row.label}", mask) for row, mask in masked], typed=False):
        found[line].append(("mask.shared", f"{reason}; a mask belongs to the picture on which it was drawn"))
    return found


def _judged(paths: Sequence[Path]) -> list[Said]:
    """What the names say, without what all of them say alike."""
    said = [said_by_name(path.name) for path in paths]
    constant = [len(set(values)) == 1 and len(said) > 1 for values in zip(*said, strict=True)]
    return [Said(*("" if c else v for c, v in zip(constant, one, strict=True))) for one in said]


def _misnamed(what: str, path: Path, said: Said, stated: Said, source: str) -> Iterator[tuple[str, str]]:
    differing = [(a, b) for a, b in zip(said, stated, strict=True) if a and b and a != b.rstrip("0123456789")]
    if differing:
        named, other = (", ".join(values) for values in zip(*differing, strict=True))
        yield f"{what}.misnamed", f"{path.name} is named {named} and {source} {other}; look whose file it is"


def _shared(rows: Iterable[tuple[RowFiles, str, Path]], *, typed: bool) -> Iterator[tuple[int, str]]:
    groups: dict[str, list[tuple[RowFiles, Path]]] = defaultdict(list)
    for row, file, path in rows:
        groups[file].append((row, path))
    facts = [(file, _facts(row, typed)) for file, group in groups.items() for row, _ in group]
    for file, conflicts in contradictions(facts).items():
        conflict = "; ".join(f"{fact} {_listed(texts)}" for fact, texts in conflicts.items())
        first = [row.line for row, _ in groups[file][: _SHOWN + 1]]
        for row, path in groups[file]:
            others = ", ".join([str(line) for line in first if line != row.line][:_SHOWN])
            yield row.line, f"{path.name} is the file of row {others} too, or a copy of it, and stated with {conflict}"


def _listed(texts: Sequence[str]) -> str:
    """What is said, but not all of it: a file that every row of a big table shares would be told by its square."""
    shown = [repr(text) for text in texts[:_SHOWN]]
    return " and ".join([*shown, f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else shown)


def _facts(row: RowFiles, typed: bool) -> dict[str, str]:
    facts = {"patient": row.patient, "side": row.stated.laterality, "view": row.stated.view}
    return facts | ({"image type": row.stated.image_type} if typed else {})


def _same_bytes(paths: Sequence[Path]) -> dict[Path, Path]:
    """Each file to the first that holds the same bytes; files that differ in size or samples are not read whole."""
    groups: dict[object, list[Path]] = {None: list(dict.fromkeys(paths))}
    for told in (_size, _sampled, _digest):
        finer: dict[object, list[Path]] = defaultdict(list)
        for before, group in groups.items():
            for path in group:
                finer[before, told(path) if len(group) > 1 else None].append(path)
        groups = finer
    return {path: group[0] for group in groups.values() for path in group}


def _size(path: Path) -> object:
    try:
        return path.stat().st_size
    except OSError:
        return path  # whatever stands against it is told when it is read


def _sampled(path: Path) -> object:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            for start in (0, size // 2, max(size - _SAMPLE, 0)):
                stream.seek(start)
                digest.update(stream.read(_SAMPLE))
    except OSError:
        return path
    return digest.digest()


def _digest(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return path
