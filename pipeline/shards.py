"""Shards: a cohort's cases dealt out to many machines, and their tables put together again.

Shard 2 of 8 takes every eighth case, beginning with the second, so that big and small cases are spread. Each shard
writes into a folder of its own within the run's folder, beside the others, and all share one store. The merged table
is byte for byte the table that one machine would have made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.errors import StudyError
from ..features.failure import Failure, failures_frame
from ..features.fingerprint import COLUMNS
from ..features.table import FeatureTable
from .cohort import Cohort
from .duplicates import mask_training
from .extract import count
from .folder import SHARDS, stored_study
from .mask_folder import RECORD_FILE
from .mask_study import DRAWN, MaskChoice
from .run import Run
from .study import Study, parse_study

_FOLDER = re.compile(r"(\d+)-of-(\d+)")


@dataclass(frozen=True, order=True)
class Shard:
    """Which part of how many; counted from 1.

    Examples
    --------
    >>> Shard.parse("2/8").rows
    slice(1, None, 8)
    """

    number: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that a text such as ``2/8`` names.

        Raises
        ------
        StudyError
            For anything else.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise StudyError(f"--shard {text}: expected i/N with i from 1 to N, for example 2/8")
        return cls(int(found[1]), int(found[2]))

    @property
    def rows(self) -> slice:
        """The shard's cases among those of the cohort."""
        return slice(self.number - 1, None, self.n)

    @property
    def folder(self) -> str:
        """Name of the shard's folder."""
        return f"{self.number}-of-{self.n}"


def merge(folder: Path) -> Run:
    """Put the tables of all shards in a run's folder together.

    Returns
    -------
    Run
        With the feature table, as :meth:`cemrad.pipeline.run.Run.extract` leaves it.

    Raises
    ------
    StudyError
        If a shard is missing or unfinished, or if the shards were not made from one study and one cohort.
    """
    parts = _parts(folder)
    study = _one_study(folder, parts)
    run = Run.start(study, replace=True)
    tables = {shard: FeatureTable.load(path) for shard, path in parts.items()}
    run.keep(merged(run.cohort, tables))
    return run


def merged(cohort: Cohort, tables: Mapping[Shard, FeatureTable]) -> FeatureTable:
    """One table of those of all shards, in the cohort's order.

    Raises
    ------
    StudyError
        If the tables' cases are not those of the cohort, or if they were made with other versions or settings.
    """
    ids = [case.case_id for case in cohort.cases]
    first = next(iter(tables.values()))
    for shard, table in tables.items():
        if table.values.index.tolist() != ids[shard.rows]:
            raise StudyError(
                f"shard {shard.folder}: its cases are not those that the cohort has now; extract the shards again "
                "(what did not change comes from the store)"
            )
        if table.values.columns.tolist() != first.values.columns.tolist() or _made(table) != _made(first):
            raise StudyError(
                f"shard {shard.folder}: made with other settings, versions or columns than the first; extract it again"
            )
    values = pd.concat([table.values for table in tables.values()]).loc[ids]
    prints = pd.concat([table.cases.reindex(columns=list(COLUMNS), fill_value="") for table in tables.values()])
    told: dict[str, list[Failure]] = {}
    for row in pd.concat([table.failures for table in tables.values()]).to_dict("records"):
        failure = Failure(**{str(key): value for key, value in row.items()})
        told.setdefault(failure.case_id, []).append(failure)
    failures = [*cohort.failures, *(failure for case_id in ids for failure in told.get(case_id, []))]
    record = first.provenance | {"counts": count(cohort.cases, failures)}
    cases = cohort.case_frame().join(prints)
    if learned := mask_training(cohort.cases, cases):
        record["masks"] = learned
    return replace(
        first,
        values=values,
        cases=cases,
        failures=failures_frame(failures),
        provenance=record,
    )


def shard_study(study: Study, shard: Shard) -> Study:
    """The study of one shard: the same, in a folder of its own, with masks that are there already.

    Raises
    ------
    StudyError
        If masks are still to be drawn: every shard would draw those of all.
    """
    update: dict[str, Any] = {"output": study.output / SHARDS / shard.folder}
    if study.masks is not None and study.masks.source is not None and study.masks.lay() is None:
        place = study.masks.place(study.masks.drawer(), study.output / DRAWN)
        if not (place / RECORD_FILE).is_file():
            raise StudyError(
                f"{place}: shards read masks that are drawn; draw them first, with `cemrad masks draw` and the same "
                "study and output folder"
            )
        update["masks"] = MaskChoice(pictures=study.masks.pictures, folder=place.resolve())
    return study.model_copy(update=update)


def _parts(folder: Path) -> dict[Shard, Path]:
    """Folders of all shards, in order."""
    found = {}
    for path in (folder / SHARDS).glob("*") if (folder / SHARDS).is_dir() else ():
        if (named := _FOLDER.fullmatch(path.name)) is not None:
            found[Shard(int(named[1]), int(named[2]))] = path
    if not found:
        raise StudyError(f"{folder}: holds no shards; make them with cemrad extract --shard i/N -o {folder}")
    sizes = sorted({shard.n for shard in found})
    if len(sizes) > 1:
        raise StudyError(f"{folder}: shards of {' and of '.join(map(str, sizes))}; delete those that are not meant")
    wanted = [Shard(i, sizes[0]) for i in range(1, sizes[0] + 1)]
    absent = [s.folder for s in wanted if s not in found or not (found[s] / "features.parquet").is_file()]
    if absent:
        raise StudyError(f"{folder}: not finished yet: {', '.join(absent)}; extract them first")
    return {shard: found[shard] for shard in wanted}


def _one_study(folder: Path, parts: Mapping[Shard, Path]) -> Study:
    stored = {shard: stored_study(path) for shard, path in parts.items()}
    first = next(iter(stored.values()))
    for shard, study in stored.items():
        if any(study[key] != first[key] for key in ("cohort", "masks", "features")):
            raise StudyError(
                f"shard {shard.folder}: made from another cohort or set of features or masks than the first"
            )
    return parse_study(first | {"output": str(folder)}, where=str(folder))


def _made(table: FeatureTable) -> str:
    own = ("counts", "masks")  # those of a shard's cases; of all of them, they are told anew
    record: dict[str, Any] = {key: value for key, value in table.provenance.items() if key not in own}
    return json.dumps(record, sort_keys=True)
