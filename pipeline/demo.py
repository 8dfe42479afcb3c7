"""The demo: a phantom cohort through the whole pipeline, and its model on phantoms it has not seen."""

from __future__ import annotations

from pathlib import Path

from ..features.settings import parse_settings
from ..models.bundle import Bundle
from .cohorts import phantom
from .phantom_truth import oracle_auc
from .predict import predict
from .run import Run, run_study
from .study import parse_study

N_PATIENTS = 100
N_NEW_PATIENTS = 10
ENDPOINTS = ("malignancy", "er", "nodal")
COHORT = {"effects": {"radiomics": 3.5, "deep": 3.0, "clinical": 1.5}}
"""Log odds per standard deviation of each latent: strong, as a demo should have something to show."""


def run_demo(output: Path, *, jobs: int = 2, seed: int = 2026) -> Run:
    """Extract, evaluate, train, report, then predict new phantoms from their images.

    Parameters
    ----------
    output : Path
        Folder for the results.
    jobs : int
        Worker processes.
    seed : int
        Of the phantom cohort; the new phantoms are its next patients.
    """
    study = parse_study(
        {
            "schema_version": 1,
            "name": "phantom demo",
            "cohort": COHORT | {"reader": "phantom", "n_patients": N_PATIENTS, "seed": seed},
            "features": {
                "families": {
                    "radiomics": {"preset": "cem-2d"},
                    "deep": {"network": "resnet18", "weights": "random"},
                }
            },
            "endpoints": ENDPOINTS,
            "evaluation": {"repeats": 3, "scoring": {"subgroups": ["vendor", "bpe"]}},
            "output": str(output),
            "jobs": jobs,
        },
        where="demo",
    )
    run = run_study(study, replace=True)
    bundle = Bundle.load(output / "model" / "model.cemrad")
    fresh = COHORT | {"seed": seed, "first_patient": N_PATIENTS + 1, "n_patients": N_NEW_PATIENTS}
    new = phantom.read(parse_settings(phantom.Settings, fresh, where="demo"))
    predict(bundle, new, output / "new_cases", jobs=jobs)
    run.write_record()
    return run


def demo_ceiling(seed: int) -> str:
    """The AUC that the best possible score of the demo's cases would have, endpoint by endpoint, in words."""
    settings = parse_settings(phantom.Settings, COHORT | {"n_patients": N_PATIENTS, "seed": seed}, where="demo")
    truth = phantom.truth(settings)
    return ", ".join(f"{endpoint} {oracle_auc(truth, endpoint):.3f}" for endpoint in ENDPOINTS)
