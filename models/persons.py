"""Persons: which patient ids are one person, by what their pictures show, and what a split makes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..features.errors import LeakageError, TableError
from ..features.fingerprint import MOST_NEAR_BITS, NEAR, NEAR_BITS, PIXELS, near_bits, pixels_of, split
from ..features.training_ids import TrainingIds, stated
from .folds import Split

LOG = logging.getLogger("cemrad")

IDENTICAL, NEAR_COPY = "identical pictures", "near-identical pictures"
SAME_PERSON_COLUMNS = ["patient_id", "other_id", "why", "picture", "other_picture"]
_ROWS = 64
_FIRST_WORDS = 3
"""Few pairs agree this far; the rest of their words is compared for those alone."""
_SHOWN = 5


class Tie(NamedTuple):
    """Two patient ids whose pictures say that they are one person.

    Parameters
    ----------
    patient_id, other_id : str
    why : str
        ``identical pictures`` or ``near-identical pictures``.
    picture, other_picture : str
        Which picture of the one is which of the other, such as ``RC_CC``; the first that was found.
    """

    patient_id: str
    other_id: str
    why: str
    picture: str
    other_picture: str


def persons_of(cases: pd.DataFrame, same_person: Sequence[str] = ()) -> pd.Series[str]:
    """The person behind each case.

    Patients who share a picture, or near copies of one, are one person, if the cases carry the fingerprints of
    their pictures: ``pixels_sha256`` and ``pixels_near``, as an extraction leaves them.

    Parameters
    ----------
    cases : DataFrame
        With ``patient_id``, as in a FeatureTable.
    same_person : sequence of str
        Further columns: patients that share a value in one of them are one person, for example an
        accession number, or an id from another system. Empty cells tie nobody.

    Returns
    -------
    Series of str
        The first patient id of each person, by case id.

    Examples
    --------
    >>> cases = pd.DataFrame({"patient_id": ["A", "B", "C"], "exam": ["7", "8", "7"]}, index=list("xyz"))
    >>> persons_of(cases, ["exam"]).tolist()
    ['A', 'B', 'A']
    >>> persons_of(cases.assign(pixels_sha256=["RC_CC:1f", "RC_CC:1f", "RC_CC:a0"])).tolist()
    ['A', 'A', 'C']
    """
    absent = [name for name in same_person if name not in cases]
    if absent:
        raise TableError(f"same_person names columns that the cases lack: {absent}")
    root = {patient: patient for patient in cases["patient_id"]}

    def find(patient: str) -> str:
        while root[patient] != patient:
            patient = root[patient]
        return patient

    for one, other in [*_stated(cases, same_person), *(tie[:2] for tie in picture_ties(cases))]:
        first, second = find(one), find(other)
        root[max(first, second)] = min(first, second)
    return cases["patient_id"].map(find)


def picture_ties(cases: pd.DataFrame) -> tuple[Tie, ...]:
    """Patients who share a picture, or near copies of one; none where the cases carry no fingerprints.

    Near copies differ in at most :data:`~cemrad.features.fingerprint.MOST_NEAR_BITS` bits of their near hashes.

    Parameters
    ----------
    cases : DataFrame
        With ``patient_id`` and, where pictures were read, ``pixels_sha256`` and ``pixels_near``.
    """
    cells = [tuple(map(str, cases[name])) if name in cases else ("",) * len(cases) for name in (PIXELS, NEAR)]
    return _ties(tuple(map(str, cases["patient_id"])), *cells)


def tell_ties(cases: pd.DataFrame) -> pd.DataFrame:
    """Patients who are taken for one person because of their pictures, with a warning that names them.

    Returns
    -------
    DataFrame
        Columns ``SAME_PERSON_COLUMNS``, a row per pair of ids; empty where every person has one id.
    """
    ties = picture_ties(cases)
    for why in (IDENTICAL, NEAR_COPY):
        pairs = [f"{tie.patient_id} and {tie.other_id}" for tie in ties if tie.why == why]
        if pairs:
            more = f" and {len(pairs) - _SHOWN} more pairs" if len(pairs) > _SHOWN else ""
            LOG.warning("%s under two ids, taken for one person: %s%s", why, "; ".join(pairs[:_SHOWN]), more)
    return pd.DataFrame(ties, columns=SAME_PERSON_COLUMNS, dtype=object)


def require_unseen(provenance: Mapping[str, Any], cases: pd.DataFrame, splits: Iterable[Split]) -> None:
    """Refuse to hold out a person from whom a step before the evaluation has learned.

    Automatic masks and fine-tuned networks state whom they were trained on in the table's provenance, as
    :class:`~cemrad.features.training_ids.TrainingIds`; those made out of fold are as good as unseen.

    Parameters
    ----------
    provenance : mapping
        Of the feature table.
    cases : DataFrame
        Of the feature table, with the patients' own ids.
    splits : iterable of Split

    Raises
    ------
    LeakageError
        Naming the step and some of the persons.
    """
    for where, ids in stated(provenance):
        if ids.out_of_fold:
            continue
        seen = set(cases.index[_known_to(ids, cases)])
        for made in splits:
            persons = {person for case, person in zip(made.case_ids, made.persons, strict=True) if case in seen}
            held = [p for p, never in zip(made.persons, made.training_only, strict=True) if not never and p in persons]
            if held:
                raise LeakageError(
                    f"{where} was trained on {len(set(held))} of the persons who are held out: "
                    f"{sorted(set(held))[:_SHOWN]}; hold out others, or make it out of fold"
                )


def taught(provenance: Mapping[str, Any], cases: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cases a step before the evaluation has learned from, of those that were not made out of fold.

    Parameters are those of :func:`require_unseen`; shape (n_cases,).
    """
    known = [_known_to(ids, cases) for _, ids in stated(provenance) if not ids.out_of_fold]
    return np.any(known, axis=0) if known else np.zeros(len(cases), dtype=bool)


def out_of_fold(ids: TrainingIds, cases: pd.DataFrame, made: Iterable[str]) -> bool:
    """Whether a model drew or measured these cases without having seen their persons.

    Parameters
    ----------
    ids : TrainingIds
        Whom the model was trained on.
    cases : DataFrame
        Of the feature table; a person whom the model knows by one id or picture is known by all of them.
    made : iterable of str
        Ids of the cases that are the model's work.
    """
    persons = persons_of(cases)
    return not set(persons[_known_to(ids, cases)]) & set(persons[list(made)])


def _known_to(ids: TrainingIds, cases: pd.DataFrame) -> NDArray[np.bool_]:
    pixels = cases[PIXELS] if PIXELS in cases else [""] * len(cases)
    pairs = zip(cases["patient_id"], pixels, strict=True)
    return np.array([ids.knows(patient, pixels_of(cell)) for patient, cell in pairs], dtype=bool)


def _stated(cases: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of patients who share a value in one of the columns."""
    for name in columns:
        first: dict[str, str] = {}
        for patient, value in zip(cases["patient_id"], cases[name], strict=True):
            if not pd.isna(value) and str(value).strip():
                yield first.setdefault(str(value).strip(), patient), patient


@lru_cache(maxsize=8)
def _ties(patients: tuple[str, ...], pixels: tuple[str, ...], near: tuple[str, ...]) -> tuple[Tie, ...]:
    found: dict[tuple[str, str], Tie] = {}
    for why, pairs in ((IDENTICAL, _identical(patients, pixels)), (NEAR_COPY, _near_copies(patients, near))):
        for (one, picture), (other, other_picture) in pairs:
            found.setdefault((one, other), Tie(one, other, why, picture, other_picture))
    return tuple(sorted(found.values()))


Seen = tuple[str, str]
"""A patient's id and the name of her picture."""


def _identical(patients: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[Seen, Seen]]:
    first: dict[str, Seen] = {}
    for patient, cell in zip(patients, cells, strict=True):
        for picture, value in split(cell):
            before = first.setdefault(value, (patient, picture))
            if before[0] != patient:
                yield _ordered(before, (patient, picture))


def _near_copies(patients: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[Seen, Seen]]:
    seen = {
        (patient, value): (patient, picture)
        for patient, cell in zip(patients, cells, strict=True)
        for picture, value in split(cell)
    }
    owners = list(seen.values())
    words = np.array([near_bits(value) for _, value in seen]).reshape(len(seen), NEAR_BITS // 64)
    person = np.unique([patient for patient, _ in seen], return_inverse=True)[1]
    for start in range(0, len(words), _ROWS):
        rows = words[start : start + _ROWS]
        differ = np.zeros((len(rows), len(words) - start), dtype=np.uint8)
        for word in range(_FIRST_WORDS):  # word by word: little memory
            differ += np.bitwise_count(rows[:, word, None] ^ words[None, start:, word])
        at = np.argwhere((differ <= MOST_NEAR_BITS) & (person[start : start + _ROWS, None] != person[None, start:]))
        at = at[at[:, 0] < at[:, 1]] + start
        near = np.bitwise_count(words[at[:, 0]] ^ words[at[:, 1]]).sum(axis=1) <= MOST_NEAR_BITS
        for one, other in at[near].tolist():
            yield _ordered(owners[one], owners[other])


def _ordered(one: Seen, other: Seen) -> tuple[Seen, Seen]:
    return (one, other) if one <= other else (other, one)
