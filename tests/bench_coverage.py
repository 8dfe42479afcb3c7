"""How often each interval covers its target, over many simulated cohorts: the figures of docs/intervals.md.

``python tests/bench_coverage.py --runs 300`` measures all of it; ``--patients``, ``--effect``, ``--repeats`` and
``--level`` choose the cohorts, ``--learner`` what learns, ``--seed`` the first cohort and ``--jobs`` the processes.
The name is not coverage.py, as numba imports a module of that name where it finds one.
"""

import argparse
import itertools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from cemrad.models.calibration import METRICS as CALIBRATION
from cemrad.models.calibration import calibrate
from cemrad.models.decision import curve_rows, net_benefit
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
from cemrad.models.irls import fit_logistic
from cemrad.models.learner import probability
from cemrad.models.metrics import THRESHOLDS
from cemrad.models.rates import RATES, RATES_AT, cv_ratios
from cemrad.models.reclassification import reclassify
from cemrad.models.rows import Rows
from cemrad.models.units import held_out
from scipy.special import logit

LEARNERS = {
    "xgboost": FusionSettings(
        n_candidates=1,
        selector_settings={"n_features": 10},
        learner_settings={"max_depth": [2], "n_rounds": [40], "max_bin": 32},
    ),
    "logistic": FusionSettings(n_candidates=1, selector_settings={"n_features": 10}, learner="logistic"),
}
ARMS = ("radiomics", "fused")
N_DRAWS = 300
N_FRESH = 5000
"""Patients on whom the folds' own models are judged again."""
DECISIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
LOW, HIGH = 92.0, 98.0
"""Percent of runs that an interval should cover in."""


class Found(NamedTuple):
    """An interval, and what the folds' own models reach on new patients where that is its target."""

    estimate: Estimate
    truth: float = np.nan


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


@cache
def fresh(effect):
    """The same new patients for every cohort of an effect."""
    rows = cohort(N_FRESH, effect, seed=10**7)
    return replace(rows, persons=tuple(f"new {person}" for person in rows.persons))


def cross_validate(n_patients, effect, seed, repeats=1, learner="xgboost"):
    """Predictions of both arms as an evaluation makes them, one frame per arm."""
    return judge(n_patients, effect, seed, repeats, learner, ())[0]


def judge(n_patients, effect, seed, repeats, learner, anew):
    """As above, and the same frames of new patients by every fold's own model, of the arms `anew`."""
    rows = cohort(n_patients, effect, seed)
    made = split(rows.case_ids, rows.persons, rows.y, n_folds=5, n_repeats=repeats, seed=seed)
    mine, theirs = {arm: [] for arm in ARMS}, {arm: [] for arm in anew}
    for repeat, fold in itertools.product(range(repeats), range(5)):
        fit, at = made.sides(repeat, fold)
        fitted, _ = fit_arms(rows.take(fit), ARMS, LEARNERS[learner], seed_of(seed, repeat, fold))
        for arm, model in fitted.items():
            mine[arm].append(_frame(repeat, fold, rows.take(at), model))
        for arm in anew:
            theirs[arm].append(_frame(repeat, fold, fresh(effect), fitted[arm]))
    return tuple({arm: pd.concat(frames, ignore_index=True) for arm, frames in part.items()} for part in (mine, theirs))


def _frame(repeat, fold, rows, model):
    frame = {
        "repeat": repeat, "fold": fold, "case_id": rows.case_ids, "patient_id": rows.persons,
        "breast_id": rows.persons, "truth": rows.y, "probability": probability(model.held_out_margin(rows)),
        "threshold": model.threshold,
    }  # fmt: skip
    return pd.DataFrame(frame | {f"threshold_{name}": model.thresholds[name] for name in THRESHOLDS})


def estimates(seed, *, n_patients, effect, repeats, levels, learner="xgboost"):
    """Every interval of one cohort, by level and name."""
    frames, anew = judge(n_patients, effect, seed, repeats, learner, ("fused",))
    return {level: _estimates(frames, anew["fused"], level, seed) for level in levels}


def _estimates(frames, anew, level, seed):
    held = {arm: held_out(frame, level) for arm, frame in frames.items()}
    fused, other, new = held["fused"], held["radiomics"], held_out(anew, level)
    weights = bootstrap_weights(fused.person, N_DRAWS, seed)
    found = {
        "auc": cv_auc(fused),
        "auc, DeLong on pooled": heldout_auc(fused.truth, fused.probability),
        "difference": Estimate(*cv_auc_difference(fused, other)[:4]),
        "sensitivity": cv_rate(fused, 1),
        "specificity": cv_rate(fused, 0),
    }
    found |= {name: cv_statistic(fused, statistic, weights) for name, statistic in STATISTICS.items()}
    found |= cv_ratios(fused, RATES, weights)
    for name in THRESHOLDS:
        moved = held_out(frames["fused"].assign(threshold=frames["fused"][f"threshold_{name}"]), level)
        found |= {f"{metric}_at_{name}": item for metric, item in cv_ratios(moved, RATES_AT, weights).items()}
    measured = calibrate(fused, weights).metrics
    found |= {name: measured[name] for name in CALIBRATION if name != "brier"}
    for row in reclassify(fused, other, weights):
        found[f"nri {row['kind']} {row['part']}"] = Estimate(*(row[key] for key in Estimate._fields))
    for row in curve_rows("fused", fused, np.array(DECISIONS), weights):
        found[f"net benefit at {row['threshold']}"] = Estimate(row["net_benefit"], row["low"], row["high"], "")
    truths = _of_models(new)
    return {name: Found(item, truths.get(name, np.nan)) for name, item in found.items()}


def _of_models(new):
    """What depends on the cohort's own share of positives is of its own models, by name."""
    chance, ones = np.clip(new.probability, 1e-12, 1 - 1e-12), np.ones((1, len(new.truth)))
    large = fit_logistic(ones.T, new.truth, ones, offset=logit(chance))
    worth = net_benefit(new.truth, new.probability, np.array(DECISIONS), ones)[0]
    return {
        "oe": new.truth.sum() / chance.sum(),
        "calibration_in_the_large": large[0, 0],
        **{f"net benefit at {at}": value for at, value in zip(DECISIONS, worth, strict=True)},
    }


def coverage(runs, known):
    """Per interval: share of runs that cover the target, mean width and estimate, runs without an interval.

    The target is the known value, or that of the run's own models, or the mean estimate over the runs, whose
    coverage stands beside it in any case.
    """
    rows = {}
    for name in runs[0]:
        found = [run[name] for run in runs]
        bounded = [item for item in found if np.isfinite(item.estimate.low)]
        values = [item.estimate.estimate for item in found if np.isfinite(item.estimate.estimate)]
        mean = float(np.mean(values)) if values else np.nan
        own = np.isfinite(found[0].truth)
        targets = [item.truth if own else known.get(name, mean) for item in bounded]
        width = np.mean([item.estimate.high - item.estimate.low for item in bounded]) if bounded else np.nan
        rows[name] = {
            "covered": _covered(bounded, targets), "of_mean": _covered(bounded, [mean] * len(bounded)),
            "width": width, "mean": mean, "none": len(found) - len(bounded),
            "target": "own models" if own else "known" if name in known else "mean",
        }  # fmt: skip
    table = pd.DataFrame(rows).T
    return table.astype({name: float for name in table if name != "target"})


def _covered(items, targets):
    hits = [item.estimate.low <= target <= item.estimate.high for item, target in zip(items, targets, strict=True)]
    return 100 * float(np.mean(hits)) if hits else np.nan


def verdict(covered):
    """In words, against :data:`LOW` and :data:`HIGH`."""
    words = np.select([covered.isna(), covered < LOW, covered > HIGH], ["no interval", "NARROW", "wide"], "inside")
    return pd.Series(words, index=covered.index)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--patients", type=int, nargs="+", default=[60, 100, 200])
    parser.add_argument("--effect", type=float, nargs="+", default=[0.0, 0.6])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--level", nargs="+", default=["lesion", "patient"], choices=["lesion", "patient"])
    parser.add_argument("--learner", default="xgboost", choices=list(LEARNERS))
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    for n, effect, repeats in itertools.product(asked.patients, asked.effect, asked.repeats):
        started = time.perf_counter()
        shape = {"n_patients": n, "effect": effect, "repeats": repeats, "learner": asked.learner}
        one = partial(estimates, levels=asked.level, **shape)
        with ProcessPoolExecutor(asked.jobs) as pool:
            runs = list(pool.map(one, range(asked.seed, asked.seed + asked.runs), chunksize=4))
        spent = time.perf_counter() - started
        print(f"\n{asked.learner}, {n} patients, effect {effect}, {repeats} repeats: {asked.runs} runs, {spent:.0f} s")  # noqa: T201
        for level in asked.level:
            found = coverage([run[level] for run in runs], targets(effect, level))
            found["verdict"] = verdict(found["covered"])
            offered = found.drop("auc, DeLong on pooled")
            counts = ", ".join(f"{n} {word}" for word, n in offered["verdict"].value_counts().items())
            print(f"\nby {level}, {LOW:.0f} to {HIGH:.0f} %: {counts}")  # noqa: T201
            print(found.round(3).to_string(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
