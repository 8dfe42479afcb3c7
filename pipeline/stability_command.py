"""The verb ``cemrad stability``: what other masks would have done to the features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import with_weights

Texts = list[str] | None


def stability(
    source: Annotated[Path, typer.Argument(help="a study file, a manifest, a CDD-CESM folder or a run")],
    perturbation: Annotated[
        Texts,
        typer.Option("--perturbation", "-p", help="KIND:AMOUNT, repeatable: dilate:10%, contour:2px*3, shift:3px@RC"),
    ] = None,
    second: Annotated[
        Path | None, typer.Option(help="the same cases with another reader's masks: a study, a manifest or a folder")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="folder for the results")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="worker processes")] = None,
    weights: Annotated[str | None, typer.Option(help="deep weights: imagenet, random or a .safetensors file")] = None,
    assign: Annotated[Texts, typer.Option("--set", "-s", help="study key=value, repeatable")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of random perturbations")] = 2026,
    force: Annotated[
        bool, typer.Option("--force/--resume", help="compute all again, or only what is not there")
    ] = False,
) -> None:
    """Measure every case again under perturbed masks: ICC(2,1) of each feature with its interval."""
    from ..models.replicates import MIN_ICC, shares_stable
    from .folder import STORE
    from .source import is_extraction, open_source
    from .stability import measure_stability

    study = open_source(source, with_weights(assign, weights), jobs=jobs)
    folder = output or study.output / "stability"
    found = measure_stability(
        study,
        folder,
        perturbations=tuple(perturbation or ()),
        second=None if second is None else open_source(second),
        seed=seed,
        store=study.output / STORE if is_extraction(source) else None,
        force=force,
    )
    names = list(dict.fromkeys(found.replicates["replicate"]))
    typer.echo(f"{found.replicates['case_id'].nunique()} cases, {len(names)} replicates: {', '.join(names)}")
    n_cases = found.stability["n_cases"]
    typer.echo(f"compared over the cases that have every replicate of a feature: {n_cases.min()} to {n_cases.max()}")
    typer.echo(f"share of features whose ICC(2,1) is at least {MIN_ICC:g} by the lower bound of its 95 % interval:")
    for row in shares_stable(found.stability).itertuples():
        what = f"  {row.family!s}" if not row.feature_class else f"    {row.feature_class!s}"
        typer.echo(f"{what:<24} {row.share:6.1%}  {row.n_stable:>6} of {row.n:<6} median ICC {row.median_icc:.3f}")
    states = found.failures["state"].value_counts()
    typer.echo("rows: " + ", ".join(f"{states.get(state, 0)} {state}" for state in ("failed", "skipped", "warned")))
    typer.echo(f"folder: {folder}")
    raise typer.Exit(found.exit_code)
