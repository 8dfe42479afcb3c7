"""The mask experiment: one study with several arms of masks, compared by overlap, lesions, features and endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.case import Case
from ..features.cells import write_csv
from ..features.errors import EvaluationError, LeakageError, StudyError
from ..features.table import FeatureTable
from ..features.whole import write_whole
from ..models.design import IMAGE_FAMILIES, lay_out, resolve_endpoints
from ..models.evaluate import EvaluationSettings, evaluate
from ..models.mask_comparison import (
    AGREEMENT_COLUMNS,
    FROC_COLUMNS,
    MANUAL,
    compare_endpoints,
    compare_features,
    draw_seed,
    summarise_overlap,
    tell_lesions,
)
from ..models.parallel import Progress
from ..models.result import Result
from ..models.unevaluated import unevaluated
from ..reports.model_card import write_model_card
from ..reports.page import shown_cases, write_report
from .cohort import Cohort
from .doctor import versions
from .extract import extract
from .gallery import gather
from .lock import hold
from .mask_overlap import Candidates, found_lesions, mask_facts, overlap_table
from .mask_study import DRAWN
from .means import Effort, Means, tell_effort
from .progress import LOG, shown_progress
from .store import Store
from .study import Study

LOST_COLUMNS = ["case_id", "masks", "reason"]
"""Cases that no arm is judged on, with an arm that has no features of them."""
TABLES = ("mask_overlap", "mask_summary", "mask_froc", "mask_endpoints", "mask_agreement", "mask_lost")
"""What an experiment adds to a result; each is written as CSV too."""


@dataclass(frozen=True, eq=False)
class MaskArm:
    """One arm of masks.

    Parameters
    ----------
    cohort : Cohort
        The study's cases with this arm's masks.
    candidates : callable, optional
        What a drawer made of a case's picture, with regions that it did not accept; without it no lesion sensitivity.
    drawer : mapping
        Provenance of what drew, as :func:`~cemrad.pipeline.mask_overlap.mask_facts` takes it.
    """

    cohort: Cohort
    candidates: Candidates | None = None
    drawer: Mapping[str, Any] = field(default_factory=dict)


def mask_experiment(
    study: Study, arms: Mapping[str, MaskArm], output: Path, *, jobs: int = 1, store: Path | None = None
) -> Result:
    """Run the experiment and write it: the result of the manual masks with the comparison in it, CSVs and a report.

    Parameters
    ----------
    study : Study
    arms : mapping of str to MaskArm
        ``manual`` is the reference.
    output : Path
        A new folder, or that of an earlier experiment, from whose store is taken what is there already.
    jobs : int
        Worker processes.
    store : Path, optional
        Folder of the store; without it one in `output`.

    Raises
    ------
    StudyError
        As :func:`run_mask_experiment`, or if the folder holds other things.
    """
    require_own(output)
    hold(output)
    effort = Effort()
    with shown_progress() as progress:
        means = Means(jobs, study.limits, None, Store(store or output / "store"), progress=progress, effort=effort)
        result = run_mask_experiment(study, arms, means=means)
    tell_effort(effort)
    result.save(output)
    write_whole(output, {f"{name}.csv": partial(write_csv, result.tables[name]) for name in TABLES})
    write_report(result, output / "report.html", study.report)
    write_model_card(result, output / "model_card.md")
    return result


def run_mask_experiment(study: Study, arms: Mapping[str, MaskArm], *, means: Means | None = None) -> Result:
    """Compare arms of masks; nothing is written.

    Every arm is evaluated on the same cases in the same folds: those that have features of every image family from
    every arm. The others are counted in ``mask_lost``; they stay in the cohort as cases that no model is judged on,
    so that breasts and patients keep their truth.

    Parameters
    ----------
    study : Study
    arms : mapping of str to MaskArm
        ``manual`` is the reference; at least one other.
    means : Means, optional
        As :func:`~cemrad.pipeline.extract.extract` takes them.

    Returns
    -------
    Result
        Of the manual masks on those cases, with the tables :data:`TABLES`.

    Raises
    ------
    StudyError
        If there is no manual arm, or no other, if an arm has none of its cases, if the cohort has no pictures, or the
        study filters features by replicates, which are those of one arm's masks.
    LeakageError
        If the evaluation of the manual masks leaks. An arm that cannot be evaluated is a row that says why, and where
        the manual masks cannot, no arm is; overlap, lesions and features are compared all the same.
    """
    means = means or Means()
    manual = _require_arms(study, arms)
    labels = manual.labels()
    endpoints = resolve_endpoints(study.endpoints, labels) if study.endpoints else []  # before an extraction
    compared = _overlaps(study, manual, arms, max(means.jobs, 1), means.progress)
    tables = {name: extract(_ordered(arm.cohort, manual), study.features, means) for name, arm in arms.items()}
    lost = _lost(tables)
    settings, whole = study.evaluation, tables[MANUAL]
    designs = [lay_out(whole, labels, endpoint, settings.same_person) for endpoint in endpoints]
    results, refused = _evaluated(study, labels, tables, lost, max(means.jobs, 1), means.progress)
    if MANUAL in refused:
        results = {MANUAL: unevaluated(whole, designs, settings, refused.pop(MANUAL), name=study.name)}
    severest = {design.name: design.severest for design in designs}
    agreement = [
        compare_features(name, *(_images(part) for part in (whole, table)))
        for name, table in tables.items()
        if name != MANUAL
    ]
    compared |= {
        "mask_endpoints": compare_endpoints(results, refused, severest, settings.scoring.aggregate),
        "mask_agreement": pd.concat(agreement, ignore_index=True)[AGREEMENT_COLUMNS],
        "mask_lost": lost,
    }
    result = results[MANUAL]
    gallery = gather(manual, shown_cases(result, study.report), study.features.mask_rules)
    return replace(
        result,
        phantom=manual.phantom,
        failures=_failures(tables),
        cohort=manual.facts(),
        crops=gallery.crops,
        tables={**result.tables, **compared, **gallery.tables},
        provenance=result.provenance
        | {
            "versions": versions(),
            "extraction": whole.provenance,
            "masks": {
                "used": mask_facts(manual, arms[MANUAL].drawer),
                "endpoints": "" if designs else NO_ENDPOINT,
                "arms": {name: mask_facts(arm.cohort, arm.drawer) for name, arm in arms.items() if name != MANUAL},
            },
        },
    )


NO_ENDPOINT = "the study names no endpoint"
NOTHING = "no case has features of every image family with these masks"
"""Why an arm is not evaluated, and loses the others no case."""


def _require_arms(study: Study, arms: Mapping[str, MaskArm]) -> Cohort:
    if MANUAL not in arms or len(arms) < 2:
        raise StudyError(f"a mask experiment compares the arm {MANUAL!r} with others; there are: {', '.join(arms)}")
    if study.evaluation.stability is not None:
        raise StudyError(
            "evaluation.stability: its replicates were measured in one arm's masks; leave it out of a mask experiment"
        )
    manual = arms[MANUAL].cohort
    ids = {case.case_id for case in manual.cases}
    for name, arm in arms.items():
        if arm.cohort.table is not None:
            raise StudyError("the cohort brings a feature table and no pictures; a mask experiment needs the images")
        if not ids & {case.case_id for case in arm.cohort.cases}:
            raise StudyError(f"masks {name!r}: none of its cases is one of the study's")
    return manual


def _overlaps(
    study: Study, manual: Cohort, arms: Mapping[str, MaskArm], jobs: int, progress: Progress | None
) -> dict[str, pd.DataFrame]:
    """How well the masks agree, and which lesions were found."""
    seed = draw_seed(study.evaluation.seed)
    others = {name: arm.cohort for name, arm in arms.items() if name != MANUAL}
    overlaps = overlap_table(manual, others, jobs=jobs, progress=progress)
    lesions = [
        tell_lesions(name, found_lesions(manual, arm.candidates, jobs=jobs, progress=progress), seed)
        for name, arm in arms.items()
        if name != MANUAL and arm.candidates is not None
    ]
    froc = pd.concat(lesions, ignore_index=True) if lesions else pd.DataFrame(columns=FROC_COLUMNS)
    return {"mask_overlap": overlaps, "mask_summary": summarise_overlap(overlaps, seed), "mask_froc": froc}


def _ordered(cohort: Cohort, manual: Cohort) -> Cohort:
    """The manual cohort's cases, each with this cohort's masks, none where it lacks the case or the picture."""
    known = {case.case_id: case for case in cohort.cases}

    def with_masks(case: Case) -> Case:
        other = known.get(case.case_id)
        pictures = {} if other is None else other.pictures
        return replace(
            case,
            pictures={
                key: replace(picture, mask=pictures[key].mask if key in pictures else None)
                for key, picture in case.pictures.items()
            },
        )

    return replace(cohort, cases=tuple(map(with_masks, manual.cases)), phantom=manual.phantom)


def _lost(tables: Mapping[str, FeatureTable]) -> pd.DataFrame:
    """Cases without any value of an image family in some arm."""
    rows = []
    for name, table in tables.items():
        for family in (family for family in IMAGE_FAMILIES if table.columns_of(family)):
            empty = table.values[table.columns_of(family)].isna().all(axis=1)
            reason = f"features.missing: no {family} value with these masks"
            rows += [{"case_id": case_id, "masks": name, "reason": reason} for case_id in table.values.index[empty]]
    return pd.DataFrame(rows, columns=LOST_COLUMNS)


def _evaluated(
    study: Study,
    labels: pd.DataFrame,
    tables: Mapping[str, FeatureTable],
    lost: pd.DataFrame,
    jobs: int,
    progress: Progress | None,
) -> tuple[dict[str, Result], dict[str, str]]:
    """The result of each arm on the cases that all have, and why an arm has none."""
    results: dict[str, Result] = {}
    if not study.endpoints:
        return results, dict.fromkeys(tables, NO_ENDPOINT)
    n_cases = len(tables[MANUAL].values)
    n_lost = {name: lost.loc[lost["masks"] == name, "case_id"].nunique() for name in tables}
    refused = {name: NOTHING for name, n in n_lost.items() if n == n_cases}
    left_out = lost.loc[~lost["masks"].isin(refused), "case_id"].tolist()
    for name, table in tables.items():
        if name in refused and name != MANUAL:
            continue
        settings = study.evaluation if name == MANUAL else _brief(study.evaluation)
        # The manual table's rows name the persons: which pictures were read must not change who is one.
        judged = replace(_without(table, left_out), cases=tables[MANUAL].cases)
        try:
            results[name] = evaluate(
                judged, labels, study.endpoints, settings, jobs=jobs, progress=progress, name=study.name
            )
        except (EvaluationError, LeakageError) as error:
            if name == MANUAL:
                if isinstance(error, LeakageError):
                    raise
                LOG.warning("masks: no endpoint is compared: %s", error)
                return {}, dict.fromkeys(tables, str(error))
            LOG.warning("masks %s: not evaluated: %s", name, error)
            refused[name] = str(error)
    return results, refused


def _brief(settings: EvaluationSettings) -> EvaluationSettings:
    """The same models and folds, without what only the page of the manual masks shows."""
    scoring = settings.scoring.model_copy(update={"further": ()})
    return settings.model_copy(update={"scoring": scoring, "learning_curve": None})


def _without(table: FeatureTable, case_ids: Sequence[str]) -> FeatureTable:
    """The same table, in which these cases have no image features: a design leaves them out and keeps their truth."""
    values = table.values.copy()
    values.loc[list(set(case_ids)), table.columns_of(*IMAGE_FAMILIES)] = np.nan
    return replace(table, values=values)


def _images(table: FeatureTable) -> pd.DataFrame:
    """What was measured within masks."""
    return table.values.drop(columns=table.columns_of("clinical"))


def _failures(tables: Mapping[str, FeatureTable]) -> pd.DataFrame:
    """Failures of the manual masks as they are, and of the others with the arm in their reason."""
    parts = [
        table.failures if name == MANUAL else table.failures.assign(reason=f"masks {name}: " + table.failures["reason"])
        for name, table in tables.items()
    ]
    return pd.concat(parts, ignore_index=True)


def require_own(folder: Path) -> None:
    """Refuse, with StudyError, a folder of other things; what an interrupted experiment left is its store and masks."""
    others = {path.name for path in folder.iterdir()} - {"store", ".lock", DRAWN} if folder.is_dir() else set()
    if others and not (folder / "mask_overlap.csv").is_file():
        raise StudyError(f"{folder}: not empty and not of an earlier mask experiment; choose another output folder")
