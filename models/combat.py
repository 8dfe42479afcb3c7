"""ComBat: what a site adds to and multiplies in a feature, learned from a training side and taken out.

A column's values are modelled as a common level, covariates, a shift of the site and a scale of the site; shift and
scale are shrunken towards those of the site's other columns by empirical Bayes (Johnson 2007,
doi 10.1093/biostatistics/kxj037; Fortin 2018, doi 10.1016/j.neuroimage.2017.11.024). The numbers are those of R's
neuroCombat. Columns of one call lend each other strength: give one block of features (radiomics, deep) at a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
import pandas as pd

from ..features.clinical import NAME as CLINICAL
from ..features.errors import BundleError, EvaluationError, LeakageError, StudyError
from ..features.table import ColumnName
from .folds import Ints
from .site_effects import Bools, SiteModel
from .standard import Array

# Below some ten cases a site's scale is mostly noise; 5, 10 and 15 were compared in doi 10.1007/s00330-024-11168-7.
MIN_PER_SITE = 10


@dataclass(frozen=True, eq=False)
class Combat:
    """What was learned from a training side.

    Parameters
    ----------
    sites : tuple of str
        Sites that were fitted, in alphabetical order.
    small_sites : tuple of str
        Sites that had fewer cases than asked for: not fitted, and treated as unseen.
    covariates : tuple of str
        Names of the clinical columns whose effect is kept.
    covariate_mean : ndarray, shape (n_covariates,)
        Their means over the training side: what stands in where one is missing.
    level, scale : ndarray, shape (n_columns,)
        The common level at the mean of the covariates, and the pooled standard deviation.
    slopes : ndarray, shape (n_covariates, n_columns)
        What a covariate adds per unit.
    shift, spread : ndarray, shape (n_sites, n_columns)
        What a site adds, in pooled standard deviations, and its variance relative to the pooled one.
    harmonised : ndarray of bool, shape (n_columns,)
        False for columns that pass through as they are, because they could not be fitted: fewer than two values in a
        site, or no variation in a site.

    Notes
    -----
    Missing values stay missing; each column is fitted on the rows where it is there.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> site = np.repeat(["A", "B"], 50)
    >>> x = rng.normal(size=(100, 5)) + 3 * (site == "B")[:, None]
    >>> combat = Combat.fit(x, site)
    >>> shift = lambda x: float((x[50:].mean(axis=0) - x[:50].mean(axis=0)).round(1).max())
    >>> shift(x), shift(combat.apply(x, site))
    (3.0, 0.2)
    """

    sites: tuple[str, ...]
    small_sites: tuple[str, ...]
    covariates: tuple[str, ...]
    covariate_mean: Array
    level: Array
    scale: Array
    slopes: Array
    shift: Array
    spread: Array
    harmonised: Bools

    @classmethod
    def fit(
        cls,
        x: Array,
        site: Sequence[str],
        *,
        covariates: pd.DataFrame | None = None,
        truth: Ints | None = None,
        mean_only: bool = False,
        empirical_bayes: bool = True,
        reference_site: str | None = None,
        min_per_site: int = MIN_PER_SITE,
    ) -> Self:
        """Learn from a training side.

        Parameters
        ----------
        x : ndarray, shape (n, n_columns)
            One block of features; NaN where missing.
        site : sequence of str, shape (n,)
        covariates : DataFrame, shape (n, n_covariates)
            Clinical columns (``clinical:case:age``) whose effect shall not be taken out with the site. NaN becomes
            the mean. The outcome can never be one: harmonising for it tells the features about it
            (Nieto 2026, arXiv 2410.19643).
        truth : ndarray of int, shape (n,)
            Only to refuse a covariate that is the outcome under another name; nothing is learned from it.
        mean_only : bool
            Take out the shift alone.
        empirical_bayes : bool
            False: each column's own estimates.
        reference_site : str
            Site whose values stay as they are; the others become like it.
        min_per_site : int
            Sites with fewer cases are not fitted.

        Raises
        ------
        LeakageError
            For a covariate that is not a clinical column, or is the outcome.
        EvaluationError
            If fewer than two sites, or not the reference site, have enough cases, or if covariates and sites
            cannot be told apart.
        StudyError
            For `min_per_site` under 2.
        """
        if min_per_site < 2:
            raise StudyError(f"min_per_site is {min_per_site}; a site's scale needs at least 2 cases")
        site_of = np.asarray(site, dtype=str)
        counts = Counter(site_of.tolist())
        sites = tuple(sorted(name for name, n in counts.items() if n >= min_per_site))
        small = tuple(sorted(set(counts) - set(sites)))
        _require_sites(sites, small, reference_site, min_per_site)
        use = np.isin(site_of, sites)
        names, numbers = _covariates(covariates, truth, use)
        mean = np.array([_mean(column[use]) for column in numbers.T])
        fitted = SiteModel(
            x[use],
            (site_of[use, None] == np.array(sites)).astype(np.float64),
            _centred(numbers[use], mean),
            None if reference_site is None else sites.index(reference_site),
        )
        shift, spread = fitted.effects(mean_only=mean_only, empirical_bayes=empirical_bayes)
        level, scale, slopes = fitted.level, fitted.scale, fitted.slopes
        return cls(sites, small, names, mean, level, scale, slopes, shift, spread, fitted.harmonised)

    def known(self, site: Sequence[str]) -> Bools:
        """Rows whose site was fitted: those that :meth:`apply` harmonises. Shape (n,)."""
        return np.isin(np.asarray(site, dtype=str), self.sites)

    def apply(
        self,
        x: Array,
        site: Sequence[str],
        covariates: pd.DataFrame | None = None,
        *,
        unseen: Literal["error", "pass"] = "error",
    ) -> Array:
        """Take out what was learned; nothing is learned from `x`.

        Parameters
        ----------
        x : ndarray, shape (n, n_columns)
        site : sequence of str, shape (n,)
        covariates : DataFrame, shape (n, n_covariates)
            The columns that the fit had. Without them, and where a value is missing, the training mean stands in.
        unseen : {"error", "pass"}
            What to do with sites that were not fitted. ``pass`` leaves their rows as they are; :meth:`known` says
            which. No row is ever treated with another site's numbers.

        Returns
        -------
        ndarray, shape (n, n_columns)

        Raises
        ------
        EvaluationError
            For a site that was not fitted, and for another number of columns.
        """
        if x.shape[1] != len(self.level):
            raise EvaluationError(f"ComBat was fitted on {len(self.level)} columns and is given {x.shape[1]}")
        site_of = np.asarray(site, dtype=str)
        known = self.known(site)
        if unseen == "error" and not known.all():
            raise EvaluationError(self._unseen(sorted(set(site_of[~known].tolist()))))
        given = pd.DataFrame(index=range(len(x))) if covariates is None else covariates
        numbers = given.reindex(columns=list(self.covariates)).to_numpy(dtype=np.float64)
        at = np.searchsorted(self.sites, site_of[known])
        level = self.level + _centred(numbers[known], self.covariate_mean) @ self.slopes
        scores = ((x[known] - level) / self.scale - self.shift[at]) / np.sqrt(self.spread[at])
        found = np.array(x, dtype=np.float64)
        found[known] = np.where(self.harmonised, scores * self.scale + level, x[known])
        return found

    def state(self) -> bytes:
        """All numbers as JSON, exact to the last bit."""
        values = {name: np.asarray(value).tolist() for name, value in vars(self).items()}
        return json.dumps(values, sort_keys=True).encode()

    def _unseen(self, names: Sequence[str]) -> str:
        small = [name for name in names if name in self.small_sites]
        why = f" ({', '.join(small)}: too few cases in the training side)" if small else ""
        return (
            f"ComBat has not been fitted on the sites {', '.join(names)}{why}, only on {', '.join(self.sites)}; "
            "leave their cases out, or let them pass as they are with unseen: pass"
        )


def restore(state: bytes) -> Combat:
    """What :meth:`Combat.state` wrote.

    Raises
    ------
    BundleError
        If the bytes are not such a state.
    """
    try:
        values = json.loads(state)
        sites, small, covariates = (tuple(map(str, values[name])) for name in ("sites", "small_sites", "covariates"))
        n_sites, n_covariates, n_columns = len(sites), len(covariates), len(values["level"])
        shapes = {
            "covariate_mean": (n_covariates,),
            "level": (n_columns,),
            "scale": (n_columns,),
            "slopes": (n_covariates, n_columns),
            "shift": (n_sites, n_columns),
            "spread": (n_sites, n_columns),
        }
        # The shape is stated, as an empty list has lost its second length; a list of another size is refused.
        numbers = {name: np.array(values[name], dtype=np.float64).reshape(shape) for name, shape in shapes.items()}
        harmonised = np.array(values["harmonised"], dtype=bool).reshape(n_columns)
    except (ValueError, KeyError, TypeError):
        raise BundleError("a harmonisation is not a ComBat of this package; the bundle is damaged") from None
    if set(values) != {field.name for field in fields(Combat)}:
        raise BundleError("a ComBat has other parts than this version knows; the bundle is damaged")
    return Combat(sites, small, covariates, **numbers, harmonised=harmonised)


def _require_sites(sites: Sequence[str], small: Sequence[str], reference: str | None, minimum: int) -> None:
    few = f"; fewer than {minimum} cases (min_per_site): {', '.join(small)}" if small else ""
    if len(sites) < 2:
        raise EvaluationError(f"ComBat needs two sites to compare, there is {' and '.join(sites) or 'none'}{few}")
    if reference is not None and reference not in sites:
        raise EvaluationError(f"the reference site {reference} is not one of {', '.join(sites)}{few}")


def _covariates(given: pd.DataFrame | None, truth: Ints | None, use: Bools) -> tuple[tuple[str, ...], Array]:
    """Names and numbers of the covariates, none of them the outcome."""
    if given is None:
        return (), np.zeros((len(use), 0))
    names, numbers = tuple(map(str, given.columns)), given.to_numpy(dtype=np.float64)
    for name, column in zip(names, numbers.T, strict=True):
        if ColumnName.parse(name).family != CLINICAL:
            raise LeakageError(f"ComBat: {name} is no clinical column; labels and features cannot be covariates")
        if truth is not None and _tells(column[use], truth[use]):
            raise LeakageError(f"ComBat: the covariate {name} is the outcome under another name; leave it out")
    return names, numbers


def _tells(column: Array, truth: Ints) -> bool:
    """Whether one value of a column stands for each class, wherever it is stated."""
    stated = ~np.isnan(column)
    pairs = set(zip(column[stated].tolist(), truth[stated].tolist(), strict=True))
    return len(pairs) == 2 == len({value for value, _ in pairs}) == len({label for _, label in pairs})


def _mean(column: Array) -> float:
    stated = column[~np.isnan(column)]
    return float(stated.mean()) if len(stated) else 0.0


def _centred(numbers: Array, mean: Array) -> Array:
    return np.asarray(np.where(np.isnan(numbers), 0.0, numbers - mean), dtype=np.float64)
