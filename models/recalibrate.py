"""A bundle's calibration: what its training says of it, and a new bundle whose probabilities fit another site."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ..features.errors import EvaluationError, StudyError
from ..features.table import FeatureTable
from ..features.training_ids import person_hash
from .arm import OutOfFold
from .bundle import Bundle
from .bundled_model import BundledModel
from .calibration import calibrate
from .evaluate import EvaluationSettings
from .external import Judged, apply_bundle, cohort_sha256
from .folds import seed_of
from .heldout import HeldOut
from .intervals import bootstrap_weights
from .known import hashed_contents
from .learner import probability
from .recalibration import MIN_PERSONS, Kind, Recalibration

LOG = logging.getLogger("cemrad")
FEW = 100
"""Patients of a class below which a recalibration is told to be unsure (Vergouwe 2005, doi
10.1016/j.jclinepi.2004.06.017)."""


def stated_calibration(predicted: OutOfFold, source: str, n_draws: int, seed: int) -> dict[str, Any]:
    """Calibration of predictions of cases that their model had not seen, as JSON values for a bundle.

    Parameters
    ----------
    predicted : OutOfFold
    source : str
        What they are, for readers.
    n_draws : int
        Of the bootstrap.
    seed : int

    Returns
    -------
    dict
        ``source``, ``n``, and per metric of :data:`~cemrad.models.calibration.METRICS` its ``estimate``, ``low``,
        ``high`` (None where there is none) and ``method``.
    """
    person = np.unique(np.asarray(predicted.persons, dtype=str), return_inverse=True)[1].astype(np.int64)
    chance = probability(predicted.margin)
    held = HeldOut(
        predicted.truth, chance, chance >= 0.5,
        repeat=np.zeros_like(predicted.fold), fold=predicted.fold, person=person,
    )  # fmt: skip
    found = calibrate(held, bootstrap_weights(person, n_draws, seed)).metrics
    return {"source": source, "n": len(person)} | {
        name: {
            key: (None if isinstance(value, float) and not np.isfinite(value) else value)
            for key, value in item._asdict().items()
        }
        for name, item in found.items()
    }


def recalibrate(
    bundle: Bundle,
    table: FeatureTable,
    labels: pd.DataFrame,
    settings: EvaluationSettings | None = None,
    *,
    kind: str = "intercept",
    bundle_sha256: str = "",
    endpoints: Sequence[str] = (),
    pictures: Mapping[str, Sequence[str]] | None = None,
    leave_out_known: bool = False,
) -> Bundle:
    """A bundle whose probabilities fit a labelled sample of a new site.

    Trees, features and ranks stay as they are: log odds are moved, or moved and stretched. Thresholds go through the
    same line, so that the same cases are called positive as before: a sample that is large enough to move two
    numbers is not large enough to choose an operating point. The new bundle knows the sample's persons, and
    refuses to be judged on them.

    Parameters
    ----------
    bundle, table, labels, settings, bundle_sha256, endpoints, pictures, leave_out_known
        As in :func:`~cemrad.models.external.evaluate_external`.
    kind : {"intercept", "logistic"}
        The intercept alone, or intercept and slope.

    Raises
    ------
    EvaluationError
        If no endpoint has enough patients; one that has too few beside others that have enough keeps its
        probabilities, with a warning and the reason in the record.
    BundleError, LeakageError, StudyError
        As in :func:`~cemrad.models.external.evaluate_external`.
    """
    if kind not in MIN_PERSONS:
        raise StudyError(f"no recalibration {kind!r}; there are: {', '.join(MIN_PERSONS)}")
    settings, pictures = settings or EvaluationSettings(), pictures or {}
    sample = apply_bundle(
        bundle, table, labels, settings, endpoints=endpoints, pictures=pictures, leave_out_known=leave_out_known
    )
    moved: dict[str, BundledModel] = {}
    told: list[dict[str, Any]] = []
    refused, cases = dict(sample.problems), set[str]()
    for item in sample.judged:
        try:
            model, line = _moved(item, kind, settings)
        except EvaluationError as error:
            refused[item.model.endpoint] = str(error)
            LOG.warning("recalibrate: endpoint %s keeps its probabilities: %s", item.model.endpoint, error)
            continue
        moved[model.endpoint] = model
        told.append({"endpoint": model.endpoint, **line})
        cases.update(item.job.design.rows.case_ids)
    if not moved:
        raise EvaluationError("nothing was recalibrated: " + "; ".join(f"{n}: {why}" for n, why in refused.items()))
    used = table.take(sorted(cases))
    entry = {
        "from_bundle_sha256": bundle_sha256, "cohort_sha256": cohort_sha256(table),
        "models": told, "endpoints_left_as_they_were": refused,
    }  # fmt: skip
    return replace(
        bundle,
        models=tuple(moved.get(model.endpoint, model) for model in bundle.models),
        phantom=bundle.phantom or bool(table.provenance.get("phantom", False)),
        persons=bundle.persons | {person_hash(patient, bundle.salt) for patient in used.cases["patient_id"]},
        contents=bundle.contents | hashed_contents(used, bundle.models, pictures, bundle.salt),
        record=dict(bundle.record) | {"recalibrations": [*bundle.record.get("recalibrations", ()), entry]},
        model_card="",
    )


def _moved(item: Judged, kind: str, settings: EvaluationSettings) -> tuple[BundledModel, dict[str, Any]]:
    """The model with its line and thresholds moved, and what is recorded of that."""
    model, rows = item.model, item.job.design.rows
    fitted = Recalibration.fit(item.outcome.margin, rows.y, rows.persons, cast(Kind, kind))
    if not fitted.slope > 0:
        raise EvaluationError(
            f"the slope is {fitted.slope:.3f}: the higher the prediction, the rarer the positive class at this site; "
            "no line mends that"
        )
    least = min(len({p for p, y in zip(rows.persons, rows.y, strict=True) if y == value}) for value in (0, 1))
    if least < FEW:
        LOG.warning("recalibrate: endpoint %s: %d patients of a class, below %d: unsure", model.endpoint, least, FEW)
    predicted = OutOfFold(item.outcome.margin, rows.y, np.zeros_like(rows.y), rows.persons, rows.case_ids)
    before = stated_calibration(
        predicted, "the new site, before", settings.scoring.n_bootstrap, seed_of(settings.seed, model.endpoint)
    )
    intercept, slope = model.line
    line = fitted.intercept + fitted.slope * intercept, fitted.slope * slope
    told = {
        "kind": kind, "intercept": fitted.intercept, "slope": fitted.slope,
        "n": len(rows.y), "n_positive": int(rows.y.sum()), "n_patients": len(set(rows.persons)), "before": before,
    }  # fmt: skip
    thresholds = {name: _through(fitted, value) for name, value in model.thresholds.items()}
    return replace(model, line=line, threshold=_through(fitted, model.threshold), thresholds=thresholds), told


def _through(fitted: Recalibration, threshold: float) -> float:
    """A threshold that calls the same cases positive once their log odds went through the line."""
    return float(expit(fitted.apply(logit(np.array([threshold])))[0]))
