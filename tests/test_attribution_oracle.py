"""Maps against what nobody here made: torch's autograd and interpolation, timm's forward pass, other engines."""

import numpy as np
import pytest
import torch
from cemrad.features.activation import activations, agrees, require_mean
from cemrad.features.errors import ImageError, StudyError
from cemrad.features.families import deep
from cemrad.features.mask import MaskRules
from cemrad.features.native.engine import NativeEngine
from cemrad.features.reading import read_case
from cemrad.features.reference import local_map
from cemrad.features.spread import grad_cam, kernels, spread, upsample
from cemrad.pipeline.cohorts import phantom
from scipy.ndimage import uniform_filter
from torch.nn import functional


def family(network="resnet18", **settings):
    return deep.Family(deep.Settings(network=network, weights="random", size=64, device="cpu", **settings), MaskRules())


@pytest.fixture(scope="module")
def cases():
    return phantom.read(phantom.Settings(n_patients=3)).cases


@pytest.fixture(scope="module")
def held(cases):
    """Activation maps of all units of three phantom patients, and the family that gave them."""
    own = family()
    readings = [read_case(case, MaskRules()) for case in cases]
    wanted = {r.case_id: [unit.picture for unit in own.units(r.pictures)] for r in readings}
    return own, list(activations(own, readings, wanted)), own.measure(readings)


def test_means_of_the_maps_are_the_features_of_the_table(held):
    own, found, rows = held
    values = {(row.case_id, name): value for row in rows for name, value in row.values.items()}
    assert len(found) == len(values) / 512
    for one in found:
        expected = [values[one.case_id, f"deep:{one.picture}:{name}"] for name in own.features]
        np.testing.assert_allclose(one.values.mean(axis=(1, 2)), expected, rtol=1e-4, atol=1e-7)
        assert agrees(own, one.values, np.array(expected))
        assert not agrees(own, one.values, np.array(expected) * 1.01)


def test_maps_of_phantoms_sum_to_what_was_spread(held):
    own, found, _ = held
    rng = np.random.default_rng(0)
    for one in found:
        shap = rng.normal(size=len(own.features))
        cells = spread(one.values, shap)
        assert abs(cells.sum() - shap.sum()) < 1e-10
        assert abs(upsample(cells, one.side_px).sum() - shap.sum()) < 1e-10


def test_grad_cam_is_that_of_autograd(held):
    own = held[0]
    weights = torch.rand(len(own.features), generator=torch.Generator().manual_seed(1)).double() - 0.3
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    maps = own.network.forward_features(image).double().detach().requires_grad_()
    (own.network.forward_head(maps) @ weights).sum().backward()
    alpha = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = functional.relu((alpha * maps).sum(dim=1))[0].detach().numpy()
    assert expected.max() > 0
    found = grad_cam(maps.detach().numpy()[0], weights.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("n_cells", "n_px"), [(7, 224), (7, 50), (3, 3), (1, 9)])
def test_kernels_are_torchs_bilinear_ones_made_to_sum_to_one(n_cells, n_px):
    lines = torch.eye(n_cells, dtype=torch.float64)[None]
    expected = functional.interpolate(lines, n_px, mode="linear", align_corners=False)[0].numpy().T
    np.testing.assert_allclose(kernels(n_cells, n_px), expected / expected.sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("network", ["resnet10t", "efficientnet_lite0", "regnetx_002"])
def test_networks_that_only_pool_pass(network):
    require_mean(family(network))


@pytest.mark.parametrize(
    ("network", "reason"), [("convnext_atto", "does more than pool"), ("mobilenetv3_small_050", "not one a map")]
)
def test_networks_that_do_more_are_refused(network, reason):
    with pytest.raises(StudyError, match=reason):
        require_mean(family(network))


@pytest.fixture(scope="module")
def region():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :50]
    return rng.integers(0, 8, (40, 50)).astype(float), np.hypot(rows - 18, (columns - 22) / 1.2) < 9


def ask(kind, name, **setting):
    return {"imageType": {"Original": {}}, "featureClass": {kind: [name]}, "setting": {"binWidth": 1} | setting}


def test_a_local_mean_is_a_uniform_filter_within_the_region(region):
    pixels, mask = region
    found = local_map(ask("firstorder", "Mean"), "original_firstorder_Mean", pixels, mask, (1, 1), max_bins=1024)
    total, count = (uniform_filter(np.where(mask, part, 0.0), 5, mode="constant") for part in (pixels, mask * 1.0))
    own = np.s_[found.top : found.top + found.values.shape[0], found.left : found.left + found.values.shape[1]]
    assert np.array_equal(np.isfinite(found.values), mask[own])
    np.testing.assert_allclose(found.values[mask[own]], (total[mask] / count[mask]), rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "name"), [("glcm", "Contrast"), ("glrlm", "RunEntropy"), ("gldm", "SmallDependenceEmphasis")]
)
def test_a_local_texture_is_the_native_engines_of_the_square(region, kind, name):
    """Grey levels one wide are the same in the square and in the region, so that the square alone gives the value."""
    pixels, mask = region
    feature = f"original_{kind}_{name}"
    found = local_map(ask(kind, name), feature, pixels, mask, (1, 1), max_bins=1024)
    engine = NativeEngine(ask(kind, name), 1024)
    for row, column in ((18, 22), (11, 20), (24, 28)):
        square = np.zeros_like(mask)
        square[row - 2 : row + 3, column - 2 : column + 3] = True
        square &= mask
        expected, _ = engine.measure(pixels, square, (1.0, 1.0))
        assert found.values[row - found.top, column - found.left] == pytest.approx(expected[feature], rel=1e-9)


def test_what_has_no_local_map_says_so(region):
    pixels, mask = region
    with pytest.raises(ImageError, match="whole outline"):
        local_map(ask("shape2D", "Sphericity"), "original_shape2D_Sphericity", pixels, mask, (1, 1), max_bins=1024)
    large = np.zeros((400, 400), bool)
    large[10:390, 10:390] = True
    noise = np.random.default_rng(1).integers(0, 64, large.shape).astype(float)
    with pytest.raises(ImageError, match="144400 px with 64 grey levels"):
        local_map(ask("glcm", "Contrast"), "original_glcm_Contrast", noise, large, (1, 1), max_bins=1024)
