"""External evaluation: a bundle and a labelled cohort become a run folder with a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..features.errors import StudyError
from ..features.settings import parse_settings
from ..models.bundle import Bundle
from ..models.recalibrate import recalibrate
from ..reports.bundle_card import bundle_card
from .extract import FeatureSettings
from .inputs import file_sha256, picture_hashes
from .predict import extraction_of, with_clinical_columns
from .record import RECORD
from .run import INPUTS, Run
from .source import is_extraction, open_source

OUTPUT = Path("runs/external")


def evaluate_bundle(
    path: Path,
    source: Path,
    output: Path | None = None,
    *,
    endpoints: Sequence[str] = (),
    leave_out_known: bool = False,
    weights: str | None = None,
    overrides: tuple[str, ...] = (),
    jobs: int | None = None,
) -> Run:
    """Judge a bundle on the labelled cohort of a source.

    Parameters
    ----------
    path : Path
        The bundle.
    source : Path
        A study, a manifest or a CDD-CESM folder, extracted with the bundle's settings; or a feature table or the
        folder of a run, whose extraction must be that of the bundle.
    output : Path, optional
        Receives the run: ``runs/external`` without it.
    endpoints : sequence of str
        Of the bundle; without any, all.
    leave_out_known : bool
        As :func:`~cemrad.models.external.evaluate_external` takes it.
    weights : str, optional
        Where the network's weights are on this machine.
    overrides : tuple of str
        ``key.key=value``; of the evaluation only `scoring`, `seed` and `same_person` are read.
    jobs : int, optional

    Returns
    -------
    Run
        With its result and report written.

    Raises
    ------
    StudyError
        If the output folder holds something else.
    BundleError, LeakageError, EvaluationError
        As :func:`~cemrad.models.external.evaluate_external`.
    """
    bundle = Bundle.load(path)
    run = open_run(bundle, path, source, output or OUTPUT, weights=weights, overrides=overrides, jobs=jobs)
    run.judge(bundle, path, endpoints, leave_out_known=leave_out_known)
    run.report()
    return run


def recalibrate_bundle(
    path: Path,
    source: Path,
    output: Path,
    *,
    kind: str = "intercept",
    endpoints: Sequence[str] = (),
    leave_out_known: bool = False,
    weights: str | None = None,
    overrides: tuple[str, ...] = (),
    jobs: int | None = None,
) -> Bundle:
    """A new bundle whose probabilities fit a labelled sample of a new site.

    Parameters
    ----------
    path, source, endpoints, leave_out_known, weights, overrides, jobs
        As in :func:`evaluate_bundle`.
    output : Path
        The new bundle. What the sample's cases gave stands beside it, in a folder of its name with ``_sample``.
    kind : {"intercept", "logistic"}
        As :func:`~cemrad.models.recalibrate.recalibrate` takes it.

    Raises
    ------
    StudyError
        If the output is a file that is there already.
    BundleError, LeakageError, EvaluationError
        As :func:`~cemrad.models.recalibrate.recalibrate`.
    """
    if output.exists():
        raise StudyError(f"{output}: is there already; name another file for the new bundle")
    bundle = Bundle.load(path)
    folder = output.with_name(f"{output.stem}_sample")
    run = open_run(bundle, path, source, folder, weights=weights, overrides=overrides, jobs=jobs)
    assert run.table is not None
    made = recalibrate(
        bundle, run.table, run.labels, run.study.evaluation,
        kind=kind, bundle_sha256=run.external["bundle_sha256"], endpoints=endpoints,
        pictures=picture_hashes(folder / INPUTS, run.cohort), leave_out_known=leave_out_known,
    )  # fmt: skip
    made = replace(made, phantom=made.phantom or run.cohort.phantom)
    replace(made, model_card=bundle_card(made, f"{path.name}, recalibrated")).save(output)
    return made


def open_run(
    bundle: Bundle,
    path: Path,
    source: Path,
    output: Path,
    *,
    weights: str | None = None,
    overrides: tuple[str, ...] = (),
    jobs: int | None = None,
) -> Run:
    """A run in `output` that holds the feature table of a source as the bundle's models take it.

    Parameters and errors are those of :func:`evaluate_bundle`.
    """
    external = {"bundle": path.name, "bundle_sha256": file_sha256(path)}
    _require_free(output)
    study = open_source(source, overrides, output=str(output), jobs=jobs)
    if is_extraction(source):
        run = Run.reopen(study, source)
        run.result = None
        run.external = external
    else:
        settings = parse_settings(FeatureSettings, extraction_of(bundle, weights), where="bundle: extraction")
        run = Run.start(study.model_copy(update={"features": settings}), external=external)
        if run.cohort.table is None and "families" not in bundle.record.get("table", {}):
            raise StudyError("the bundle was trained on a table of features; name such a table here, not images")
        run.extract()
    assert run.table is not None
    bundle.require_extraction(run.table)
    needed = [name for model in bundle.models for name in model.features]
    known = bundle.record.get("table", {}).get("clinical_columns", run.table.columns_of("clinical"))
    run.keep(with_clinical_columns(run.table, needed, known))
    return run


def _require_free(folder: Path) -> None:
    """Refuse the folder of an ordinary run: its own evaluation would go."""
    if not (folder / RECORD).is_file():
        return
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except ValueError:
        record = {}
    if not record.get("external"):
        raise StudyError(f"{folder}: holds a run of its own, not an external evaluation; choose another output folder")
