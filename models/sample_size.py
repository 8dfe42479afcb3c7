"""Sample size: how many patients a model with so many candidate parameters needs, or how many parameters so many bear.

The four criteria of Riley et al. for binary outcomes (doi 10.1136/bmj.m441, 10.1002/sim.7992):

1. the overall risk is known within 0.05;
2. predicted risks are wrong by at most 0.05 on average (van Smeden et al., doi 10.1177/0962280218784726);
3. predictor effects have to be shrunk by at most 10 %;
4. Nagelkerke's R2 is too good by at most 0.05.

They are for regression on predictors that are named beforehand. Columns from which a selector chooses all count as
candidates, and boosted trees need more: figures found here are a lower bound for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from ..features.errors import EvaluationError
from ..features.settings import Settings
from ..features.table import ColumnName
from .design import Design
from .folds import class_counts
from .result import ARM_FAMILIES

SAMPLE_SIZE_COLUMNS = [
    "endpoint", "arm", "n", "n_events", "candidates", "r2", "r2_from", "overall_risk", "prediction_error", "shrinkage",
    "optimism", "needed", "events_needed", "events_per_candidate", "supported", "expected_shrinkage",
]  # fmt: skip
MARGIN = 0.05
"""What the criteria of the overall risk, of the prediction error and of the optimism allow."""
MOST_FOR_ERROR = 30
"""Most candidates for which the criterion of the prediction error was found."""
TREE_EVENTS = 200
"""Events per candidate at which modern learners were still not stable (van der Ploeg et al.)."""


class SampleSizeSettings(Settings):
    """What is expected of a model before it is made."""

    auc: float | None = Field(
        default=None, gt=0.5, lt=1, description="anticipated AUC, of an earlier model on other patients"
    )
    r2_share: float = Field(
        default=0.15, gt=0, lt=1, description="without an AUC: the share of the largest possible Cox-Snell R2"
    )
    shrinkage: float = Field(default=0.9, gt=0, lt=1, description="shrinkage that is to be expected at least")


class Needed(NamedTuple):
    """Patients that each criterion asks for; None for the prediction error of more candidates than it was found for."""

    overall_risk: int
    prediction_error: int | None
    shrinkage: int
    optimism: int

    @property
    def n(self) -> int:
        """The largest of them."""
        return max(n for n in self if n is not None)


def max_r2(prevalence: float) -> float:
    """The largest possible Cox-Snell R2 of a binary outcome.

    Examples
    --------
    >>> round(max_r2(0.5), 2), round(max_r2(0.05), 2)
    (0.75, 0.33)
    """
    null = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    return 1 - math.exp(2 * null)


def r2_of_auc(auc: float, prevalence: float) -> float:
    """Cox-Snell R2 of a well calibrated model with an AUC, its log odds normal in both classes.

    After Riley, Van Calster and Collins 2021 (doi 10.1002/sim.8806), who simulate what is integrated here: with
    equal variances the mean log odds of the classes are ``mu**2`` apart, ``mu = sqrt(2) * probit(auc)``.

    Parameters
    ----------
    auc : float
        Between 0.5 and 1.
    prevalence : float
        Between 0 and 1.
    """
    from scipy.special import ndtri  # a second to import; a pre-flight may not need it

    mu = math.sqrt(2) * float(ndtri(auc))
    z = np.linspace(-9, 9 + mu, 20_001)
    step = z[1] - z[0]
    positive, negative = (np.exp(-0.5 * (z - centre) ** 2) / math.sqrt(2 * math.pi) for centre in (mu, 0.0))
    logit = math.log(prevalence / (1 - prevalence)) + mu * z - mu**2 / 2
    gained = -prevalence * positive * np.logaddexp(0, -logit) - (1 - prevalence) * negative * np.logaddexp(0, logit)
    null = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    return 1 - math.exp(-2 * (float(gained.sum() * step) - null))


def needed(candidates: int, prevalence: float, r2: float, shrinkage: float = 0.9) -> Needed:
    """Patients that a model with so many candidate parameters needs, by criterion.

    Parameters
    ----------
    candidates : int
        Candidate parameters, those that are not selected in the end included.
    prevalence : float
        Share of positive patients, between 0 and 1.
    r2 : float
        Anticipated Cox-Snell R2 on other patients.
    shrinkage : float
        Expected shrinkage of the effects at least, by van Houwelingen and Le Cessie.

    Raises
    ------
    EvaluationError
        If there is no such model: a prevalence outside 0 to 1, or an R2 that no model can have.

    Examples
    --------
    >>> needed(24, 0.174, 0.288)
    Needed(overall_risk=221, prediction_error=801, shrinkage=623, optimism=662)
    """
    _require_possible(candidates, prevalence, r2, shrinkage)
    risk = (1.96 / MARGIN) ** 2 * prevalence * (1 - prevalence)
    rarer = min(prevalence, 1 - prevalence)
    error = -0.508 + 0.259 * math.log(rarer) + 0.504 * math.log(candidates) - math.log(MARGIN)
    slight = r2 / (r2 + MARGIN * max_r2(prevalence))
    return Needed(
        math.ceil(risk),
        math.ceil(math.exp(error / 0.544)) if candidates <= MOST_FOR_ERROR else None,
        math.ceil(candidates / _per_patient(r2, shrinkage)),
        math.ceil(candidates / _per_patient(r2, slight)),
    )


def supported(n: int, prevalence: float, r2: float, shrinkage: float = 0.9) -> int:
    """The most candidate parameters that so many patients bear; 0 where they bear none.

    By the criteria of the prediction error, the shrinkage and the optimism; that of the overall risk asks for the
    same number of patients whatever the candidates.

    Parameters
    ----------
    n : int
    prevalence, r2, shrinkage : float
        As in :func:`needed`.
    """
    _require_possible(1, prevalence, r2, shrinkage)
    slight = r2 / (r2 + MARGIN * max_r2(prevalence))
    most = math.floor(n * min(_per_patient(r2, shrinkage), _per_patient(r2, slight)))
    if most > MOST_FOR_ERROR and (needed(MOST_FOR_ERROR, prevalence, r2, shrinkage).prediction_error or 0) > n:
        most = MOST_FOR_ERROR  # what the error asks of more is not known, but it is not less
    while most and (needed(most, prevalence, r2, shrinkage).prediction_error or 0) > n:
        most -= 1
    return most


def expected_shrinkage(n: int, candidates: int, r2: float) -> float:
    """Shrinkage that so many patients let expect of so many candidate parameters; 0 where nothing would be left.

    The solution of ``candidates = n * (S - 1) * log(1 - r2 / S)`` for S between `r2` and 1.
    """
    low, high = r2, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if n * _per_patient(r2, middle) > candidates else (low, middle)
    return high if high - r2 > 1e-9 else 0.0


class Offer(NamedTuple):
    """What an endpoint has: patients, those of them with a positive case, and the columns that an arm chooses from."""

    endpoint: str
    arm: str
    n: int
    n_positive: int
    candidates: int


def offers_of(designs: Iterable[Design], arms: Sequence[str]) -> Iterator[Offer]:
    """What each endpoint's design has for each arm."""
    for design in designs:
        rows = design.rows
        families = Counter(ColumnName.parse(name).family for name in rows.columns)
        n, n_positive = len(set(rows.persons)), class_counts(rows.persons, rows.y)[1]
        for arm in arms:
            yield Offer(design.name, arm, n, n_positive, sum(families[family] for family in ARM_FAMILIES[arm]))


def survey(offers: Iterable[Offer], settings: SampleSizeSettings | None = None) -> pd.DataFrame:
    """What the criteria say to every endpoint and arm.

    Parameters
    ----------
    offers : iterable of Offer
    settings : SampleSizeSettings, optional

    Returns
    -------
    DataFrame
        Columns ``SAMPLE_SIZE_COLUMNS``: what each criterion needs, the largest as ``needed``, ``supported`` as in
        :func:`supported`, and ``n_events`` patients on the rarer side. Endpoints of one class have no row.
    """
    settings = settings or SampleSizeSettings()
    rows = [_row(offer, settings) for offer in offers if 0 < offer.n_positive < offer.n and offer.candidates]
    return pd.DataFrame(rows, columns=SAMPLE_SIZE_COLUMNS).astype({"prediction_error": float})


def anticipated_r2(prevalence: float, settings: SampleSizeSettings) -> tuple[float, str]:
    """Cox-Snell R2 to plan with, and where it comes from, in words."""
    if settings.auc is not None:
        return r2_of_auc(settings.auc, prevalence), f"an AUC of {settings.auc:g}"
    return settings.r2_share * max_r2(prevalence), f"{100 * settings.r2_share:g} % of the largest possible"


def _row(offer: Offer, settings: SampleSizeSettings) -> dict[str, Any]:
    n, share = offer.n, offer.n_positive / offer.n
    events = min(offer.n_positive, n - offer.n_positive)
    r2, source = anticipated_r2(share, settings)
    found = needed(offer.candidates, share, r2, settings.shrinkage)
    return {
        "endpoint": offer.endpoint, "arm": offer.arm, "n": n, "n_events": events, "candidates": offer.candidates,
        "r2": r2, "r2_from": source, **found._asdict(), "needed": found.n,
        "events_needed": math.ceil(found.n * events / n), "events_per_candidate": events / offer.candidates,
        "supported": supported(n, share, r2, settings.shrinkage),
        "expected_shrinkage": expected_shrinkage(n, offer.candidates, r2),
    }  # fmt: skip


def _per_patient(r2: float, shrinkage: float) -> float:
    """Candidate parameters that each patient bears at a shrinkage: equation 11 of doi 10.1002/sim.7992."""
    return (shrinkage - 1) * math.log(1 - r2 / shrinkage) if r2 < shrinkage else math.inf


def _require_possible(candidates: int, prevalence: float, r2: float, shrinkage: float) -> None:
    if candidates < 1 or not 0 < prevalence < 1:
        raise EvaluationError(f"no sample size for {candidates} candidates and a prevalence of {prevalence:g}")
    if not 0 < r2 < min(max_r2(prevalence), shrinkage):
        raise EvaluationError(
            f"no model has a Cox-Snell R2 of {r2:g}: it lies between 0 and {max_r2(prevalence):.3f} at a prevalence of "
            f"{prevalence:g}, and below the shrinkage of {shrinkage:g}"
        )
