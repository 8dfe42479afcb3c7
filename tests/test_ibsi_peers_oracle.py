"""The native engine against SciPy, scikit-image, closed forms and the baselines that pyradiomics publishes."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.spatial
import scipy.stats
import SimpleITK
from cemrad.features.families import radiomics
from cemrad.features.native import discretise, firstorder, shape2d
from cemrad.features.native.engine import NativeEngine
from cemrad.features.reference import ReferenceEngine
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import find_contours

TEXTURE = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)


def blob(seed, shape=(60, 75)):
    """A smooth region with holes; from seed 10 on a ragged one, with pixels that touch by a corner alone."""
    if seed >= 10:
        return np.pad(np.random.default_rng(seed).random((shape[0] - 4, shape[1] - 4)) < 0.6, 2)
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    mask = noise > 0
    mask[:2] = mask[-2:] = False
    mask[:, :2] = mask[:, -2:] = False
    return mask


def measure(pixels, mask, classes, spacing=(1.0, 1.0), **setting):
    asked = {"imageType": {"Original": {}}, "featureClass": classes, "setting": setting}
    found, problems = NativeEngine(asked, 1024).measure(pixels, mask, spacing)
    assert problems == []
    return found


@pytest.mark.parametrize("seed", range(3))
def test_first_order_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    pixels, mask = rng.gamma(2.0, 300.0, (60, 75)), blob(seed)
    x = pixels[mask]
    low, high = np.percentile(x, [10, 90])
    middle = x[(x >= low) & (x <= high)]
    shares = np.histogram(x, 32)[0] / x.size
    described = scipy.stats.describe(x, ddof=0)
    expected = {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": np.sum(x**2),
        "Entropy": scipy.stats.entropy(shares, base=2),
        "InterquartileRange": scipy.stats.iqr(x),
        "Kurtosis": scipy.stats.kurtosis(x, fisher=False),
        "Maximum": described.minmax[1],
        "MeanAbsoluteDeviation": np.mean(np.abs(x - x.mean())),
        "Mean": described.mean,
        "Median": scipy.stats.scoreatpercentile(x, 50),
        "Minimum": described.minmax[0],
        "Range": np.ptp(x),
        "RobustMeanAbsoluteDeviation": np.mean(np.abs(middle - middle.mean())),
        "RootMeanSquared": np.linalg.norm(x) / math.sqrt(x.size),
        "Skewness": described.skewness,
        "StandardDeviation": scipy.stats.tstd(x, ddof=0),
        "TotalEnergy": 0.2 * np.sum(x**2),
        "Uniformity": np.sum(shares**2),
        "Variance": described.variance,
    }
    levels, n_levels = discretise.discretise(x, bin_width=None, bin_count=32)
    found = firstorder.measure(x, levels, n_levels, list(expected), voxel_area=0.2, voxel_array_shift=0)
    assert {*firstorder.FEATURES, *firstorder.DEPRECATED} == set(expected)
    assert found == pytest.approx(expected, rel=1e-9)


def co_occurrence(levels, n_levels):
    """scikit-image's matrix of each direction, without the pairs that reach outside."""
    counts = graycomatrix(levels.astype(np.uint8), [1], ANGLES, n_levels + 1, symmetric=True)[1:, 1:].astype(float)
    return counts / counts.sum(axis=(0, 1))


def by_moments(p):
    """Features of one direction's matrix, by IBSI's formulas."""
    n = len(p)
    i, j = np.mgrid[1 : n + 1, 1 : n + 1]
    marginal = p.sum(axis=1)
    mean = float(marginal @ np.arange(1, n + 1))
    apart = np.bincount(np.abs(i - j).ravel(), p.ravel())
    together = np.bincount((i + j).ravel(), p.ravel())
    steps = np.arange(n)
    product = np.outer(marginal, marginal)
    used = product > 0
    hxy, hx = scipy.stats.entropy(p.ravel(), base=2), scipy.stats.entropy(marginal, base=2)
    hxy1, hxy2 = -np.sum(p[used] * np.log2(product[used])), -np.sum(product[used] * np.log2(product[used]))
    kept = marginal > 0
    q = (p / marginal.clip(1e-300)[:, None])[kept][:, kept]
    return {
        "Autocorrelation": np.sum(i * j * p),
        "ClusterProminence": np.sum((i + j - 2 * mean) ** 4 * p),
        "ClusterShade": np.sum((i + j - 2 * mean) ** 3 * p),
        "ClusterTendency": np.sum((i + j - 2 * mean) ** 2 * p),
        "DifferenceEntropy": scipy.stats.entropy(apart, base=2),
        "DifferenceVariance": np.sum((steps - steps @ apart) ** 2 * apart),
        "Id": np.sum(p / (1 + np.abs(i - j))),
        "Idmn": np.sum(p / (1 + (i - j) ** 2 / n**2)),
        "Idn": np.sum(p / (1 + np.abs(i - j) / n)),
        "Imc1": (hxy - hxy1) / hx,
        "Imc2": math.sqrt(1 - math.exp(-2 * (hxy2 - hxy))),
        "InverseVariance": np.sum(apart[1:] / steps[1:] ** 2),
        "JointAverage": mean,
        "JointEntropy": hxy,
        "MCC": math.sqrt(sorted(np.linalg.eigvals(q @ q).real)[-2]),
        "MaximumProbability": p.max(),
        "SumAverage": np.sum((i + j) * p),
        "SumEntropy": scipy.stats.entropy(together, base=2),
        "SumSquares": np.sum((i - mean) ** 2 * p),
    }


@pytest.mark.parametrize("seed", [0, 1, 2, 10, 11])
def test_co_occurrence_features_equal_scikit_image(seed):
    mask = blob(seed)
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=mask.shape), 1.5)
    levels = np.where(mask, np.digitize(noise, np.quantile(noise[mask], np.linspace(0, 1, 9)[1:-1])) + 1, 0)
    p = co_occurrence(levels, 8)
    of_skimage = {"Contrast": "contrast", "DifferenceAverage": "dissimilarity", "Idm": "homogeneity",
                  "JointEnergy": "ASM", "Correlation": "correlation"}  # fmt: skip
    expected = {name: graycoprops(p, prop).mean() for name, prop in of_skimage.items()}
    directions = [by_moments(p[:, :, 0, angle]) for angle in range(4)]
    expected |= {name: np.mean([one[name] for one in directions]) for name in directions[0]}
    found = measure(levels, mask, {"glcm": None}, binWidth=1)
    assert {name.split("_")[2] for name in found} == set(expected)
    for name, value in expected.items():
        assert found[f"original_glcm_{name}"] == pytest.approx(value, rel=1e-9), name


def test_all_features_of_the_preset_equal_pyradiomics():
    """All 1,404, filters included; pyradiomics sees the whole picture. Differences near zero are absolute."""
    rng = np.random.default_rng(8)
    pixels = (2000 + 900 * scipy.ndimage.gaussian_filter(rng.normal(size=(120, 140)), 1)).astype(np.uint16)
    mask = np.zeros(pixels.shape, dtype=bool)
    mask[30:90, 35:110] = blob(8)
    asked = radiomics.Settings(preset="cem-2d").asked()
    found, problems = NativeEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))
    expected, _ = ReferenceEngine(asked, 1024).measure(pixels, mask, (1.0, 1.0))
    assert problems == []
    assert list(found) == list(expected)
    assert len(found) == 1404
    wrong = {
        name: (found[name], value)
        for name, value in expected.items()
        if found[name] != pytest.approx(value, rel=1e-9, abs=1e-12)
    }
    assert wrong == {}


def rectangle(height, width, spacing):
    """Closed forms: marching squares cut the four corners of the outline at half a pixel."""
    area = (height * width - 0.5) * spacing**2
    perimeter = (2 * (height - 1 + width - 1) + 4 * math.sqrt(0.5)) * spacing
    major, minor = (4 * math.sqrt((n**2 - 1) / 12) * spacing for n in (max(height, width), min(height, width)))
    sphericity = 2 * math.sqrt(math.pi * area) / perimeter
    return {
        "MeshSurface": area,
        "PixelSurface": height * width * spacing**2,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / area,
        "Sphericity": sphericity,
        "SphericalDisproportion": 1 / sphericity,
        "MaximumDiameter": max(math.hypot(height, width - 1), math.hypot(height - 1, width)) * spacing,
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "Elongation": minor / major,
    }


@pytest.mark.parametrize(
    ("height", "width", "spacing"), [(20, 10, 1.0), (33, 33, 0.1), (7, 40, 0.094), (2, 300, 2.5), (400, 250, 0.05)]
)
def test_shape_of_a_rectangle_has_its_closed_form(height, width, spacing):
    mask = np.zeros((height + 9, width + 5), dtype=bool)
    mask[4 : 4 + height, 2 : 2 + width] = True
    expected = rectangle(height, width, spacing)
    found = shape2d.measure(mask, list(expected), spacing=(spacing, spacing))
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-9)


def test_closed_forms_of_rectangles_are_those_of_the_reference_table(reference):
    table = pd.read_csv(reference / "ibsi" / "shape2d_analytic.csv").dropna()
    assert len(table) == 30
    for row in table.itertuples():
        height, width = (int(side) for side in row.case.split()[1].split("x"))
        stated = rectangle(height, width, row.pixel_spacing_mm)[row.feature]
        assert stated == pytest.approx(row.closed_form, rel=1e-9), row


@pytest.mark.parametrize("seed", [0, 1, 2, 10, 11])
def test_shape_of_a_free_form_equals_the_contour_of_scikit_image(seed):
    mask, spacing = blob(seed), np.array([0.7, 0.7])
    contours = [contour * spacing for contour in find_contours(mask.astype(float), 0.5, fully_connected="low")]
    area = abs(sum(0.5 * np.sum(c[:-1, 0] * c[1:, 1] - c[1:, 0] * c[:-1, 1]) for c in contours))
    perimeter = sum(np.linalg.norm(b - a) for contour in contours for a, b in pairwise(contour))
    axes = 4 * np.sqrt(np.linalg.eigvalsh(np.cov((np.argwhere(mask) * spacing).T, bias=True)))
    expected = {
        "MeshSurface": area,
        "Perimeter": perimeter,
        "PixelSurface": mask.sum() * 0.49,
        "PerimeterSurfaceRatio": perimeter / area,
        "Sphericity": 2 * math.sqrt(math.pi * area) / perimeter,
        "MaximumDiameter": scipy.spatial.distance.pdist(np.vstack(contours)).max(),
        "MajorAxisLength": axes[1],
        "MinorAxisLength": axes[0],
        "Elongation": axes[0] / axes[1],
    }
    found = shape2d.measure(mask, list(expected), spacing=(0.7, 0.7))
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-9)


@pytest.fixture(scope="module")
def breast1(realdata):
    folder = realdata / "pyradiomics"
    image, label = (SimpleITK.ReadImage(str(folder / f"breast1_{name}.nrrd")) for name in ("image", "label"))
    return SimpleITK.GetArrayFromImage(image), SimpleITK.GetArrayFromImage(label) == 1, folder / "baseline"


def side_by_side(volume):
    return np.hstack([np.pad(plane, 2) for plane in volume])


def stated(path, case, kind):
    column = pd.read_csv(path, index_col=0)[case]
    rows = {n.split("_")[2]: float(v) for n, v in column.items() if n.startswith(f"original_{kind}_")}
    assert rows
    return rows


@pytest.mark.parametrize("kind", TEXTURE)
def test_texture_equals_the_published_baseline_of_breast1(breast1, kind):
    """force2D adds up matrices over slices, direction by direction: the slices side by side in one picture."""
    pixels, mask, folder = breast1
    expected = stated(folder / f"baseline_{kind}.csv", "breast1_2d", kind)
    found = measure(side_by_side(pixels), side_by_side(mask), {kind: list(expected)}, binWidth=25)
    for name, value in expected.items():
        assert found[f"original_{kind}_{name}"] == pytest.approx(value, rel=1e-9), name


def test_first_order_equals_the_published_baseline_of_breast1(breast1):
    pixels, mask, folder = breast1
    expected = stated(folder / "baseline_firstorder.csv", "breast1", "firstorder")
    spacing = 0.664062**2, 2.1  # the volume of a voxel as the area of a pixel
    asked = {"firstorder": list(expected)}
    found = measure(side_by_side(pixels), side_by_side(mask), asked, spacing, binWidth=25, voxelArrayShift=2000)
    for name, value in expected.items():
        assert found[f"original_firstorder_{name}"] == pytest.approx(value, rel=1e-9), name


def test_shape_equals_the_published_baseline_of_breast1(breast1):
    _, mask, folder = breast1
    (plane,) = [plane for plane in mask if plane.sum() == 82]
    expected = stated(folder / "baseline_shape2D.csv", "breast1_shape2D", "shape2D")
    found = shape2d.measure(plane, list(expected), spacing=(0.664062, 0.664062))
    assert len(expected) == 9
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name
