"""Figures of several classes agree with scikit-learn; aggregated scores with what was counted by hand."""

import numpy as np
import pandas as pd
import pytest
from cemrad.models.class_metrics import CLASS_METRICS, ClassPredictions, recall
from cemrad.models.intervals import HeldOut, influence
from cemrad.models.metrics import auc
from cemrad.models.multiclass import class_probabilities, class_table
from cemrad.models.units import chance_auc, held_out
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score


def predictions_of(n=80, n_classes=4, n_folds=1, n_repeats=1, seed=0, digits=2):
    """Rounded probabilities, so that there are ties."""
    rng = np.random.default_rng(seed)
    truth = np.tile(rng.permutation(np.arange(n) % n_classes), n_repeats)
    raw = rng.dirichlet(np.ones(n_classes), n * n_repeats) + 0.4 * np.eye(n_classes)[truth]
    probability = (raw / raw.sum(axis=1, keepdims=True)).round(digits) + 1e-9
    return ClassPredictions(
        truth=truth,
        probability=probability / probability.sum(axis=1, keepdims=True),
        repeat=np.repeat(np.arange(n_repeats), n),
        cell=np.tile(np.arange(n) % n_folds, n_repeats),
        person=np.tile(np.arange(n), n_repeats),
    )


def once(held):
    return np.ones((1, len(held.truth)))


@pytest.mark.parametrize("n_classes", [3, 4, 5])
@pytest.mark.parametrize("seed", range(3))
def test_areas_of_one_fold_are_those_of_scikit_learn(n_classes, seed):
    held = predictions_of(n_classes=n_classes, seed=seed)
    for metric, way in (("auc_macro", "ovr"), ("hand_till", "ovo")):
        expected = roc_auc_score(held.truth, held.probability, multi_class=way, average="macro")
        assert CLASS_METRICS[metric](held, once(held))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_weights_are_copies(metric):
    held = predictions_of(n=40, n_classes=3)
    weights = np.random.default_rng(1).integers(0, 4, (5, 40)).astype(float)
    for draw, found in zip(weights, CLASS_METRICS[metric](held, weights), strict=True):
        at = np.repeat(np.arange(40), draw.astype(int))
        copied = ClassPredictions(held.truth[at], held.probability[at], held.repeat[at], held.cell[at], held.person[at])
        assert found == pytest.approx(CLASS_METRICS[metric](copied, once(copied))[0], abs=1e-12)


def test_rates_are_those_of_scikit_learn():
    held = predictions_of(seed=3)
    assert CLASS_METRICS["accuracy"](held, once(held))[0] == accuracy_score(held.truth, held.predicted)
    expected = balanced_accuracy_score(held.truth, held.predicted)
    assert CLASS_METRICS["balanced_accuracy"](held, once(held))[0] == pytest.approx(expected, abs=1e-12)
    shares = confusion_matrix(held.truth, held.predicted, normalize="true")
    found = [[recall(held, once(held), truth=t, predicted=p)[0] for p in range(4)] for t in range(4)]
    assert np.allclose(found, shares, atol=1e-12)


def test_scores_of_two_folds_or_repeats_are_never_compared():
    held = predictions_of(n=90, n_classes=3, n_folds=3, n_repeats=2, seed=4)
    areas = []
    for k in range(3):
        shape = {"repeat": held.repeat, "fold": held.cell, "person": held.person}
        truth = (held.truth == k).astype(np.int64)
        areas.append(influence(HeldOut(truth, held.probability[:, k], truth == 1, **shape))[0])
    assert CLASS_METRICS["auc_macro"](held, once(held))[0] == pytest.approx(np.mean(areas), abs=1e-12)


def test_two_classes_are_the_binary_area():
    held = predictions_of(n_classes=2, seed=5)
    for metric in ("auc_macro", "hand_till"):
        assert CLASS_METRICS[metric](held, once(held))[0] == pytest.approx(auc(held.truth, held.probability[:, 1]))


def test_a_draw_without_a_class_has_no_area():
    held = predictions_of(n=30, n_classes=3)
    weights = np.vstack([np.ones(30), held.truth != 2]).astype(float)
    assert np.isnan(CLASS_METRICS["hand_till"](held, weights)).tolist() == [False, True]


def test_probabilities_of_a_case_are_divided_by_their_sum():
    rows = pd.DataFrame(
        [
            ("s=a", "x", 0.5), ("s=b", "x", 0.25), ("s=c", "x", 0.25), ("s=a", "y", 0.1), ("s=b", "y", 0.4),
            ("s=c", "y", 0.3), ("s=a", "z", np.nan), ("s=b", "z", 0.4), ("s=c", "z", 0.3), ("er", "x", 0.9),
        ],
        columns=["endpoint", "case_id", "probability"],
    )  # fmt: skip
    wide = class_probabilities(rows, ["s=a", "s=b", "s=c"], ["case_id"])
    assert np.allclose(wide.loc[["x", "y"]], [[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]])
    assert wide.loc["z"].isna().all()
    told = class_table(rows, {"s": ["s=a", "s=b", "s=c"]})
    assert told[told["predicted"]][["case_id", "class"]].to_numpy().tolist() == [["x", "a"], ["y", "b"]]
    assert class_table(rows, {}).empty


LESIONS = pd.DataFrame(  # patient, breast, truth, probability; the threshold is 0.5
    [
        ("P1", "P1|L", 1, 0.9), ("P1", "P1|L", 0, 0.2), ("P1", "P1|R", 0, 0.1),
        ("P2", "P2|L", 0, 0.6), ("P2", "P2|L", 0, 0.5),
        ("P3", "P3|R", 1, 0.4),
    ],
    columns=["patient_id", "breast_id", "truth", "probability"],
).assign(endpoint="e", arm="a", repeat=0, fold=0, threshold=0.5, margin=0.0)  # fmt: skip
LESIONS["case_id"] = [f"c{i}" for i in range(len(LESIONS))]


@pytest.mark.parametrize(
    ("aggregate", "level", "probability", "called"),
    [
        ("max", "patient", [0.9, 0.6, 0.4], [True, True, False]),
        ("mean", "patient", [0.4, 0.55, 0.4], [False, True, False]),
        ("vote", "patient", [1 / 3, 1.0, 0.0], [False, True, False]),
        ("max", "breast", [0.9, 0.1, 0.6, 0.4], [True, False, True, False]),
        ("mean", "breast", [0.55, 0.1, 0.55, 0.4], [True, False, True, False]),
        ("vote", "breast", [0.5, 0.0, 1.0, 0.0], [True, False, True, False]),
        ("vote", "lesion", [0.9, 0.2, 0.1, 0.6, 0.5, 0.4], [True, False, False, True, True, False]),
    ],
)
def test_how_lesions_come_to_a_breast_or_patient(aggregate, level, probability, called):
    held = held_out(LESIONS, level, None, aggregate)
    assert np.allclose(held.probability, probability)
    assert held.called.tolist() == called
    truth = {"patient": [1, 0, 1], "breast": [1, 0, 0, 1], "lesion": [1, 0, 0, 0, 0, 1]}
    assert held.truth.tolist() == truth[level]


@pytest.mark.parametrize(
    ("aggregate", "low", "high"), [("max", 0.55, 0.62), ("mean", 0.48, 0.52), ("vote", 0.48, 0.52)]
)
def test_chance_is_that_of_the_same_aggregation(aggregate, low, high):
    """Patients with more lesions are more often positive; only the highest probability knows how many there are."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(300), rng.integers(1, 5, 300))
    n = len(person)
    rows = pd.DataFrame(
        {
            "endpoint": "e", "arm": "a", "repeat": 0, "fold": 0, "case_id": np.arange(n), "truth": rng.random(n) < 0.3,
            "patient_id": [f"P{i:03d}" for i in person], "breast_id": [f"P{i:03d}|L" for i in person],
            "probability": rng.random(n), "margin": 0.0, "threshold": 0.5,
        }
    )  # fmt: skip
    rows["truth"] = rows["truth"].astype(int)
    held = held_out(rows, "patient", None, aggregate)
    found = chance_auc(rows, "patient", held, 1, aggregate).estimate
    assert low < found < high
    # The same by brute force: deal the lesions anew, aggregate, rank.
    anew = [rows.assign(probability=rng.permutation(rows["probability"])) for _ in range(60)]
    dealt = [auc(held.truth, held_out(frame, "patient", None, aggregate).probability) for frame in anew]
    assert found == pytest.approx(np.mean(dealt), abs=0.015)
