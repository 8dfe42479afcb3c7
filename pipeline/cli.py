"""The command line: one command, ``cemrad``, and its verbs."""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..features.errors import CemradError, ClusterError, StudyError
from .bundle_commands import judge, predict, recalibrate, show
from .console import Log, leave_quietly, print_whatever
from .masks_commands import app as masks
from .options import OUT, Assign, Endpoint, Jobs, Output, Source, Weights, with_weights
from .stability_command import stability

app = typer.Typer(
    name="cemrad",
    help="Radiomics and deep features of contrast-enhanced mammography, fused, evaluated and explained. "
    "Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(predict)
app.command()(recalibrate)
app.command()(show)
app.add_typer(masks, name="masks")


def main() -> None:
    """Run the command line; a mistake of the user ends with one message and exit code 2, a full disk with 1."""
    log = Log(sys.stderr)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[log])
    print_whatever()
    signal.signal(signal.SIGTERM, _end)  # a batch system's way to say that time is up: leave the folder in order
    try:
        app()
    except CemradError as error:
        _say(str(error))
        raise SystemExit(1 if isinstance(error, ClusterError) else 2) from None
    except OSError as error:  # a full disk, a folder that may not be written
        _say(": ".join(str(part) for part in (error.strerror or error, error.filename) if part))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        leave_quietly(log)


def _say(what: str) -> None:
    with suppress(OSError):  # the console is full or gone; the exit code still tells
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]cemrad:[/] {escape(what)}")


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the results")] = Path("runs/demo"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="worker processes")] = 2,
    seed: Annotated[int, typer.Option(help="seed of the phantom cohort")] = 2026,
) -> None:
    """A phantom cohort through everything, to a report: no data, weights or network."""
    from .demo import demo_ceiling, run_demo
    from .run import Run

    run: Run = run_demo(output, jobs=jobs, seed=seed)
    _print_metrics(run)
    OUT.print(f"What the simulated latents allow radiomics and deep features together: {demo_ceiling(seed)}")
    _finish(run)


@app.command()
def check(
    source: Source,
    assign: Assign = None,
    decode: Annotated[bool, typer.Option(help="also open every image and mask")] = True,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write the findings here")] = None,
) -> None:
    """Pre-flight: files, geometry, masks, labels, groups, sample size. Nothing is computed yet."""
    from .check import check as check_cohort
    from .source import open_source
    from .study import read_cohort

    study = open_source(source, tuple(assign or ()))
    report = check_cohort(
        read_cohort(study), study.features, decode=decode, endpoints=study.endpoints,
        sample_size=study.evaluation.sample_size,
    )  # fmt: skip
    for line in report.lines():
        OUT.print(escape(line))
    if json_path is not None:
        json_path.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(report.exit_code)


@app.command()
def extract(
    source: Source,
    output: Output = None,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
    force: Annotated[
        bool, typer.Option("--force/--resume", help="compute everything again, or only what an earlier run lacks")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="i/N", help="only every N-th case; cemrad merge puts shards together")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="a Dask scheduler (tls://host:8786, or tcp:// on this machine) or slurm:config.yaml"),
    ] = None,
    accept_no_auth: Annotated[
        bool, typer.Option("--accept-no-auth", help="allow a tcp:// scheduler elsewhere: anyone there can run code")
    ] = False,
) -> None:
    """The feature table: one row per case, every failure with its reason. Interrupted, it goes on where it was."""
    from .folder import STORE
    from .run import Run
    from .shards import Shard, shard_study
    from .source import open_source

    study = open_source(source, with_weights(assign, weights), output=_text(output), jobs=jobs)
    part = None if shard is None else Shard.parse(shard)
    run = Run.start(study if part is None else shard_study(study, part))
    with _engine(cluster, study.limits, accept_no_auth) as engine:
        run.extract(engine, force=force, store=study.output / STORE, rows=slice(None) if part is None else part.rows)
    _finish(run)


@app.command()
def merge(folder: Annotated[Path, typer.Argument(help="the output folder of the shards")]) -> None:
    """Put the tables of all shards together: byte for byte what one machine would have made."""
    from .shards import merge as merge_shards

    _finish(merge_shards(folder))


@app.command()
def evaluate(
    source: Source,
    endpoint: Endpoint = None,
    output: Output = None,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="also the AUC by the number of patients to learn from")
    ] = False,
    external: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="judge this bundle on the source, as it is")
    ] = None,
    leave_out_known: Annotated[
        bool, typer.Option("--leave-out-known", help="with --external: leave out persons whom the bundle knows")
    ] = False,
) -> None:
    """Nested cross-validation, grouped by patient, of every arm and endpoint; or one bundle on an external cohort."""
    if external is not None:
        run = judge(external, source, output, endpoint, leave_out_known, weights, assign, jobs)
        _print_metrics(run)
        _finish(run)
    if leave_out_known:
        raise StudyError("--leave-out-known goes with --external: only a bundle knows persons")
    assign = [*(["evaluation.learning_curve={}"] * learning_curve), *(assign or ())]
    run = _tabulated(source, endpoint, output, jobs, weights, assign)
    run.evaluate()
    run.report()
    _print_metrics(run)
    _finish(run)


@app.command()
def audit(
    source: Source,
    endpoint: Endpoint = None,
    output: Output = None,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough/--quick", help="100 permutations and noise tables, all voxels shuffled; or 20 each"),
    ] = False,
) -> None:
    """The leak audit: does an evaluation find something where there is nothing? Exit code 3 where a check fails."""
    run = _tabulated(source, endpoint, output, jobs, weights, assign)
    checks = run.audit(thorough=thorough)
    table = Table(title="Leak audit" + (" (PHANTOM)" if run.cohort.phantom else ""))
    for heading in ("check", "endpoint", "state", "what was found"):
        table.add_column(heading)
    for row in checks.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in (row.check, row.endpoint, row.state, row.text)))
    OUT.print(table)
    OUT.print(escape(f"folder: {run.study.output}"))
    raise typer.Exit(3 if (checks["state"] == "failed").any() else 0)


@app.command()
def train(
    source: Source,
    endpoint: Endpoint = None,
    output: Output = None,
    jobs: Jobs = None,
    weights: Weights = None,
    assign: Assign = None,
) -> None:
    """The final model, fitted on every labelled case, as one bundle."""
    run = _tabulated(source, endpoint, output, jobs, weights, assign)
    path = run.train()
    OUT.print(escape(f"model: {path}"))
    _finish(run)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="a run's folder")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the HTML file")] = None,
) -> None:
    """Write the report of an evaluation again."""
    from ..models.result import Result
    from ..reports.model_card import write_model_card
    from ..reports.page import write_report
    from .folder import report_settings

    result = Result.load(folder)
    path = write_report(result, output or folder / "report.html", report_settings(folder))
    write_model_card(result, path.with_name("model_card.md"))
    OUT.print(escape(f"report: {path}"))


@app.command()
def run(
    study_file: Annotated[Path, typer.Argument(help="a study file")],
    output: Output = None,
    jobs: Jobs = None,
    assign: Assign = None,
) -> None:
    """All of it, from one study file: extract, evaluate, train, report."""
    from .run import run_study
    from .source import open_source

    done = run_study(open_source(study_file, tuple(assign or ()), output=_text(output), jobs=jobs))
    _print_metrics(done)
    _finish(done)


app.command()(stability)


@app.command(name="list")
def list_parts(shelf: Annotated[str | None, typer.Argument(help="one shelf; all without it")] = None) -> None:
    """What is on each shelf."""
    from ..features.settings import nearest
    from .shelves import SHELVES

    if shelf is not None and shelf not in SHELVES:
        guess = nearest(shelf, SHELVES)
        raise typer.BadParameter(f"no shelf {shelf!r}; did you mean {guess!r}? There are: {', '.join(SHELVES)}")
    for name in [shelf] if shelf else SHELVES:
        OUT.print(f"[bold]{name}[/]")
        for part in SHELVES[name].names():
            OUT.print(escape(f"  {part:<16} {SHELVES[name].describe(part)}"))
        if not SHELVES[name].names():
            OUT.print("  (none yet)")


@app.command()
def doctor() -> None:
    """What this machine has: versions, devices, weights."""
    from .doctor import examine

    facts = examine()
    for name, version in facts["versions"].items():
        OUT.print(escape(f"{name:<20} {version}"))
    for name in ("platform", "cpus", "devices", "downloads"):
        OUT.print(escape(f"{name:<20} {facts[name]}"))
    for problem in facts["problems"]:
        OUT.print(f"[bold red]problem[/]              {escape(problem)}")
    raise typer.Exit(2 if facts["problems"] else 0)


def _tabulated(
    source: Path,
    endpoint: list[str] | None,
    output: Path | None,
    jobs: int | None,
    weights: str | None,
    assign: list[str] | None,
) -> Any:
    """A run with its feature table: taken from the source's folder if it is there, else extracted."""
    from ..models.design import resolve_endpoints
    from .run import Run
    from .source import is_extraction, open_source

    shorthand: dict[str, Any] = {"output": _text(output), "jobs": jobs, "endpoints": endpoint or None}
    study = open_source(source, with_weights(assign, weights), **shorthand)
    if is_extraction(source):
        return Run.reopen(study, source)
    run = Run.start(study)
    resolve_endpoints(study.endpoints, run.labels)
    run.extract()
    return run


def _engine(cluster: str | None, limits: Any, accept_no_auth: bool) -> AbstractContextManager[Any]:
    """What runs the tasks: a cluster where one was named, else nothing, which means processes of this machine."""
    if cluster is None:
        return nullcontext()
    from .cluster import open_cluster

    return open_cluster(cluster, limits, accept_no_auth=accept_no_auth)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _print_metrics(run: Any) -> None:
    table = Table(title="Area under the ROC curve, held-out cases" + (" (PHANTOM)" if run.cohort.phantom else ""))
    for heading in ("endpoint", "level", "arm", "n", "positive", "AUC", "95 % interval"):
        table.add_column(heading)
    for row in run.result.metrics.query("metric == 'auc'").itertuples():
        if row.level != run.result.endpoints[row.endpoint]["level"]:
            continue
        known = row.estimate == row.estimate
        shown = (f"{row.estimate:.3f}", f"{row.low:.3f} to {row.high:.3f}") if known else ("-", row.method)
        cells = (row.endpoint, row.level, row.arm, row.n, row.n_positive, *shown)
        table.add_row(*(escape(str(cell)) for cell in cells))
    OUT.print(table)
    figures = run.result.tables.get("multiclass")
    for row in () if figures is None else figures.query("metric == 'auc_macro'").itertuples():
        found = f"{row.estimate:.3f}, {row.low:.3f} to {row.high:.3f}" if row.n else row.method
        OUT.print(escape(f"{row.endpoint}, {row.arm}: mean AUC of one class against the rest {found}"))


def _finish(run: Any) -> NoReturn:
    states = run.table.failures["state"].value_counts()
    counts = ", ".join(f"{states.get(state, 0)} {state}" for state in ("failed", "skipped", "warned"))
    OUT.print(escape(f"{len(run.table.values)} cases, {run.table.values.shape[1]} features; rows: {counts}"))
    report_path = run.study.output / "report.html"
    if run.result is not None and report_path.is_file():
        OUT.print(escape(f"report: {report_path}"))
    OUT.print(escape(f"folder: {run.study.output}"))
    raise typer.Exit(run.exit_code)
