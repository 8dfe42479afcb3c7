"""The confounder panel: what models reach that know nothing of the lesion's inside, on the very same split.

Size, site, vendor, age, the breast, how the mask was drawn, and the mask's geometry. Each panel is fitted by the
study's learner with its first candidate on all columns that vary, without selection or tuning: there are few columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..features.table import ColumnName, FeatureTable
from .audit import Check, State
from .design import Design
from .evaluate import EvaluationSettings
from .folds import Split, seed_of
from .heldout import Estimate, HeldOut, Paired
from .intervals import cv_auc, cv_auc_difference
from .learner import probability
from .result import Result
from .rows import varies
from .stated import plain
from .units import chance_auc, held_out

CONFOUNDER_COLUMNS = [
    "endpoint", "level", "panel", "n_columns", "n", "n_positive", "auc", "low", "high", "method", "chance",
    "arm", "difference", "difference_low", "difference_high", "explains", "text",
]  # fmt: skip
"""Columns of the table ``confounders``; `difference` is that of the best arm minus the panel."""

FAMILY = "confounder"
PANELS: Mapping[str, tuple[str, ...]] = {
    "size": ("area_px", "volume"),
    "site": ("site", "hospital", "centre", "center", "institution"),
    "vendor": ("vendor", "manufacturer", "machine", "scanner", "device"),
    "age": ("age", "patient_age"),
    "breast": ("density", "breast_density", "bpe", "background_parenchymal_enhancement"),
    "drawing": (
        "n_regions", "n_vertices", "vertices_per_region", "n_polygons", "n_ellipses", "n_circles", "n_points",
        "n_polylines",
    ),
    "geometry": (
        "area_px", "perimeter_px", "compactness", "box_rows_px", "box_columns_px", "centre_row_px",
        "centre_column_px", "shape",
    ),
}  # fmt: skip
"""Panels and the columns that each may know, by the feature's name before any ``=``."""
TITLES: Mapping[str, str] = {
    "size": "lesion size", "site": "site", "vendor": "vendor", "age": "age", "breast": "breast density or BPE",
    "drawing": "mask-drawing style", "geometry": "mask geometry and position",
}  # fmt: skip
ARTEFACTS = ("site", "vendor", "drawing")
"""Panels that no biology explains: where one of them predicts, the audit fails."""
_MOST_LEVELS = 20
_SHAPE = re.compile(r"(^|_)original_shape(2D)?_")
_SIZE = re.compile(r"(^|_)original_shape(2D_(PixelSurface|MeshSurface)|_(VoxelVolume|MeshVolume|Volume))$")
"""Shape features of pyradiomics, whatever a table writes before their names."""


def confounder_columns(table: FeatureTable, drawn: pd.DataFrame | None = None) -> pd.DataFrame:
    """What is known of the cases beside the lesion's inside, as columns ``confounder:PICTURE:NAME``.

    Parameters
    ----------
    table : FeatureTable
        Site, vendor and breast from its cases, age and density from its clinical values too, size and geometry
        from its shape features.
    drawn : DataFrame, optional
        Facts of the masks, such as the number of vertices, already named so, by case id.

    Returns
    -------
    DataFrame
        One row per case of the table; categories as columns of 0 and 1.
    """
    parts = [_shapes(table), _stated(table)]
    if drawn is not None:
        parts.append(drawn.reindex(table.values.index))
    joined = pd.concat(parts, axis=1)
    return joined.loc[:, ~joined.columns.duplicated()].astype(float)


def _shapes(table: FeatureTable) -> pd.DataFrame:
    found = {}
    for name in table.columns_of("radiomics"):
        _, picture, feature = ColumnName.parse(name)
        if _SIZE.search(feature):
            found[f"{FAMILY}:{picture}:volume={feature}"] = table.values[name]
        if _SHAPE.search(feature):
            found[f"{FAMILY}:{picture}:shape={feature}"] = table.values[name]
    return pd.DataFrame(found, index=table.values.index)


def _stated(table: FeatureTable) -> pd.DataFrame:
    known = {plain(name): name for names in PANELS.values() for name in names}
    found: dict[str, Any] = {}
    for column in table.columns_of("clinical"):
        base, equals, level = ColumnName.parse(column).feature.partition("=")
        if plain(base) in known:
            found[f"{FAMILY}:case:{known[plain(base)]}{equals}{level}"] = table.values[column]
    held = {ColumnName.parse(name).feature.partition("=")[0] for name in found}
    for label in table.cases:
        stated = known.get(plain(str(label)))
        if stated is not None and stated not in held:
            found |= _encoded(stated, table.cases[label].astype(str).str.strip())
    return pd.DataFrame(found, index=table.values.index)


def _encoded(name: str, values: pd.Series[str]) -> dict[str, Any]:
    """A column of numbers as it is; of words, one column of 0 and 1 per word, the most frequent ones."""
    filled = values[values != ""]
    numbers = pd.to_numeric(filled, errors="coerce")
    if len(filled) and numbers.notna().all():
        return {f"{FAMILY}:case:{name}": numbers.reindex(values.index)}
    levels = filled.value_counts().index[:_MOST_LEVELS]
    return {f"{FAMILY}:case:{name}={level}": (values == level).astype(float) for level in levels}


def columns_of_panel(columns: Sequence[str], panel: str) -> list[str]:
    """The columns that a panel may know.

    Examples
    --------
    >>> columns_of_panel(["confounder:case:site=A", "confounder:LE_CC:area_px"], "site")
    ['confounder:case:site=A']
    """
    return [name for name in columns if ColumnName.parse(name).feature.partition("=")[0] in PANELS[panel]]


def confounder_panel(
    plans: Sequence[tuple[Design, Split]], result: Result, known: pd.DataFrame, settings: EvaluationSettings
) -> pd.DataFrame:
    """Cross-validated AUC of every panel at every endpoint's main level, beside the best arm.

    Parameters
    ----------
    plans : sequence of (Design, Split)
        Of the endpoints that were evaluated, with the split that the arms were judged on.
    result : Result
        Of the same evaluation.
    known : DataFrame
        From :func:`confounder_columns`.
    settings : EvaluationSettings
        Names the learner.

    Returns
    -------
    DataFrame
        Columns ``CONFOUNDER_COLUMNS``.
    """
    rows = [row for design, split in plans for row in _endpoint(design, split, result, known, settings)]
    return pd.DataFrame(rows, columns=CONFOUNDER_COLUMNS)


def _endpoint(
    design: Design, split: Split, result: Result, known: pd.DataFrame, settings: EvaluationSettings
) -> Iterator[dict[str, Any]]:
    level = design.endpoint.target.level
    best = _best_arm(result, design.name, level)
    mine = result.predictions[(result.predictions["endpoint"] == design.name) & (result.predictions["arm"] == best)]
    reference = held_out(mine, level, design.severest.get(level), settings.scoring.aggregate)
    values = known.loc[list(design.rows.case_ids)]
    for panel in PANELS:
        names = columns_of_panel(list(values.columns), panel)
        names = [name for name in names if bool(varies(values[[name]].to_numpy(dtype=np.float64))[0])]
        key = {"endpoint": design.name, "level": level, "panel": panel, "n_columns": len(names), "arm": best}
        if not names:
            why = "not estimable: not known, or the same for all cases"
            nothing = Estimate(np.nan, np.nan, np.nan, why)
            yield _row(key, nothing, nothing, np.nan, reference)
            continue
        seed = seed_of(settings.seed, design.name, "confounder", panel)
        predictions = _predictions(design, split, values[names].to_numpy(dtype=np.float64), settings, seed)
        held = held_out(predictions, level, design.severest.get(level), settings.scoring.aggregate)
        chance_seed = seed_of(seed, "chance")
        chance = chance_auc(predictions, level, held, chance_seed, settings.scoring.aggregate).estimate
        yield _row(key, cv_auc(held), cv_auc_difference(reference, held), chance, reference)


def _best_arm(result: Result, endpoint: str, level: str) -> str:
    m = result.metrics
    of = m[(m["endpoint"] == endpoint) & (m["level"] == level) & (m["metric"] == "auc")].dropna(subset=["estimate"])
    if of.empty:  # of a split whose folds hold one class only: any arm stands for its cases
        return str(result.predictions.loc[result.predictions["endpoint"] == endpoint, "arm"].iloc[0])
    return str(of.sort_values("estimate", kind="stable")["arm"].iloc[-1])


def _predictions(
    design: Design, split: Split, x: np.ndarray[Any, Any], settings: EvaluationSettings, seed: int
) -> pd.DataFrame:
    """Held-out predictions of one panel, in the columns that scoring reads."""
    learner, y = settings.make_learner(), design.rows.y
    params = learner.candidates()[0]
    parts = []
    for repeat in range(split.n_repeats):
        for fold in range(split.n_folds):
            fit, held = split.sides(repeat, fold)
            use = np.flatnonzero(varies(x[fit]))
            margin = np.zeros(len(held))
            if len(use):
                model = learner.fit(x[np.ix_(fit, use)], y[fit], params, seed_of(seed, repeat, fold))
                margin = model.margin(x[np.ix_(held, use)])
            cases = design.cases.iloc[held]
            parts.append(
                pd.DataFrame(
                    {
                        "endpoint": design.name, "arm": FAMILY, "repeat": repeat, "fold": fold,
                        "case_id": cases.index.to_numpy(dtype=object),
                        "patient_id": cases["patient_id"].to_numpy(dtype=object),
                        "breast_id": cases["breast_id"].to_numpy(dtype=object),
                        "truth": y[held], "probability": probability(margin), "margin": margin, "threshold": 0.5,
                    }
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _row(
    key: dict[str, Any], found: Estimate, apart: Estimate | Paired, chance: float, reference: HeldOut
) -> dict[str, Any]:
    first = reference.repeat == reference.repeat.min()
    explains = bool(found.low > chance)
    return key | {
        "n": int(first.sum()), "n_positive": int(reference.truth[first].sum()),
        "auc": found.estimate, "low": found.low, "high": found.high, "method": found.method, "chance": chance,
        "difference": apart.estimate, "difference_low": apart.low, "difference_high": apart.high,
        "explains": explains, "text": _told(key, found, apart, explains),
    }  # fmt: skip


def _told(key: Mapping[str, Any], found: Estimate, apart: Estimate | Paired, explains: bool) -> str:
    title = TITLES[key["panel"]]
    if np.isnan(found.estimate):
        return f"{title}: {found.method.removeprefix('not estimable: ')}"
    figures = f"AUC {found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if not explains:
        return f"{title} alone is not shown to predict {key['endpoint']}: {figures}"
    beaten = "" if apart.low > 0 else f", and the arm {key['arm']} is not shown to be better"
    return f"{title} alone predicts {key['endpoint']}: {figures}; the result may be explained by it{beaten}"


def check_confounders(panel: pd.DataFrame) -> list[Check]:
    """The panel as rows of the audit: failed where what no biology explains predicts, else a finding."""
    rows = []
    for item in panel.to_dict("records"):
        artefact = item["panel"] in ARTEFACTS
        state: State = "finding" if not artefact else "failed" if item["explains"] else "passed"
        if np.isnan(item["auc"]):
            state = "not applicable"
        name, limit = f"confounder: {TITLES[item['panel']]}", item["chance"] if artefact else np.nan
        rows.append(Check(name, item["endpoint"], state, item["auc"], limit, item["text"]))
    return rows
