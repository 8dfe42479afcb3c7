"""What the accounts cost, how exact SHAP's are, how well the two kinds agree: `python tests/bench_shap.py [LEARNER]`.

A generated table of 300 cases of 240 patients and 530 columns, one endpoint, 5 folds; processor seconds of one thread.
"""

import os
import sys
import time

import numpy as np
from bench import ONE_THREAD
from bench_models import WORLD, Stopwatch
from bench_timing import say
from cemrad.models import evaluate as evaluation
from cemrad.models.accounts import (
    calibrated,
    counterfactuals,
    interactions,
    interventional,
    likeness,
    neighbours,
    permutation,
)
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.heldout import normal_quantile, quantile
from cemrad.models.ranking import selection_stability
from cemrad.reports.explanation import gather

PARTS = {
    "permutation": (permutation, "account"),
    "interventional": (interventional, "account"),
    "interactions": (interactions, "account"),
    "calibrated": (calibrated, "account"),
    "counterfactuals": (counterfactuals, "account"),
    "likeness": (likeness, "account"),
    "neighbours": (neighbours, "account"),
    "clusters": (evaluation, "cluster_table"),
    "selection": (evaluation, "selection_table"),
}


def main() -> None:
    if any(os.environ.get(key) != value for key, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    cohort = WORLD.draw(300, 240, seed=1)
    watch = Stopwatch()
    for name, (module, function) in PARTS.items():
        setattr(module, function, watch.around(name, getattr(module, function)))
    import shap  # noqa: F401, PLC0415  # not part of what is measured

    for learner in sys.argv[1:] or ("xgboost", "random_forest", "logistic"):
        watch.cpu_s.clear()
        started = time.process_time()
        settings = EvaluationSettings(learner=learner)
        result = evaluate(cohort.table, cohort.labels, ["malignancy"], settings)
        spent, own = time.process_time() - started, sum(watch.cpu_s.values())
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in watch.cpu_s.items())
        say(f"{learner}: {spent:.1f} s, of these {own:.2f} ({own / (spent - own):.1%} more): {parts}")
        started = time.process_time()
        told = gather(result, "malignancy", "fused", 15)
        say(f"  facts of the report {time.process_time() - started:.2f} s; additivity {told.additivity_gap:.1e}")
        say(f"  {told.further.both}\n  stability {told.further.steadiness.selection}")
        several = sum(len(one.members) > 1 for one in told.further.clusters)
        say(f"  {told.n_features} features, {len(told.further.clusters)} clusters, {several} of several")
    _coverage()


def _coverage() -> None:
    """How often the interval of the stability, and the published one, hold the truth where models are independent."""
    rng = np.random.default_rng(0)
    for often, n_each in (((0.9, 0.5, 0.05), (5, 5, 40)), ((0.95, 0.3, 0.02), (10, 30, 460)), ((0.6, 0.1), (20, 180))):
        chance = np.repeat(often, n_each)
        truth = selection_stability((rng.random((20_000, len(chance))) < chance).astype(float)).stability
        for n in (5, 15, 60):
            drawn = [selection_stability((rng.random((n, len(chance))) < chance).astype(float)) for _ in range(1000)]
            half = np.array([one.stability - one.low for one in drawn])
            gap = np.abs([one.stability - truth for one in drawn])
            published = half * normal_quantile() / quantile(n - 1) * np.sqrt((n - 1) / n)
            say(f"{len(chance)} features, {n} independent models: the interval holds the stability in "
                f"{(gap <= half).mean():.1%}, the published one in {(gap <= published).mean():.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
