"""The truth of the phantom cohort: latent variables, the labels drawn from them, and the best score there is.

Three independent standard normal latents stand behind every lesion, one per feature block.
Malignancy follows ``logit p = b + e_r z_r + e_d z_d + e_c z_c`` with the effects ``e`` of the
settings; every other label is drawn in malignant lesions only, from the same latents, with the same
effects times a fixed loading. Pixels and clinical values are made from latents, never from labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from ..features.case import Value
from ..features.errors import EvaluationError
from ..features.settings import Settings

Array = NDArray[np.float64]

BLOCKS = ("radiomics", "deep", "clinical")
ENDPOINTS = ("malignancy", "er", "pr", "her2", "triple_negative", "nodal")

# What multiplies the effects, in the order of BLOCKS. The signs differ so that endpoints differ.
LOADINGS = {
    "malignancy": (1.0, 1.0, 1.0),
    "er": (1.0, -1.0, 0.8),
    "pr": (0.9, -0.9, 0.7),
    "her2": (0.9, 0.9, -0.5),
    "nodal": (0.9, 1.2, 0.6),
    "grade": (0.8, 0.8, 0.0),
    "ki67": (0.5, 0.5, 0.0),
}
# Share of malignant lesions; grade is stated as "2 or more" and "3".
PREVALENCE = {"er": 0.65, "pr": 0.55, "her2": 0.30, "nodal": 0.40, "grade2": 0.75, "grade3": 0.35}
_KI67_MEDIAN, _KI67_SPREAD = 0.22, 0.6  # of the logit, beside what the latents give


class Effects(Settings):
    """Log odds of malignancy per standard deviation of each block's latent; 0 switches a block off."""

    radiomics: float = Field(default=1.8, ge=0, le=10, description="seen inside the contour")
    deep: float = Field(default=1.6, ge=0, le=10, description="seen around the contour, within the lesion crop")
    clinical: float = Field(default=0.9, ge=0, le=10, description="seen in age and palpability")


@dataclass(frozen=True)
class LabelModel:
    """How labels follow from latents.

    Parameters
    ----------
    effects : Effects
    prevalence : float
        Share of malignant lesions.
    intercepts : tuple of (str, float)
        Solved so that every label has its stated prevalence whatever the effects.
    """

    effects: Effects
    prevalence: float
    intercepts: tuple[tuple[str, float], ...]

    def linear(self, label: str, latents: Array) -> Array:
        """Sum of loading x effect x latent; `latents` has shape (..., 3)."""
        effects = np.array([self.effects.radiomics, self.effects.deep, self.effects.clinical])
        return np.asarray(latents @ (effects * LOADINGS[label]), dtype=float)

    def probability(self, label: str, latents: Array) -> Array:
        """Probability of the label given all latents; of other labels than malignancy, in malignant lesions."""
        if label == "triple_negative":
            absent = [1 - self.probability(name, latents) for name in ("er", "pr", "her2")]
            return np.prod(absent, axis=0)  # type: ignore[no-any-return]
        source = "grade" if label.startswith("grade") else label
        return expit(dict(self.intercepts)[label] + self.linear(source, latents))  # type: ignore[no-any-return]

    def draw(self, latents: Array, rng: np.random.Generator) -> dict[str, Value]:
        """Labels of one lesion; `latents` has shape (3,). The draws do not depend on the effects."""
        labels = ("malignancy", "er", "pr", "her2", "nodal")
        chance = dict(zip((*labels, "grade"), rng.random(6), strict=True))
        spread = _KI67_SPREAD * rng.standard_normal()
        if chance["malignancy"] >= self.probability("malignancy", latents):
            return {"malignancy": "benign"} | dict.fromkeys((*labels[1:], "ki67", "grade"))
        drawn: dict[str, Value] = {"malignancy": "malignant"}
        for name in labels[1:]:
            drawn[name] = "positive" if chance[name] < self.probability(name, latents) else "negative"
        ki67 = expit(logit(_KI67_MEDIAN) + self.linear("ki67", latents) + spread)
        drawn["ki67"] = round(100 * float(ki67), 1)
        drawn["grade"] = 1 + sum(bool(chance["grade"] < self.probability(g, latents)) for g in ("grade2", "grade3"))
        return drawn

    def posterior(self, endpoint: str, latents: Array, blocks: Sequence[str]) -> Array:
        """Probability of the endpoint when only these blocks' latents are known.

        The other blocks are integrated out by Gauss-Hermite quadrature, so this is the best
        score that features of these blocks could give. Shapes (n, 3) to (n,).
        """
        hidden = [k for k, name in enumerate(BLOCKS) if name not in blocks]
        above, below = np.zeros(len(latents)), np.zeros(len(latents))
        for weight, values in _quadrature(len(hidden)):
            filled = latents.copy()
            filled[:, hidden] = values
            among = np.ones(len(latents)) if endpoint == "malignancy" else self.probability("malignancy", filled)
            above += weight * among * self.probability(endpoint, filled)
            below += weight * among
        return above / below


@lru_cache(maxsize=32)
def label_model(effects: Effects, prevalence: float) -> LabelModel:
    """The label model whose intercepts give the stated prevalences exactly."""
    nodes = list(_quadrature(3))
    weights = np.array([weight for weight, _ in nodes])
    latents = np.array([values for _, values in nodes])
    bare = LabelModel(effects, prevalence, ())
    first = _solve(lambda b: float(weights @ expit(b + bare.linear("malignancy", latents))), prevalence)
    malignant = weights * expit(first + bare.linear("malignancy", latents))
    malignant /= malignant.sum()
    intercepts = {"malignancy": first}
    for label, share in PREVALENCE.items():
        line = bare.linear("grade" if label.startswith("grade") else label, latents)
        intercepts[label] = _solve(lambda b, line=line: float(malignant @ expit(b + line)), share)  # type: ignore[misc]
    return LabelModel(effects, prevalence, tuple(intercepts.items()))


def truth_frame(latents: pd.DataFrame, labels: pd.DataFrame, model: LabelModel) -> pd.DataFrame:
    """Everything that is known about each lesion.

    Parameters
    ----------
    latents, labels : DataFrame
        Index ``case_id``; the blocks as columns of one, the labels as drawn (none missing) of the other.
    model : LabelModel

    Returns
    -------
    DataFrame
        ``z_BLOCK``; per endpoint ``logit_``, ``probability_`` (given all latents; of a malignant
        lesion, where the endpoint is not malignancy) and ``label_`` (1, 0, NaN in benign lesions);
        ``effect_BLOCK`` and ``prevalence``, the same in every row, so that the file explains itself.
    """
    values = latents[list(BLOCKS)].to_numpy(dtype=float)
    frame = pd.DataFrame({f"z_{name}": values[:, k] for k, name in enumerate(BLOCKS)}, index=labels.index)
    for endpoint in ENDPOINTS:
        probability = model.probability(endpoint, values)
        frame[f"logit_{endpoint}"] = logit(probability)
        frame[f"probability_{endpoint}"] = probability
        frame[f"label_{endpoint}"] = _binary(labels, endpoint)
    for name in BLOCKS:
        frame[f"effect_{name}"] = float(getattr(model.effects, name))
    frame["prevalence"] = model.prevalence
    return frame


def oracle_score(truth: pd.DataFrame, endpoint: str, blocks: Sequence[str] = ("radiomics", "deep")) -> pd.Series:
    """The Bayes probability of the endpoint per lesion when these blocks' latents are known exactly."""
    effects = Effects(**{name: float(truth[f"effect_{name}"].iloc[0]) for name in BLOCKS})
    model = label_model(effects, float(truth["prevalence"].iloc[0]))
    latents = truth[[f"z_{name}" for name in BLOCKS]].to_numpy(dtype=float)
    return pd.Series(model.posterior(endpoint, latents, blocks), index=truth.index)


def oracle_auc(truth: pd.DataFrame, endpoint: str, blocks: Sequence[str] = ("radiomics", "deep")) -> float:
    """Area under the ROC curve of the best possible score, on these very lesions.

    Parameters
    ----------
    truth : DataFrame
        From :func:`cemrad.pipeline.cohorts.phantom.truth`.
    endpoint : str
        One of `ENDPOINTS`; all but malignancy are read in malignant lesions.
    blocks : sequence of str
        The blocks whose latents are known; the others are integrated out.

    Raises
    ------
    EvaluationError
        If only one class occurs.
    """
    label = truth[f"label_{endpoint}"].dropna()
    if label.nunique() < 2:
        raise EvaluationError(f"phantom: {endpoint} has one class in {len(label)} lesions; ask for more patients")
    score = oracle_score(truth, endpoint, blocks)
    return float(roc_auc_score(label.astype(int), score.loc[label.index]))


def population_auc(
    model: LabelModel, endpoint: str, blocks: Sequence[str] = ("radiomics", "deep"), n: int = 50_000, seed: int = 0
) -> float:
    """AUC of the best possible score in an endless cohort, to about 0.001.

    Monte Carlo over `n` latents; labels enter by their probabilities, not by draws.
    """
    latents = np.random.default_rng(seed).standard_normal((n, 3))
    score = model.posterior(endpoint, latents, blocks)
    probability = model.probability(endpoint, latents)
    weight = np.ones(n) if endpoint == "malignancy" else model.probability("malignancy", latents)
    labels = np.repeat([1, 0], n)
    weights = np.concatenate([weight * probability, weight * (1 - probability)])
    return float(roc_auc_score(labels, np.tile(score, 2), sample_weight=weights))


def _binary(labels: pd.DataFrame, endpoint: str) -> Array:
    if endpoint == "malignancy":
        return np.asarray(labels["malignancy"] == "malignant", dtype=float)
    if endpoint == "triple_negative":
        value = (labels[["er", "pr", "her2"]] == "negative").all(axis=1)
    else:
        value = labels[endpoint] == "positive"
    return np.asarray(value.astype(float).where(labels["malignancy"] == "malignant"), dtype=float)


def _quadrature(dimensions: int, n: int = 20) -> list[tuple[float, Array]]:
    """Nodes and weights for the expectation over independent standard normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    weights = weights / weights.sum()
    chosen = (list(at) for at in product(range(n), repeat=dimensions))
    return [(float(np.prod(weights[at])), nodes[at]) for at in chosen]


def _solve(share: Callable[[float], float], target: float) -> float:
    return float(brentq(lambda b: share(b) - target, -80, 80))
