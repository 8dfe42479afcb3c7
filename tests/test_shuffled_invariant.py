"""Shuffled voxels: what is left of a picture, and of a signature, once the arrangement inside the mask is gone."""

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.models.evaluate import evaluate
from cemrad.pipeline.audit import Audited, audit_lightly, shuffled_voxels
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.extract import extract
from cemrad.pipeline.shuffled import shuffle_cohort
from cemrad.pipeline.study import parse_study
from scipy.ndimage import gaussian_filter

KEY = PictureKey("RC", "CC")


def texture_cohort(n, seed):
    """Discs of any size; of the malignant ones the same grey values lie in patches instead of at random."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        malignant = i % 2
        rows, columns = np.mgrid[:48, :48] - 24
        mask = np.hypot(rows, columns) < rng.uniform(7, 18)
        pixels = rng.integers(0, 60, (48, 48)).astype(float)
        field = rng.normal(size=(48, 48))
        values = np.sort(rng.integers(100, 200, int(mask.sum())).astype(float))
        order = gaussian_filter(field, 2.0)[mask] if malignant else field[mask]
        pixels[mask] = values[np.argsort(np.argsort(order))]
        picture = Picture(ArrayImage(pixels), ArrayMask(mask))
        label = "malignant" if malignant else "benign"
        cases.append(Case(f"c{i:03d}", f"P{i:03d}", pictures={KEY: picture}, labels={"malignancy": label}))
    return Cohort("textures", tuple(cases))


def _audited(n, seed):
    classes = {"firstorder": [], "shape2D": [], "glcm": ["Contrast", "Correlation", "JointEntropy"]}
    family = {"parameters": {"imageType": {"Original": {}}, "featureClass": classes}}
    evaluation = {"n_candidates": 1, "learner_settings": {"max_depth": [2], "n_rounds": [30]}, "arms": ["radiomics"]}
    study = parse_study(
        {"schema_version": 1, "features": {"families": {"radiomics": family}}, "evaluation": evaluation, "jobs": 1}
    )
    cohort = texture_cohort(n, seed)
    table, labels = extract(cohort, study.features), cohort.labels()
    return Audited(study, cohort, labels, table, evaluate(table, labels, study.endpoints, study.evaluation))


def test_only_the_order_inside_the_mask_changes():
    cohort = texture_cohort(4, 0)
    first, again, other = (shuffle_cohort(cohort, MaskRules(), seed) for seed in (1, 1, 2))
    for case, shuffled, same, different in zip(cohort.cases, first.cases, again.cases, other.cases, strict=True):
        before, mask = case.pictures[KEY].read(MaskRules())
        after, mask_after = shuffled.pictures[KEY].read(MaskRules())
        assert (mask == mask_after).all()
        assert (before.pixels[~mask] == after.pixels[~mask]).all()
        assert (np.sort(before.pixels[mask]) == np.sort(after.pixels[mask])).all()
        assert (before.pixels[mask] != after.pixels[mask]).mean() > 0.8
        assert (after.pixels == same.pictures[KEY].read(MaskRules())[0].pixels).all()
        assert (after.pixels != different.pictures[KEY].read(MaskRules())[0].pixels).any()


def test_a_mask_that_cannot_be_used_leaves_the_picture_and_its_failure():
    image = ArrayImage(np.arange(100.0).reshape(10, 10))
    case = Case("c", "P", pictures={KEY: Picture(image, ArrayMask(np.zeros((10, 10), bool)))})
    shuffled = shuffle_cohort(Cohort("one", (case,)), MaskRules(), 0).cases[0].pictures[KEY]
    assert (shuffled.image.read().pixels == image.pixels).all()


def test_first_order_stays_and_a_signature_of_texture_is_lost():
    """T7: only texture tells the classes apart, so that with shuffled voxels nothing is left."""
    of = _audited(40, 3)
    found = {check.check: check for check in shuffled_voxels(of, thorough=True)}
    assert found["shuffled voxels"].state == "passed"
    assert found["shuffled voxels"].value <= 1e-12
    real = of.result.metrics.query("metric == 'auc' and level == 'lesion'")["estimate"].iloc[0]
    assert real > 0.95
    assert found["shuffled voxels: AUC"].state == "finding"
    assert found["shuffled voxels: AUC"].value < 0.7
    assert "no texture is shown to be needed" not in found["shuffled voxels: AUC"].text


def test_without_pictures_there_is_nothing_to_shuffle():
    of = _audited(20, 3)
    bare = Audited(of.study, Cohort("table", of.cohort.cases, table=of.table), of.labels, of.table, of.result)
    [check] = shuffled_voxels(bare, thorough=True)
    assert check.state == "not applicable"


@pytest.mark.slow
def test_shuffled_texture_falls_to_the_volume_baseline():
    """T7 with its figure: over four cohorts of 120 the mean AUC is that of the size alone within 0.03 and its error."""
    apart = []
    for seed in range(4):
        of = _audited(120, seed)
        tables = audit_tables(of)
        apart.append(tables["shuffled"] - tables["size"])
    error = 2.6 * np.std(apart, ddof=1) / np.sqrt(len(apart))
    assert abs(np.mean(apart)) <= 0.03 + error


def audit_tables(of):
    panel = audit_lightly(of)["confounders"].set_index("panel")
    found = {check.check: check for check in shuffled_voxels(of, thorough=True)}
    return {"shuffled": found["shuffled voxels: AUC"].value, "size": panel.loc["size", "auc"]}
