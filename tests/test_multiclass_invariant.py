"""Intervals of several classes cover as often as they say, over cohorts without and with signal."""

import numpy as np
import pytest
from cemrad.models.class_metrics import CLASS_METRICS, ClassPredictions
from cemrad.models.folds import split
from cemrad.models.intervals import HeldOut, bootstrap_weights
from cemrad.models.multiclass import figures_of

N_CLASSES, N_FOLDS, N_COLUMNS = 3, 5, 40


def cohort_of(n_patients, effect, seed):
    """One to three lesions per patient, alike in features and class; five columns know the class."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
    own = rng.choice(N_CLASSES, n_patients, p=[0.5, 0.3, 0.2])
    truth = np.where(rng.random(len(person)) < 0.8, own[person], rng.choice(N_CLASSES, len(person), p=[0.5, 0.3, 0.2]))
    x = np.sqrt(0.5) * (rng.normal(size=(n_patients, N_COLUMNS))[person] + rng.normal(size=(len(person), N_COLUMNS)))
    x[:, :5] += effect * (truth[:, None] == np.arange(5) % N_CLASSES)
    return x, truth, person


def cross_validate(n_patients, effect, seed):
    """One ridge model per class against the rest, of the eight columns that know most on the training side."""
    x, truth, person = cohort_of(n_patients, effect, seed)
    ids = [str(at) for at in range(len(truth))]
    made = split(ids, [f"P{at}" for at in person], truth, n_folds=N_FOLDS, seed=seed)
    score = np.empty((len(truth), N_CLASSES))
    for fold in range(N_FOLDS):
        fit, held = made.sides(0, fold)
        for k in range(N_CLASSES):
            y = (truth[fit] == k) - (truth[fit] == k).mean()
            best = np.argsort(-np.abs((x[fit] - x[fit].mean(0)).T @ y))[:8]
            inside = x[fit][:, best]
            weights = np.linalg.solve(inside.T @ inside + 10 * np.eye(8), inside.T @ y)
            score[held, k] = 1 / (1 + np.exp(-4 * (x[held][:, best] @ weights)))
    fold, zeros = made.assignment[0], np.zeros(len(truth), dtype=np.int64)
    shape = {"called": zeros == 1, "repeat": zeros, "fold": fold, "person": person}
    carriers = [HeldOut((truth == k).astype(np.int64), score[:, k], **shape) for k in range(N_CLASSES)]
    return ClassPredictions(truth, score / score.sum(axis=1, keepdims=True), zeros, fold, person), carriers


def coverage(n_patients, effect, seeds, n_draws=300):
    """Share of cohorts whose interval holds the target: what no knowledge reaches, else the mean estimate."""
    found = {metric: [] for metric in CLASS_METRICS}
    for seed in seeds:
        held, carriers = cross_validate(n_patients, effect, seed)
        for row in figures_of(held, carriers, bootstrap_weights(held.person, n_draws, seed)):
            found[row["metric"]].append((row["low"], row["estimate"], row["high"]))
    target = {metric: np.mean([item[1] for item in items]) for metric, items in found.items()}
    if effect == 0:
        target |= {"auc_macro": 0.5, "hand_till": 0.5, "balanced_accuracy": 1 / N_CLASSES}
    return {
        metric: (
            float(np.mean([low <= target[metric] <= high for low, _, high in items])),
            round(float(target[metric]), 3),
        )
        for metric, items in found.items()
    }


def test_intervals_cover_on_null_data():
    found = coverage(60, 0.0, range(40), n_draws=200)
    assert all(share >= 0.9 for share, _ in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("n_patients", [60, 120])
@pytest.mark.parametrize("effect", [0.0, 0.6])
def test_coverage_of_every_figure(n_patients, effect):
    """300 cohorts each; docs/intervals.md has the figures. They are wider than they must be, never narrower."""
    found = coverage(n_patients, effect, range(1000, 1300))
    assert all(share >= 0.92 for share, _ in found.values()), found
