"""Masks compared: how well arms of masks overlap the manual ones, which lesions they find, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..features.overlap import FALSE_POSITIVES, Detections, froc, sensitivity_at
from .folds import Ints, seed_of
from .heldout import LEVEL, MIN_PERSONS, Paired, no_estimate
from .intervals import bootstrap_weights, cv_auc_difference
from .metrics import Array, holm, weighted_mean
from .replicates import KEYS, ORIGINAL, STABILITY_COLUMNS, Replicates, stability_table
from .result import Result
from .scoring import Severest
from .units import Aggregate, held_out

MANUAL = "manual"
"""The arm of masks that the others are compared with."""
OVERLAP_COLUMNS = [
    "masks", "case_id", "patient_id", "n_cases", "picture", "image_type", "view", "state", "code", "reason",
    "dice", "iou", "hd95_px", "assd_px", "reference_px", "found_px", "seen",
]  # fmt: skip
"""One row per arm and picture; ``n_cases`` lesions share it, of which the first is named. ``state``: ``ok``, ``none``
(no lesion was found), ``missing`` (no mask), ``failed`` (one that cannot be read), ``no_reference`` (no manual mask to
compare with). ``seen``: the drawer had learned from the patient."""
SUMMARY_COLUMNS = [
    "masks",
    "image_type",
    "view",
    "metric",
    "counted",
    "n",
    "n_patients",
    "mean",
    "median",
    "low",
    "high",
]
"""``view`` is empty for all views together. ``counted``: ``all`` pictures with a manual mask, where one without a mask
has a Dice and an IoU of 0, or those that were ``drawn``."""
FROC_COLUMNS = [
    "masks", "image_type", "point", "threshold", "false_positives", "sensitivity", "low", "high",
    "n_lesions", "n_pictures", "n_patients",
]  # fmt: skip
"""``point``: ``curve``, ``stated`` (at given false positives per image) or ``operating`` (what was accepted)."""
ENDPOINT_COLUMNS = [
    "masks", "endpoint", "level", "arm", "auc", "low", "high", "method", "n", "n_positive",
    "difference", "difference_low", "difference_high", "p", "p_holm", "difference_method",
]  # fmt: skip
AGREEMENT_COLUMNS = ["masks", *STABILITY_COLUMNS]
OVERLAP_METRICS = ("dice", "iou", "hd95_px", "assd_px")
N_DRAWS = 1000
_SHARES = ("dice", "iou")


@dataclass(frozen=True, eq=False)
class FoundLesions:
    """What was found in one picture, by every candidate and by those that were accepted."""

    patient_id: str
    image_type: str
    candidates: Detections
    accepted: Detections


def summarise_overlap(overlaps: pd.DataFrame, seed: int, n_draws: int = N_DRAWS) -> pd.DataFrame:
    """Mean and median of each metric by arm, image type and view.

    Intervals are those of the mean: percentiles of a bootstrap of patients; none below three patients.

    Parameters
    ----------
    overlaps : DataFrame
        Columns ``OVERLAP_COLUMNS``.
    seed : int
    n_draws : int

    Returns
    -------
    DataFrame
        Columns ``SUMMARY_COLUMNS``.
    """
    judged = overlaps[overlaps["state"] != "no_reference"]
    rows = [
        {"masks": masks, "image_type": image_type, "view": view} | row
        for (masks, image_type), of in judged.groupby(["masks", "image_type"], sort=False)
        for view in ["", *(name for name in dict.fromkeys(of["view"]) if name)]
        for row in _summary(of if view == "" else of[of["view"] == view], seed, n_draws)
    ]
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _summary(overlaps: pd.DataFrame, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    drawn = overlaps[overlaps["state"] == "ok"]
    for metric in OVERLAP_METRICS:
        for counted, of in (("all", overlaps), ("drawn", drawn)):
            if counted == "all" and metric not in _SHARES:
                continue
            values = of[metric].to_numpy(dtype=np.float64)
            person = _numbered(of["patient_id"])
            low, high = np.nan, np.nan
            if len(values) and person.max() + 1 >= MIN_PERSONS:
                means = weighted_mean(values, bootstrap_weights(person, n_draws, seed))
                low, high = _percentiles(means)
            yield {
                "metric": metric, "counted": counted, "n": len(values), "n_patients": len(set(person.tolist())),
                "mean": float(values.mean()) if len(values) else np.nan,
                "median": float(np.median(values)) if len(values) else np.nan,
                "low": low, "high": high,
            }  # fmt: skip


def tell_lesions(masks: str, found: Sequence[FoundLesions], seed: int, n_draws: int = N_DRAWS) -> pd.DataFrame:
    """Lesion sensitivity of one arm by false positives per image, for each image type.

    Parameters
    ----------
    masks : str
        The arm's name.
    found : sequence of FoundLesions
        One per picture.
    seed : int
    n_draws : int
        Of a bootstrap of patients, for the stated points and the operating point.

    Returns
    -------
    DataFrame
        Columns ``FROC_COLUMNS``.
    """
    rows = [
        {"masks": masks, "image_type": image_type} | row
        for image_type in dict.fromkeys(part.image_type for part in found)
        for row in _lesions([part for part in found if part.image_type == image_type], seed, n_draws)
    ]
    return pd.DataFrame(rows, columns=FROC_COLUMNS)


def _lesions(found: Sequence[FoundLesions], seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    person = _numbered(pd.Series([part.patient_id for part in found]))
    counts = {
        "n_lesions": sum(len(part.candidates.found_at) for part in found),
        "n_pictures": len(found),
        "n_patients": int(person.max()) + 1,
    }
    candidates, accepted = ([getattr(part, name) for part in found] for name in ("candidates", "accepted"))
    weights = bootstrap_weights(person, n_draws, seed) if counts["n_patients"] >= MIN_PERSONS else np.zeros((0, 0))
    thresholds, rates, sensitivities = froc(candidates)
    for at, rate, share in zip(thresholds[1:], rates[1:], sensitivities[1:], strict=True):
        yield _point("curve", float(at), float(rate), float(share)) | counts
    drawn = np.array([sensitivity_at(candidates, weights=row) for row in weights])
    for k, share in enumerate(sensitivity_at(candidates)):
        ends = _percentiles(drawn[:, k]) if len(drawn) else (np.nan, np.nan)
        yield _point("stated", np.nan, FALSE_POSITIVES[k], float(share), *ends) | counts
    _, rates, sensitivities = froc(accepted)
    last = np.array([froc(accepted, weights=row)[2][-1] for row in weights])
    ends = _percentiles(last) if len(last) else (np.nan, np.nan)
    yield _point("operating", np.nan, float(rates[-1]), float(sensitivities[-1]), *ends) | counts


def _point(
    point: str, threshold: float, rate: float, share: float, low: float = np.nan, high: float = np.nan
) -> dict[str, Any]:
    return {
        "point": point, "threshold": threshold, "false_positives": rate, "sensitivity": share, "low": low, "high": high,
    }  # fmt: skip


def compare_endpoints(
    results: Mapping[str, Result],
    refused: Mapping[str, str],
    severest: Mapping[str, Severest],
    aggregate: Aggregate,
) -> pd.DataFrame:
    """AUC of every arm of masks and of features, and its paired difference to the manual masks.

    Pairs are the same cases in the same folds; Holm's p-values are over all comparisons of an endpoint and level.

    Parameters
    ----------
    results : mapping of str to Result
        By arm of masks; :data:`MANUAL` is there.
    refused : mapping of str to str
        Arms of masks that could not be evaluated, with the reason.
    severest : mapping of str to mapping
        Per endpoint, the truth of breasts and patients, as :func:`~cemrad.models.scoring.score` takes it.
    aggregate : {"max", "mean", "vote"}
        As the metrics were made with.

    Returns
    -------
    DataFrame
        Columns ``ENDPOINT_COLUMNS``; a number that cannot be had is NaN and its method says why.
    """
    manual = results[MANUAL]
    rows: list[dict[str, Any]] = []
    for (endpoint, level), of in manual.metrics[manual.metrics["metric"] == "auc"].groupby(
        ["endpoint", "level"], sort=False
    ):
        key = {"endpoint": str(endpoint), "level": str(level)}
        paired = {
            (masks, arm): _difference(result, manual, arm, key, severest, aggregate)
            for masks, result in results.items()
            if masks != MANUAL
            for arm in of["arm"]
        }
        adjusted = dict(zip(paired, holm(np.array([item.p for item in paired.values()])), strict=True))
        for masks in results:
            for arm in of["arm"]:
                pair = paired.get((masks, arm), Paired(*no_estimate("these are the manual masks"), np.nan))
                rows.append(
                    {"masks": masks, "arm": arm}
                    | key
                    | _auc_of(results[masks], arm, key)
                    | _told(pair, float(adjusted.get((masks, arm), np.nan)))
                )
        nothing = _auc_told(*no_estimate(""), 0, 0)
        for masks, why in refused.items():
            pair = Paired(*no_estimate(why), np.nan)
            method = {"method": pair.method}
            rows += [{"masks": masks, "arm": arm} | key | nothing | method | _told(pair, np.nan) for arm in of["arm"]]
    return pd.DataFrame(rows, columns=ENDPOINT_COLUMNS)


def _auc_of(result: Result, arm: str, key: Mapping[str, str]) -> dict[str, Any]:
    rows = result.metrics
    mine = rows[
        (rows["metric"] == "auc")
        & (rows["arm"] == arm)
        & (rows["endpoint"] == key["endpoint"])
        & (rows["level"] == key["level"])
    ]
    if mine.empty:
        return _auc_told(*no_estimate("the arm was not evaluated with these masks"), 0, 0)
    row = mine.iloc[0]
    return _auc_told(*(row[name] for name in ("estimate", "low", "high", "method", "n", "n_positive")))


def _auc_told(auc: float, low: float, high: float, method: str, n: int, n_positive: int) -> dict[str, Any]:
    return {"auc": auc, "low": low, "high": high, "method": method, "n": int(n), "n_positive": int(n_positive)}


def _told(pair: Paired, p_holm: float) -> dict[str, Any]:
    return {
        "difference": pair.estimate, "difference_low": pair.low, "difference_high": pair.high,
        "p": pair.p, "p_holm": p_holm, "difference_method": pair.method,
    }  # fmt: skip


def _difference(
    result: Result,
    manual: Result,
    arm: str,
    key: Mapping[str, str],
    severest: Mapping[str, Severest],
    aggregate: Aggregate,
) -> Paired:
    endpoint, level = key["endpoint"], key["level"]
    if result.folds.get(endpoint, {}).get("sha256") != manual.folds.get(endpoint, {}).get("sha256"):
        return Paired(*no_estimate("the folds are not those of the manual masks"), np.nan)
    parts = [
        one.predictions[(one.predictions["endpoint"] == endpoint) & (one.predictions["arm"] == arm)]
        for one in (result, manual)
    ]
    if any(part.empty for part in parts):
        return Paired(*no_estimate("the arm was not evaluated with both masks"), np.nan)
    truth = severest[endpoint].get(level)
    return cv_auc_difference(*(held_out(part, level, truth, aggregate) for part in parts))


def compare_features(masks: str, manual: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """ICC(2,1) of each feature between the manual masks and another arm's, over the cases that have it from both.

    Parameters
    ----------
    masks : str
        The other arm's name.
    manual, other : DataFrame
        Feature values, index ``case_id``.

    Returns
    -------
    DataFrame
        Columns ``AGREEMENT_COLUMNS``; :func:`~cemrad.models.replicates.shares_stable` counts them by class.
    """
    columns = [name for name in manual.columns if name in other.columns]
    parts = [
        frame[columns].reset_index(drop=True).assign(case_id=frame.index.astype(str), replicate=name)
        for name, frame in ((ORIGINAL, manual), (masks, other))
    ]
    found = stability_table(Replicates.of(pd.concat(parts, ignore_index=True)[[*KEYS, *columns]]))
    return found.assign(masks=masks)[AGREEMENT_COLUMNS]


def draw_seed(seed: int) -> int:
    """The seed of the bootstraps; the same for all arms of masks, so that they share the draws."""
    return seed_of(seed, "masks")


def _numbered(patients: pd.Series[Any]) -> Ints:
    return np.unique(patients.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


def _percentiles(draws: Array) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.percentile(known, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return float(low), float(high)
