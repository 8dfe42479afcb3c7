"""What a feature family is: settings in, one row of named numbers per case out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .case import Case, PictureKey
from .failure import Failure
from .mask import MaskRules
from .reading import Reading, read_case


@dataclass(frozen=True)
class FamilyRow:
    """What one family found in one case.

    Parameters
    ----------
    case_id : str
    values : dict of str to float
        Column name (``family:picture:feature``) to a finite value; what failed is absent.
    failures : list of Failure
        Why anything is absent, and what should be looked at.
    """

    case_id: str
    values: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Unit:
    """What a family measures at a time, and what is stored and computed again as a whole.

    Parameters
    ----------
    picture : str
        The picture in the names of its columns: ``RC_CC``, ``LERC_CC``.
    keys : tuple of PictureKey
        The pictures that its numbers depend on.
    """

    picture: str
    keys: tuple[PictureKey, ...]


class FeatureFamily(ABC):
    """The contract of ``features/families/NAME.py``.

    The module holds ``Settings`` (a :class:`~cemrad.features.settings.Settings`) and ``Family``,
    which is made as ``Family(settings, rules)`` with :class:`~cemrad.features.mask.MaskRules`, in a
    worker process if need be; making it must be cheap, or cached per process.
    """

    name: ClassVar[str]
    batch: int = 1
    """Pictures that it measures together at best; the numbers must not depend on what shares a batch."""
    rules: MaskRules
    features: Sequence[str]
    """Names of what it gives of every unit, without family and picture, in table order."""

    @abstractmethod
    def units(self, pictures: Sequence[PictureKey]) -> list[Unit]:
        """What it measures where there are these pictures, in table order."""

    @abstractmethod
    def measure(self, readings: Sequence[Reading], wanted: Sequence[Collection[str]] | None = None) -> list[FamilyRow]:
        """One row per reading, in order, without the reading's own failures.

        A case that fails gives a row with its failures, never an exception.

        Parameters
        ----------
        readings : sequence of Reading
        wanted : sequence of collections of str, optional
            Per reading, the units (by their `picture`) to measure; all without it.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that the numbers of a unit depend on, other than its pictures and masks; JSON values only."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Settings, library versions and weights that the numbers depend on; JSON values only.

        ``notes``, where present, is a list of sentences that a user must see before the numbers are used.
        """

    def columns(self, pictures: Sequence[PictureKey]) -> list[str]:
        """Names of the columns that a cohort with these pictures has, in table order, whatever its cases give."""
        return [column for unit in self.units(pictures) for column in self.columns_of(unit)]

    def columns_of(self, unit: Unit) -> list[str]:
        """Names of the columns of one unit."""
        return [f"{self.name}:{unit.picture}:{feature}" for feature in self.features]

    def extract(self, cases: Sequence[Case]) -> list[FamilyRow]:
        """One row per case, in order, with what stood against its pictures; a case never raises."""
        readings = [read_case(case, self.rules) for case in cases]
        rows = self.measure(readings)
        for reading, row in zip(readings, rows, strict=True):
            row.failures[:0] = reading.failures
        return rows
