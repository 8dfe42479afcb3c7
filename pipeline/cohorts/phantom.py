"""Simulated CEM exams with known truth: the embedded default, which needs no data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PngImage
from pydantic import Field

from ...features.case import Case, Picture, PictureKey
from ...features.errors import CohortError
from ...features.settings import Settings as BaseSettings
from ..cohort import Cohort, Note
from ..phantom_picture import VENDORS, PhantomImage, PhantomMask, View
from ..phantom_plan import VIEWS, Outcome, Rates, plan_patient
from ..phantom_truth import BLOCKS, Effects, label_model, truth_frame

IMAGE_TYPES = ("LE", "RC")


class Settings(BaseSettings):
    """A phantom cohort. The same settings give the same pixels and labels, bit by bit."""

    n_patients: int = Field(default=60, ge=1, le=9999, description="patients, each with 1 to 3 lesions")
    first_patient: int = Field(
        default=1, ge=1, le=9999, description="number of the first: 101 gives new ones after 100"
    )
    seed: int = Field(default=2026, ge=0, description="patient k is the same whatever n_patients is")
    rows: int = Field(default=256, ge=128, le=4096, description="rows of the low-energy picture")
    columns: int = Field(default=208, ge=96, le=4096, description="columns of the low-energy picture")
    prevalence: float = Field(default=0.5, gt=0, lt=1, description="expected share of malignant lesions")
    effects: Effects = Effects()
    second_lesion_rate: float = Field(default=0.4, ge=0, le=1, description="patients with more than one lesion")
    non_mass_rate: float = Field(default=0.15, ge=0, le=1, description="lesions that are non-mass enhancement")
    missing_view_rate: float = Field(default=0.1, ge=0, le=1, description="breasts with one view only")
    second_vendor_rate: float = Field(default=0.3, ge=0, le=1, description="patients imaged on the second vendor")
    missing_label_rate: float = Field(default=0.05, ge=0, le=1, description="ER, PR and HER2 not determined")


def read(settings: Settings) -> Cohort:
    """The cohort; pixels are drawn when they are read, masks on the picture they belong to.

    Returns
    -------
    Cohort
        One case per lesion, ``phantom`` true. Labels: ``malignancy`` and, in malignant lesions,
        ``er``, ``pr``, ``her2``, ``nodal``, ``grade`` and ``ki67`` (percent). Clinical values:
        ``age``, ``density``, ``family_history``, ``palpable``.

    Examples
    --------
    >>> cohort = read(Settings(n_patients=2))
    >>> cohort.phantom, cohort.cases[0].case_id
    (True, 'PH0001_L_1')
    """
    outcomes = _plan(settings)
    spread = {outcome.patient_id for outcome in outcomes if outcome.labels["nodal"] == "positive"}
    cases = tuple(_case(outcome, settings, outcome.patient_id in spread) for outcome in outcomes)
    breasts = {outcome.breast for outcome in outcomes}
    counts = {
        "images": len(IMAGE_TYPES) * sum(len(breast.views) for breast in breasts),
        "patients": settings.n_patients,
        "breasts": len(breasts),
        "lesions": len(outcomes),
    }
    return Cohort("phantom cohort", cases, notes=_notes(outcomes), counts=counts, phantom=True)


def truth(settings: Settings) -> pd.DataFrame:
    """What is true of every case: latents, probabilities and complete labels.

    Returns
    -------
    DataFrame
        Index ``case_id``; columns of :func:`cemrad.pipeline.phantom_truth.truth_frame`, and ``patient_id``.
    """
    outcomes = _plan(settings)
    index = pd.Index([outcome.case_id for outcome in outcomes], dtype=object, name="case_id")
    latents = pd.DataFrame([outcome.latents for outcome in outcomes], index=index, columns=list(BLOCKS))
    labels = pd.DataFrame([outcome.labels for outcome in outcomes], index=index, dtype=object)
    frame = truth_frame(latents, labels, label_model(settings.effects, settings.prevalence))
    frame.insert(0, "patient_id", [outcome.patient_id for outcome in outcomes])
    return frame


def write(settings: Settings, folder: Path) -> Path:
    """Write the cohort as a user's folder would look.

    Parameters
    ----------
    settings : Settings
    folder : Path
        Receives ``images/`` (16-bit PNG), ``masks/`` (0 and 255; one per lesion and picture),
        ``manifest.csv`` (one row per lesion and picture, paths relative to it) and ``truth.csv``.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    CohortError
        If the folder holds something already.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise CohortError(f"{folder}: not empty; a phantom cohort is written to a new folder")
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for case in read(settings).cases:
        for key, picture in case.pictures.items():
            rows.append(_manifest_row(case, key, picture, folder))
    manifest = folder / "manifest.csv"
    pd.DataFrame(rows, dtype=object).to_csv(manifest, index=False, lineterminator="\n")
    truth(settings).to_csv(folder / "truth.csv", lineterminator="\n")
    return manifest


def _plan(settings: Settings) -> list[Outcome]:
    rates = Rates(
        second_lesion=settings.second_lesion_rate,
        non_mass=settings.non_mass_rate,
        missing_view=settings.missing_view_rate,
        second_vendor=settings.second_vendor_rate,
        missing_label=settings.missing_label_rate,
    )
    model = label_model(settings.effects, settings.prevalence)
    usual, second = VENDORS
    patients = range(settings.first_patient, settings.first_patient + settings.n_patients)
    return [o for patient in patients for o in plan_patient(settings.seed, patient, rates, model, (usual, second))]


def _case(outcome: Outcome, settings: Settings, spread: bool) -> Case:
    """A case as its reader states it; a patient whose cancer has `spread` from one lesion is node positive at all."""
    breast, lesion = outcome.breast, outcome.lesion
    pictures = {}
    for name in breast.views:
        view = View(breast, name, settings.rows, settings.columns)
        for image_type in IMAGE_TYPES:
            source = PhantomImage(view, image_type), PhantomMask(view, image_type, lesion.number)
            pictures[PictureKey(image_type, name)] = Picture(*source)
    return Case(
        case_id=outcome.case_id,
        patient_id=outcome.patient_id,
        laterality=breast.laterality,
        lesion_id=str(lesion.number),
        pictures=pictures,
        clinical=outcome.clinical,
        labels={**outcome.stated, "nodal": "positive"} if spread and outcome.stated["nodal"] else outcome.stated,
        info={
            "vendor": breast.vendor,
            "bpe": breast.bpe,
            "finding": lesion.finding,
            "enhancement": lesion.enhancement,
        },
    )


def _notes(outcomes: list[Outcome]) -> tuple[Note, ...]:
    breasts = {f"{o.patient_id}_{o.breast.laterality}": o.breast for o in outcomes}
    fates: dict[str, set[object]] = {}
    for outcome in outcomes:
        fates.setdefault(outcome.patient_id, set()).add(outcome.labels["malignancy"])
    _, second = VENDORS
    found: Mapping[str, tuple[str, list[str]]] = {
        "phantom.missing_view": (
            "breasts of which one view was never taken",
            [name for name, breast in breasts.items() if len(breast.views) < len(VIEWS)],
        ),
        "phantom.second_vendor": (
            f"patients whose pictures have the grey scale of the second vendor, {second!r}",
            list(dict.fromkeys(o.patient_id for o in outcomes if o.breast.vendor == second)),
        ),
        "phantom.mixed_patient": (
            "patients with benign and malignant lesions",
            [name for name, fate in fates.items() if len(fate) > 1],
        ),
        "phantom.missing_label": (
            "malignant lesions in which ER, PR or HER2 was not determined",
            [o.case_id for o in outcomes if o.labels != o.stated],
        ),
    }
    return tuple(Note(code, text, len(items), tuple(items)) for code, (text, items) in found.items() if items)


def _manifest_row(case: Case, key: PictureKey, picture: Picture, folder: Path) -> dict[str, Any]:
    stem = f"{case.patient_id}_{case.laterality}_{key.view}_{key.image_type}"
    image_path, mask_path = f"images/{stem}.png", f"masks/{stem}_{case.lesion_id}.png"
    image = picture.image.read()
    if not (folder / image_path).exists():  # lesions of one breast share its pictures
        PngImage.fromarray(image.pixels).save(folder / image_path)
    if picture.mask is not None:
        mask = picture.mask.read(image)
        PngImage.fromarray(mask.astype(np.uint8) * 255).save(folder / mask_path)
    return {
        "patient_id": case.patient_id,
        "lesion_id": case.lesion_id,
        "laterality": case.laterality,
        "view": key.view,
        "image_type": key.image_type,
        "image_path": image_path,
        "mask_path": mask_path,
        **case.labels,
        **case.clinical,
        **case.info,
    }
