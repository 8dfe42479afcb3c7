"""Arguments and options that several verbs of the command line share, and where they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .console import open_closed_streams

open_closed_streams()
OUT = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 120)

Source = Annotated[Path, typer.Argument(help="a study file, a manifest, a CDD-CESM folder, a feature table or a run")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="folder for the results")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="worker processes")]
Assign = Annotated[list[str] | None, typer.Option("--set", "-s", help="study key=value, repeatable: evaluation.seed=7")]
Endpoint = Annotated[list[str] | None, typer.Option("--endpoint", "-e", help="endpoint, repeatable")]
Weights = Annotated[str | None, typer.Option("--weights", help="deep weights: imagenet, random or a .safetensors file")]


def with_weights(assign: list[str] | None, weights: str | None) -> tuple[str, ...]:
    """The assignments of ``--set`` and, as one more, the weights that were named."""
    given = tuple(assign or ())
    return given if weights is None else (*given, f"features.families.deep.weights={weights}")
