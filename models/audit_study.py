"""The leak audit of a study: its own folds, endpoint by endpoint, and what else could explain its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..features.errors import EvaluationError, LeakageError
from ..features.table import FeatureTable
from .arm import possible_arms
from .audit import AUDIT_COLUMNS, Check, Pipeline, check_garbage, check_planted, check_stored, fold_pipeline
from .audit_null import Deal, check_noise, check_permuted, check_views
from .confounders import check_confounders, confounder_panel
from .copies import check_copies
from .dealing import deal_endpoints
from .design import Design, lay_out, resolve_endpoints
from .evaluate import EvaluationSettings
from .folds import Split, seed_of
from .outer import deal
from .persons import persons_of
from .replicates import required
from .result import ARM_FAMILIES, Result
from .rows import Rows


class Depth(NamedTuple):
    """How much is tried: folds with garbage, permutations, tables of noise, cohorts of signatures."""

    n_folds: int
    n_permutations: int
    n_noise: int
    n_views: int


QUICK = Depth(n_folds=2, n_permutations=20, n_noise=20, n_views=5)
THOROUGH = Depth(n_folds=5, n_permutations=100, n_noise=100, n_views=20)


def audit_pipeline(
    pipeline: Pipeline, rows: Rows, split: Split, deal_anew: Deal, depth: Depth, *, seed: int, jobs: int = 1,
    endpoint: str = "", every_arm: Pipeline | None = None,
) -> list[Check]:  # fmt: skip
    """Every check of a pipeline on the cases of one endpoint.

    Parameters
    ----------
    pipeline : Pipeline
        An evaluation's own, or any other.
    rows : Rows
    split : Split
        Of these rows.
    deal_anew : callable
        Deals rows with other labels into folds, in the way that `split` was made.
    depth : Depth
    seed, jobs : int
        The rows of the audit do not depend on `jobs`.
    endpoint : str
        For the rows of the audit.
    every_arm : Pipeline, optional
        Fitted with garbage in place of `pipeline`, where that is only one arm of several.
    """
    fitted = every_arm or pipeline
    return [
        check_garbage(fitted, rows, split, n_folds=depth.n_folds, seed=seed, endpoint=endpoint),
        check_planted(pipeline, rows, split, seed=seed, endpoint=endpoint),
        *check_permuted(pipeline, deal_anew, rows, n=depth.n_permutations, seed=seed, jobs=jobs, endpoint=endpoint),
        *check_noise(pipeline, deal_anew, rows, n=depth.n_noise, seed=seed, jobs=jobs, endpoint=endpoint),
    ]


def lay_out_again(
    table: FeatureTable,
    labels: pd.DataFrame,
    endpoints: Sequence[str | Mapping[str, Any]],
    settings: EvaluationSettings,
    result: Result,
    replicates: pd.DataFrame | None = None,
) -> list[tuple[Design, Split]]:
    """The cases and the split of every endpoint that a result holds predictions of.

    The arguments are those of :func:`~cemrad.models.evaluate.evaluate`.

    Raises
    ------
    LeakageError
        If a split is not the one that the result was made with.
    EvaluationError
        If the result says nothing of an endpoint: neither predictions, nor why there are none.
    """
    arms, _ = possible_arms(table.values.columns, settings.arms)
    again = required(settings.stability, replicates, table)
    found = resolve_endpoints(endpoints, labels)
    site = settings.site_column
    designs = [lay_out(table, labels, one, settings.same_person, arms, site).measured_again(again) for one in found]
    splits, _ = deal_endpoints(
        designs, settings.split, n_folds=settings.outer_folds, n_repeats=settings.repeats, seed=settings.seed
    )
    evaluated = set(result.predictions["endpoint"])
    told = evaluated | set(result.provenance.get("endpoints_not_estimable", {}))
    if untold := [design.name for design in designs if design.name not in told]:
        raise EvaluationError(f"the result holds nothing of endpoint {', '.join(untold)}; evaluate it first")
    plans = [(design, splits[design.name]) for design in designs if design.name in evaluated]
    for design, split in plans:
        if split.sha256 != result.folds[design.name]["sha256"]:
            raise LeakageError(
                f"endpoint {design.name}: these cases and settings give another split than the result was made with; "
                "evaluate again"
            )
    return plans


def _deal(design: Design, rows: Rows, settings: EvaluationSettings, seed: int) -> Split:
    return deal(rows, design.cases, settings.split, n_folds=settings.outer_folds, n_repeats=1, seed=seed)


def audit_result(
    table: FeatureTable, plans: Sequence[tuple[Design, Split]], settings: EvaluationSettings, known: pd.DataFrame,
    result: Result, *, garbage: bool = True,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """What is cheap enough for every evaluation: one fit with garbage held out, copies, confounders.

    Parameters
    ----------
    table : FeatureTable
    plans : sequence of (Design, Split)
        From :func:`lay_out_again`.
    settings : EvaluationSettings
    known : DataFrame
        From :func:`~cemrad.models.confounders.confounder_columns`.
    result : Result
    garbage : bool
        Fit the richest arm of one fold of every endpoint again.

    Returns
    -------
    dict
        ``audit``, columns ``AUDIT_COLUMNS``; ``confounders``, columns
        :data:`~cemrad.models.confounders.CONFOUNDER_COLUMNS`.
    """
    panel = confounder_panel(plans, result, known, settings)
    rows = [check_stored(design, split, _arms(design, settings, result)[-1], settings, result)
            for design, split in plans if garbage]  # fmt: skip
    rows.append(check_copies(table.values, persons_of(table.cases, settings.same_person).tolist()))
    return {"audit": audit_frame([*rows, *check_confounders(panel)]), "confounders": panel}


def audit_endpoints(
    plans: Sequence[tuple[Design, Split]], settings: EvaluationSettings, result: Result, depth: Depth, *, jobs: int = 1
) -> list[Check]:
    """Every check of a study's own folds, with its richest arm; signatures of persons once for all endpoints."""
    rows: list[Check] = []
    for at, (design, split) in enumerate(plans):
        arms = _arms(design, settings, result)
        seed = seed_of(settings.seed, design.name, "audit")

        def anew(rows: Rows, seed: int, design: Design = design) -> Split:
            return _deal(design, rows, settings, seed)

        every, one = (fold_pipeline(design, some, settings) for some in (arms, arms[-1:]))
        rows += audit_pipeline(
            one, design.rows, split, anew, depth, seed=seed, jobs=jobs, endpoint=design.name, every_arm=every
        )
        if at == 0:
            plain = settings.model_copy(update={"harmonise": None})  # the cohorts of signatures have no sites
            one = fold_pipeline(design, arms[-1:], plain)
            rows.append(check_views(one, ARM_FAMILIES[arms[-1]], n=depth.n_views, seed=seed, jobs=jobs))
    return rows


def _arms(design: Design, settings: EvaluationSettings, result: Result) -> list[str]:
    """Arms that the result has predictions of, the richest last."""
    predicted = set(result.predictions.loc[result.predictions["endpoint"] == design.name, "arm"])
    return [arm for arm in ARM_FAMILIES if arm in predicted and arm in settings.arms]


def audit_frame(rows: Sequence[Check]) -> pd.DataFrame:
    """Checks as the table ``audit``."""
    return pd.DataFrame(list(rows), columns=AUDIT_COLUMNS)
