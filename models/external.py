"""External evaluation: the models of a bundle, as they are, on a labelled cohort that none of them has seen.

Nothing is fitted here, and nothing can be chosen: neither threshold nor calibration is an argument. Each model is one
fixed model on new patients, so that intervals carry no factor for overlapping training sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..features.errors import EvaluationError, LeakageError, StudyError
from ..features.table import FeatureTable
from .arm import FittedArm, OutOfFold
from .bundle import Bundle
from .bundled_model import BundledModel
from .design import Design, lay_out
from .endpoint import Endpoint, resolve_endpoint
from .evaluate import EvaluationSettings
from .folds import Split
from .further import further_tables
from .known import known_cases
from .metrics import THRESHOLDS
from .outcome import ArmOutcome, Job, long_tables
from .persons import persons_of
from .result import EXCLUSION_COLUMNS, Result
from .scoring import score
from .subgroups import groups_of

TABLE_COLUMNS = [
    "endpoint", "bundle_sha256", "arm", "threshold", "recalibrated", "n_training", "n_positive_training",
    "n_patients_training", "promised_auc", "promised_low", "promised_high", "n", "n_positive", "n_patients",
    "n_unusual", "n_far", "n_left_out_known",
]  # fmt: skip
"""Columns of the table ``external``: per endpoint what was judged, where it was trained, what it promised there."""
NOVELTY_COLUMNS = ["endpoint", "case_id", "ood_distance", "ood"]
"""Columns of the table ``novelty``: how far each judged case is from the training cases."""


def evaluate_external(
    bundle: Bundle,
    table: FeatureTable,
    labels: pd.DataFrame,
    settings: EvaluationSettings | None = None,
    *,
    bundle_sha256: str = "",
    endpoints: Sequence[str] = (),
    pictures: Mapping[str, Sequence[str]] | None = None,
    leave_out_known: bool = False,
    name: str = "external",
) -> Result:
    """Judge a bundle on a labelled cohort.

    Parameters
    ----------
    bundle : Bundle
    table : FeatureTable
        Extracted with the bundle's settings.
    labels : DataFrame
        Index ``case_id``, one column per label as stated.
    settings : EvaluationSettings, optional
        Of this study: its `scoring`, `seed` and `same_person`; what makes a model is the bundle's, and so is how
        the lesions of a breast or patient come to one number.
    bundle_sha256 : str
        Hash of the bundle's file, for the record.
    endpoints : sequence of str
        Names of the bundle's endpoints; without any, all of them.
    pictures : mapping of str to sequence of str, optional
        As :func:`~cemrad.models.known.known_cases` takes it.
    leave_out_known : bool
        Leave out persons whom the bundle knows, as rows of the exclusions, where they would be an error.
    name : str
        The study's name.

    Raises
    ------
    BundleError
        If the table was extracted with other settings, or lacks columns.
    LeakageError
        If the bundle, or an automatic step before it, knows a person of the cohort.
    StudyError
        If an endpoint is not the bundle's.
    EvaluationError
        If no endpoint can be judged; one that cannot beside others that can is a row that says so.
    """
    settings = settings or EvaluationSettings()
    sample = apply_bundle(
        bundle, table, labels, settings,
        endpoints=endpoints, pictures=pictures or {}, leave_out_known=leave_out_known,
    )  # fmt: skip
    judged, problems, known = sample.judged, sample.problems, sample.known
    scoring = settings.scoring.model_copy(update={"aggregate": bundle.aggregate})
    long = long_tables([(job, bundle.arm, outcome) for _, job, outcome in judged])
    severest = {job.design.name: job.design.severest for _, job, _ in judged}
    metrics, differences = score(long.predictions, [bundle.arm], scoring, settings.seed, problems, {}, severest)
    groups = groups_of(table, scoring.subgroups, scoring.subgroup_cuts)
    levels = {model.endpoint: model.level for model, _, _ in judged}
    further = further_tables(long.predictions, scoring, settings.seed, severest, levels, groups)
    told = pd.DataFrame([_told(bundle, *item, bundle_sha256, known) for item in judged], columns=TABLE_COLUMNS)
    return Result(
        name=name,
        phantom=bundle.phantom or bool(table.provenance.get("phantom", False)),
        **long._asdict(),
        metrics=metrics,
        differences=differences,
        exclusions=sample.exclusions,
        cases=table.cases,
        clinical=table.values[table.columns_of("clinical")],
        failures=table.failures,
        endpoints={job.design.name: _summary(model, job.design) for model, job, _ in judged}
        | {m.endpoint: _unjudged(m) for m in bundle.models if m.endpoint in problems},
        folds={
            job.design.name: {"by": "external", "bundle_sha256": bundle_sha256, "sha256": job.split.sha256}
            | {"n_folds": 1, "n_repeats": 1, "n_training_only": 0}
            for _, job, _ in judged
        },
        provenance={
            "seed": settings.seed,
            "evaluation": dict(bundle.record.get("settings", {})) | {"scoring": scoring.model_dump()},
            "arms_left_out": {},
            "arms_refused": {},
            "endpoints_not_estimable": problems,
            "external": {
                "bundle_sha256": bundle_sha256,
                "arm": bundle.arm,
                "bundle_phantom": bundle.phantom,
                "bundle_versions": dict(bundle.record.get("versions", {})),
                "cohort_sha256": cohort_sha256(table),
                "left_out_known": int((known != "").sum()),
            },
        },
        tables=further | {"external": told, "novelty": _novelty(judged)},
    )


def cohort_sha256(table: FeatureTable) -> str:
    """What a cohort is known by in a ledger: its case ids with their patients, hashed; not the order of its rows."""
    rows = sorted(f"{case}|{patient}" for case, patient in table.cases["patient_id"].items())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


class Judged(NamedTuple):
    """A model, the cases that it is judged on, and what it said of them."""

    model: BundledModel
    job: Job
    outcome: ArmOutcome


class Sample(NamedTuple):
    """What a bundle said of a labelled cohort: by endpoint, or why not, who was left out, and why a case is known."""

    judged: list[Judged]
    problems: dict[str, str]
    exclusions: pd.DataFrame
    known: pd.Series[str]


def apply_bundle(
    bundle: Bundle,
    table: FeatureTable,
    labels: pd.DataFrame,
    settings: EvaluationSettings,
    *,
    endpoints: Sequence[str],
    pictures: Mapping[str, Sequence[str]],
    leave_out_known: bool,
) -> Sample:
    """Each model of a bundle on the labelled cases of persons who are new to it.

    Parameters and errors are those of :func:`evaluate_external`.
    """
    models = _chosen_models(bundle, endpoints)
    bundle.require_extraction(table)
    persons = persons_of(table.cases, settings.same_person)
    known = known_cases(bundle, table, persons, pictures)
    if (known != "").any() and not leave_out_known:
        raise LeakageError(_refusal(known, persons))
    judged: list[Judged] = []
    problems: dict[str, str] = {}
    excluded = [pd.DataFrame(columns=EXCLUSION_COLUMNS)]
    for model in models:
        try:
            endpoint = _as_trained(model, labels)
        except StudyError as error:
            problems[model.endpoint] = str(error)
            continue
        design = lay_out(table, labels, endpoint, settings.same_person, [bundle.arm])
        found, left_out = _on_new_persons(model, bundle.arm, design, table, known)
        excluded += [design.exclusions, left_out]
        if found is None:
            problems[model.endpoint] = "no case is left that has a label and features, and is new to the bundle"
        else:
            judged.append(found)
    if not judged:
        raise EvaluationError("no endpoint can be judged: " + "; ".join(f"{n}: {why}" for n, why in problems.items()))
    return Sample(judged, problems, pd.concat(excluded, ignore_index=True)[EXCLUSION_COLUMNS], known)


def _on_new_persons(
    model: BundledModel, arm: str, design: Design, table: FeatureTable, known: pd.Series[str]
) -> tuple[Judged | None, pd.DataFrame]:
    """The model on cases that it can be judged on, and the others with the reason."""
    ids = list(design.rows.case_ids)
    x, usable = model.inputs(table.take(ids))
    reasons = known[ids].to_numpy(dtype=object).copy()
    reasons[~usable & (reasons == "")] = "features.missing: no value that the model takes from an image block"
    held = np.flatnonzero(reasons == "")
    others = pd.DataFrame({"endpoint": design.name, "case_id": ids, "reason": reasons})[reasons != ""]
    if not len(held):
        return None, others
    rows = design.rows.take(held)
    kept = replace(design, rows=rows, cases=design.cases.iloc[held])
    split = Split(rows.case_ids, rows.persons, np.zeros((1, len(held)), dtype=np.int64))
    return Judged(model, Job(kept, split, 0, 0), _outcome(model, arm, x[held])), others


def _outcome(model: BundledModel, arm: str, x: np.ndarray[Any, np.dtype[np.float64]]) -> ArmOutcome:
    no_cases = np.empty(0, dtype=np.int64)
    nothing = OutOfFold(np.empty(0), no_cases, no_cases, (), ())
    fitted = FittedArm(
        arm, model.features, model.fitted, model.threshold,
        thresholds={name: model.thresholds.get(name, np.nan) for name in THRESHOLDS},
        params=model.training.get("params", {}), inner_loss=float(model.training.get("inner_log_loss", np.nan)),
        persons=frozenset(), out_of_fold=nothing,
    )  # fmt: skip
    return ArmOutcome(fitted, np.arange(len(x)), model.margin(x), x, *model.explain(x))


def _chosen_models(bundle: Bundle, endpoints: Sequence[str]) -> list[BundledModel]:
    there = [model.endpoint for model in bundle.models]
    absent = [name for name in endpoints if name not in there]
    if absent:
        raise StudyError(f"the bundle has no endpoint {', '.join(map(repr, absent))}; it has {', '.join(there)}")
    return [model for model in bundle.models if not endpoints or model.endpoint in endpoints]


def _refusal(known: pd.Series[str], persons: pd.Series[str]) -> str:
    hit = sorted(set(persons[known != ""]))
    shown = ", ".join(map(repr, hit[:5])) + (f" and {len(hit) - 5} more" if len(hit) > 5 else "")
    why = "; ".join(f"{reason} ({n} cases)" for reason, n in known[known != ""].value_counts().items())
    return (
        f"the bundle knows {len(hit)} of the {persons.nunique()} persons of this cohort ({shown}): {why}. "
        "Leave them out (--leave-out-known); if they are other people whose ids happen to be the same, give the ids "
        "of this cohort a prefix"
    )


def _as_trained(model: BundledModel, labels: pd.DataFrame) -> Endpoint:
    """The model's endpoint in these labels; raises StudyError where they define another one under its name."""
    parts = resolve_endpoint(model.wanted, labels).expand()
    found = parts if len(parts) == 1 else [part for part in parts if part.name == model.endpoint]
    if not found:
        raise StudyError(
            f"the labels of this cohort define it otherwise: they give {', '.join(part.name for part in parts)}"
        )
    if found[0].positive != model.positive:
        raise StudyError(
            f"the labels of this cohort define it otherwise: positive is {found[0].positive!r} here, and was "
            f"{model.positive!r} in training; state the labels, or the cut-off, as in training"
        )
    return replace(found[0], name=model.endpoint)


def _summary(model: BundledModel, design: Design) -> dict[str, Any]:
    return design.summary() | {"title": model.title, "level": model.level}


def _unjudged(model: BundledModel) -> dict[str, Any]:
    counts = {"n": 0, "n_positive": 0, "n_patients": 0}
    return {"title": model.title, "level": model.level, "positive": model.positive, **counts, "label_columns": []}


def _told(
    bundle: Bundle, model: BundledModel, job: Job, outcome: ArmOutcome, bundle_sha256: str, known: pd.Series[str]
) -> dict[str, Any]:
    promised: Mapping[str, Any] = next(
        (row for row in bundle.record.get("performance", ()) if _is_promise(row, model)), {}
    )
    found = _called(model, outcome)
    return {
        "endpoint": model.endpoint,
        "bundle_sha256": bundle_sha256,
        "arm": bundle.arm,
        "threshold": model.threshold,
        "recalibrated": model.line != (0.0, 1.0),
        **{f"{count}_training": int(model.training[count]) for count in ("n", "n_positive", "n_patients")},
        **{
            f"promised_{name}": np.nan if (value := promised.get(key)) is None else float(value)
            for name, key in (("auc", "estimate"), ("low", "low"), ("high", "high"))
        },
        **{count: job.design.summary()[count] for count in ("n", "n_positive", "n_patients")},
        "n_unusual": int((found == "unusual").sum()),
        "n_far": int((found == "far").sum()),
        "n_left_out_known": int((known != "").sum()),
    }


def _is_promise(row: Mapping[str, Any], model: BundledModel) -> bool:
    return (row["endpoint"], row["level"], row["metric"]) == (model.endpoint, model.level, "auc")


def _called(model: BundledModel, outcome: ArmOutcome) -> np.ndarray[Any, np.dtype[np.object_]]:
    if model.novelty is None:
        return np.full(len(outcome.values), "", dtype=object)
    return model.novelty.call(model.novelty.distance(outcome.values))


def _novelty(judged: Sequence[Judged]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "endpoint": model.endpoint,
                "case_id": job.design.rows.case_ids,
                "ood_distance": model.novelty.distance(outcome.values),
                "ood": _called(model, outcome),
            }
        )
        for model, job, outcome in judged
        if model.novelty is not None
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=NOVELTY_COLUMNS)
