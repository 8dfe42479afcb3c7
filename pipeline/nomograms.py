"""Nomograms of a trained bundle: tables of points beside the model."""

from __future__ import annotations

from pathlib import Path

from ..features.cells import write_csv
from ..models.bundle import Bundle


def write_nomograms(bundle: Bundle, folder: Path) -> None:
    """A table of points for each model that is a logistic regression; those of an earlier training go."""
    from ..models.nomogram import nomogram  # seconds to import; an extraction needs none

    for path in folder.glob("nomogram_*.csv"):
        path.unlink()
    for number, model in enumerate(bundle.models):
        if model.learner == "logistic":
            table = nomogram(model.fitted, model.features, model.low, model.high).assign(endpoint=model.endpoint)
            write_csv(table, folder / f"nomogram_{number}.csv")
