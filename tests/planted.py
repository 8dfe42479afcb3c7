"""Feature tables with planted effects: no pixels, and everything that the benches compare with is known.

A block has independent standard normal factors, each seen through several columns; the first of them carry the
labels. A third of the columns is skewed. Lesions of one patient are alike.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from cemrad.features.table import FeatureTable
from scipy.optimize import brentq
from scipy.special import expit

PICTURES = ("LE_CC", "RC_CC", "LE_MLO", "RC_MLO")
ALIKE = 0.3
"""Correlation of a factor between two lesions of one patient."""
WITHOUT_MLO = 0.1
"""Share of cases whose MLO columns are missing."""


@dataclass(frozen=True)
class Block:
    """Columns of one family: `n_planted` factors carry labels; every factor shows in up to `n_copies` columns."""

    n_columns: int
    n_planted: int
    n_copies: int
    least: float = 0.7
    """Correlation of a column with its factor, at least; at most 0.98."""


@dataclass(frozen=True)
class Endpoint:
    """Log odds per standard deviation of each block's planted sum; `signs` of the planted factors, in turn."""

    effects: dict[str, float]
    prevalence: float = 0.35
    missing: float = 0.0
    signs: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Draw:
    """One cohort: its table, stated labels, and the true probability of each endpoint per case."""

    table: FeatureTable
    labels: pd.DataFrame
    probability: pd.DataFrame


@dataclass(frozen=True)
class World:
    """What cohorts are drawn from. The columns mean the same in each of them."""

    blocks: dict[str, Block]
    endpoints: dict[str, Endpoint]
    seed: int = 0

    @cached_property
    def columns(self) -> pd.DataFrame:
        """Per column: its block, factor, correlation with it, whether it is planted, and whether it is skewed."""
        rng = np.random.default_rng([self.seed, 0])
        rows = []
        for family, block in self.blocks.items():
            for at in range(block.n_columns):
                picture = "case" if family == "clinical" else PICTURES[at % len(PICTURES)]
                rows.append((f"{family}:{picture}:{family[0]}{at:04d}", family, at // block.n_copies))
        frame = pd.DataFrame(rows, columns=["name", "family", "factor"]).set_index("name")
        least = frame["family"].map({family: block.least for family, block in self.blocks.items()})
        frame["seen"] = least + (0.98 - least) * rng.random(len(frame))
        n_planted = frame["family"].map({family: block.n_planted for family, block in self.blocks.items()})
        return frame.assign(planted=frame["factor"] < n_planted, skewed=rng.random(len(frame)) < 1 / 3)

    def draw(self, n_cases: int, n_patients: int, seed: int) -> Draw:
        """A cohort; two seeds give two cohorts of the same world."""
        rng = np.random.default_rng([self.seed, 1, seed])
        person = np.sort(np.concatenate([np.arange(n_patients), rng.integers(0, n_patients, n_cases - n_patients)]))
        planted, parts = {}, {}
        for family in self.blocks:
            columns = self.columns[self.columns["family"] == family]
            n = int(columns["factor"].max()) + 1
            shared, own = rng.standard_normal((n_patients, n))[person], rng.standard_normal((n_cases, n))
            factors = np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * own
            seen = columns["seen"].to_numpy()
            x = factors[:, columns["factor"]] * seen + np.sqrt(1 - seen**2) * rng.standard_normal((n_cases, len(seen)))
            parts |= dict(zip(columns.index, np.where(columns["skewed"], np.exp(x), x).T, strict=True))
            planted[family] = factors[:, : self.blocks[family].n_planted]
        ids = pd.Index([f"case{i:05d}" for i in range(n_cases)], dtype=object)
        values = pd.DataFrame(parts, index=ids)
        values.loc[rng.random(n_cases) < WITHOUT_MLO, [name for name in values if "_MLO:" in name]] = np.nan
        probability = pd.DataFrame({name: self._probability(of, planted) for name, of in self.endpoints.items()}, ids)
        return Draw(FeatureTable(values, _cases(ids, person, seed)), self._labels(probability, rng), probability)

    def _probability(self, endpoint: Endpoint, planted: dict[str, np.ndarray]) -> np.ndarray:
        line = 0.0
        for family, effect in endpoint.effects.items():
            signs = np.resize(endpoint.signs, planted[family].shape[1])
            line = line + effect * planted[family] @ signs / np.sqrt(len(signs))
        spread = float(np.linalg.norm(list(endpoint.effects.values())))
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        share = weights / weights.sum()
        intercept = brentq(lambda b: float(share @ expit(b + spread * nodes)) - endpoint.prevalence, -50, 50)
        return expit(intercept + line)

    def _labels(self, probability: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        drawn = (rng.random(probability.shape) < probability.to_numpy()).astype(int).astype(object)
        missing = [endpoint.missing for endpoint in self.endpoints.values()]
        drawn[rng.random(probability.shape) < missing] = None
        return pd.DataFrame(drawn, index=probability.index, columns=probability.columns, dtype=object)


def _cases(ids: pd.Index, person: np.ndarray, seed: int) -> pd.DataFrame:
    patients = [f"C{seed}P{i:05d}" for i in person]  # another cohort, other people
    facts = {"laterality": "L", "lesion_id": list(ids), "breast_id": [f"{name}|L" for name in patients]}
    return pd.DataFrame({"patient_id": patients, **facts}, index=ids)
