"""A whole study on phantoms, against their known truth."""

import numpy as np
import pytest
from cemrad.models.bundle import Bundle
from cemrad.models.evaluate import evaluate
from cemrad.models.result import ARMS
from cemrad.models.train import train
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.means import Means
from cemrad.pipeline.phantom_truth import Effects, oracle_auc
from cemrad.pipeline.study import parse_study
from sklearn.metrics import roc_auc_score

N_PATIENTS = 150
FEATURES = FeatureSettings(
    families={
        "radiomics": {
            "parameters": {
                "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}},
                "featureClass": {"shape2D": [], "firstorder": [], "glcm": [], "glrlm": []},
                "setting": {"binCount": 32},
            }
        },
        "deep": {"network": "resnet18", "weights": "random", "size": 112, "composite": False},
    }
)
EVALUATION = parse_study({"schema_version": 1}).evaluation


@pytest.fixture(scope="module")
def study():
    settings = phantom.Settings(n_patients=N_PATIENTS, seed=11)
    cohort = phantom.read(settings)
    table = extract(cohort, FEATURES, Means(jobs=2))
    result = evaluate(table, cohort.labels(), ("malignancy",), EVALUATION, jobs=2)
    return settings, cohort, table, result


def _auc(result, arm):
    rows = result.metrics.query("endpoint == 'malignancy' and level == 'lesion' and metric == 'auc'")
    return rows.set_index("arm").loc[arm]


def _standard_error(auc: float, n_positive: int, n_negative: int) -> float:
    """Hanley and McNeil, Radiology 1982, doi 10.1148/radiology.143.1.7063747."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return float(np.sqrt(spread / (n_positive * n_negative)))


def test_the_fused_arm_lies_in_the_band_that_the_truth_sets(study):
    """At most what both latents allow; at least what the weaker of them alone would give."""
    settings, _, _, result = study
    truth = phantom.truth(settings)
    found = _auc(result, "fused")
    best = oracle_auc(truth, "malignancy", ("radiomics", "deep"))
    least = min(oracle_auc(truth, "malignancy", (block,)) for block in ("radiomics", "deep"))
    n_positive, n = int(found["n_positive"]), int(found["n"])
    assert least - 1.96 * _standard_error(least, n_positive, n - n_positive) < found["estimate"]
    assert found["estimate"] < best + 1.96 * _standard_error(best, n_positive, n - n_positive)
    assert found["low"] > 0.5


def test_each_block_sees_its_own_latent_and_fusion_sees_both(study):
    """Better than chance, no better than its latent allows; the latents are independent, so fusion must gain."""
    settings, _, _, result = study
    truth = phantom.truth(settings)
    fused = _auc(result, "fused")
    n_positive, n = int(fused["n_positive"]), int(fused["n"])
    for arm in ("radiomics", "deep"):
        found = _auc(result, arm)["estimate"]
        best = oracle_auc(truth, "malignancy", (arm,))
        assert found > 0.5 + 1.96 * _standard_error(0.5, n_positive, n - n_positive)
        assert found < best + 1.96 * _standard_error(best, n_positive, n - n_positive)
        assert fused["estimate"] > found


def test_new_phantoms_are_predicted_as_well_as_was_promised(study):
    settings, cohort, table, result = study
    bundle = train(
        table, cohort.labels(), ("malignancy",), EVALUATION, arm="fused", extraction=FEATURES.model_dump(mode="json")
    )
    assert isinstance(bundle, Bundle)
    new = phantom.read(settings.model_copy(update={"first_patient": N_PATIENTS + 1, "n_patients": 100}))
    predictions = bundle.predict(extract(new, FEATURES, Means(jobs=2))).set_index("case_id")
    truth = (new.labels()["malignancy"] == "malignant").astype(int)
    auc = roc_auc_score(truth, predictions.loc[truth.index, "probability"])
    promised = _auc(result, "fused")
    error = _standard_error(auc, int(truth.sum()), int((1 - truth).sum()))
    promised_error = (promised["high"] - promised["low"]) / 3.92
    assert abs(auc - promised["estimate"]) < 1.96 * np.hypot(error, promised_error)
    assert not predictions["seen_in_training"].any()


@pytest.mark.slow
def test_without_effects_every_arm_covers_a_half():
    """Twenty cohorts in which labels depend on nothing: each arm's interval covers 0.5 in at least 18."""
    covered = {arm: 0 for arm in ARMS}
    for seed in range(20):
        none = Effects(radiomics=0, deep=0, clinical=0)
        cohort = phantom.read(phantom.Settings(n_patients=60, seed=1000 + seed, effects=none))
        table = extract(cohort, FEATURES, Means(jobs=2))
        result = evaluate(table, cohort.labels(), ("malignancy",), EVALUATION, jobs=2)
        for arm in ARMS:
            found = _auc(result, arm)
            covered[arm] += found["low"] <= 0.5 <= found["high"]
    assert min(covered.values()) >= 18, covered
