"""The phantom against closed forms: areas under the curve, prevalences, spectra, grey scales."""

import numpy as np
import pytest
from cemrad.features.errors import EvaluationError
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.phantom_anatomy import draw_background, power_law_noise
from cemrad.pipeline.phantom_truth import (
    BLOCKS,
    ENDPOINTS,
    PREVALENCE,
    Effects,
    label_model,
    oracle_auc,
    oracle_score,
    population_auc,
)
from scipy.special import expit
from scipy.stats import norm


@pytest.fixture(scope="module")
def many():
    """Truth of 2,000 patients; nothing is drawn."""
    return phantom.truth(phantom.Settings(n_patients=2000, seed=5))


def integrated_auc(known, hidden):
    """AUC of z when logit p = known z + hidden h, with z and h standard normal, by numerical integration."""
    z = np.linspace(-7, 7, 4001)
    h = np.linspace(-7, 7, 401)
    weight = norm.pdf(h) / norm.pdf(h).sum()
    p = expit(known * z[:, None] + hidden * h[None, :]) @ weight  # prevalence one half: no intercept
    cases, controls = norm.pdf(z) * p, norm.pdf(z) * (1 - p)
    cases, controls = cases / cases.sum(), controls / controls.sum()
    return float(np.sum(cases * (np.cumsum(controls) - controls / 2)))


@pytest.mark.parametrize(
    ("effects", "blocks", "known", "hidden"),
    [
        (Effects(radiomics=1.5, deep=0, clinical=0), ("radiomics",), 1.5, 0.0),
        (Effects(radiomics=1.5, deep=2.0, clinical=0), ("radiomics",), 1.5, 2.0),
        (Effects(radiomics=1.5, deep=2.0, clinical=0), ("radiomics", "deep"), 2.5, 0.0),
        (Effects(radiomics=1.2, deep=1.6, clinical=0.9), ("radiomics", "deep"), 2.0, 0.9),
        (Effects(radiomics=0, deep=0, clinical=0), BLOCKS, 0.0, 0.0),
    ],
)
def test_population_auc_of_malignancy_is_the_integral(effects, blocks, known, hidden):
    expected = integrated_auc(known, hidden)
    assert population_auc(label_model(effects, 0.5), "malignancy", blocks) == pytest.approx(expected, abs=0.005)


def test_default_cohort_is_separable_as_stated():
    model = label_model(Effects(), 0.5)
    assert 0.85 < population_auc(model, "malignancy", ("radiomics", "deep")) < 0.90
    for endpoint in ENDPOINTS:
        alone = [population_auc(model, endpoint, (block,)) for block in ("radiomics", "deep")]
        fused = population_auc(model, endpoint, ("radiomics", "deep"))
        assert fused > max(alone) + 0.03
        assert fused > 0.80


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_drawn_labels_reach_the_population_auc(many, endpoint):
    model = label_model(Effects(), 0.5)
    for blocks in (("radiomics",), ("deep",), ("radiomics", "deep"), BLOCKS):
        expected = population_auc(model, endpoint, blocks)
        label = many[f"label_{endpoint}"].dropna()
        # Standard error after Hanley and McNeil, doi 10.1148/radiology.143.1.7063747, bounded from above.
        error = np.sqrt(expected * (1 - expected) / min(label.sum(), (1 - label).sum()))
        assert oracle_auc(many, endpoint, blocks) == pytest.approx(expected, abs=3 * error)


def test_drawn_labels_have_the_stated_prevalence(many):
    n = len(many)
    assert many["label_malignancy"].mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / n))
    for endpoint in ("er", "pr", "her2", "nodal"):
        label = many[f"label_{endpoint}"].dropna()
        share = PREVALENCE[endpoint]
        assert label.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(label)))
        assert label.index.equals(many.index[many["label_malignancy"] == 1])


def test_probabilities_are_calibrated(many):
    rank = many["probability_malignancy"].rank(pct=True)
    for low in (0.0, 0.25, 0.5, 0.75):
        quarter = many[(rank > low) & (rank <= low + 0.25)]
        expected = quarter["probability_malignancy"].mean()
        error = np.sqrt(expected * (1 - expected) / len(quarter))
        assert quarter["label_malignancy"].mean() == pytest.approx(expected, abs=4 * error)


def test_knowing_every_block_gives_the_probability_itself(many):
    score = oracle_score(many, "nodal", BLOCKS)
    np.testing.assert_allclose(score, many["probability_nodal"], rtol=1e-12)


def test_triple_negative_is_the_product_of_its_parts(many):
    parts = [1 - many[f"probability_{name}"] for name in ("er", "pr", "her2")]
    np.testing.assert_allclose(many["probability_triple_negative"], np.prod(parts, axis=0), rtol=1e-12)
    negative = (many[["label_er", "label_pr", "label_her2"]] == 0).all(axis=1)
    malignant = many["label_malignancy"] == 1
    assert (many.loc[malignant, "label_triple_negative"] == negative[malignant]).all()


def test_one_class_is_refused():
    truth = phantom.truth(phantom.Settings(n_patients=1))
    with pytest.raises(EvaluationError, match="ask for more patients"):
        oracle_auc(truth, "malignancy")


def radial_slope(picture, low, high):
    """Exponent of the radially averaged power spectrum between two frequencies, in periods per picture."""
    n = picture.shape[0]
    window = np.hanning(n)[:, None] * np.hanning(n)[None, :]
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(n) * n, np.fft.fftfreq(n) * n))
    rings = np.arange(low, high + 1)
    mean = [power[(frequency >= ring - 0.5) & (frequency < ring + 0.5)].mean() for ring in rings]
    return -np.polyfit(np.log(rings), np.log(mean), 1)[0]


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_noise_has_the_power_law_asked_for(beta):
    fields = [f for seed in range(4) for f in power_law_noise((256, 256), beta, np.random.default_rng(seed))]
    slopes = [radial_slope(field, 6, 60) for field in fields]
    assert np.mean(slopes) == pytest.approx(beta, abs=0.1)


@pytest.mark.parametrize("density", ["B", "C", "D"])
def test_parenchyma_has_a_slope_of_about_three(density):
    slopes = []
    for seed in range(5):
        ground = draw_background("CC", (768, 640), density, "minimal", np.random.default_rng(seed))
        middle = ground.low_energy[256:512, 128:384]
        slopes.append(radial_slope(middle, 4, 25))
    assert np.mean(slopes) == pytest.approx(3.0, abs=0.35)
