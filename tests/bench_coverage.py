"""How often each interval covers its target, over many simulated cohorts: the figures of docs/intervals.md.

``python tests/bench_coverage.py --runs 300`` measures all of it; ``--patients``, ``--effect``, ``--repeats`` and
``--level`` choose the cohorts, ``--jobs`` the processes. The name is not coverage.py, as numba imports a module
of that name where it finds one.
"""

import argparse
import itertools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from cemrad.models.calibration import METRICS as CALIBRATION
from cemrad.models.calibration import calibrate
from cemrad.models.folds import seed_of, split
from cemrad.models.fusion import FusionSettings, fit_arms
from cemrad.models.heldout import Estimate
from cemrad.models.intervals import (
    STATISTICS,
    bootstrap_weights,
    cv_auc,
    cv_auc_difference,
    cv_rate,
    cv_statistic,
    heldout_auc,
)
from cemrad.models.learner import probability
from cemrad.models.metrics import THRESHOLDS
from cemrad.models.rates import RATES, cv_ratios
from cemrad.models.reclassification import reclassify
from cemrad.models.rows import Rows
from cemrad.models.units import held_out

SMALL = FusionSettings(
    n_candidates=1,
    selector_settings={"n_features": 10},
    learner_settings={"max_depth": [2], "n_rounds": [40], "max_bin": 32},
)
ARMS = ("radiomics", "fused")
N_DRAWS = 300


def targets(effect, level):
    """Those that are known: without a signal no arm beats another, and lesions are ranked by chance."""
    if effect:
        return {}
    return {"difference": 0.0} | ({"auc": 0.5, "auc, DeLong on pooled": 0.5} if level == "lesion" else {})


def cohort(n_patients, effect, seed):
    """One to three lesions per patient, alike within her in features and in label."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
    x = np.sqrt(0.5) * (rng.normal(size=(n_patients, 40))[person] + rng.normal(size=(len(person), 40)))
    line = effect * x[:, [0, 1, 20, 21]].sum(axis=1) + rng.normal(size=n_patients)[person] - 0.2
    y = (rng.random(len(person)) < 1 / (1 + np.exp(-line))).astype(np.int64)
    columns = tuple(f"{family}:IMG:f{i}" for family in ("radiomics", "deep") for i in range(20))
    return Rows(x, y, tuple(f"c{i}" for i in range(len(person))), tuple(f"p{i:04d}" for i in person), columns)


def cross_validate(n_patients, effect, seed, repeats=1):
    """Predictions of both arms as an evaluation makes them, one frame per arm."""
    rows = cohort(n_patients, effect, seed)
    made = split(rows.case_ids, rows.persons, rows.y, n_folds=5, n_repeats=repeats, seed=seed)
    parts = {arm: [] for arm in ARMS}
    for repeat, fold in itertools.product(range(repeats), range(5)):
        fit, at = made.sides(repeat, fold)
        held = rows.take(at)
        fitted, _ = fit_arms(rows.take(fit), ARMS, SMALL, seed_of(seed, repeat, fold))
        for arm, model in fitted.items():
            frame = {
                "repeat": repeat, "fold": fold, "case_id": held.case_ids, "patient_id": held.persons,
                "breast_id": held.persons, "truth": held.y, "probability": probability(model.held_out_margin(held)),
                "threshold": model.threshold,
            }  # fmt: skip
            cuts = {f"threshold_{name}": model.thresholds[name] for name in THRESHOLDS}
            parts[arm].append(pd.DataFrame(frame | cuts))
    return {arm: pd.concat(frames, ignore_index=True) for arm, frames in parts.items()}


def estimates(seed, *, n_patients, effect, repeats, level):
    """Every interval of one cohort, by name."""
    frames = cross_validate(n_patients, effect, seed, repeats)
    held = {arm: held_out(frame, level) for arm, frame in frames.items()}
    fused, other = held["fused"], held["radiomics"]
    weights = bootstrap_weights(fused.person, N_DRAWS, seed)
    found = {
        "auc": cv_auc(fused),
        "auc, DeLong on pooled": heldout_auc(fused.truth, fused.probability),
        "difference": Estimate(*cv_auc_difference(fused, other)[:4]),
        "sensitivity": cv_rate(fused, 1),
        "specificity": cv_rate(fused, 0),
    }
    found |= {name: cv_statistic(fused, statistic, weights) for name, statistic in STATISTICS.items()}
    found |= cv_ratios(fused, ["ppv", "npv", "f1", "balanced_accuracy"], weights)
    for name in THRESHOLDS:
        moved = held_out(frames["fused"].assign(threshold=frames["fused"][f"threshold_{name}"]), level)
        found |= {f"sensitivity_at_{name}": cv_rate(moved, 1), f"specificity_at_{name}": cv_rate(moved, 0)}
        ratios = cv_ratios(moved, [metric for metric in RATES if metric.startswith(("biopsies", "cancers"))], weights)
        found |= {f"{metric}_at_{name}": item for metric, item in ratios.items()}
    measured = calibrate(fused, weights).metrics
    found |= {name: measured[name] for name in CALIBRATION if name != "brier"}
    for row in reclassify(fused, other, weights):
        found[f"nri {row['kind']} {row['part']}"] = Estimate(*(row[key] for key in Estimate._fields))
    return found


def coverage(runs, known):
    """Per interval: share of runs that cover the target (the mean unless `known`), mean width, runs without one."""
    rows = {}
    for name in runs[0]:
        items = [run[name] for run in runs]
        bounded = [item for item in items if np.isfinite(item.low)]
        values = [item.estimate for item in items if np.isfinite(item.estimate)]
        target = known.get(name, float(np.mean(values)) if values else np.nan)
        covered = np.mean([item.low <= target <= item.high for item in bounded]) if bounded else np.nan
        width = np.mean([item.high - item.low for item in bounded]) if bounded else np.nan
        rows[name] = {"covered": 100 * covered, "width": width, "target": target, "none": len(items) - len(bounded)}
    return pd.DataFrame(rows).T


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--patients", type=int, nargs="+", default=[60, 100, 200])
    parser.add_argument("--effect", type=float, nargs="+", default=[0.0, 0.6])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--level", nargs="+", default=["lesion", "patient"], choices=["lesion", "patient"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    for n, effect, repeats, level in itertools.product(asked.patients, asked.effect, asked.repeats, asked.level):
        started = time.perf_counter()
        one = partial(estimates, n_patients=n, effect=effect, repeats=repeats, level=level)
        with ProcessPoolExecutor(asked.jobs) as pool:
            runs = list(pool.map(one, range(5000, 5000 + asked.runs), chunksize=4))
        spent = time.perf_counter() - started
        print(f"\n{n} patients, effect {effect}, {repeats} repeats, by {level}: {asked.runs} runs, {spent:.0f} s")  # noqa: T201
        print(coverage(runs, targets(effect, level)).round(3).to_string(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
