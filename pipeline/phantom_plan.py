"""The plan of a phantom patient: breasts, views, lesions, clinical values and labels, before any pixel.

Every patient has a seed of their own, so patient 7 is the same in a cohort of 10 and of 1,000. What
pixels are drawn from (:class:`Breast`) holds no label, hence no label can reach a pixel except
through the latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..features.case import Value
from .phantom_truth import LabelModel

VIEWS = ("CC", "MLO")
DENSITIES = ("A", "B", "C", "D")
BPE_GRADES = ("minimal", "mild", "moderate", "marked")
FINDINGS = ("mass", "non-mass enhancement")
ENHANCEMENTS = ("homogeneous", "heterogeneous", "rim")

_DENSITY_SHARE = (0.1, 0.4, 0.4, 0.1)
_BPE_SHARE = (0.4, 0.3, 0.2, 0.1)
_RADIUS, _RADIUS_SPREAD, _RADIUS_RANGE = 0.042, 0.18, (0.031, 0.054)  # of the picture's rows
_AGE_YEARS, _AGE_SPREAD, _AGE_RANGE = 55.0, 11.0, (25, 90)
_AGE_FOLLOWS = 0.9  # correlation of age with the clinical latent
_PALPABLE_SLOPE = 1.5  # log odds of a palpable finding per standard deviation of the clinical latent


@dataclass(frozen=True)
class Rates:
    """How often what occurs, as shares: of patients, breasts, lesions, views or stated labels."""

    second_lesion: float
    non_mass: float
    missing_view: float
    second_vendor: float
    missing_label: float


@dataclass(frozen=True)
class Lesion:
    """What a lesion is drawn from.

    Parameters
    ----------
    number : int
        Within its breast, from 1.
    radius : float
        Of a disc of the same area, as a fraction of the picture's rows.
    finding, enhancement : str
        One of `FINDINGS` and of `ENHANCEMENTS`.
    depth : float
        Distance from the chest wall as a fraction of the breast's depth at that height.
    height : float
        Position along the chest wall, -1 (lower or medial end) to 1, for both views.
    z_radiomics, z_deep : float
        The latents that pixels show.
    """

    number: int
    radius: float
    finding: str
    enhancement: str
    depth: float
    height: float
    z_radiomics: float
    z_deep: float


@dataclass(frozen=True)
class Breast:
    """What the pictures of one breast are drawn from."""

    seed: int
    patient: int
    laterality: Literal["L", "R"]
    density: str
    bpe: str
    vendor: str
    views: tuple[str, ...]
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True)
class Outcome:
    """What is true of one lesion: its latents in the order of the blocks, its labels, what the cohort states."""

    breast: Breast
    lesion: Lesion
    latents: tuple[float, ...]
    labels: dict[str, Value]
    stated: dict[str, Value]
    clinical: dict[str, Value]

    @property
    def patient_id(self) -> str:
        """``PH0001``."""
        return f"PH{self.breast.patient:04d}"

    @property
    def case_id(self) -> str:
        """Patient, side and lesion: ``PH0001_L_1``."""
        return f"{self.patient_id}_{self.breast.laterality}_{self.lesion.number}"


def plan_patient(seed: int, patient: int, rates: Rates, model: LabelModel, vendors: tuple[str, str]) -> list[Outcome]:
    """The lesions of one patient with everything about them.

    Parameters
    ----------
    seed : int
        Of the cohort.
    patient : int
        From 1.
    rates : Rates
    model : LabelModel
    vendors : tuple of str
        Usual and second vendor.
    """
    # One stream per matter: changing effects or rates of one does not move the others.
    body, fate, gaps = (np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, k))) for k in range(3))
    z_clinical = float(body.standard_normal())
    person = _clinical(z_clinical, body)
    vendor = vendors[int(body.random() < rates.second_vendor)]
    bpe = str(body.choice(BPE_GRADES, p=_BPE_SHARE))
    outcomes = []
    for laterality, n_lesions in _sides(rates, body):
        lesions = tuple(_lesion(k + 1, n_lesions, rates, body) for k in range(n_lesions))
        views = _views(rates, gaps)
        breast = Breast(seed, patient, laterality, str(person["density"]), bpe, vendor, views, lesions)
        for lesion in lesions:
            latents = (lesion.z_radiomics, lesion.z_deep, z_clinical)
            labels = model.draw(np.array(latents), fate)
            palpable = "yes" if body.random() < 1 / (1 + np.exp(-_PALPABLE_SLOPE * z_clinical)) else "no"
            stated = _with_gaps(labels, rates, gaps)
            outcomes.append(Outcome(breast, lesion, latents, labels, stated, person | {"palpable": palpable}))
    return outcomes


def _clinical(z_clinical: float, rng: np.random.Generator) -> dict[str, Value]:
    """Age carries the clinical latent; density and family history carry nothing."""
    mixed = _AGE_FOLLOWS * z_clinical + np.sqrt(1 - _AGE_FOLLOWS**2) * rng.standard_normal()
    return {
        "age": int(np.clip(round(_AGE_YEARS + _AGE_SPREAD * mixed), *_AGE_RANGE)),
        "density": str(rng.choice(DENSITIES, p=_DENSITY_SHARE)),
        "family_history": "yes" if rng.random() < 0.2 else "no",
    }


def _sides(rates: Rates, rng: np.random.Generator) -> list[tuple[Literal["L", "R"], int]]:
    """Lesions per side: one; or two in one breast, or one in each; rarely three."""
    more, where, third, left = rng.random(4)
    first: Literal["L", "R"] = "L" if left < 0.5 else "R"
    other: Literal["L", "R"] = "R" if first == "L" else "L"
    if more >= rates.second_lesion:
        return [(first, 1)]
    if third < 0.15:
        return [(first, 2), (other, 1)]
    return [(first, 2)] if where < 0.5 else [(first, 1), (other, 1)]


def _lesion(number: int, of: int, rates: Rates, rng: np.random.Generator) -> Lesion:
    z_radiomics, z_deep, wobble, size = rng.standard_normal(4)
    non_mass, depth, height = rng.random(3)
    is_mass = non_mass >= rates.non_mass
    pattern = z_radiomics + 0.7 * wobble  # a rim is a sign of masses only
    # Two lesions of a breast stand apart, so that one is not in the other's surroundings.
    low, high = (-0.5, 0.5) if of == 1 else ((0.24, 0.55), (-0.55, -0.24))[number - 1]
    return Lesion(
        number=number,
        radius=float(np.clip(_RADIUS * np.exp(_RADIUS_SPREAD * size), *_RADIUS_RANGE)),
        finding=FINDINGS[int(not is_mass)],
        enhancement=ENHANCEMENTS[int(pattern > -0.5) + int(pattern > 0.8 and is_mass)],
        depth=0.32 + 0.28 * float(depth),
        height=low + (high - low) * float(height),
        z_radiomics=float(z_radiomics),
        z_deep=float(z_deep),
    )


def _views(rates: Rates, rng: np.random.Generator) -> tuple[str, ...]:
    missing, which = rng.random(2)
    if missing >= rates.missing_view:
        return VIEWS
    return (VIEWS[int(which < 0.5)],)


def _with_gaps(labels: dict[str, Value], rates: Rates, rng: np.random.Generator) -> dict[str, Value]:
    """Labels as a cohort states them: now and then a receptor was not determined."""
    gaps = dict(zip(("er", "pr", "her2"), rng.random(3) < rates.missing_label, strict=True))
    return {name: None if gaps.get(name) else value for name, value in labels.items()}
