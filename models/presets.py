"""Presets: how much work an evaluation does, under one word. What a study states itself wins over its preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"inner_folds": 3, "n_candidates": 2},
    "standard": {},
    "thorough": {"inner_folds": 5, "n_candidates": 30, "search": "optuna", "repeats": 5},
}
"""Settings of :class:`~cemrad.models.evaluate.EvaluationSettings`, by preset; ``standard`` is their defaults."""


def with_preset(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Values over those of the preset that they name, of which only the `known` settings are taken.

    Examples
    --------
    >>> with_preset({"preset": "fast", "inner_folds": 4}, {"inner_folds": 0, "n_candidates": 0})
    {'inner_folds': 4, 'n_candidates': 2, 'preset': 'fast'}
    """
    preset = PRESETS.get(str(values.get("preset", "standard")), {})  # a wrong name is refused by its own field
    return {name: value for name, value in preset.items() if name in known} | dict(values)
