"""A small synthetic result for the tests of the report: 40 cases, 2 endpoints, 5 arms, consistent SHAP sums."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from cemrad.features.crop import Crop
from cemrad.features.failure import Failure, failures_frame
from cemrad.models.accounts import SHELF, interventional, permutation
from cemrad.models.accounts import interactions as account_interactions
from cemrad.models.clusters import cluster_table
from cemrad.models.further import further_tables
from cemrad.models.metrics import METRICS
from cemrad.models.ranking import selection_table
from cemrad.models.rates import PER_100
from cemrad.models.result import (
    ARM_FAMILIES,
    ARMS,
    CHOSEN_COLUMNS,
    DIFFERENCE_COLUMNS,
    EXCLUSION_COLUMNS,
    METRIC_COLUMNS,
    PREDICTION_COLUMNS,
    SHAP_BASE_COLUMNS,
    SHAP_COLUMNS,
    Result,
)
from cemrad.models.rows import rows_of
from cemrad.models.scoring import ScoringSettings
from cemrad.reports.picture_facts import PICTURE_COLUMNS
from PIL import Image as PillowImage

N_CASES, N_FOLDS = 40, 5
PICTURES = ("LE_CC", "RC_CC", "LE_MLO", "RC_MLO")
RADIOMICS = (
    "original_glcm_Contrast",
    "log-sigma-3-0-mm-3D_glcm_Contrast",
    "wavelet-HL_glszm_ZoneEntropy",
    "original_shape2D_Sphericity",
    "original_firstorder_90Percentile",
)
FEATURES = (
    *(f"radiomics:{picture}:{name}" for picture, name in product(PICTURES, RADIOMICS)),
    *(f"deep:{picture}:resnet50_{channel:04d}" for picture, channel in product(PICTURES, (7, 311, 1024))),
    "clinical:case:age",
    "clinical:case:family_history",
)
ENDPOINTS = {
    "malignancy": {"title": "Malignancy", "level": "lesion", "positive": "malignant"},
    "er": {"title": "ER status", "level": "lesion", "positive": "ER positive"},
}


_FURTHER: dict[tuple[int, float], dict[str, pd.DataFrame]] = {}


def make_result(seed: int = 0, *, signal: float = 0.7, phantom: bool = False, **changes: Any) -> Result:
    """A result with the given signal strength; `changes` replace fields as they are."""
    rng = np.random.default_rng(seed)
    cases = make_cases()
    truth = {"malignancy": rng.random(N_CASES) < 0.5, "er": rng.random(N_CASES) < 0.6}
    long: dict[str, list[pd.DataFrame]] = {"predictions": [], "shap": [], "shap_base": [], "chosen": []}
    for endpoint, arm in product(ENDPOINTS, ARMS):
        for name, frame in _one_arm(rng, cases, endpoint, arm, truth[endpoint], signal).items():
            long[name].append(frame)
    tables = {name: pd.concat(frames, ignore_index=True) for name, frames in long.items()}
    if (seed, signal) not in _FURTHER:  # a second of computing, the same for the same predictions
        scoring = ScoringSettings(n_bootstrap=100, subgroups=("vendor",), subgroup_patients=5)
        levels = {key: stated["level"] for key, stated in ENDPOINTS.items()}
        nothing = {key: {} for key in ENDPOINTS}
        _FURTHER[seed, signal] = further_tables(
            tables["predictions"], scoring, seed, nothing, levels, cases[["vendor"]]
        )
        _FURTHER[seed, signal] |= make_accounts(tables)
    metrics, differences = _estimates(rng, signal, {key: int(values.sum()) for key, values in truth.items()})
    fields: dict[str, Any] = {
        "name": "Phantom demo study",
        "phantom": phantom,
        **tables,
        "tables": {
            **_FURTHER[seed, signal], **_told_of_shap(tables), "pictures": make_pictures(cases),
        },
        "metrics": metrics,
        "differences": differences,
        "exclusions": pd.DataFrame(
            [("er", "c038", "label missing"), ("er", "c039", "label missing")], columns=EXCLUSION_COLUMNS
        ),
        "cases": cases,
        "clinical": pd.DataFrame({"age": rng.integers(35, 80, N_CASES).astype(float)}, index=cases.index),
        "failures": failures_frame(
            [
                Failure("c000", "radiomics", "mask.too_small", "the mask has 40 px", "LE_MLO"),
                *(Failure(f"c{i:03d}", "cohort", "picture.absent", "this view was not taken", "RC_MLO", "skipped")
                  for i in (3, 4, 5)),
            ]
        ),
        "endpoints": {
            key: stated | {"n": N_CASES, "n_positive": int(truth[key].sum()), "n_patients": 30}
            for key, stated in ENDPOINTS.items()
        },
        "folds": {key: {"sha256": f"{seed:064x}", "n_folds": N_FOLDS, "n_repeats": 1} for key in ENDPOINTS},
        "cohort": {
            "name": "synthetic",
            "counts": {"images": 157, "patients": 30},
            "notes": [{"code": "label.disagreement", "text": "LE and RC disagree; the most severe won.", "count": 2}],
        },
        "crops": {case_id: make_crops(rng) for case_id in cases.index if case_id != "c007"},
        "provenance": {
            "seed": seed,
            "versions": {"cemrad": "0.1.0", "xgboost": "3.2.0"},
            "extraction": {"families": {"deep": {"network": "resnet50", "weights": {"source": "random"}}}},
        },
    }  # fmt: skip
    return Result(**(fields | changes))


def make_cases() -> pd.DataFrame:
    ids = [f"c{i:03d}" for i in range(N_CASES)]
    patients = [f"P{i % 30:02d}" for i in range(N_CASES)]
    sides = ["L" if i % 2 else "R" for i in range(N_CASES)]
    return pd.DataFrame(
        {
            "patient_id": patients,
            "laterality": sides,
            "lesion_id": ["1"] * N_CASES,
            "breast_id": [f"{patient}|{side}" for patient, side in zip(patients, sides, strict=True)],
            "vendor": ["A" if i % 3 else "B" for i in range(N_CASES)],
        },
        index=pd.Index(ids, dtype=object),
        dtype=object,
    )


def make_accounts(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Accounts of every case by its fused model; every fifth case is far from the training cases."""
    rows: dict[str, list[tuple[Any, ...]]] = {"calibrated": [], "likeness": [], "neighbours": [], "counterfactuals": []}
    said = tables["predictions"][tables["predictions"]["arm"] == "fused"].reset_index(drop=True)
    names = [name for name in FEATURES if not name.startswith("clinical")]
    for at, row in said.iterrows():
        key, p = (row["endpoint"], "fused", row["repeat"], row["fold"], row["case_id"]), row["probability"]
        rows["calibrated"].append((*key, 0.9 * p, 0.9 * p + 0.1, 0.9 * p + 0.05, 32))
        distance, called = (9.5, "far") if at % 5 == 0 else (4.0, "")
        least = [(1, names[at % 30], 3.1, 4.2), (2, names[(at + 7) % 30], float("nan"), 0.0)]
        rows["likeness"] += [(*key, distance, 6.0, 8.0, called, *one) for one in least]
        others = said[(said["endpoint"] == row["endpoint"]) & (said["patient_id"] != row["patient_id"])].iloc[:5]
        near = zip(others["case_id"], others["truth"], others["probability"], strict=True)
        rows["neighbours"] += [
            (*key, rank, who, 0.8 + 0.1 * rank, 0.7, *what) for rank, (who, *what) in enumerate(near, 1)
        ]
        to = 0.4 if p >= 0.47 else 0.5
        sets = [(0, 0, "", *[float("nan")] * 3, p)] if at % 4 == 0 else [(1, 1, names[at % 30], 50.0, 42.5, -0.4, to)]
        rows["counterfactuals"] += [(*key, *one, 0.47) for one in sets]
    return {name: pd.DataFrame(made, columns=SHELF.take(name).COLUMNS) for name, made in rows.items()}


def make_pictures(cases: pd.DataFrame) -> pd.DataFrame:
    """What came with each picture: a drawn mask on those of the second view, a grey square as the whole picture."""
    file = BytesIO()
    PillowImage.new("L", (60, 80), 90).save(file, format="JPEG")
    jpeg = b64encode(file.getvalue()).decode()
    walls = {"L": "left", "R": "right"}
    return pd.DataFrame([
        (case_id, picture, walls[side], 2000, 1500, *mask, jpeg, 60, 80, 10.0, 20.0, 30.0, 50.0)
        for case_id, side in cases["laterality"].items()
        for picture in PICTURES
        for mask in [("automatic", "unet", "a1b2", "RC", 0.91, "yes" if picture == "LE_MLO" else "no", "low contrast")
                     if "MLO" in picture else ("manual", "", "", "", float("nan"), "", "")]
    ], columns=PICTURE_COLUMNS)  # fmt: skip


def make_crops(rng: np.random.Generator, side_px: int = 96) -> dict[str, Crop]:
    """One lobed bright blob per picture on smooth noise, the mask around it."""
    crops = {}
    for i, picture in enumerate(PICTURES):
        side = side_px - 12 * (i % 2)
        rows, columns = np.mgrid[0:side, 0:side] - side / 2
        angle, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
        edge = side / 4 * (1 + 0.12 * np.sin(5 * angle + rng.uniform(0, 6)) + 0.1 * np.sin(2 * angle))
        waves = [
            np.sin(rows / rng.uniform(2, 14) + columns / rng.uniform(2, 14) + rng.uniform(0, 6)) for _ in range(12)
        ]
        lesion = 1 / (1 + np.exp((radius - edge) / 2))
        pixels = 1500 + 30 * sum(waves) + 600 * lesion + rng.normal(0, 20, (side, side))
        crops[picture] = Crop(pixels.astype(np.float32), radius < edge, 10, 10)
    return crops


def _one_arm(
    rng: np.random.Generator, cases: pd.DataFrame, endpoint: str, arm: str, truth: np.ndarray, signal: float
) -> dict[str, pd.DataFrame]:
    names = [name for name in FEATURES if name.split(":")[0] in ARM_FAMILIES[arm]]
    weights = rng.dirichlet(np.full(len(names), 0.4))
    predictions, shap, base, chosen = [], [], [], []
    for i, case_id in enumerate(cases.index):
        fold = i % N_FOLDS
        used = [name for j, name in enumerate(names) if (j + fold) % 6 or len(names) < 6]
        start = float(rng.normal(0, 0.05))
        moves = {n: float(weights[names.index(n)] * (signal * (2 * truth[i] - 1) + rng.normal(0, 1.6))) for n in used}
        margin = start + sum(moves.values())
        who = cases.loc[case_id]
        probability = 1 / (1 + np.exp(-margin))
        predictions.append(
            (
                endpoint,
                arm,
                0,
                fold,
                case_id,
                who["patient_id"],
                who["breast_id"],
                int(truth[i]),
                probability,
                margin,
                0.47,
                0.3,
                0.2,
            )
        )
        base.append((endpoint, arm, 0, fold, case_id, start, margin))
        shap += [(endpoint, arm, 0, fold, case_id, name, rng.normal(50, 20), move) for name, move in moves.items()]
        if i < N_FOLDS:
            chosen += [(endpoint, arm, 0, fold, name, float(weights[names.index(name)])) for name in used]
    return {
        "predictions": pd.DataFrame(predictions, columns=PREDICTION_COLUMNS),
        "shap": pd.DataFrame(shap, columns=SHAP_COLUMNS),
        "shap_base": pd.DataFrame(base, columns=SHAP_BASE_COLUMNS),
        "chosen": pd.DataFrame(chosen, columns=CHOSEN_COLUMNS),
    }


def _told_of_shap(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What is told of the fused arm beyond its SHAP values: accounts of each fold, clusters, steadiness."""
    rng = np.random.default_rng(11)
    keys = ["endpoint", "arm", "repeat", "fold"]
    strength = tables["shap"].query("arm == 'fused'").assign(size=lambda rows: rows["shap"].abs())
    strength = strength.groupby([*keys, "feature"], as_index=False)["size"].mean()
    size = strength["size"]
    noise = rng.normal(1, 0.3, len(size))
    values = pd.DataFrame(rng.normal(size=(N_CASES, len(FEATURES))), columns=FEATURES)
    values[FEATURES[4]] = values[FEATURES[3]] + 0.1 * values[FEATURES[4]]
    values["radiomics:LE_CC:original_shape2D_Elongation"] = values[FEATURES[3]]
    pairs = strength.assign(other=strength.groupby(keys)["feature"].shift()).dropna()
    interactions = [
        strength.assign(kind="main", one=strength["feature"], other=strength["feature"], strength=size),
        pairs.assign(kind="pair", one=pairs["feature"], strength=0.2 * pairs["size"]),
    ]
    shared = {"n_pairs": 1, "n_cases": N_CASES // N_FOLDS}
    return {
        "permutation": strength.assign(loss=0.6, permuted=0.6 + 0.1 * size * noise)[permutation.COLUMNS],
        "interventional": strength.assign(
            path_dependent=size, interventional=size * noise, difference=0.1, n_cases=8, n_background=32
        )[interventional.COLUMNS],
        "interactions": pd.concat(interactions, ignore_index=True).assign(**shared)[account_interactions.COLUMNS],
        "clusters": cluster_table(values, tables["chosen"], dict.fromkeys(ENDPOINTS, "fused")),
        "selection": selection_table(
            tables["chosen"], [(key, rows_of(values, np.zeros(N_CASES, dtype=int), ())) for key in ENDPOINTS]
        ),
    }


def _estimates(
    rng: np.random.Generator, signal: float, n_positive: dict[str, int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plausible figures that follow the signal; the report reads them, it does not judge them."""
    metrics, differences = [], []
    centre = 0.5 + 0.2 * np.tanh(signal)
    for endpoint, level in product(ENDPOINTS, ("lesion", "breast", "patient")):
        n = {"lesion": 40, "breast": 36, "patient": 30}[level]
        for arm, metric in product(ARMS, METRICS):
            estimate = centre + (0.04 if arm == "fused" else 0) + rng.uniform(-0.02, 0.02)
            method = "DeLong, clustered by patient" if metric == "auc" else "bootstrap of patients, 1000 draws"
            times = 100 if metric.split("_at_")[0] in PER_100 else 1
            row = (times * estimate, times * (estimate - 0.09), times * (estimate + 0.08), method)
            if (endpoint, level, metric) == ("er", "patient", "sensitivity"):
                row = (float("nan"), float("nan"), float("nan"), "not estimable: no positive patient")
            metrics.append((endpoint, level, arm, metric, *row, n, min(n - 1, n_positive[endpoint])))
        for arm, reference in (("fused", "radiomics"), ("fused", "deep"), ("fused+clinical", "fused")):
            gain = rng.uniform(0.05, 0.07) if signal and endpoint == "malignancy" else rng.uniform(-0.01, 0.01)
            differences.append(
                (
                    endpoint,
                    level,
                    arm,
                    reference,
                    "auc",
                    gain,
                    gain - 0.04,
                    gain + 0.04,
                    0.012,
                    0.036,
                    "paired bootstrap",
                )
            )
    return pd.DataFrame(metrics, columns=METRIC_COLUMNS), pd.DataFrame(differences, columns=DIFFERENCE_COLUMNS)
