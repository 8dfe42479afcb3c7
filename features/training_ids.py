"""Training ids: whom a fitted step has seen, told without naming them, so that it is never judged on one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import TableError

KEY = "trained_on"
"""Under this key a provenance states the training ids of whatever it describes: a network's weights, a mask source."""


@dataclass(frozen=True)
class TrainingIds:
    """Whom a mask source or a network was trained on.

    A part that learned from patients of a cohort states this record in its provenance under :data:`KEY`; a mask
    source has it as its attribute ``trained_on``. An evaluation that would hold out one of them raises.

    Parameters
    ----------
    persons : frozenset of str
        :func:`person_hash` of each patient id.
    pictures : frozenset of str
        The same of each picture's ``pixels_sha256``, where they are known.
    salt : str
        What the hashes were made with. It keeps ids out of sight, not secret: who can guess an id can test it.
    out_of_fold : bool
        True where nobody's own masks or features were made by a model that had seen her.

    Examples
    --------
    >>> seen = TrainingIds.of(["P1", "P2"])
    >>> seen.knows("P1"), seen.knows("P3")
    (True, False)
    >>> TrainingIds.from_record(seen.as_record()) == seen
    True
    """

    persons: frozenset[str]
    pictures: frozenset[str]
    salt: str
    out_of_fold: bool = False

    @classmethod
    def of(
        cls,
        patient_ids: Iterable[str],
        pixels: Iterable[str] = (),
        *,
        out_of_fold: bool = False,
        salt: str | None = None,
    ) -> TrainingIds:
        """The record of these patients and pictures; the same ones give the same record.

        Records of one salt, as those of the folds of one training, can be put together by :meth:`union`.
        """
        ids = sorted(set(patient_ids))
        salt = salt_of(ids) if salt is None else salt
        persons = frozenset(person_hash(one, salt) for one in ids)
        return cls(persons, frozenset(person_hash(one, salt) for one in pixels), salt, out_of_fold)

    @classmethod
    def union(cls, several: Iterable[TrainingIds]) -> TrainingIds:
        """Whoever is in one of the records; raises TableError where they do not share a salt.

        Examples
        --------
        >>> parts = [TrainingIds.of([name], salt="s") for name in ("P1", "P2")]
        >>> TrainingIds.union(parts).knows("P2")
        True
        """
        records = list(several)
        salts = {record.salt for record in records}
        if len(salts) != 1:
            raise TableError(f"records of training ids with {len(salts)} salts cannot be put together")
        persons = frozenset().union(*(record.persons for record in records))
        pictures = frozenset().union(*(record.pictures for record in records))
        return cls(persons, pictures, salts.pop(), all(record.out_of_fold for record in records))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingIds:
        """Read what :meth:`as_record` made; raises TableError where it is something else."""
        try:
            persons, pictures = (frozenset(map(str, record[name])) for name in ("persons", "pictures"))
            return cls(persons, pictures, str(record["salt"]), bool(record["out_of_fold"]))
        except (KeyError, TypeError) as error:
            raise TableError(f"{KEY} is not a record of training ids: {error!r}") from None

    def as_record(self) -> dict[str, Any]:
        """JSON values for a provenance."""
        persons, pictures = sorted(self.persons), sorted(self.pictures)
        return {"salt": self.salt, "persons": persons, "pictures": pictures, "out_of_fold": self.out_of_fold}

    def knows(self, patient_id: str, pixels: Iterable[str] = ()) -> bool:
        """Whether the patient, or one of these pictures, was in the training."""
        if person_hash(patient_id, self.salt) in self.persons:
            return True
        return any(person_hash(one, self.salt) in self.pictures for one in pixels)


def salt_of(patient_ids: Iterable[str]) -> str:
    """A salt that the same patients always give."""
    return hashlib.sha256("\n".join(sorted(patient_ids)).encode()).hexdigest()[:32]


def person_hash(patient_id: str, salt: str) -> str:
    """How a bundle or a network remembers a patient id."""
    return hashlib.sha256(f"{salt}|{patient_id}".encode()).hexdigest()


def stated(provenance: Any, where: str = "") -> Iterator[tuple[str, TrainingIds]]:
    """Every record of training ids in a provenance, however deep, with its place.

    Examples
    --------
    >>> record = TrainingIds.of(["P1"]).as_record()
    >>> [where for where, _ in stated({"families": {"deep": {"weights": {"trained_on": record}}}})]
    ['families.deep.weights']
    """
    if isinstance(provenance, Mapping):
        for key, value in provenance.items():
            if key == KEY and value:
                yield where, TrainingIds.from_record(value)
            else:
                yield from stated(value, f"{where}.{key}" if where else str(key))
    elif isinstance(provenance, (list, tuple)):
        for at, value in enumerate(provenance):
            yield from stated(value, f"{where}[{at}]")
