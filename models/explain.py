"""Explanation: SHAP values of held-out cases by the model that held them out, and how its features act together."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np

from ..features.errors import EvaluationError
from .learner import Array, Fitted

TOLERANCE = 1e-4
N_BACKGROUND = 100
"""Most training cases that interventional values are taken against."""

Perturbation = Literal["path_dependent", "interventional"]
"""What stands for a feature that a coalition does not know.

``path_dependent``: the training cases that reached each node of a tree; ``interventional``: the values of training
cases, whatever the other features are (Janzing et al. 2020, arXiv 1910.13413).
"""


@runtime_checkable
class Against(Protocol):
    """A fitted model that has both kinds of SHAP values: ``explain`` gives the path-dependent ones."""

    def explain_against(self, x: Array, background: Array) -> tuple[Array, Array]:
        """Interventional SHAP values (n, n_features) and base values (n,): the mean margin of the background."""
        ...


@runtime_checkable
class Interacting(Protocol):
    """A fitted model whose features may act together."""

    def interactions(self, x: Array) -> Array | None:
        """SHAP interaction values (n, n_features, n_features), symmetric; rows add up to ``explain``. None without."""
        ...


def explain(model: Fitted, x: Array, background: Array | None = None) -> tuple[Array, Array]:
    """SHAP values (n, n_features) and base values (n,) on the margin scale, checked to add up.

    Probabilities are not additive; log odds are: base + sum of SHAP = margin.

    Parameters
    ----------
    model : Fitted
    x : ndarray, shape (n, n_features)
    background : ndarray, shape (n_background, n_features), optional
        Training cases: values are interventional against them, where the model has such; its own kind without.

    Raises
    ------
    EvaluationError
        If they miss the margin by more than 1e-4 anywhere.
    """
    values, base = model.explain(x) if background is None else against(model, x, background)
    _require_near(base + values.sum(axis=1), model.margin(x), "SHAP values miss the margin")
    return values, base


def against(model: Fitted, x: Array, background: Array) -> tuple[Array, Array]:
    """Interventional SHAP values where the model has such, else those that it has; not checked."""
    return model.explain_against(x, background) if isinstance(model, Against) else model.explain(x)


def has_both(model: Fitted) -> bool:
    """Whether a model, and each model that it is blended from, has both kinds of SHAP values."""
    parts = getattr(model, "parts", None)
    return isinstance(model, Against) if parts is None else all(map(has_both, parts))


def n_nodes(model: Fitted) -> int:
    """Nodes of the trees of a model, and of each that it is blended from: what an explanation costs; at least 1."""
    return max(1, sum(map(n_nodes, getattr(model, "parts", ()))), int(getattr(model, "n_nodes", 0)))


def background_of(values: Array, seed: int) -> Array:
    """At most :data:`N_BACKGROUND` of the training cases, drawn without regard to their truth."""
    if len(values) <= N_BACKGROUND:
        return values
    drawn = np.random.default_rng(seed).choice(len(values), N_BACKGROUND, replace=False)
    return values[np.sort(drawn)]


def interactions(model: Fitted, x: Array) -> Array | None:
    """SHAP interaction values (n, n_features, n_features), checked to add up; None where the model has none.

    The diagonal holds main effects; what two features do together stands half on either side of it. Path-dependent
    (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9).

    Raises
    ------
    EvaluationError
        If the rows of a case miss its SHAP values by more than 1e-4 anywhere.
    """
    found = model.interactions(x) if isinstance(model, Interacting) else None
    if found is not None:
        _require_near(found.sum(axis=2), model.explain(x)[0], "SHAP interaction values miss the SHAP values")
    return found


def _require_near(found: Array, wanted: Array, what: str) -> None:
    gap = float(np.abs(found - wanted).max(initial=0.0))
    if not gap <= TOLERANCE:
        raise EvaluationError(
            f"{what} by {gap:.2g}, more than {TOLERANCE:g}: the explanation would not be of this "
            "model; check that the installed shap reads this version of the learner's library"
        )
