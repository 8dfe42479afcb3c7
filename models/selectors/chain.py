"""Several selectors one after the other, each on what the one before it kept.

``selector_settings: {steps: [{name: variance}, {name: spearman, max_correlation: 0.85}, {name: rfe, n_features: 10}]}``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...features.settings import Settings as BaseSettings
from ...features.settings import parse_settings
from ..selector import Selector as AnySelector
from . import SHELF


class Settings(BaseSettings):
    """The steps, each a selector's name with its settings."""

    steps: tuple[dict[str, Any], ...] = Field(
        default=({"name": "variance"}, {"name": "spearman"}, {"name": "anova"}), min_length=1, max_length=10
    )

    @model_validator(mode="after")
    def _steps_exist(self) -> Self:
        self.make()
        return self

    def make(self) -> list[AnySelector]:
        """The selectors of the steps."""
        made = []
        for number, step in enumerate(self.steps, 1):
            if "name" not in step or step["name"] == "chain":
                raise ValueError(f"step {number} needs the name of a selector other than chain")
            part = SHELF.take(str(step["name"]))
            own = {key: value for key, value in step.items() if key != "name"}
            made.append(part.Selector(parse_settings(part.Settings, own, where=f"step {number} ({step['name']})")))
        return made


class Selector:
    """What the last step keeps."""

    def __init__(self, settings: Settings) -> None:
        self.steps = settings.make()

    def choose(self, x: NDArray[np.float64], y: NDArray[np.int64], persons: Sequence[str] = ()) -> NDArray[np.int64]:
        """Positions of the features to keep, in the order of the last step."""
        kept = np.arange(x.shape[1], dtype=np.int64)
        for step in self.steps:
            kept = kept[step.choose(x[:, kept], y, persons)]
        return kept
