"""What a picture's frame must not change: all 102 features of a mirrored, turned, padded or cropped picture."""

import numpy as np
import pytest
import scipy.ndimage
from cemrad.features.native.engine import NativeEngine
from cemrad.features.native.ibsi_engine import IbsiEngine

ASKED = {
    "imageType": {"Original": {}},
    "featureClass": dict.fromkeys(("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")),
    "setting": {"binCount": 32},
}
CHANGES = {
    "mirrored left to right": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda values: np.rot90(values, 2),
    "padded": lambda values: np.pad(values, ((5, 11), (3, 0))),
    "cropped with a margin": lambda values: values[8:-7, 9:-6],
    "transposed": np.transpose,
}


def pictures(seed):
    rng = np.random.default_rng(seed)
    pixels = scipy.ndimage.gaussian_filter(rng.normal(size=(80, 100)), 1.5) * 1000 + 2000
    mask = np.zeros(pixels.shape, dtype=bool)
    mask[12:-12, 12:-12] = scipy.ndimage.gaussian_filter(rng.normal(size=(56, 76)), 5) > -0.01
    return pixels.astype(np.uint16), mask


def changed(before, after):
    same = {name for name in before if after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-12)}
    return set(before) - same


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("engine", "n_features"), [(NativeEngine, 102), (IbsiEngine, 103)])
def test_no_feature_changes_with_the_frame(engine, n_features, change):
    for seed in range(3):
        pixels, mask = pictures(seed)
        one = engine(ASKED, 1024)
        before, _ = one.measure(pixels, mask, (0.1, 0.1))
        turned = CHANGES[change]
        after, _ = one.measure(turned(pixels), turned(mask), (0.1, 0.1))
        assert len(before) == n_features
        assert changed(before, after) == set()


def test_a_change_of_the_region_is_seen():
    pixels, mask = pictures(0)
    engine = NativeEngine(ASKED, 1024)
    before, _ = engine.measure(pixels, mask, (0.1, 0.1))
    mask[40] = False
    after, _ = engine.measure(pixels, mask, (0.1, 0.1))
    assert len(changed(before, after)) > 90
