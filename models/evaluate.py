"""Evaluation: nested, patient-grouped cross-validation of every arm and endpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ..features.errors import EvaluationError
from ..features.table import FeatureTable
from .account import Seen, join_accounts, take_accounts
from .arm import possible_arms
from .clusters import cluster_table
from .dealing import deal_endpoints
from .design import Design, lay_out, resolve_endpoints
from .explain import Perturbation, background_of, explain
from .folds import Split, seed_of
from .further import further_tables
from .fusion import FusionSettings, fit_arms
from .learning_curve import LearningCurveSettings, learning_curve
from .multiclass import measure_classes
from .outcome import ArmOutcome, Job, long_tables, params_row
from .outer import OuterSettings
from .parallel import Progress, in_threads
from .persons import require_unseen, tell_ties
from .ranking import selection_table
from .replicates import FOLD_COLUMNS, Replicates, fold_counts, required, stability_table
from .result import (
    ARMS,
    EXCLUSION_COLUMNS,
    Result,
    explained_arm,
    known_arm,
)
from .rows import out_of_bounds
from .sample_size import SampleSizeSettings, offers_of, survey
from .scoring import ScoringSettings, score
from .subgroups import groups_of

LOG = logging.getLogger("cemrad")
UNHARMONISED_COLUMNS = ["endpoint", "repeat", "fold", "case_id"]


class EvaluationSettings(FusionSettings):
    """How an evaluation is made."""

    outer_folds: int = Field(default=5, ge=2, le=50)
    repeats: int = Field(default=1, ge=1, le=100, description="times that all cases are dealt into folds anew")
    split: OuterSettings = Field(default=OuterSettings(), description="who is held out; in folds unless said otherwise")
    arms: tuple[str, ...] = Field(default=ARMS, min_length=1)
    same_person: tuple[str, ...] = Field(
        default=(), description="case columns whose equal values tie patients together"
    )
    scoring: ScoringSettings = ScoringSettings()
    sample_size: SampleSizeSettings = SampleSizeSettings()
    learning_curve: LearningCurveSettings | None = Field(
        default=None, description="the AUC by the number of training persons; {} makes one"
    )
    explain_arm: str | None = Field(
        default="fused", description="the arm that is told most of; the nearest where it is missing; null: none"
    )
    shap: Perturbation = Field(
        default="path_dependent", description="what stands for a feature that is not known; interventional: up to 100 "
        "cases of the training side",
    )  # fmt: skip
    audit: bool = Field(default=True, description="the cheap checks of the leak audit, and the confounder panel")

    @field_validator("arms")
    @classmethod
    def _arms_exist(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(known_arm, arms))

    @field_validator("explain_arm")
    @classmethod
    def _arm_exists(cls, arm: str | None) -> str | None:
        return None if arm is None else known_arm(arm)


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """Every arm of one fold.

    `refused` are arms that could not be fitted, with the reason, and `passed` the cases held out that were predicted
    as they are, since their site was not among those that features are harmonised for.
    `stable` counts the columns that replicates of the training side leave, by family; empty without replicates.
    `accounts` are the tables of :mod:`~cemrad.models.accounts` for the arm that is told most of.
    """

    job: Job
    arms: dict[str, ArmOutcome]
    refused: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    stable: Sequence[Mapping[str, object]] = ()
    accounts: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def evaluate(
    table: FeatureTable,
    labels: pd.DataFrame,
    endpoints: Sequence[str | Mapping[str, Any]],
    settings: EvaluationSettings | None = None,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    name: str = "study",
    replicates: pd.DataFrame | None = None,
) -> Result:
    """Nested cross-validation of every arm and endpoint.

    Persons are dealt into folds first; selection, imputation, tuning and threshold are fitted on
    the training side of each fold, and a model refuses cases of a person whom it has seen.

    Parameters
    ----------
    table : FeatureTable
    labels : DataFrame
        Index ``case_id``, one column per label as stated.
    endpoints : sequence of str or mapping
        As :func:`~cemrad.models.endpoint.resolve_endpoint` reads them.
    settings : EvaluationSettings, optional
    jobs : int
        Threads; the result does not depend on it.
    progress : callable, optional
        Called as ``progress(done, total, "folds")``.
    name : str
        The study's name.
    replicates : DataFrame, optional
        What ``stability`` in the settings asks for, as :meth:`~cemrad.models.replicates.Replicates.of` reads it.

    Raises
    ------
    StudyError
        If an endpoint is not known, its labels are absent, or the column of a subgroup is.
    EvaluationError
        If no endpoint can be estimated; one that cannot beside others that can is a row that says so.
    LeakageError
        If automatic masks or a fine-tuned network have learned from a person who would be held out.
    """
    started = time.perf_counter()
    settings = settings or EvaluationSettings()
    found = resolve_endpoints(endpoints, labels)
    arms, absent = possible_arms(table.values.columns, settings.arms)
    if not arms:
        raise EvaluationError(f"none of the arms can be evaluated: {_told(absent)}")
    for arm, why in absent.items():
        LOG.info("evaluate: arm %s is left out: %s", arm, why)
    groups = groups_of(table, settings.scoring.subgroups, settings.scoring.subgroup_cuts)
    again = required(settings.stability, replicates, table)
    site = settings.site_column
    same_person = tell_ties(table.cases)
    designs = [lay_out(table, labels, one, settings.same_person, arms, site).measured_again(again) for one in found]
    splits, problems = _deal(designs, settings)
    require_unseen(table.provenance, table.cases, splits.values())
    outcomes = list(_run(designs, splits, arms, settings, jobs, progress))
    refused = _refused(outcomes)
    problems |= _without_arms(refused, arms)
    if len(problems) == len(designs):
        raise EvaluationError(f"no endpoint can be estimated: {_told(problems)}")
    kept = [
        (o.job, arm, part)
        for o in outcomes
        for arm, part in o.arms.items()
        if arm not in refused.get(o.job.design.name, {})
    ]
    long = long_tables(kept)
    predictions = long.predictions
    severest = {design.name: design.severest for design in designs}
    metrics, differences = score(predictions, arms, settings.scoring, settings.seed, problems, refused, severest)
    levels = {design.name: design.endpoint.target.level for design in designs}
    tables = further_tables(predictions, settings.scoring, settings.seed, severest, levels, groups)
    tables |= measure_classes(designs, predictions, arms, settings.scoring, settings.seed, problems)
    tables |= _tables(outcomes, settings, again)
    if settings.explain_arm is not None:
        told = {
            str(name): explained_arm(part["arm"].unique(), settings.explain_arm) or ""
            for name, part in long.chosen.groupby("endpoint", sort=False)
        }
        tables |= join_accounts((o.accounts for o in outcomes if o.accounts), told)
        tables |= {"clusters": cluster_table(table.values, long.chosen, told)}
    tables |= {"selection": selection_table(long.chosen, [(design.name, design.rows) for design in designs])}
    tables |= {"same_person": same_person, "sample_size": survey(offers_of(designs, arms), settings.sample_size)}
    curve = settings.learning_curve
    tables |= learning_curve(
        designs, splits, predictions, settings, curve,
        aggregate=settings.scoring.aggregate, jobs=jobs, progress=progress,
    )  # fmt: skip
    return Result(
        name=name,
        phantom=bool(table.provenance.get("phantom", False)),
        **long._asdict(),
        metrics=metrics,
        differences=differences,
        tables=tables,
        exclusions=pd.concat(
            [part for d in designs for part in (d.exclusions, _never_held_out(d, splits.get(d.name)))],
            ignore_index=True,
        )[EXCLUSION_COLUMNS],
        cases=table.cases,
        clinical=table.values[table.columns_of("clinical")],
        failures=table.failures,
        endpoints={design.name: _summary(design, splits.get(design.name)) for design in designs},
        folds={
            design.name: {
                "by": settings.split.by,
                "sha256": made.sha256,
                "n_folds": made.n_folds,
                "n_repeats": made.n_repeats,
                "n_training_only": int(made.training_only.sum()),
            }
            for design in designs
            if (made := splits.get(design.name)) is not None
        },
        provenance={
            "seed": settings.seed,
            "evaluation": settings.model_dump(mode="json"),
            "arms_left_out": absent,
            "arms_refused": refused,
            "endpoints_not_estimable": problems,
            "values_out_of_bounds": out_of_bounds(table.values),
            "columns_left_out": {design.name: list(design.left_out) for design in designs},
            "params": [params_row(*item) for item in kept],
            "evaluation_s": round(time.perf_counter() - started, 2),
        },
    )


def run_fold(
    job: Job,
    arms: Sequence[str],
    settings: FusionSettings,
    explain_arm: str | None = None,
    shap: Perturbation = "path_dependent",
) -> FoldOutcome:
    """Fit every arm on the training side of one fold, then predict and explain the cases held out.

    Parameters
    ----------
    job : Job
    arms : sequence of str
    settings : FusionSettings
    explain_arm : str
        The arm to take accounts of, or the nearest that could be fitted; none without it.
    shap : {"path_dependent", "interventional"}
        Kind of the SHAP values, of learners that have both.
    """
    rows = job.design.rows
    fit, held = job.split.sides(job.repeat, job.fold)
    seed = seed_of(settings.seed, job.design.name, job.repeat, job.fold)
    train = rows.take(fit)
    stable = fold_counts(train.replicates, train.columns, train.case_ids, job.design.name, job.repeat, job.fold)
    try:
        fitted, refused = fit_arms(train, arms, settings, seed)
    except EvaluationError as error:  # of this endpoint; the others go on
        return FoldOutcome(job, {}, dict.fromkeys(arms, str(error)), (), stable)
    new = rows.take(held)
    outcomes = {}
    for arm, model in fitted.items():
        try:
            margin = model.held_out_margin(new)
        except EvaluationError as error:  # a site that nothing was learned about
            refused[arm] = str(error)
            continue
        values = model.inputs(new)
        background = background_of(model.inputs(train), seed) if shap == "interventional" else None
        outcomes[arm] = ArmOutcome(model, held, margin, values, *explain(model.model, values, background))
    harmonisers = [part.fitted.harmoniser for part in outcomes.values() if part.fitted.harmoniser]
    flags = [item.passed(new.sites) for item in harmonisers]
    passed = np.flatnonzero(np.logical_or.reduce(flags)) if flags else ()
    told = explained_arm(outcomes, explain_arm) if explain_arm else None
    accounts = take_accounts(Seen(job, told, train, new, outcomes[told], seed)) if told else {}
    return FoldOutcome(job, outcomes, refused, tuple(new.case_ids[i] for i in passed), stable, accounts)


def _deal(designs: Sequence[Design], settings: EvaluationSettings) -> tuple[dict[str, Split], dict[str, str]]:
    """The split of each endpoint, and why there is none."""
    splits, problems = deal_endpoints(
        designs, settings.split, n_folds=settings.outer_folds, n_repeats=settings.repeats, seed=settings.seed
    )
    for name, why in problems.items():
        LOG.warning("evaluate: endpoint %s: %s", name, why)
    problems = {d.name: d.with_exclusions(problems[d.name]) for d in designs if d.name in problems}
    if not splits:
        raise EvaluationError(f"no endpoint can be estimated: {_told(problems)}")
    return splits, problems


def _summary(design: Design, made: Split | None) -> dict[str, Any]:
    """What a result says about an endpoint: the cases that a model is judged on."""
    if made is None:
        return design.summary()
    return replace(design, rows=design.rows.take(np.flatnonzero(~made.training_only))).summary()


def _never_held_out(design: Design, made: Split | None) -> pd.DataFrame:
    """Cases that models learn from and that none is judged on."""
    ids = [] if made is None else [made.case_ids[i] for i in np.flatnonzero(made.training_only)]
    reason = "split.training: on the training side, never held out"
    return pd.DataFrame({"endpoint": design.name, "case_id": ids, "reason": reason}, columns=EXCLUSION_COLUMNS)


def _run(
    designs: Sequence[Design],
    splits: Mapping[str, Split],
    arms: Sequence[str],
    settings: EvaluationSettings,
    jobs: int,
    progress: Progress | None,
) -> Iterator[FoldOutcome]:
    work = [
        Job(design, splits[design.name], repeat, fold)
        for design in designs
        if design.name in splits
        for repeat in range(splits[design.name].n_repeats)
        for fold in range(splits[design.name].n_folds)
    ]
    explained = settings.explain_arm, settings.shap
    return in_threads(lambda job: run_fold(job, arms, settings, *explained), work, jobs, progress, "folds")


def _refused(outcomes: Iterable[FoldOutcome]) -> dict[str, dict[str, str]]:
    """Arms that failed in any fold, by endpoint: an arm is compared on all cases or not at all."""
    refused: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        for arm, why in outcome.refused.items():
            refused.setdefault(outcome.job.design.name, {})[arm] = why
    return refused


def _without_arms(refused: Mapping[str, Mapping[str, str]], arms: Sequence[str]) -> dict[str, str]:
    """Endpoints of which no arm is left, with the reasons."""
    problems = {name: "; ".join(dict.fromkeys(why.values())) for name, why in refused.items() if len(why) == len(arms)}
    for name, why in problems.items():
        LOG.warning("evaluate: endpoint %s: %s", name, why)
    return problems


def _tables(
    outcomes: Sequence[FoldOutcome], settings: EvaluationSettings, again: Replicates | None
) -> dict[str, pd.DataFrame]:
    """Further findings of a result, each where the settings ask for it."""
    tables = {"unharmonised": _unharmonised(outcomes)} if settings.harmonise else {}
    if again is not None:
        folds = pd.DataFrame([row for o in outcomes for row in o.stable], columns=FOLD_COLUMNS)
        tables |= {"stability": stability_table(again), "stability_folds": folds}
    return tables


def _unharmonised(outcomes: Iterable[FoldOutcome]) -> pd.DataFrame:
    """Cases that were predicted as they are, by fold; columns ``UNHARMONISED_COLUMNS``."""
    rows = [
        {"endpoint": o.job.design.name, "repeat": o.job.repeat, "fold": o.job.fold, "case_id": case_id}
        for o in outcomes
        for case_id in o.passed
    ]
    if rows:
        LOG.warning("evaluate: %d predictions without harmonisation, as their sites were not trained on", len(rows))
    return pd.DataFrame(rows, columns=UNHARMONISED_COLUMNS)


def _told(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())
