"""What a feature family is: settings in, one row of named numbers per case out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .case import Case, PictureKey
from .failure import Failure


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


class FeatureFamily(Protocol):
    """The contract of ``features/families/NAME.py``.

    The module holds ``Settings`` (a :class:`~cemrad.features.settings.Settings`) and ``Family``,
    which is made as ``Family(settings, rules)`` with :class:`~cemrad.features.mask.MaskRules`, in a
    worker process if need be; making it must be cheap, or cached per process.
    """

    def columns(self, pictures: Sequence[PictureKey]) -> list[str]:
        """Names of the columns that a cohort with these pictures has, in table order, whatever its cases give."""
        ...

    def extract(self, cases: Sequence[Case]) -> list[FamilyRow]:
        """One row per case, in order. A case that fails gives a row with its failures, never an exception."""
        ...

    def provenance(self) -> dict[str, Any]:
        """Settings, library versions and weights that the numbers depend on; JSON values only.

        ``notes``, where present, is a list of sentences that a user must see before the numbers are used.
        """
        ...
