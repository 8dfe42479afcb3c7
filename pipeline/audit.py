"""The audit of a run: the checks of its folds, its confounders, and its pictures with shuffled voxels."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.table import ColumnName, FeatureTable
from ..features.training_ids import KEY
from ..features.whole import write_whole
from ..models.audit import Check
from ..models.audit_study import QUICK, THOROUGH, audit_endpoints, audit_frame, audit_result, lay_out_again
from ..models.confounders import confounder_columns
from ..models.design import Design
from ..models.evaluate import evaluate
from ..models.folds import Split
from ..models.intervals import cv_auc, cv_auc_difference
from ..models.result import Result
from ..models.units import held_out
from .cohort import Cohort
from .drawing import drawing_columns
from .duplicates import mask_training
from .extract import extract
from .means import Means
from .shuffled import shuffle_cohort
from .study import Study

LOG = logging.getLogger("cemrad")
AUDIT_FILE = "audit.json"
MOST_CASES_QUICK = 20
"""Cases whose voxels a quick audit shuffles; it compares features and leaves the AUC to a thorough one."""
SAME = 1e-12
"""Relative difference up to which a first-order feature is unchanged: the order of a sum."""


@dataclass(frozen=True, eq=False)
class Audited:
    """What an audit looks at: a study with its cohort, labels, features and result."""

    study: Study
    cohort: Cohort
    labels: pd.DataFrame
    table: FeatureTable
    result: Result
    replicates: pd.DataFrame | None = None

    def plans(self) -> list[tuple[Design, Split]]:
        """The cases and the split of every endpoint."""
        study = self.study
        return lay_out_again(self.table, self.labels, study.endpoints, study.evaluation, self.result, self.replicates)


def audit_lightly(of: Audited) -> dict[str, pd.DataFrame]:
    """The checks that every evaluation makes: one fold with garbage, copies, confounders.

    Returns
    -------
    dict of str to DataFrame
        ``audit`` and ``confounders``, for a result's further tables.
    """
    known = confounder_columns(of.table, drawing_columns(of.cohort, of.study.features.mask_rules))
    plans = of.plans()
    found = audit_result(of.table, plans, of.study.evaluation, known, of.result)
    if rows := unseen_masks(of):
        found |= {"audit": pd.concat([audit_frame(rows), found["audit"]], ignore_index=True)}
    _tell(found["audit"])
    return found


def audit(of: Audited, *, thorough: bool = False) -> dict[str, pd.DataFrame]:
    """Every check, with the repetitions of :data:`~cemrad.models.audit_study.QUICK` or ``THOROUGH``.

    Parameters
    ----------
    of : Audited
    thorough : bool
        More repetitions, and every case with shuffled voxels.

    Returns
    -------
    dict of str to DataFrame
        As :func:`audit_lightly`.
    """
    settings, depth = of.study.evaluation, THOROUGH if thorough else QUICK
    known = confounder_columns(of.table, drawing_columns(of.cohort, of.study.features.mask_rules, read=True))
    plans = of.plans()
    rows = audit_endpoints(plans, settings, of.result, depth, jobs=of.study.jobs)
    rows += unseen_masks(of) + shuffled_voxels(of, thorough=thorough)
    light = audit_result(of.table, plans, settings, known, of.result, garbage=False)
    found = light | {"audit": pd.concat([audit_frame(rows), light["audit"]], ignore_index=True)}
    _tell(found["audit"])
    return found


def unseen_masks(of: Audited) -> list[Check]:
    """Whether every mask that a trained model drew is of a person whom it had not seen; no row without such masks.

    Looked up again from the masks themselves, by ids and pictures, whatever the feature table states.
    """
    cases = [case for case in of.cohort.cases if case.case_id in of.table.cases.index]
    records = mask_training(cases, of.table.cases)
    if not records:
        return []
    n_masks = sum(record["n_masks"] for record in records)
    n_seen = sum(record["n_masks"] for record in records if not record[KEY]["out_of_fold"])
    text = f"{n_masks} masks by {len(records)} trained models: "
    text += (
        f"{n_seen} of them by models that had seen persons whom they drew" if n_seen else "none had seen her patient"
    )
    return [Check("automatic masks", "", "failed" if n_seen else "passed", float(n_seen), 0.0, text)]


def shuffled_voxels(of: Audited, *, thorough: bool) -> list[Check]:
    """Radiomics of the same cases with the voxels inside the masks shuffled (T7; Welch et al. 2019)."""
    name, families = "shuffled voxels", of.study.features.families
    drawn = [case for case in of.cohort.cases if any(picture.mask is not None for picture in case.pictures.values())]
    if of.cohort.table is not None or not drawn or "radiomics" not in families:
        why = "there are no pictures with masks, or no radiomics of them, to extract again"
        return [Check(name, "", "not applicable", np.nan, np.nan, why)]
    cases = tuple(drawn if thorough else drawn[:MOST_CASES_QUICK])
    cohort = shuffle_cohort(replace(of.cohort, cases=cases), of.study.features.mask_rules, of.study.evaluation.seed)
    settings = of.study.features.model_copy(update={"families": {"radiomics": families["radiomics"]}})
    table = extract(cohort, settings, Means(of.study.jobs, of.study.limits))
    rows = [_compare(of.table.values, table.values)]
    return rows + (_predicted(of, table) if thorough else [])


def _compare(real: pd.DataFrame, shuffled: pd.DataFrame) -> Check:
    """First-order features of the original image must be the same, and texture another."""
    columns = {name: ColumnName.parse(name).feature for name in shuffled.columns if name.startswith("radiomics:")}
    columns = {name: feature for name, feature in columns.items() if name in real and ":LERC" not in name}
    kinds = {
        kind: [name for name, feature in columns.items() if feature.startswith(f"original_{kind}")]
        for kind in ("firstorder", "gl")
    }
    moved = {}
    for kind, names in kinds.items():
        then, now = (frame.loc[shuffled.index, names].to_numpy(dtype=np.float64) for frame in (real, shuffled))
        apart = np.abs(now - then) / np.maximum(1.0, np.abs(then))
        moved[kind] = apart[~np.isnan(apart)]
    if not moved["firstorder"].size or not moved["gl"].size:
        why = "the study measures no first-order or no texture features of the original image"
        return Check("shuffled voxels", "", "not applicable", np.nan, np.nan, why)
    same, texture = float(moved["firstorder"].max()), float((moved["gl"] > SAME).mean())
    passed = same <= SAME and texture > 0.5
    text = (
        f"{len(shuffled)} cases extracted again: first-order features move by at most {same:.1g} (at most {SAME:g}), "
        f"{texture:.0%} of the texture values change"
    )
    return Check("shuffled voxels", "", "passed" if passed else "failed", same, SAME, text)


def _predicted(of: Audited, table: FeatureTable) -> list[Check]:
    """How well radiomics predict on the very same split once the arrangement of the voxels is gone."""
    arm = "radiomics"
    if arm not in set(of.result.predictions["arm"]):
        return []
    # Replicates are of the real pictures: they say nothing about shuffled ones.
    settings = of.study.evaluation.model_copy(update={"arms": (arm,), "stability": None, "explain_arm": None})
    plans = of.plans()
    judged = {case_id for design, _ in plans for case_id in design.rows.case_ids}
    case_ids = [case_id for case_id in table.values.index if case_id in judged]
    found = evaluate(table.take(case_ids), of.labels, of.study.endpoints, settings, jobs=of.study.jobs)
    rows = []
    for design, split in plans:
        if found.folds.get(design.name, {}).get("sha256") != split.sha256:
            why = "the shuffled pictures could not be used for the same cases as the real ones"
            rows.append(Check("shuffled voxels: AUC", design.name, "not applicable", np.nan, np.nan, why))
            continue
        level = design.endpoint.target.level
        severest = design.severest.get(level)
        parts = [
            held_out(_of(one.predictions, design.name, arm), level, severest, of.study.evaluation.scoring.aggregate)
            for one in (of.result, found)
        ]
        real, shuffled, apart = cv_auc(parts[0]), cv_auc(parts[1]), cv_auc_difference(*parts)
        rows.append(Check("shuffled voxels: AUC", design.name, "finding", shuffled.estimate, np.nan,
                          _predicted_words(real.estimate, shuffled.estimate, apart)))  # fmt: skip
    return rows


def _of(predictions: pd.DataFrame, endpoint: str, arm: str) -> pd.DataFrame:
    return predictions[(predictions["endpoint"] == endpoint) & (predictions["arm"] == arm)]


def _predicted_words(real: float, shuffled: float, apart: Any) -> str:
    text = (
        f"radiomics AUC {real:.2f}, with shuffled voxels {shuffled:.2f}; "
        f"difference {apart.estimate:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]"
    )
    if not apart.low > 0:
        return f"{text}: no texture is shown to be needed, size and grey values may carry the result"
    return text


def write_audit(folder: Path, tables: dict[str, pd.DataFrame], *, thorough: bool) -> Path:
    """Write ``audit.json``: the repetitions, the checks and the confounder panel; null where there is no number."""
    values = {
        "depth": (THOROUGH if thorough else QUICK)._asdict(),
        **{name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in tables.items()},
    }
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    write_whole(folder, {AUDIT_FILE: lambda path: path.write_text(text, encoding="utf-8")})
    return folder / AUDIT_FILE


def _tell(checks: pd.DataFrame) -> None:
    failed = checks[checks["state"] == "failed"]
    for row in failed.to_dict("records"):
        where = f", {row['endpoint']}" if row["endpoint"] else ""
        LOG.warning("audit: %s%s failed: %s", row["check"], where, row["text"])
