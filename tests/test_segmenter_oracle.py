"""The learned segmenter against the truth of the phantoms, which it sees through pictures alone."""

import sys

import pytest
from cemrad.features.settings import parse_settings
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.mask_training import MaskTrainingSettings
from cemrad.pipeline.train_masks import train_masks

SETTINGS = {
    "folds": 2,
    "segmenter": {
        "size_px": [160, 128],
        "network": {"encoder": "resnet10t", "weights": "random", "decoder": [64, 32, 16, 16]},
    },
    "training": {
        "epochs": 30, "patience": 30, "rate": 0.003, "encoder_rate": 1.0, "average": 0.95, "validation": 0.2,
        "device": "cpu",
    },
}  # fmt: skip


@pytest.mark.slow
def test_lesions_of_phantom_patients_whom_the_network_has_not_seen(tmp_path):
    cohort = phantom.read(phantom.Settings(n_patients=30, seed=11))
    made = train_masks(cohort, parse_settings(MaskTrainingSettings, SETTINGS, where="test"), tmp_path, jobs=1)
    sys.stdout.write(f"{made.validation['by_type']}\n")
    assert made.validation["by_type"]["RC"]["dice_mean"] >= 0.85
