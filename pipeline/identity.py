"""Ids: kept as text byte for byte, refused where ambiguous, and never trusted as file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from ..features.errors import CohortError

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def refuse_ambiguous(ids: Iterable[str], *, what: str, where: str) -> None:
    """Refuse ids that differ only by case, outer blanks or Unicode form: nobody can tell if they are one.

    Raises
    ------
    CohortError
        Listing all of them.

    Examples
    --------
    >>> refuse_ambiguous(["P1", "p1 "], what="patient id", where="cases.csv")
    Traceback (most recent call last):
        ...
    cemrad.features.errors.CohortError: cases.csv: patient ids that only look alike: 'P1' and 'p1 '; spell each one way
    """
    spellings: dict[str, list[str]] = {}
    for name in dict.fromkeys(ids):
        spellings.setdefault(unicodedata.normalize("NFC", name).strip().casefold(), []).append(name)
    alike = [" and ".join(map(repr, names)) for names in spellings.values() if len(names) > 1]
    if alike:
        raise CohortError(f"{where}: {what}s that only look alike: {'; '.join(alike)}; spell each one way")


def refuse_repeated(ids: Iterable[str], *, what: str, where: str, advice: str) -> None:
    """Refuse ids that occur more than once; the message lists all of them.

    Raises
    ------
    CohortError
    """
    twice = [f"{name} ({n} times)" for name, n in Counter(ids).items() if n > 1]
    if twice:
        raise CohortError(f"{where}: {what} more than once: {', '.join(twice)}; {advice}")


def contradictions(statements: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, dict[str, list[str]]]:
    """People of whom rows state different fixed facts, such as two birth years: two persons who share an id.

    Parameters
    ----------
    statements : iterable of (str, mapping of str to str)
        Patient's id, and fact to what a row says of it; an empty text says nothing.

    Returns
    -------
    dict of str to dict
        Patient's id to each contradictory fact with what is said of it.

    Examples
    --------
    >>> contradictions([("P1", {"sex": "F"}), ("P1", {"sex": "M"}), ("P2", {"sex": ""}), ("P2", {"sex": "F"})])
    {'P1': {'sex': ['F', 'M']}}
    """
    stated: dict[str, dict[str, dict[str, str]]] = {}
    for patient, facts in statements:
        for fact, text in facts.items():
            if text.strip():
                stated.setdefault(patient, {}).setdefault(fact, {}).setdefault(text.strip().casefold(), text.strip())
    found = {}
    for patient, facts_of in stated.items():
        several = {fact: list(texts.values()) for fact, texts in facts_of.items() if len(texts) > 1}
        if several:
            found[patient] = several
    return found


def image_names(patients: Mapping[str, str]) -> dict[str, str]:
    """A name for each image file: its stem; where several files share it, with the patient or the folders before it.

    Parameters
    ----------
    patients : mapping of str to str
        Path of each file to its patient's id, empty where none is stated.

    Returns
    -------
    dict of str to str
        Path to name. Files of one folder that differ in their ending alone keep the same name.

    Examples
    --------
    >>> list(image_names({"a/1.png": "P1", "a/2.png": "P1"}).values())
    ['1', '2']
    >>> list(image_names({"a/1.png": "P1", "b/1.png": "P2"}).values())
    ['P1_1', 'P2_1']
    >>> list(image_names({"a/cc/1.png": "", "b/cc/1.png": ""}).values())
    ['a_cc_1', 'b_cc_1']
    """
    stems = {path: PurePosixPath(path).name.split(".")[0] for path in patients}
    uses = Counter(stems.values())
    names = dict(stems)
    for stem in (stem for stem, n in uses.items() if stem and n > 1):
        alike = [path for path in patients if stems[path] == stem]
        folders = {path: PurePosixPath(path).parts[:-1] for path in alike}
        tries = [[f"{patients[path]}_{stem}" for path in alike]] if all(patients[path] for path in alike) else []
        for depth in range(1, max(map(len, folders.values())) + 1):
            tries.append(["_".join((*folders[path][-depth:], stem)) for path in alike])
        distinct = next((found for found in tries if len(set(found)) == len(alike)), None)
        names |= zip(alike, distinct, strict=True) if distinct is not None else ()
    return names


def safe_file_name(name: str) -> str:
    """The id itself where it is a plain file name everywhere, else a hash of it.

    Examples
    --------
    >>> safe_file_name("P40_L_1")
    'P40_L_1'
    >>> safe_file_name("../../etc/passwd")
    'id-3754d6cb3a38e118'
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name) and not _RESERVED.fullmatch(name):
        return name
    return "id-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
