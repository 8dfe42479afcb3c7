"""Training: the final models, fitted on every labelled case, as one bundle."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import EvaluationError
from ..features.table import FeatureTable
from ..features.training_ids import TrainingIds
from .arm import possible_arms
from .blend import NAME as BLEND
from .blend import Blend
from .bundle import MACHINE_SETTINGS, Bundle
from .bundled_model import BundledModel
from .design import Design, lay_out, resolve_endpoints
from .endpoint import families, resolve_endpoint
from .evaluate import EvaluationSettings
from .folds import class_counts, seed_of
from .fusion import fit_arms
from .known import hashed_contents
from .novelty import Novelty
from .persons import tell_ties
from .recalibrate import stated_calibration
from .replicates import required
from .result import ARMS, known_arm, richest_arm
from .rows import out_of_bounds

LOG = logging.getLogger("cemrad")
PACKAGES = ("cemrad", "numpy", "pandas", "scikit-learn", "shap", "xgboost")


def train(
    table: FeatureTable,
    labels: pd.DataFrame,
    endpoints: Sequence[str | Mapping[str, Any]],
    settings: EvaluationSettings | None = None,
    *,
    arm: str | None = None,
    extraction: Mapping[str, Any] | None = None,
    performance: Sequence[Mapping[str, Any]] = (),
    pictures: Mapping[str, Sequence[str]] | None = None,
    replicates: pd.DataFrame | None = None,
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
        Without it, of the arms in the settings, the one with the most families that the table has.
    extraction : mapping, optional
        Settings with which new cases have to be extracted; stored in the bundle, but for those of
        the machine that it runs on.
    performance : sequence of mapping, optional
        Rows of an evaluation's metrics; those of the arm are stored in the bundle.
    pictures : mapping of str to sequence of str, optional
        Per case, what tells its pictures from all others, such as hashes of their files. Salted hashes of them are
        stored in the bundle, so that a person is found again under another id.
    replicates : DataFrame, optional
        What ``stability`` in the settings asks for.

    Raises
    ------
    StudyError
        If an endpoint is not known.
    EvaluationError
        If there is no such arm, the table does not allow it, or no endpoint has enough cases; an endpoint that has
        too few beside others that have enough is left out with a warning. One that can be fitted but
        not evaluated is trained, with a warning and the reason under ``not_evaluated``.
    """
    settings = settings or EvaluationSettings()
    arm = _allowed(arm, table, settings)
    promised = [dict(row) for row in performance if row.get("arm") == arm]
    found = resolve_endpoints(endpoints, labels)
    wanted = {part.name: item for item in endpoints for part in resolve_endpoint(item, labels).expand()}
    models: list[BundledModel] = []
    seen: set[str] = set()
    cases: set[str] = set()
    left_out, not_evaluated = {}, {}
    again = required(settings.stability, replicates, table)
    tell_ties(table.cases)
    for endpoint in found:
        design = lay_out(table, labels, endpoint, settings.same_person, [arm], settings.site_column)
        design = design.measured_again(again)
        try:
            models.append(_fit(design, arm, settings, wanted[design.name]))
        except EvaluationError as error:
            left_out[design.name] = design.with_exclusions(str(error))
            LOG.warning("train: endpoint %s is left out: %s", design.name, left_out[design.name])
            continue
        why = _not_evaluated(design, arm, settings, promised)
        if why:
            not_evaluated[design.name] = why
            LOG.warning("train: the model of endpoint %s was not evaluated: %s", design.name, why)
        seen.update(table.cases.loc[design.cases.index, "patient_id"])
        cases.update(design.cases.index)
    if not models:
        raise EvaluationError("; ".join(f"{name}: {why}" for name, why in left_out.items()))
    ids = TrainingIds.of(seen)
    return Bundle(
        arm=arm,
        models=tuple(models),
        extraction=_portable(extraction or {}),
        phantom=bool(table.provenance.get("phantom", False)),
        persons=ids.persons,
        salt=ids.salt,
        contents=hashed_contents(table.take(sorted(cases)), models, pictures or {}, ids.salt),
        record={
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            "settings": _impersonal(settings),
            # Times differ between two runs that are otherwise the same.
            "table": {key: value for key, value in table.provenance.items() if key != "times_s"},
            "values_out_of_bounds": out_of_bounds(table.values),
            "endpoints_left_out": left_out,
            "not_evaluated": not_evaluated,
            "classes": {
                name: [part.name for part in parts if part.name not in left_out]
                for name, parts in families(found).items()
            },
            "performance": promised,
        },
    )


def _allowed(arm: str | None, table: FeatureTable, settings: EvaluationSettings) -> str:
    """The arm, or the richest one of the evaluation; raises EvaluationError where the table does not allow it."""
    wanted = settings.arms if arm is None else ARMS
    possible, absent = possible_arms(table.values.columns, wanted)
    if arm is None and possible:
        return richest_arm(possible)
    if not possible:
        raise EvaluationError(
            f"the table allows none of the arms {', '.join(wanted)}; it has {', '.join(table.families())}"
        )
    try:
        chosen = known_arm(str(arm))
    except ValueError as error:
        raise EvaluationError(str(error)) from None
    if chosen in absent:
        raise EvaluationError(
            f"arm {chosen!r} cannot be trained: {absent[chosen]}. Possible here: {', '.join(possible)}"
        )
    return chosen


def _not_evaluated(
    design: Design, arm: str, settings: EvaluationSettings, promised: Sequence[Mapping[str, Any]]
) -> str:
    """Why an evaluation with these settings promises nothing for a model, or an empty text."""
    if arm not in settings.arms:
        return f"arm {arm} is not among the arms of the evaluation"
    negative, positive = class_counts(design.rows.persons, design.rows.y)
    if settings.split.by == "folds" and min(negative, positive) < settings.outer_folds:
        return (
            f"{settings.outer_folds} folds need as many patients of each class: there are {positive} with a positive "
            f"and {negative} with a negative case"
        )
    refusals = (str(row["method"]) for row in promised if row["endpoint"] == design.name and row["metric"] == "auc")
    return next((method for method in refusals if method.startswith("not estimable")), "")


def _impersonal(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings without what names a person or a place on this machine: who was held out, where replicates are."""
    told = settings.model_dump(mode="json")
    told["split"]["held_out"] = f"{len(settings.split.held_out)} values"
    if told["stability"] is not None:
        del told["stability"]["replicates"]
    return told


def _portable(extraction: Mapping[str, Any]) -> dict[str, Any]:
    """Extraction settings without those of the machine, which is another one when new cases come."""
    families = {
        name: {key: value for key, value in chosen.items() if key not in MACHINE_SETTINGS}
        for name, chosen in extraction.get("families", {}).items()
    }
    return {**extraction, "families": families} if families else dict(extraction)


def _fit(design: Design, arm: str, settings: EvaluationSettings, wanted: str | Mapping[str, str]) -> BundledModel:
    rows = design.rows
    fitted, refused = fit_arms(rows, [arm], settings, seed_of(settings.seed, design.name, "final"))
    if arm in refused:
        raise EvaluationError(refused[arm])
    model = fitted[arm]
    values = model.inputs(rows)
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
        thresholds=dict(model.thresholds),
        learner=BLEND if isinstance(model.model, Blend) else settings.learner,
        fitted=model.model,
        training={
            "n": summary["n"],
            "n_positive": summary["n_positive"],
            "n_patients": summary["n_patients"],
            "params": dict(model.params),
            "inner_log_loss": model.inner_loss,
        },
        calibration=stated_calibration(
            model.out_of_fold,
            "predictions of inner folds",
            settings.scoring.n_bootstrap,
            seed_of(settings.seed, design.name, "calibration"),
        ),
        wanted=wanted if isinstance(wanted, str) else dict(wanted),
        novelty=Novelty.fit(values, rows.persons, seed_of(settings.seed, design.name, "novelty")),
        harmoniser=model.harmoniser,
    )
