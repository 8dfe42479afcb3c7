"""The stability stage: the same cases measured again under other masks, and how well each feature agrees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.case import Case
from ..features.cells import write_csv
from ..features.errors import StudyError
from ..features.failure import COLUMNS as FAILURE_COLUMNS
from ..features.perturbation import Perturbation, parse_perturbation, perturbed_case, second_reading
from ..features.table import FeatureTable, write_parquet
from ..features.whole import write_whole
from ..models.replicates import KEYS, ORIGINAL, Replicates, stability_table
from ..models.result import TABLE
from .cohort import Cohort
from .doctor import versions
from .extract import FeatureSettings, extract
from .lock import hold
from .mask_study import masked
from .means import Effort, Means, tell_effort
from .progress import shown_progress
from .run import exit_code
from .store import Store
from .study import Study, read_cohort

DEFAULT = ("contour:10%*3", "dilate:10%", "erode:10%")
"""Three redrawn outlines, and an outline a tenth of the radius further out and further in."""
SECOND = "second reader"
RECORD, REPLICATES, STABILITY = "stability.json", "replicates.parquet", "stability.csv"


@dataclass(frozen=True, eq=False)
class Stability:
    """What a stability run found.

    Parameters
    ----------
    replicates : DataFrame
        One row per case and replicate: ``case_id``, ``replicate``, and the feature columns of the extraction.
    stability : DataFrame
        Columns :data:`~cemrad.models.replicates.STABILITY_COLUMNS`.
    failures : DataFrame
        ``replicate``, and the columns of :class:`~cemrad.features.failure.Failure`.
    exit_code : int
        0 all done, 3 some rows failed, 4 all failed.
    provenance : mapping
        Of the extraction, as in a FeatureTable.
    """

    replicates: pd.DataFrame
    stability: pd.DataFrame
    failures: pd.DataFrame
    exit_code: int
    provenance: Mapping[str, Any]


def measure_stability(
    study: Study,
    folder: Path,
    *,
    perturbations: Sequence[str] = (),
    second: Study | None = None,
    seed: int = 2026,
    store: Path | None = None,
    force: bool = False,
) -> Stability:
    """Extract every case again under each perturbation of its masks, and compare.

    The settings are those of the study's own extraction, and so is the machinery: processes, limits, and a store
    from which what is there already is taken.

    Parameters
    ----------
    study : Study
    folder : Path
        Receives ``replicates.parquet``, ``stability.csv``, ``table_stability.parquet``, ``failures.csv`` and
        ``stability.json``.
    perturbations : sequence of str
        As :func:`~cemrad.features.perturbation.parse_perturbation` reads them. Without any, and without a second
        reader, :data:`DEFAULT`.
    second : Study, optional
        A cohort with the same case ids and the masks of another reader; its images are not looked at.
    seed : int
        Of random perturbations.
    store : Path, optional
        Folder of the store; without it, one in `folder`.
    force : bool
        Compute everything, whatever the store holds.

    Raises
    ------
    StudyError
        If the cohort has no images, the second reader has none of its cases, or the folder holds other things.
    """
    _require_own(folder)
    drawn = _parsed(perturbations or (() if second else DEFAULT))
    cohort = masked(study, read_cohort(study)).cohort
    other = None if second is None else masked(second, read_cohort(second)).cohort
    hold(folder)
    effort = Effort()
    with shown_progress() as progress:
        means = Means(study.jobs, study.limits, None, Store(store or folder / "store"), force, None, progress, effort)
        found = measure_again(cohort, study.features, drawn, second=other, seed=seed, means=means)
    tell_effort(effort)
    record = {
        "study": study.model_dump(mode="json"),
        "second": None if second is None else second.model_dump(mode="json")["cohort"],
        "perturbations": [how.model_dump(mode="json") | {"name": how.name} for how in drawn],
        "seed": seed,
        "phantom": cohort.phantom,
        "versions": versions(),
        "extraction": found.provenance,
        "effort": asdict(effort),
    }
    _save(found, folder, record)
    return found


def measure_again(
    cohort: Cohort,
    settings: FeatureSettings,
    drawn: Sequence[Perturbation],
    *,
    second: Cohort | None = None,
    seed: int = 2026,
    means: Means | None = None,
) -> Stability:
    """Extract every case as it stands and under each perturbation, and compare; nothing is written.

    Parameters
    ----------
    cohort : Cohort
    settings : FeatureSettings
        Clinical values are left out: no mask changes them.
    drawn : sequence of Perturbation
    second : Cohort, optional
        The same case ids with another reader's masks.
    seed : int
    means : Means, optional
        As :func:`~cemrad.pipeline.extract.extract` takes them.

    Raises
    ------
    StudyError
        As :func:`measure_stability`.
    """
    if cohort.table is not None:
        raise StudyError(
            "the cohort brings a feature table and no pictures; stability needs the images and their masks"
        )
    again = _again(cohort, drawn, second, seed)
    table = extract(_together(cohort, again), settings.model_copy(update={"clinical": False}), means)
    return _compared(table, again)


Again = Mapping[tuple[str, str], Case]
"""Cases by their own id and the replicate's name."""


def _parsed(texts: Sequence[str]) -> tuple[Perturbation, ...]:
    found = tuple(how for text in texts for how in parse_perturbation(text))
    names = [how.name for how in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"perturbations given twice: {', '.join(twice)}; write {twice[0]}*2 for several draws")
    return found


def _again(
    cohort: Cohort, drawn: Sequence[Perturbation], second: Cohort | None, seed: int
) -> dict[tuple[str, str], Case]:
    """Every case with every replicate, the case itself first."""
    others = {} if second is None else {case.case_id: case for case in second.cases}
    if second is not None and not others.keys() & {case.case_id for case in cohort.cases}:
        raise StudyError(
            f"the second reader's cohort has none of these cases: {', '.join(list(others)[:3])} there and "
            f"{', '.join(case.case_id for case in cohort.cases[:3])} here"
        )
    found: dict[tuple[str, str], Case] = {}
    for case in cohort.cases:
        found[case.case_id, ORIGINAL] = case
        for how in drawn:
            found[case.case_id, how.name] = perturbed_case(case, how, seed)
        if second is not None:
            found[case.case_id, SECOND] = second_reading(case, others.get(case.case_id))
    return found


def _together(cohort: Cohort, again: Again) -> Cohort:
    """All replicates as one cohort, whose case ids tell the replicate."""
    cases = tuple(replace(case, case_id=_joined(*key)) for key, case in again.items())
    return Cohort(f"{cohort.name}, perturbed", cases, phantom=cohort.phantom)


def _joined(case_id: str, replicate: str) -> str:
    return f"{case_id} [{replicate}]"


def _compared(table: FeatureTable, again: Again) -> Stability:
    keys = pd.DataFrame(list(again), columns=KEYS, dtype=object)
    replicates = pd.concat([keys, table.values.reset_index(drop=True)], axis=1)
    failures = table.failures.copy()
    of = {_joined(*key): key for key in again}
    failures.insert(0, "replicate", [of[name][1] for name in failures["case_id"]])
    failures["case_id"] = [of[name][0] for name in failures["case_id"]]
    stability = stability_table(Replicates.of(replicates))
    told = failures[["replicate", *FAILURE_COLUMNS]]
    return Stability(replicates, stability, told, exit_code(table), table.provenance)


def _save(found: Stability, folder: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, sort_keys=True, default=str) + "\n"
    write_whole(
        folder,
        {
            REPLICATES: partial(write_parquet, found.replicates, index=False),
            STABILITY: partial(write_csv, found.stability),
            f"{TABLE}stability.parquet": partial(write_parquet, found.stability, index=False),
            "failures.csv": partial(write_csv, found.failures),
            RECORD: lambda path: path.write_text(text, encoding="utf-8"),
        },
    )


def _require_own(folder: Path) -> None:
    """Refuse a folder with other things in it; what an interrupted run left is only its store."""
    others = {path.name for path in folder.iterdir()} - {"store", ".lock"} if folder.is_dir() else set()
    if others and not (folder / RECORD).is_file():
        raise StudyError(f"{folder}: not empty and not of an earlier `cemrad stability`; choose another output folder")
