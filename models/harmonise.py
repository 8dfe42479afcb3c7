"""Harmonisation inside a fold: what a site or a vendor adds to features, learned from the training side alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ..features.clinical import NAME as CLINICAL
from ..features.errors import BundleError, EvaluationError
from ..features.settings import Settings, parse_settings
from ..features.table import ColumnName, FeatureTable
from .combat import MIN_PER_SITE, Combat, restore
from .folds import Ints
from .learner import Array
from .rows import Rows

Block = Literal["radiomics", "deep"]
IMAGE: tuple[Block, ...] = ("radiomics", "deep")


class HarmoniseSettings(Settings):
    """ComBat of the image features."""

    column: str = Field(min_length=1, description="of the cases: what is harmonised for, as site or vendor")
    covariates: tuple[str, ...] = Field(default=(), description="clinical columns whose effect is kept, as age")
    families: tuple[Block, ...] = Field(default=IMAGE, min_length=1)
    unseen: Literal["error", "pass"] = Field(default="error", description="what becomes of a site not trained on")
    mean_only: bool = False
    empirical_bayes: bool = True
    reference_site: str | None = Field(default=None, description="stays as it is; the others become like it")
    min_per_site: int = Field(default=MIN_PER_SITE, ge=2, description="cases of a site, to learn its effect")

    @field_validator("covariates")
    @classmethod
    def _clinical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if ":" in name else f"{CLINICAL}:case:{name}" for name in names)


@dataclass(frozen=True, eq=False)
class Harmoniser:
    """What was learned, one ComBat for each block of features.

    Parameters
    ----------
    settings : HarmoniseSettings
    columns : mapping of str to tuple of str
        Columns of each block, in the order of its ComBat.
    parts : mapping of str to Combat
    """

    settings: HarmoniseSettings
    columns: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, Combat]

    @classmethod
    def fit(cls, rows: Rows, settings: HarmoniseSettings) -> Self:
        """Learn from a training side.

        Raises
        ------
        LeakageError
            If a covariate is the outcome.
        EvaluationError
            As :meth:`~cemrad.models.combat.Combat.fit`, or if a covariate is no column.
        """
        columns: dict[str, tuple[str, ...]] = {}
        parts: dict[str, Combat] = {}
        covariates = _covariates(rows, settings)
        for family in settings.families:
            at = rows.block(family)
            if not len(at):
                continue
            columns[family] = tuple(rows.columns[i] for i in at)
            parts[family] = Combat.fit(
                rows.x[:, at], rows.sites, covariates=covariates, truth=rows.y, mean_only=settings.mean_only,
                empirical_bayes=settings.empirical_bayes, reference_site=settings.reference_site,
                min_per_site=settings.min_per_site,
            )  # fmt: skip
        return cls(settings, columns, parts)

    def apply(self, rows: Rows, *, unseen: Literal["error", "pass"] | None = None) -> Rows:
        """The same cases without the effect of their site.

        Parameters
        ----------
        rows : Rows
        unseen : {"error", "pass"}, optional
            Instead of the settings' own.

        Raises
        ------
        EvaluationError
            For a site that was not fitted, unless it shall pass as it is.
        """
        covariates = _covariates(rows, self.settings)
        return replace(rows, x=self._without_site(rows.x, rows.places, rows.sites, covariates, unseen))

    def apply_to(self, x: Array, features: Sequence[str], table: FeatureTable) -> Array:
        """Features (n, n_features) of new cases without the effect of their site.

        Parameters
        ----------
        x : ndarray, shape (n, n_features)
        features : sequence of str
            Names of its columns, those that the harmoniser was reduced to.
        table : FeatureTable
            Of the same cases: their sites and covariates.

        Raises
        ------
        EvaluationError
            As :meth:`apply`, or if the cases have no such column or it is empty.
        """
        at = {name: place for place, name in enumerate(features)}
        covariates = table.values.reindex(columns=list(self.settings.covariates))
        sites = sites_of(table.cases, self.settings.column)
        return self._without_site(x, lambda names: [at[name] for name in names], sites, covariates, None)

    def _without_site(
        self,
        x: Array,
        places: Callable[[Sequence[str]], list[int]],
        sites: Sequence[str],
        covariates: pd.DataFrame | None,
        unseen: Literal["error", "pass"] | None,
    ) -> Array:
        found = x.copy()
        for family, combat in self.parts.items():
            at = places(self.columns[family])
            found[:, at] = combat.apply(x[:, at], sites, covariates, unseen=unseen or self.settings.unseen)
        return found

    def passed(self, sites: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which cases of these sites pass as they are, as their site was not fitted, shape (n_cases,)."""
        known = [combat.known(sites) for combat in self.parts.values()]
        return ~np.logical_and.reduce(known) if known else np.zeros(len(sites), dtype=bool)

    def only(self, features: Sequence[str]) -> Self:
        """The part that these features need."""
        columns: dict[str, tuple[str, ...]] = {}
        parts: dict[str, Combat] = {}
        for family, names in self.columns.items():
            at = np.array([i for i, name in enumerate(names) if name in features], dtype=np.int64)
            if len(at):
                columns[family] = tuple(names[i] for i in at)
                parts[family] = _of(self.parts[family], at)
        return replace(self, columns=columns, parts=parts)

    def stated(self) -> dict[str, Any]:
        """Everything as JSON values."""
        parts = {family: json.loads(combat.state()) for family, combat in self.parts.items()}
        return {"settings": self.settings.model_dump(mode="json"), "columns": dict(self.columns), "parts": parts}

    @classmethod
    def restore(cls, item: Mapping[str, Any], features: Sequence[str]) -> Self:
        """What :meth:`stated` gave, of a model with these features.

        Raises
        ------
        BundleError
            If the parts do not fit together.
        """
        columns = {str(family): tuple(map(str, names)) for family, names in item["columns"].items()}
        parts = {str(family): restore(json.dumps(part).encode()) for family, part in item["parts"].items()}
        fits = set(columns) == set(parts) and all(len(parts[name].level) == len(columns[name]) for name in parts)
        if not fits or not {name for names in columns.values() for name in names} <= set(features):
            raise BundleError("a harmonisation does not fit the features of its model; the bundle is damaged")
        return cls(parse_settings(HarmoniseSettings, item["settings"], where="bundle: harmonise"), columns, parts)


def _of(combat: Combat, at: Ints) -> Combat:
    """A ComBat of some of its columns; the sites' priors, which all columns made, are in its numbers already."""
    return replace(
        combat, level=combat.level[at], scale=combat.scale[at], slopes=combat.slopes[:, at],
        shift=combat.shift[:, at], spread=combat.spread[:, at], harmonised=combat.harmonised[at],
    )  # fmt: skip


def _covariates(rows: Rows, settings: HarmoniseSettings) -> pd.DataFrame | None:
    if not settings.covariates:
        return None
    absent = [name for name in settings.covariates if name not in rows.columns]
    if absent:
        there = [name for name in rows.columns if ColumnName.parse(name).family == CLINICAL]
        raise EvaluationError(f"harmonise: no column {', '.join(absent)}; there are: {', '.join(there) or 'none'}")
    return pd.DataFrame(rows.features(settings.covariates), columns=list(settings.covariates))


def sites_of(cases: pd.DataFrame, column: str) -> tuple[str, ...]:
    """The site of each case.

    Raises
    ------
    EvaluationError
        If the column is not there, or empty for a case.
    """
    if column not in cases:
        raise EvaluationError(
            f"harmonise: the cases have no column {column!r}; there are: {', '.join(map(str, cases))}"
        )
    values = cases[column].fillna("").astype(str).str.strip()
    empty = int((values == "").sum())
    if empty:
        raise EvaluationError(f"harmonise: {column} is empty for {empty} of {len(values)} cases; fill it in")
    return tuple(values)
