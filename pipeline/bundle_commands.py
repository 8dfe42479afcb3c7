"""Verbs of the command line that take a bundle: predict, show, and the external half of evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .options import OUT, Assign, Endpoint, Jobs, Output, Source, Weights

if TYPE_CHECKING:
    from .run import Run

BundlePath = Annotated[Path, typer.Argument(help="a .cemrad bundle")]


def predict(
    bundle: BundlePath,
    source: Source,
    output: Output = None,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
) -> None:
    """Apply a bundle to new cases, from their images."""
    from ..models.bundle import Bundle
    from .mask_study import DRAWN, with_masks
    from .predict import predict as predict_cases
    from .predict import require_own
    from .run import exit_code
    from .source import open_source
    from .study import read_cohort

    loaded = Bundle.load(bundle)
    study = open_source(source, tuple(assign or ()), jobs=jobs)
    folder = output or Path("runs/predictions")
    require_own(folder)  # before masks are drawn into it
    cohort = with_masks(read_cohort(study), study.masks, folder / DRAWN, study.jobs).cohort
    predictions, table = predict_cases(loaded, cohort, folder, jobs=study.jobs, limits=study.limits, weights=weights)
    if loaded.phantom:
        OUT.print("[bold yellow]The bundle was trained on phantoms: these are phantom results.[/]")
    OUT.print(escape(f"{predictions['case_id'].nunique()} cases: {folder / 'predictions.csv'}"))
    for count, what in (
        (predictions["probability"].isna().sum(), "without a probability; the column note says why"),
        (predictions["seen_in_training"].sum(), "of patients whom the model was trained on: no evidence of anything"),
        ((predictions["n_out_of_range"] > 0).sum(), "with a value far outside the training range"),
        ((predictions["ood"] == "unusual").sum(), "of cases unlike 95 % of the training cases (ood: unusual)"),
        ((predictions["ood"] == "far").sum(), "of cases unlike 99 % of the training cases (ood: far)"),
    ):
        if count:
            OUT.print(f"[yellow]{count} of {len(predictions)} predictions {what}[/]")
    raise typer.Exit(exit_code(table))


def judge(
    bundle: Path,
    source: Path,
    output: Path | None,
    endpoint: list[str] | None,
    leave_out_known: bool,
    weights: str | None,
    assign: list[str] | None,
    jobs: int | None,
) -> Run:
    """An external evaluation, printed."""
    from .external import evaluate_bundle

    run = evaluate_bundle(
        bundle, source, output, endpoints=endpoint or (), leave_out_known=leave_out_known, weights=weights,
        overrides=tuple(assign or ()), jobs=jobs,
    )  # fmt: skip
    assert run.result is not None
    told = run.result.provenance["external"]
    times = "for the first time" if told["times_opened"] == 1 else f"for the {told['times_opened']}. time"
    OUT.print(escape(f"bundle {bundle.name}, {told['bundle_sha256'][:16]}: judged on this cohort {times}"))
    OUT.print(escape(f"ledger: {told['ledger']}"))
    left_out = told["left_out_known"]
    if left_out:
        OUT.print(f"[yellow]{left_out} cases of persons whom the bundle knows are left out[/]")
    return run


def recalibrate(
    bundle: BundlePath,
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="the new bundle")],
    kind: Annotated[
        str, typer.Option(metavar="intercept|logistic", help="fit the intercept, or the slope too")
    ] = "intercept",
    endpoint: Endpoint = None,
    leave_out_known: Annotated[
        bool, typer.Option("--leave-out-known", help="leave out persons whom the bundle knows")
    ] = False,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
) -> None:
    """A new bundle whose probabilities fit a labelled sample of a new site."""
    from .external import recalibrate_bundle

    made = recalibrate_bundle(
        bundle, source, output, kind=kind, endpoints=endpoint or (), leave_out_known=leave_out_known, weights=weights,
        overrides=tuple(assign or ()), jobs=jobs,
    )  # fmt: skip
    entry = made.record["recalibrations"][-1]
    for line in entry["models"]:
        OUT.print(escape(
            f"{line['endpoint']}: log odds become {line['intercept']:.3f} + {line['slope']:.3f} x log odds; fitted on "
            f"{line['n']} cases, {line['n_positive']} positive, of {line['n_patients']} patients"
        ))  # fmt: skip
    for name, why in entry["endpoints_left_as_they_were"].items():
        OUT.print(escape(f"{name} keeps its probabilities: {why}"), style="yellow")
    OUT.print(escape(f"model: {output}"))
    raise typer.Exit(3 if entry["endpoints_left_as_they_were"] else 0)


def show(
    bundle: BundlePath,
    card: Annotated[bool, typer.Option("--card", help="print the model card instead")] = False,
) -> None:
    """What is in a bundle: endpoints, thresholds, calibration, hashes, versions, extraction."""
    from ..models.bundle import Bundle
    from .inputs import file_sha256
    from .show import described

    loaded = Bundle.load(bundle)
    if card:
        OUT.print(escape(loaded.model_card or "The bundle holds no model card."))
        return
    if loaded.phantom:
        OUT.print("[bold yellow]Trained on phantoms: nothing here is evidence about patients.[/]")
    for name, value in described(loaded, file_sha256(bundle)):
        OUT.print(escape(f"{name:<18} {value}".rstrip()))
