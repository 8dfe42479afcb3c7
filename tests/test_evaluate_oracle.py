"""Evaluation against known truth: no effect, a known effect, and real tables with known difficulty."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.table import FeatureTable
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.result import ARMS


def test_without_effects_every_arms_interval_covers_one_half(make_table, quick):
    """20 seeds; at least 18 per arm, and the mean AUC near 0.5."""
    found = []
    for seed in range(20):
        rows = evaluate(*make_table(50, effect=0.0, seed=100 + seed), ["malignancy"], quick).metrics
        found.append(rows.query("metric == 'auc' and level == 'lesion'").assign(seed=seed))
    rows = pd.concat(found)
    rows["covers"] = (rows["low"] <= 0.5) & (rows["high"] >= 0.5)
    assert (rows.groupby("arm")["covers"].sum() >= 18).all()
    assert set(rows["arm"]) == set(ARMS)
    assert rows["estimate"].mean() == pytest.approx(0.5, abs=0.025)


def test_effects_are_found_and_fusion_uses_both_blocks(make_table, quick):
    rows = evaluate(*make_table(150, effect=1.5, seed=1), ["malignancy"], quick)
    auc = rows.metrics.query("metric == 'auc' and level == 'lesion'").set_index("arm")["estimate"]
    assert auc["fused"] > max(auc["radiomics"], auc["deep"])
    assert auc["fused"] > 0.75
    assert rows.metrics.query("metric == 'auc' and arm == 'fused'")["low"].min() > 0.5


def test_one_signature_per_patient_is_no_signal(quick):
    """Views and lesions of a patient look alike and share her label; grouped folds give that no chance."""
    areas = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(50), 4)
        x = rng.normal(size=(50, 12))[person] + 0.05 * rng.normal(size=(200, 12))
        ids = [f"c{i}" for i in range(200)]
        cases = pd.DataFrame({"patient_id": [f"p{i}" for i in person], "laterality": "", "lesion_id": ids}, index=ids)
        table = FeatureTable(
            pd.DataFrame(x, index=ids, columns=[f"radiomics:IMG:f{i}" for i in range(12)]),
            cases.assign(breast_id=cases["patient_id"]),
        )
        labels = pd.DataFrame({"outcome": rng.integers(0, 2, 50)[person]}, index=ids)
        found = evaluate(table, labels, ["outcome"], quick).metrics.query("metric == 'auc' and level == 'lesion'")
        areas.append(found["estimate"].item())
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("name", "label", "low", "high"),
    [
        ("fae_prostate.csv", "label", 0.91, 0.98),
        ("hn1_nodes.csv.gz", "Target", 0.66, 0.82),
        ("hnscc_nodes.csv.gz", "Target", 0.66, 0.84),
    ],
)
def test_real_tables(realdata, name, label, low, high):
    """About 0.95, 0.74 and 0.76 by other tools."""
    frame = pd.read_csv(realdata / "tables" / name)
    ids = [f"r{i:03d}" for i in range(len(frame))]
    numbers = frame.drop(columns=label).select_dtypes("number").set_axis(ids)
    table = FeatureTable(
        numbers.astype(float).rename(columns=lambda column: f"radiomics:IMG:{column}"),
        pd.DataFrame({"patient_id": ids, "laterality": "", "lesion_id": "1", "breast_id": ids}, index=ids),
    )
    labels = frame[[label]].set_axis(ids)
    result = evaluate(table, labels, [label], EvaluationSettings(repeats=2))
    auc = result.metrics.query("metric == 'auc' and level == 'patient'").iloc[0]
    assert low <= auc["estimate"] <= high
    assert auc["low"] > 0.5
    assert auc["low"] < auc["estimate"] < auc["high"] <= 1
