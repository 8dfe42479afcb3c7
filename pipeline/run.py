"""A run: the stages of a study, one folder, and a record of what was done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.cells import write_csv
from ..features.errors import StudyError
from ..features.table import FeatureTable, read_text_csv
from ..features.whole import write_whole
from ..models.bundle import Bundle
from ..models.design import resolve_endpoints
from ..models.evaluate import evaluate
from ..models.external import evaluate_external
from ..models.result import Result
from ..models.train import train
from ..reports.bundle_card import bundle_card
from ..reports.errors import pictured_cases
from ..reports.model_card import write_model_card
from ..reports.page import shown_cases, write_report
from .attribution import attribute
from .audit import Audited, audit, audit_lightly, write_audit
from .cohort import Cohort
from .doctor import versions
from .extract import extract
from .folder import (
    INPUTS,
    RECORD,
    STORE,
    changed_from,
    clear,
    command_line,
    hashes,
    made_by,
    read_record,
    require_claimable,
    stored_result,
    stored_study,
)
from .gallery import gather
from .inputs import InputLog, picture_hashes
from .ledger import count_opening
from .lock import hold, require_held
from .mask_study import Masked, masked, masked_before
from .means import Effort, Engine, Means, tell_effort
from .nomograms import write_nomograms
from .progress import LOG, shown_progress
from .store import Store
from .study import Study, read_cohort, read_replicates


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
    external : dict
        Which bundle is judged here; empty for a run that evaluates models of its own.
    masks : Masked, optional
        Who drew the cohort's masks.
    """

    study: Study
    cohort: Cohort
    labels: pd.DataFrame
    table: FeatureTable | None = None
    result: Result | None = None
    times_s: dict[str, float] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    external: dict[str, Any] = field(default_factory=dict)
    masks: Masked | None = None

    @classmethod
    def start(cls, study: Study, *, replace: bool = False, external: Mapping[str, Any] | None = None) -> Run:
        """Read the cohort and claim the folder; what an earlier run of the same study made of it goes.

        Its store of results stays: what did not change is not computed again.

        Parameters
        ----------
        study : Study
        replace : bool
            Also let the run of another study go.
        external : mapping, optional
            The bundle that is judged here.

        Raises
        ------
        StudyError
            If the folder holds something that is not a run or the run of another cohort, or if another process
            is writing there.
        """
        folder = study.output
        if changed := require_claimable(study, replace=replace):
            what = " and the ".join(changed)
            LOG.info("%s: the %s changed; what it does not touch is taken from the last run", folder, what)
        cohort = read_cohort(study)
        hold(folder)
        clear(folder)
        masks = masked(study, cohort)
        run = cls(
            study, masks.cohort, cohort.labels(), commands=[command_line()], external=dict(external or {}), masks=masks
        )
        run.write_record()
        return run

    @classmethod
    def reopen(cls, study: Study, folder: Path) -> Run:
        """Continue from the feature table that an earlier run left in `folder`.

        Where the study's output is another folder, it is claimed as by :meth:`start`, and the table written there.

        Raises
        ------
        StudyError
            If the study asks for another cohort or other features than the table was made from, or as :meth:`start`.
        """
        stored, record = stored_study(folder), read_record(folder)
        if changed := changed_from(study, stored):
            raise StudyError(
                f"{folder}: its feature table was made from another {' and '.join(changed)} than is asked for now; "
                "extract again, into another folder"
            )
        elsewhere = study.output.resolve() != folder.resolve()
        if elsewhere:
            require_claimable(study)
        labels = read_text_csv(folder / "labels.csv").set_index("case_id").rename_axis(None)
        table = FeatureTable.load(folder)
        masks = masked_before(study, read_cohort(study), folder, record)
        run = cls(study, masks.cohort, labels.astype(object).mask(labels == "", None), table, masks=masks)
        run.commands = [*record["commands"], command_line()]
        run.times_s = record["times_s"]
        run.result = stored_result(folder, study, stored, run.labels)
        hold(study.output)
        if elsewhere:
            clear(study.output)
            run.keep(table)
        return run

    def extract(
        self,
        engine: Engine | None = None,
        *,
        force: bool = False,
        store: Path | None = None,
        rows: slice = slice(None),
    ) -> FeatureTable:
        """Compute the feature table and write it.

        Parameters
        ----------
        engine : Engine, optional
            Works instead of processes of this machine.
        force : bool
            Compute everything, whatever an earlier run left.
        store : Path, optional
            Folder of the store, if it is not the run's own.
        rows : slice
            Only these cases.
        """
        folder = self.study.output
        kept, inputs = Store(store or folder / STORE), InputLog(folder / INPUTS)
        kept.require_writable()
        with self._stage("extract"), shown_progress() as progress:
            means = Means(self.study.jobs, self.study.limits, engine, kept, force, inputs, progress, self.effort)
            table = extract(self.cohort, self.study.features, means, rows=rows)
            tell_effort(self.effort)
            self.keep(table)
        return table

    def keep(self, table: FeatureTable) -> None:
        """Take a feature table as this run's, and write it with its labels."""
        folder = self.study.output
        require_held(folder)
        self.table = table
        labels = self.labels.loc[table.values.index].rename_axis("case_id")
        write_whole(folder, {"labels.csv": partial(write_csv, labels, index=True)})
        table.save(folder)  # last: where there is a table, there are its labels
        self.write_record()

    def evaluate(self) -> Result:
        """Nested cross-validation of every arm and endpoint; writes the result."""
        table, study = self._need_table(), self.study
        with self._stage("evaluate"), shown_progress() as progress:
            replicates = read_replicates(study)
            result = evaluate(
                table, self.labels, study.endpoints, study.evaluation,
                jobs=study.jobs, progress=progress, name=study.name, replicates=replicates,
            )  # fmt: skip
            result = self._with_facts(replace(result, phantom=self.cohort.phantom))
            if study.evaluation.audit:
                found = audit_lightly(Audited(study, self.cohort, self.labels, table, result, replicates))
                result = replace(result, tables={**result.tables, **found})
            return self._keep(result)

    def judge(self, bundle: Bundle, path: Path, endpoints: Sequence[str], *, leave_out_known: bool) -> Result:
        """Judge the bundle of a file on this cohort, count that in its ledger, and write the result."""
        table = self._need_table()
        study = self.study
        with self._stage("evaluate"):
            result = evaluate_external(
                bundle, table, self.labels, study.evaluation,
                bundle_sha256=self.external["bundle_sha256"], endpoints=endpoints, leave_out_known=leave_out_known,
                pictures=picture_hashes(study.output / INPUTS, self.cohort), name=study.name,
            )  # fmt: skip
            told = result.provenance["external"]
            opened = count_opening(path, study.output, told["bundle_sha256"], told["cohort_sha256"], len(table.values))
            provenance = result.provenance | {"external": told | {"bundle": path.name} | opened}
            phantom = result.phantom or self.cohort.phantom
            return self._keep(self._with_facts(replace(result, phantom=phantom, provenance=provenance)))

    def _keep(self, result: Result) -> Result:
        self.result = result
        result.save(self.study.output)
        return result

    def _with_facts(self, result: Result) -> Result:
        """The result with what only the pipeline knows."""
        table, study = self._need_table(), self.study
        of_masks = self.masks or Masked(self.cohort, self.cohort)
        rules, drawer = study.features.mask_rules, of_masks.drawer_name
        pictured = pictured_cases(result, study.report)
        gallery = gather(self.cohort, pictured, rules, drawer=drawer, drawn=of_masks.rows())
        seen = attribute(self.cohort, table, result, study.features, shown_cases(result, study.report), study.report)
        told = of_masks.compared(study.jobs, study.evaluation.seed) | gallery.tables | seen.tables
        return replace(
            result,
            tables={**result.tables, **told},
            frames=seen.frames,
            cohort=self.cohort.facts(),
            crops=gallery.crops,
            provenance=result.provenance | of_masks.facts() | made_by(study.output, self.commands, table.provenance),
        )

    def audit(self, *, thorough: bool = False) -> pd.DataFrame:
        """Every check of the leak audit; writes ``audit.json``, the result with the audit in it, and the report.

        Parameters
        ----------
        thorough : bool
            More repetitions, and every case with shuffled voxels.

        Returns
        -------
        DataFrame
            One row per check.
        """
        table, result = self._need_table(), self.result or self.evaluate()
        with self._stage("audit"):
            of = Audited(self.study, self.cohort, self.labels, table, result, read_replicates(self.study))
            found = audit(of, thorough=thorough)
            self._keep(replace(result, tables={**result.tables, **found}))
            write_audit(self.study.output, found, thorough=thorough)
        self.report()
        return found["audit"]

    def train(self) -> Path:
        """Fit the final model on every labelled case; writes the bundle."""
        table = self._need_table()
        study = self.study
        with self._stage("train"):
            bundle = train(
                table, self.labels, study.endpoints, study.evaluation,
                arm=study.train.arm, extraction=study.features.model_dump(mode="json"),
                performance=self._performance(), pictures=picture_hashes(study.output / INPUTS, self.cohort),
                replicates=read_replicates(study),
            )  # fmt: skip
            bundle = replace(bundle, model_card=bundle_card(bundle, study.name))
            path = study.output / "model" / "model.cemrad"
            path.parent.mkdir(exist_ok=True)
            bundle.save(path)
            write_nomograms(bundle, path.parent)
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
        """0 all done, 3 some rows failed or an endpoint could not be estimated, 4 all rows failed."""
        found = 0 if self.table is None else exit_code(self.table)
        unmet = self.result is not None and bool(self.result.provenance["endpoints_not_estimable"])
        return max(found, 3) if unmet else found

    def write_record(self) -> None:
        """Write ``run.json``: what ran, on what, with which result files."""
        folder = self.study.output
        record = {
            "study": self.study.model_dump(mode="json"),
            "commands": self.commands,
            "phantom": self.cohort.phantom,
            "external": self.external,
            "versions": versions(),
            "counts": self._counts(),
            "masks": {} if self.masks is None else self.masks.record(folder),
            "times_s": {name: round(value, 2) for name, value in self.times_s.items()},
            "effort": asdict(self.effort),
            "extraction": {} if self.table is None else self.table.provenance,
            "splits": {} if self.result is None else self.result.folds,
            "sha256": hashes(folder),
        }
        text = json.dumps(record, indent=2, sort_keys=True, default=str)
        require_held(folder)
        write_whole(folder, {RECORD: lambda path: path.write_text(text + "\n", encoding="utf-8")})

    def _counts(self) -> dict[str, int]:
        if self.table is None:
            return {"cases": len(self.cohort.cases)} | dict(self.cohort.counts)
        counts = dict(self.table.provenance.get("counts", {"cases": len(self.table.values)}))
        return counts | {"features": self.table.values.shape[1]} | dict(self.cohort.counts)

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


def run_study(study: Study, *, replace: bool = False) -> Run:
    """All of a study: extract, evaluate, train, report.

    Parameters
    ----------
    study : Study
    replace : bool
        As in :meth:`Run.start`.

    Returns
    -------
    Run
        Whose ``exit_code`` says whether rows failed and whose folder holds everything.
    """
    run = Run.start(study, replace=replace)
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
