"""Prediction: a bundle, new images, and one row per case and endpoint."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..features.settings import parse_settings
from ..features.table import FeatureTable
from ..models.bundle import Bundle
from .cohort import Cohort
from .extract import FeatureSettings, extract
from .progress import shown_progress


def predict(bundle: Bundle, cohort: Cohort, folder: Path, *, jobs: int = 1) -> tuple[pd.DataFrame, FeatureTable]:
    """Extract what the bundle was trained on from new cases, and apply it.

    Parameters
    ----------
    bundle : Bundle
        Its own extraction settings are used, whatever the study of the new cases says.
    cohort : Cohort
        The new cases; labels are neither needed nor read.
    folder : Path
        Receives ``predictions.csv`` and the feature table with its failures.
    jobs : int
        Worker processes.

    Returns
    -------
    DataFrame, FeatureTable
        Predictions as written, and the table they were made from.
    """
    settings = parse_settings(FeatureSettings, bundle.extraction, where="bundle: extraction")
    with shown_progress() as progress:
        table = extract(cohort, settings, jobs=jobs, progress=progress)
    predictions = bundle.predict(table)
    table.save(folder)
    predictions.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    return predictions, table
