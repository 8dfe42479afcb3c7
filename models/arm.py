"""An arm: a model of some families of features, with everything that was fixed while it was fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..features.errors import LeakageError
from ..features.table import ColumnName
from .folds import Ints
from .harmonise import Harmoniser
from .learner import Array, Fitted, Params
from .result import ARM_FAMILIES, ARMS
from .rows import Rows


class OutOfFold(NamedTuple):
    """Log odds of the training cases that inner folds held out, with their truth, fold, persons and ids; shape (n,)."""

    margin: Array
    truth: Ints
    fold: Ints
    persons: tuple[str, ...]
    case_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FittedArm:
    """A model of one arm, with everything that was fixed while it was fitted.

    Parameters
    ----------
    arm : str
    features : tuple of str
        Names of the columns it takes, in its order.
    model : Fitted
    threshold : float
        Probability from which a case is called positive: Youden's, on out-of-fold predictions of
        the inner folds.
    thresholds : mapping of str to float
        Those of :data:`~cemrad.models.metrics.THRESHOLDS`, fixed on the same predictions.
    params : mapping
        The candidate that the inner folds chose; under late fusion one for each block, by its name.
    inner_loss : float
        The log loss there.
    persons : frozenset of str
        Whom it has seen.
    out_of_fold : OutOfFold
        What the chosen candidate said of the cases held out in the inner folds: it chose parameters and threshold, so
        that it flatters a little.
    harmoniser : Harmoniser, optional
        What takes the effect of sites out of its features first.
    """

    arm: str
    features: tuple[str, ...]
    model: Fitted
    threshold: float
    thresholds: Mapping[str, float]
    params: Params
    inner_loss: float
    persons: frozenset[str]
    out_of_fold: OutOfFold
    harmoniser: Harmoniser | None = None

    def held_out_margin(self, rows: Rows) -> Array:
        """Log odds of cases that must be new to the model.

        Raises
        ------
        LeakageError
            If the model has seen one of their persons.
        """
        known = sorted(self.persons.intersection(rows.persons))
        if known:
            raise LeakageError(f"the model was fitted on {len(known)} of the persons it is evaluated on: {known[:5]}")
        return self.model.margin(self.inputs(rows))

    def inputs(self, rows: Rows) -> Array:
        """What the model takes from these cases, shape (n_cases, n_features)."""
        return (self.harmoniser.apply(rows) if self.harmoniser else rows).features(self.features)


def possible_arms(columns: Iterable[str], arms: Sequence[str] = ARMS) -> tuple[list[str], dict[str, str]]:
    """Arms that these columns allow, and for each of the others what it lacks.

    Examples
    --------
    >>> possible_arms(["radiomics:RC_CC:f", "clinical:case:age"], ["radiomics", "fused"])
    (['radiomics'], {'fused': 'no deep columns'})
    """
    families = {ColumnName.parse(name).family for name in columns}
    lacks = {arm: [family for family in ARM_FAMILIES[arm] if family not in families] for arm in arms}
    absent = {arm: f"no {' and no '.join(names)} columns" for arm, names in lacks.items() if names}
    return [arm for arm in arms if arm not in absent], absent
