"""The verbs of ``cemrad masks``: draw them, train what draws them, look at them, compare them, write them as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..features.errors import StudyError
from .options import OUT, Assign, Jobs, Output, Source

app = typer.Typer(help="Lesion masks: draw, train, review, compare, export.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="of `cemrad masks draw`")]


@app.command()
def write(source: Source, output: Output = None, assign: Assign = None) -> None:
    """Rasterise the masks that the cohort states, as PNG, with their areas in pixels."""
    from .write_masks import write_masks

    study = _study(source, assign, output=output)
    folder = study.output / "masks"
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "areas_px.csv").is_file():
        raise StudyError(
            f"{folder}: not empty and not of an earlier `cemrad masks write`; choose another output folder"
        )
    areas = write_masks(_stated_cohort(study), folder)
    written, skipped, failed = (int((areas["state"] == state).sum()) for state in ("ok", "skipped", "failed"))
    OUT.print(escape(f"{written} masks, {skipped} pictures without one, {failed} failures: {folder}"))
    raise typer.Exit(0 if not failed else 3 if written else 4)


@app.command()
def train(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the networks")] = Path("runs/segmenter"),
    jobs: Jobs = None,
    assign: Assign = None,
) -> None:
    """Train a U-Net per fold on the cohort's own masks. Interrupted, it goes on where it was."""
    from ..features.settings import parse_settings
    from .mask_training import MaskTrainingSettings
    from .progress import shown_progress
    from .train_masks import train_masks

    study = _study(source, assign, jobs=jobs)
    settings = parse_settings(MaskTrainingSettings, study.mask_training, where="mask_training")
    with shown_progress() as progress:
        made = train_masks(_stated_cohort(study), settings, output, jobs=study.jobs, progress=progress)
    for number, one in enumerate(made.segmenters, start=1):
        rejects = "no booster" if one.rejector is None else f"booster on {one.rejector.n_false} false positives"
        OUT.print(escape(
            f"fold {number}: best epoch {one.record['best_epoch']}, validation Dice "
            f"{one.record['validation_dice']:.3f}, {rejects}, {one.record['seconds']:.0f} s"
        ))  # fmt: skip
    for image_type, told in made.validation["by_type"].items():
        OUT.print(escape(
            f"{image_type}, drawn by networks that had not seen the patient: mean Dice {told['dice_mean']:.3f}, "
            f"median {told['dice_median']:.3f}, {told['n']} pictures"
        ))  # fmt: skip
    if made.failures:
        OUT.print(f"[yellow]{len(made.failures)} pictures could not be used: {escape(made.failures[0].reason)}[/]")
    OUT.print(escape(f"networks: {output}"))
    OUT.print(escape(f"draw with them: cemrad masks draw SOURCE --with unet --set masks.path={output}"))
    raise typer.Exit(3 if made.failures else 0)


@app.command()
def draw(
    source: Source,
    output: Output = None,
    drawer: Annotated[str | None, typer.Option("--with", help="enhancement or unet, if the study does not say")] = None,
    seeds: Annotated[
        Path | None, typer.Option(help="a table of points or boxes in the lesions, one line per case and picture")
    ] = None,
    all_pictures: Annotated[
        bool, typer.Option("--all/--missing", help="on every picture, or where the cohort states no mask")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="draw again what is there")] = False,
    jobs: Jobs = None,
    assign: Assign = None,
) -> None:
    """Draw masks into a folder, with a sheet to review them. Interrupted, it goes on where it was."""
    from .mask_study import DRAWN, draw_masks
    from .review import write_review

    given = [*(assign or ())]
    given += [f"masks.source={drawer}"] * (drawer is not None) + ["masks.pictures=all"] * all_pictures
    given += [] if seeds is None else [f"masks.seeds={seeds.resolve()}"]
    study = _study(source, given, jobs=jobs, output=output)
    if study.masks is None or study.masks.source is None:
        raise StudyError("who draws? name it with --with enhancement or --with unet, or under masks: in the study")
    cohort = _stated_cohort(study)
    made = draw_masks(cohort, study.masks, study.output / DRAWN, study.jobs, force=force)
    sheets = write_review(cohort, made)
    counts = {state: sum(row.state == state for row in made.rows.values()) for state in ("ok", "none", "failed")}
    found = f"{counts['ok']} masks, {counts['none']} pictures without a lesion found, {counts['failed']} failures"
    OUT.print(escape(f"{found}: {made.path}"))
    OUT.print(escape(f"review: {sheets[0]}"))
    raise typer.Exit(0 if not counts["failed"] else 3 if counts["ok"] + counts["none"] else 4)


@app.command()
def review(source: Source, folder: Folder, output: Output = None, assign: Assign = None) -> None:
    """A contact sheet of drawn masks, and the table in which to accept, reject or correct them."""
    from .mask_folder import MaskFolder
    from .review import write_review

    sheets = write_review(_stated_cohort(_study(source, assign, output=output)), MaskFolder.open(folder))
    OUT.print(escape(f"review: {', '.join(map(str, sheets))}"))


@app.command()
def export(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="a new folder")],
    kind: Annotated[str, typer.Option("--as", metavar="png|nrrd|via", help="for an annotation tool")] = "png",
    assign: Assign = None,
) -> None:
    """A study's masks, drawn ones as reviewed, as PNG, NRRD or VIA JSON with a manifest that reads them back."""
    from .mask_export import export_masks
    from .mask_study import masked

    if kind not in ("png", "nrrd", "via"):
        raise typer.BadParameter(f"{kind!r}; write png, nrrd or via", param_hint="--as")
    study = _study(source, assign)
    made = export_masks(masked(study, _stated_cohort(study)).cohort, output, kind)  # type: ignore[arg-type]
    OUT.print(escape(f"{made.n_masks} masks, {len(made.failures)} failures: {made.manifest}"))
    if kind == "via":
        OUT.print(escape(f"lowest Dice of a contour with its mask: {made.lowest_dice:.4f}"))


@app.command()
def compare(source: Source, output: Output = None, jobs: Jobs = None, assign: Assign = None) -> None:
    """Manual, automatic and transferred masks side by side: overlap, lesions, features, endpoints; to a report."""
    from .mask_arms import compare_masks

    study = _study(source, assign, output=output, jobs=jobs)
    result = compare_masks(study)
    table = Table(title="Dice against the manual masks" + (" (PHANTOM)" if result.phantom else ""))
    for heading in ("masks", "pictures", "n", "mean", "95 % interval", "median"):
        table.add_column(heading)
    summary = result.tables["mask_summary"]
    for row in summary[
        (summary["metric"] == "dice") & (summary["counted"] == "all") & (summary["view"] == "")
    ].itertuples():
        cells = (
            row.masks,
            row.image_type,
            row.n,
            f"{row.mean:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            f"{row.median:.3f}",
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    OUT.print(table)
    OUT.print(escape(f"report: {study.output / 'report.html'}"))


def _study(source: Path, assign: list[str] | None, **shorthand: Any) -> Any:
    from .source import open_source

    given = {key: str(value) if isinstance(value, Path) else value for key, value in shorthand.items()}
    return open_source(source, tuple(assign or ()), **given)


def _stated_cohort(study: Any) -> Any:
    from .study import read_cohort

    return read_cohort(study)
