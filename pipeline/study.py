"""A study: one YAML file that says everything a run needs, checked before anything runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from ..features.errors import StudyError
from ..features.plain_yaml import parse_yaml as parse_yaml
from ..features.settings import Settings, parse_settings
from ..features.table import read_parquet
from ..models.evaluate import EvaluationSettings
from ..models.result import ARMS
from ..reports.page import ReportSettings
from .cohort import Cohort
from .cohorts import SHELF as COHORTS
from .extract import FeatureSettings
from .mask_study import MaskChoice, gather_choice
from .workers import Limits

MAX_STUDY_BYTES = 1_000_000
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,59}").fullmatch
_PATH_KEYS = ("path", "root", "parameter_file", "replicates", "folder", "seeds")


def usable_cores() -> int:
    """Processor cores that this process may use, at most 16: more is for whoever says so."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, 16)


class CohortChoice(Settings):
    """Which reader reads what; the reader's own keys stand beside ``reader``."""

    reader: str = "phantom"
    settings: dict[str, Any] = Field(default_factory=dict)


class TrainSettings(Settings):
    """The final model."""

    arm: str | None = Field(default=None, description="without it the richest arm that the table allows")

    @field_validator("arm")
    @classmethod
    def _arm_exists(cls, arm: str | None) -> str | None:
        if arm is not None and arm not in ARMS:
            raise ValueError(f"no arm {arm!r}; there are: {', '.join(ARMS)}")
        return arm


class Study(Settings):
    """Everything a run needs.

    In YAML the cohort's own keys stand directly under ``cohort``::

        schema_version: 1
        name: my-study
        cohort: {reader: manifest, path: cases.csv}
        masks: {source: unet, path: runs/segmenter}
        features: {families: {radiomics: {preset: cem-2d}, deep: {network: resnet18, weights: imagenet}}}
        endpoints: [malignancy, er, ki67>=20, {target: molecular_subtype, cutoff: 20}]
        output: runs/my-study
    """

    schema_version: Literal[1]
    name: str = Field(default="study", min_length=1, max_length=200)
    cohort: CohortChoice = CohortChoice()
    masks: MaskChoice | None = Field(default=None, description="who draws masks; without it, those that readers drew")
    mask_arms: dict[str, MaskChoice | None] = Field(
        default_factory=dict, description="sets of masks that `cemrad masks compare` holds side by side"
    )
    mask_training: dict[str, Any] = Field(
        default_factory=dict, description="what `cemrad masks train` learns from, and how"
    )
    features: FeatureSettings = FeatureSettings()
    endpoints: tuple[str | dict[str, Any], ...] = ("malignancy",)
    evaluation: EvaluationSettings = EvaluationSettings()
    train: TrainSettings = TrainSettings()
    report: ReportSettings = ReportSettings()
    output: Path = Path("runs/study")
    jobs: int = Field(default_factory=usable_cores, ge=1, description="worker processes; as many as usable cores")
    limits: Limits = Limits()

    @field_validator("mask_arms")
    @classmethod
    def _names_of_folders(cls, arms: dict[str, Any]) -> dict[str, Any]:
        """Each arm is drawn into a folder of its name."""
        for name in arms:
            if not _ARM_NAME(name):
                raise ValueError(f"{name!r}: letters, digits, blanks and _ . + - after a letter or digit, at most 60")
        return arms

    @field_validator("mask_training")
    @classmethod
    def _trainable(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values:
            from .mask_training import MaskTrainingSettings  # torch takes seconds to import

            parse_settings(MaskTrainingSettings, values, where="mask_training")
        return values


def parse_study(values: Mapping[str, Any], *, where: str = "study") -> Study:
    """Check what a user wrote and make it a study.

    Parameters
    ----------
    values : mapping
        The content of a study file; relative input paths in it start from the current folder.
    where : str
        Name of the file, for messages.

    Raises
    ------
    StudyError
        One line per mistake, with the nearest known key for an unknown one.

    Examples
    --------
    >>> parse_study({"schema_version": 1, "endpionts": ["er"]})
    Traceback (most recent call last):
        ...
    cemrad.features.errors.StudyError: study: unknown key 'endpionts'; did you mean 'endpoints'?
    """
    raw = _rebase(dict(values), Path().resolve())
    if "schema_version" not in raw:
        raise StudyError(f"{where}: schema_version is missing; this cemrad reads schema_version: 1")
    cohort = raw.get("cohort", {})
    if not isinstance(cohort, dict):
        raise StudyError(f"{where}: cohort: expected keys and values, got {cohort!r}")
    own = {key: value for key, value in cohort.items() if key != "reader"}
    reader = str(cohort.get("reader", "phantom"))
    part = COHORTS.take(reader)
    parse_settings(part.Settings, own, where=f"{where}: cohort")
    raw["cohort"] = {"reader": reader, "settings": own}
    report, evaluation = raw.get("report"), raw.get("evaluation", {})
    if isinstance(report, dict) and isinstance(evaluation, dict) and report.get("arm"):
        raw["evaluation"] = {"explain_arm": report["arm"]} | evaluation  # what is shown is what is told most of
    if "masks" in raw:
        raw["masks"] = gather_choice(raw["masks"])
    if isinstance(raw.get("mask_arms"), dict):
        raw["mask_arms"] = {name: gather_choice(arm) for name, arm in raw["mask_arms"].items()}
    return parse_settings(Study, raw, where=where)


def read_study(path: Path) -> dict[str, Any]:
    """The keys and values of a study file, not yet checked.

    Parameters
    ----------
    path : Path
        A YAML file. Relative inputs in it start from its folder, ``output`` from the current one.

    Raises
    ------
    StudyError
        If the file is not plain YAML, or is too large.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such study file")
    if path.stat().st_size > MAX_STUDY_BYTES:
        raise StudyError(f"{path}: larger than {MAX_STUDY_BYTES} bytes; this is not a study file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StudyError(f"{path.name}: not UTF-8 text; save the study file as UTF-8") from None
    values = parse_yaml(text, where=path.name)
    if not isinstance(values, dict):
        raise StudyError(f"{path.name}: expected keys and values at the top")
    return _rebase(values, path.parent.resolve())


def load_study(path: Path, overrides: tuple[str, ...] = ()) -> Study:
    """Read and check a study file; ``key.key=value`` overrides win over it.

    Raises
    ------
    StudyError
        As :func:`read_study` and :func:`parse_study`.
    """
    return parse_study(override(read_study(path), overrides), where=path.name)


def override(values: Mapping[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Values with ``key.key=value`` assignments applied.

    Examples
    --------
    >>> override({"evaluation": {"seed": 1}, "features": {"families": {}}}, ("evaluation.seed=7",))
    {'evaluation': {'seed': 7}, 'features': {'families': {}}}
    """
    result = with_families(values) if assignments else dict(values)
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise StudyError(f"--set {assignment}: expected key=value, for example evaluation.seed=7")
        *path, last = dotted.split(".")
        place = result
        for step in path:
            inner = place.get(step)
            place[step] = dict(inner) if isinstance(inner, dict) else {}
            place = place[step]
        place[last] = parse_yaml(text, where=f"--set {dotted}")
    return result


def with_families(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that say which families they mean, so that setting one of them does not leave out the others."""
    features = values.get("features", {})
    if not isinstance(features, dict) or "families" in features:
        return dict(values)
    return {**values, "features": {**features, "families": FeatureSettings().families}}


def read_cohort(study: Study) -> Cohort:
    """Let the study's reader read the study's cohort."""
    part = COHORTS.take(study.cohort.reader)
    settings = parse_settings(part.Settings, study.cohort.settings, where="study: cohort")
    cohort: Cohort = part.read(settings)
    return cohort


def read_replicates(study: Study) -> pd.DataFrame | None:
    """The replicates that the study's evaluation names; None where it names none.

    Raises
    ------
    StudyError
        If the file is missing or is not a Parquet file.
    """
    if study.evaluation.stability is None:
        return None
    path = study.evaluation.stability.replicates
    try:
        return read_parquet(path)
    except (OSError, ValueError):
        raise StudyError(
            f"evaluation.stability: {path}: not a table of replicates; `cemrad stability` writes replicates.parquet"
        ) from None


def _rebase(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Relative input files, wherever they stand in the study, made absolute: a stored run can be continued anywhere."""
    moved: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            moved[key] = _rebase(value, base)
        elif isinstance(value, str) and (key in _PATH_KEYS or (key == "weights" and value.endswith(".safetensors"))):
            moved[key] = str(base / value)
        else:
            moved[key] = value
    return moved
