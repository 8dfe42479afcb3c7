"""Training: the final models, fitted on every labelled case, as one bundle."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import EvaluationError
from ..features.settings import nearest
from ..features.table import FeatureTable
from .bundle import Bundle, BundledModel, person_hash
from .design import Design, lay_out, resolve_endpoints
from .evaluate import EvaluationSettings
from .folds import seed_of
from .fusion import fit_arms, possible_arms
from .result import ARMS

LOG = logging.getLogger("cemrad")
PACKAGES = ("cemrad", "numpy", "pandas", "scikit-learn", "shap", "xgboost")


def train(
    table: FeatureTable,
    labels: pd.DataFrame,
    endpoints: Sequence[str | Mapping[str, str]],
    settings: EvaluationSettings | None = None,
    *,
    arm: str | None = None,
    extraction: Mapping[str, Any] | None = None,
    performance: Sequence[Mapping[str, Any]] = (),
) -> Bundle:
    """Fit one arm on every labelled case, as in a fold of the evaluation but with nobody held out.

    Parameters
    ----------
    table : FeatureTable
    labels : DataFrame
        Index ``case_id``, one column per label as stated.
    endpoints : sequence of str or mapping
        As in :func:`~cemrad.models.evaluate.evaluate`.
    settings : EvaluationSettings, optional
        Those of the evaluation, so that its promise holds; folds and repeats are not used.
    arm : str, optional
        Without it the arm with the most families that the table has.
    extraction : mapping, optional
        Settings with which new cases have to be extracted; stored in the bundle.
    performance : sequence of mapping, optional
        What an evaluation found for the arm; stored in the bundle.

    Raises
    ------
    StudyError
        If an endpoint is not known.
    EvaluationError
        If the table does not allow the arm, or no endpoint has enough cases; an endpoint that has
        too few beside others that have enough is left out with a warning.
    """
    settings = settings or EvaluationSettings()
    arm = _allowed(arm, table)
    models, seen, left_out = [], set(), {}
    for endpoint in resolve_endpoints(endpoints, labels):
        design = lay_out(table, labels, endpoint, settings.same_person, [arm])
        try:
            models.append(_fit(design, arm, settings))
        except EvaluationError as error:
            left_out[design.name] = str(error)
            LOG.warning("train: endpoint %s is left out: %s", design.name, error)
            continue
        seen.update(table.cases.loc[design.cases.index, "patient_id"])
    if not models:
        raise EvaluationError("; ".join(f"{name}: {why}" for name, why in left_out.items()))
    salt = hashlib.sha256("\n".join(sorted(seen)).encode()).hexdigest()[:32]
    return Bundle(
        arm=arm,
        models=tuple(models),
        extraction=dict(extraction or {}),
        phantom=bool(table.provenance.get("phantom", False)),
        persons=frozenset(person_hash(patient, salt) for patient in seen),
        salt=salt,
        record={
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            "settings": settings.model_dump(mode="json"),
            "table": table.provenance,
            "endpoints_left_out": left_out,
            "performance": [dict(row) for row in performance],
        },
    )


def _allowed(arm: str | None, table: FeatureTable) -> str:
    """The arm, or the richest one; raises EvaluationError where the table does not allow it."""
    possible, absent = possible_arms(table.values.columns)
    if not possible:
        raise EvaluationError(f"the table has no family that an arm uses; it has {', '.join(table.families())}")
    if arm is None:
        return possible[-1]
    if arm in possible:
        return arm
    guess = nearest(arm, possible)
    why = absent.get(arm) or f"there is no such arm; there are {', '.join(ARMS)}"
    raise EvaluationError(
        f"arm {arm!r} cannot be trained: {why}. Possible here: {', '.join(possible)}"
        + (f"; did you mean {guess!r}?" if guess and arm not in ARMS else "")
    )


def _fit(design: Design, arm: str, settings: EvaluationSettings) -> BundledModel:
    rows = design.rows
    fitted, refused = fit_arms(rows, [arm], settings, seed_of(settings.seed, design.name, "final"))
    if arm in refused:
        raise EvaluationError(refused[arm])
    model = fitted[arm]
    values = rows.features(model.features)
    summary = design.summary()
    return BundledModel(
        endpoint=design.name,
        title=summary["title"],
        positive=summary["positive"],
        level=summary["level"],
        features=model.features,
        low=np.fmin.reduce(values, axis=0),  # unlike nanmin, silent about a column without a value
        high=np.fmax.reduce(values, axis=0),
        threshold=model.threshold,
        learner=settings.learner,
        fitted=model.model,
        training={
            "n": summary["n"],
            "n_positive": summary["n_positive"],
            "n_patients": summary["n_patients"],
            "params": dict(model.params),
            "inner_log_loss": model.inner_loss,
        },
    )
