"""A run: the stages of a study, one folder, and a record of what was done."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.errors import StudyError
from ..features.table import FeatureTable, read_text_csv
from ..models.design import resolve_endpoints
from ..models.evaluate import evaluate
from ..models.result import Result
from ..models.train import train
from ..reports.model_card import write_model_card
from ..reports.page import shown_cases, write_report
from .cohort import Cohort
from .doctor import versions
from .extract import extract
from .gallery import gather_crops
from .progress import LOG, shown_progress
from .study import Study, read_cohort

RECORD = "run.json"


@dataclass
class Run:
    """One run of a study: its folder, what it has made so far, and its times.

    Parameters
    ----------
    study : Study
        Checked settings.
    cohort : Cohort
        What the study's reader found.
    labels : DataFrame
        Labels as stated, by case id.
    """

    study: Study
    cohort: Cohort
    labels: pd.DataFrame
    table: FeatureTable | None = None
    result: Result | None = None
    times_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, study: Study) -> Run:
        """Read the cohort and claim the folder.

        Raises
        ------
        StudyError
            If the folder holds something that is not a run.
        """
        folder = study.output
        others = {path.name for path in folder.iterdir()} - {"masks"} if folder.is_dir() else set()
        if others and not (folder / RECORD).is_file():
            raise StudyError(f"{folder}: not empty and not a run of cemrad; choose another output folder")
        cohort = read_cohort(study)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(study, cohort, cohort.labels())
        run.write_record()
        return run

    @classmethod
    def reopen(cls, study: Study, folder: Path) -> Run:
        """Continue from the feature table that an earlier run left in `folder`."""
        labels = read_text_csv(folder / "labels.csv").set_index("case_id").rename_axis(None)
        labels = labels.astype(object).mask(labels == "", None)
        study.output.mkdir(parents=True, exist_ok=True)
        return cls(study, read_cohort(study), labels, FeatureTable.load(folder))

    def extract(self) -> FeatureTable:
        """Compute the feature table and write it."""
        with self._stage("extract"), shown_progress() as progress:
            self.table = extract(self.cohort, self.study.features, jobs=self.study.jobs, progress=progress)
            self.table.save(self.study.output)
            self.labels.rename_axis("case_id").to_csv(self.study.output / "labels.csv", lineterminator="\n")
        return self.table

    def evaluate(self) -> Result:
        """Nested cross-validation of every arm and endpoint; writes the result."""
        table = self._need_table()
        study = self.study
        with self._stage("evaluate"), shown_progress() as progress:
            result = evaluate(
                table, self.labels, study.endpoints, study.evaluation,
                jobs=study.jobs, progress=progress, name=study.name,
            )  # fmt: skip
            shown = shown_cases(result, study.report)
            result = replace(
                result,
                phantom=self.cohort.phantom,
                cohort=self._cohort_facts(),
                crops=gather_crops(self.cohort, shown, study.features.mask_rules),
                provenance=result.provenance | {"versions": versions(), "extraction": table.provenance},
            )
            result.save(study.output)
        self.result = result
        return result

    def train(self) -> Path:
        """Fit the final model on every labelled case; writes the bundle."""
        table = self._need_table()
        study = self.study
        with self._stage("train"):
            bundle = train(
                table, self.labels, study.endpoints, study.evaluation,
                arm=study.train.arm, extraction=study.features.model_dump(mode="json"),
                performance=self._performance(),
            )  # fmt: skip
            path = study.output / "model" / "model.cemrad"
            path.parent.mkdir(exist_ok=True)
            bundle.save(path)
        return path

    def report(self) -> Path:
        """Write the report and the model card."""
        if self.result is None:
            raise StudyError("nothing to report: evaluate first")
        with self._stage("report"):
            path = write_report(self.result, self.study.output / "report.html", self.study.report)
            write_model_card(self.result, self.study.output / "model_card.md")
        return path

    @property
    def exit_code(self) -> int:
        """0 all rows done, 3 some failed, 4 all failed."""
        return 0 if self.table is None else exit_code(self.table)

    def write_record(self) -> None:
        """Write ``run.json``: what ran, on what, with which result files."""
        folder = self.study.output
        record = {
            "study": self.study.model_dump(mode="json"),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "phantom": self.cohort.phantom,
            "versions": versions(),
            "counts": self._counts(),
            "times_s": {name: round(value, 2) for name, value in self.times_s.items()},
            "extraction": {} if self.table is None else self.table.provenance,
            "splits": {} if self.result is None else self.result.folds,
            "sha256": {
                str(path.relative_to(folder)): _sha256(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name != RECORD
            },
        }
        text = json.dumps(record, indent=2, sort_keys=True, default=str)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")

    def _counts(self) -> dict[str, int]:
        counts = {"cases": len(self.cohort.cases), "rows_refused": len(self.cohort.failures)}
        if self.table is not None:
            counts["features"] = self.table.values.shape[1]
            counts |= {str(k): int(v) for k, v in self.table.failures["state"].value_counts().items()}
        return counts | dict(self.cohort.counts)

    def _cohort_facts(self) -> dict[str, Any]:
        notes = [{"code": note.code, "text": note.text, "count": note.count} for note in self.cohort.notes]
        return {"name": self.cohort.name, "counts": dict(self.cohort.counts), "notes": notes}

    def _performance(self) -> list[dict[str, Any]]:
        """What the evaluation promised, for the bundle: every arm, as the arm is the bundle's to choose."""
        if self.result is None:
            return []
        return json.loads(self.result.metrics.to_json(orient="records"))  # type: ignore[no-any-return]

    def _need_table(self) -> FeatureTable:
        if self.table is None:
            raise StudyError("there is no feature table yet: extract first")
        return self.table

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        LOG.info("%s: started", name)
        yield
        self.times_s[name] = time.perf_counter() - started
        LOG.info("%s: done in %.1f s", name, self.times_s[name])
        self.write_record()


def run_study(study: Study) -> Run:
    """All of a study: extract, evaluate, train, report.

    Returns
    -------
    Run
        Whose ``exit_code`` says whether rows failed and whose folder holds everything.
    """
    run = Run.start(study)
    resolve_endpoints(study.endpoints, run.labels)  # a misspelt endpoint should not cost an extraction
    run.extract()
    run.evaluate()
    run.train()
    run.report()
    return run


def exit_code(table: FeatureTable) -> int:
    """What a command that made this table exits with: 0 all rows done, 3 some failed, 4 all failed."""
    if not (table.failures["state"] == "failed").any():
        return 0
    measured = table.values.drop(columns=table.columns_of("clinical"))
    return 4 if measured.isna().all(axis=None) else 3


def stored_study(folder: Path) -> dict[str, Any]:
    """The study of an earlier run, as a user would have written it, with that folder as output."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    values: dict[str, Any] = record["study"]
    values["cohort"] = {"reader": values["cohort"]["reader"], **values["cohort"]["settings"]}
    return values | {"output": str(folder)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
