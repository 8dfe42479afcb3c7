"""Laws of the phantom: same seed same bits, masks where they belong, latents visible where stated."""

import pickle
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from cemrad.features.crop import lesion_crop
from cemrad.features.image import ImageSource
from cemrad.features.mask import MaskRules, MaskSource
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.phantom_anatomy import draw_background
from cemrad.pipeline.phantom_lesion import GAP_MIN_PX
from cemrad.pipeline.phantom_picture import VENDORS, View, render
from cemrad.pipeline.phantom_plan import BPE_GRADES, DENSITIES
from cemrad.pipeline.phantom_truth import Effects
from scipy.ndimage import distance_transform_edt, gaussian_laplace
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

NO_EFFECTS = Effects(radiomics=0, deep=0, clinical=0)


@pytest.fixture(scope="module")
def settings():
    return phantom.Settings(n_patients=40, seed=9)


@pytest.fixture(scope="module")
def cohort(settings):
    return phantom.read(settings)


def pictures(cohort):
    for case in cohort.cases:
        for key, picture in case.pictures.items():
            yield case, key, picture


def pixels_of(cohort):
    return {(case.case_id, key.name): picture.image.read().pixels for case, key, picture in pictures(cohort)}


def test_same_seed_gives_the_same_bits_in_any_order(settings):
    few = phantom.read(settings.model_copy(update={"n_patients": 6}))
    forward = pixels_of(few)
    render.cache_clear()
    for case, key, picture in reversed(list(pictures(few))):
        np.testing.assert_array_equal(picture.image.read().pixels, forward[case.case_id, key.name])
    other = phantom.read(settings.model_copy(update={"n_patients": 6, "seed": 10}))
    assert not np.array_equal(next(iter(pixels_of(other).values())), next(iter(forward.values())))


def test_a_patient_is_the_same_in_a_larger_cohort(settings, cohort):
    few = phantom.read(settings.model_copy(update={"n_patients": 3}))
    for small, large in zip(few.cases, cohort.cases, strict=False):
        assert small == large


def test_pixels_and_clinical_values_do_not_know_the_labels(settings):
    with_effects = phantom.read(settings.model_copy(update={"n_patients": 10}))
    without = phantom.read(settings.model_copy(update={"n_patients": 10, "effects": NO_EFFECTS}))
    assert any(a.labels != b.labels for a, b in zip(with_effects.cases, without.cases, strict=True))
    assert [case.clinical for case in with_effects.cases] == [case.clinical for case in without.cases]
    assert [case.pictures for case in with_effects.cases] == [case.pictures for case in without.cases]


def test_without_effects_labels_are_independent_of_every_latent():
    settings = phantom.Settings(n_patients=2000, seed=4, effects=NO_EFFECTS)
    truth = phantom.truth(settings)
    labels = phantom.read(settings).labels()
    for endpoint, block in product(("malignancy", "er", "pr", "her2", "nodal"), ("radiomics", "deep", "clinical")):
        label = truth[f"label_{endpoint}"].dropna()
        error = np.sqrt(1 / 12 * (1 / label.sum() + 1 / (1 - label).sum()))
        assert abs(roc_auc_score(label, truth.loc[label.index, f"z_{block}"]) - 0.5) < 4 * error
        assert np.ptp(truth[f"probability_{endpoint}"]) == 0
    malignant = truth.index[truth["label_malignancy"] == 1]
    for label, block in product(("grade", "ki67"), ("radiomics", "deep", "clinical")):
        rho = spearmanr(labels.loc[malignant, label].astype(float), truth.loc[malignant, f"z_{block}"])[0]
        assert abs(rho) < 4 / np.sqrt(len(malignant))


def test_sources_keep_their_protocols_and_travel(cohort):
    case, _, picture = next(pictures(cohort))
    assert isinstance(picture.image, ImageSource)
    assert isinstance(picture.mask, MaskSource)
    blob = pickle.dumps(case)
    assert len(blob) < 4000
    again = pickle.loads(blob)  # noqa: S301 - made here: what a worker process receives
    key = next(iter(case.pictures))
    np.testing.assert_array_equal(again.pictures[key].image.read().pixels, case.pictures[key].image.read().pixels)


def test_what_is_read_may_be_written_to(cohort):
    _, _, picture = next(pictures(cohort))
    image = picture.image.read()
    before = image.pixels.copy()
    image.pixels[:] = 0
    np.testing.assert_array_equal(picture.image.read().pixels, before)


def test_masks_are_usable_inside_the_breast_and_apart(cohort):
    for case, _key, picture in pictures(cohort):
        image, mask = picture.read(MaskRules())
        breast = picture.image.breast()
        assert mask.shape == image.shape == breast.shape
        assert not (mask & ~breast).any()
        for other in cohort.cases:
            if other.breast_id == case.breast_id and other is not case:
                assert not (mask & other.pictures[_key].mask.read(image)).any()


def test_recombined_pictures_begin_at_the_stated_offset(cohort):
    for case in cohort.cases[:20]:
        for key, low in case.pictures.items():
            if key.image_type != "LE":
                continue
            recombined = case.pictures[key._replace(image_type="RC")]
            low_image, image = low.image.read(), recombined.image.read()
            row, column = low.image.view.offset_px()
            assert row > 0
            assert column > 0
            assert image.shape[0] < low_image.shape[0]
            assert image.shape[1] < low_image.shape[1]
            window = (slice(row, row + image.shape[0]), slice(column, column + image.shape[1]))
            np.testing.assert_array_equal(recombined.mask.read(image), low.mask.read(low_image)[window])


def test_the_offset_is_seen_in_the_pixels(cohort):
    """The edge of the breast, taken from the pixels alone, fits best at the stated offset."""
    for case in cohort.cases[:5]:
        view = next(iter(case.pictures.values())).image.view
        scene = [case.pictures[key].image.read().pixels for key in case.pictures if key.view == view.name]
        air = VENDORS[case.info["vendor"]].offset
        low, recombined = (pixels > air for pixels in scene)
        rows, columns = recombined.shape
        agreement = {
            (r, c): (low[r : r + rows, c : c + columns] == recombined).mean()
            for r in range(low.shape[0] - rows + 1)
            for c in range(low.shape[1] - columns + 1)
        }
        row, column = view.offset_px()
        assert max(agreement, key=agreement.get) == (row, column)


def test_signs_stand_off_the_contour_and_inside_the_crop(cohort):
    found = 0
    for _case, _key, picture in pictures(cohort):
        image, mask = picture.read(MaskRules())
        signs = picture.mask.planted()
        assert signs.shape == image.shape
        if not signs.any():
            continue
        found += 1
        assert distance_transform_edt(~mask)[signs].min() > GAP_MIN_PX
        crop = lesion_crop(image, mask)
        rows, columns = np.nonzero(signs)
        assert crop.top <= rows.min()
        assert rows.max() < crop.top + crop.side_px
        assert crop.left <= columns.min()
        assert columns.max() < crop.left + crop.side_px
    assert found > 0.9 * sum(len(case.pictures) for case in cohort.cases)


@pytest.fixture(scope="module")
def statistics():
    """One simple number per lesion and place, averaged over its pictures, beside its latents."""
    settings = phantom.Settings(n_patients=110, seed=21, missing_view_rate=0)
    rows = {}
    for case in phantom.read(settings).cases:
        seen = []
        for key, picture in case.pictures.items():
            image, mask = picture.read(MaskRules())
            vendor = VENDORS[case.info["vendor"]]
            brightness = (image.pixels - vendor.offset) / vendor.gain
            crop = lesion_crop(image, mask)
            window = (
                slice(max(crop.top, 0), crop.top + crop.side_px),
                slice(max(crop.left, 0), crop.left + crop.side_px),
            )
            edges = np.abs(np.diff(mask, axis=0)).sum() + np.abs(np.diff(mask, axis=1)).sum()
            around = distance_transform_edt(~mask)[window] > GAP_MIN_PX
            seen.append(
                {
                    "inside_mean": brightness[mask].mean(),
                    f"inside_{key.image_type}_spread": brightness[mask].std(),
                    "inside_edges": edges / np.sqrt(mask.sum()),
                    "inside_log2": np.abs(gaussian_laplace(brightness, 2))[mask].mean(),
                    "outside_detail": gaussian_laplace(brightness, 1.2)[window][around].std(),
                    "area": mask.sum(),
                }
            )
        rows[case.case_id] = pd.DataFrame(seen).mean()
    return pd.DataFrame(rows).T.join(phantom.truth(settings))


def test_the_radiomics_latent_is_seen_inside(statistics):
    for name in ("inside_RC_spread", "inside_edges", "inside_log2"):
        assert spearmanr(statistics[name], statistics["z_radiomics"])[0] > 0.4, name
    assert abs(spearmanr(statistics["outside_detail"], statistics["z_radiomics"])[0]) < 0.25
    assert abs(spearmanr(statistics["area"], statistics["z_radiomics"])[0]) < 0.25


def test_the_deep_latent_is_seen_around_and_not_inside(statistics):
    assert spearmanr(statistics["outside_detail"], statistics["z_deep"])[0] > 0.6
    for name in [column for column in statistics if column.startswith("inside_")] + ["area"]:
        assert abs(spearmanr(statistics[name], statistics["z_deep"])[0]) < 0.25, name


def test_the_deep_latent_moves_no_pixel_inside():
    """The same lesions with the deep latent at -1 and at 1: the same pixels inside, hardly other filter responses."""
    shifts, responses = [], []
    cases = phantom.read(phantom.Settings(n_patients=40, seed=3, second_lesion_rate=0, missing_view_rate=0)).cases
    for case in cases:
        view = next(iter(case.pictures.values())).image.view
        (lesion,) = view.breast.lesions
        breasts = [replace(view.breast, lesions=(replace(lesion, z_deep=z),)) for z in (-1.0, 1.0)]
        less, more = (render(replace(view, breast=breast)) for breast in breasts)
        mask = less.lesions[0]
        np.testing.assert_array_equal(mask, more.lesions[0])
        for a, b in ((less.low_energy, more.low_energy), (less.recombined, more.recombined)):
            np.testing.assert_array_equal(a[mask], b[mask])
            assert (a != b).any()
        gain = VENDORS[view.breast.vendor].gain
        seen = [
            gaussian_laplace(scene.recombined / gain, sigma)[mask].mean() for sigma in (2, 3) for scene in (less, more)
        ]
        shifts.append((seen[1] - seen[0], seen[3] - seen[2]))
        responses.append((seen[0], seen[2]))
    ratio = np.abs(np.mean(shifts, axis=0)) / np.std(responses, axis=0)
    assert ratio[0] < 0.1
    assert ratio[1] < 0.25


def test_the_clinical_latent_is_seen_in_clinical_values():
    settings = phantom.Settings(n_patients=500, seed=3)
    latent = phantom.truth(settings)["z_clinical"]
    clinical = pd.DataFrame([case.clinical for case in phantom.read(settings).cases], index=latent.index)
    assert spearmanr(clinical["age"], latent)[0] > 0.8
    assert spearmanr(clinical["palpable"] == "yes", latent)[0] > 0.4
    for name in ("density", "family_history"):
        assert abs(spearmanr(clinical[name].astype("category").cat.codes, latent)[0]) < 0.15


def test_grades_of_background_and_density_are_ordered():
    def mean_of(picture, density, bpe):
        grounds = [draw_background("CC", (256, 208), density, bpe, np.random.default_rng(seed)) for seed in range(5)]
        return np.mean([getattr(ground, picture)[ground.breast].mean() for ground in grounds])

    for density in DENSITIES:
        by_grade = [mean_of("recombined", density, grade) for grade in BPE_GRADES]
        assert by_grade == sorted(by_grade)
        assert len(set(by_grade)) == len(BPE_GRADES)
    by_class = [mean_of("low_energy", density, "minimal") for density in DENSITIES]
    assert by_class == sorted(by_class)


def test_vendors_differ_in_grey_scale_only(cohort):
    breast = cohort.cases[0].pictures[next(iter(cohort.cases[0].pictures))].image.view.breast
    usual, second = VENDORS.values()
    first, other = (render(View(replace(breast, vendor=vendor.name), "CC", 256, 208)) for vendor in (usual, second))
    inside = first.breast & (first.low_energy < 2**usual.bits - 1)
    expected = second.offset + second.gain * (first.low_energy[inside].astype(float) - usual.offset) / usual.gain
    assert np.abs(other.low_energy[inside] - expected).max() <= 0.5 * second.gain / usual.gain + 1
    assert other.low_energy.max() > first.low_energy.max()


def test_right_breasts_have_the_chest_wall_on_the_right(cohort):
    for case, _key, picture in pictures(cohort):
        columns = picture.image.breast().sum(axis=0)
        left, right = columns[: len(columns) // 3].sum(), columns[-(len(columns) // 3) :].sum()
        assert (left > right) == (case.laterality == "L")


def test_only_mlo_views_show_the_pectoral_muscle():
    """The upper corner at the chest wall: muscle is brighter than fat there, and a CC view shows air."""
    for seed in range(5):
        corner = {
            view: draw_background(view, (256, 208), "A", "minimal", np.random.default_rng(seed)).low_energy[1:5, 1:20]
            for view in ("CC", "MLO")
        }
        assert corner["CC"].max() == 0 < 0.3 < corner["MLO"].mean()


def test_the_variety_that_was_asked_for_occurs(cohort):
    notes = {note.code: note.count for note in cohort.notes}
    for code in ("phantom.missing_view", "phantom.second_vendor", "phantom.mixed_patient", "phantom.missing_label"):
        assert notes[code] > 0
    info = pd.DataFrame([case.info for case in cohort.cases])
    assert set(info["finding"]) == {"mass", "non-mass enhancement"}
    assert set(info["enhancement"]) == {"homogeneous", "heterogeneous", "rim"}
    assert set(info["bpe"]) == set(BPE_GRADES)
    assert {case.laterality for case in cohort.cases} == {"L", "R"}
    labels = cohort.labels()
    benign = labels["malignancy"] == "benign"
    others = labels.columns.drop("malignancy")
    assert labels.loc[benign, others].isna().all(axis=None)
    assert labels.loc[~benign, ["nodal", "grade", "ki67"]].notna().all(axis=None)
    assert labels.loc[~benign, "ki67"].between(0, 100).all()
    assert set(labels.loc[~benign, "grade"]) == {1, 2, 3}


def test_rates_of_zero_switch_variety_off():
    plain = phantom.Settings(
        n_patients=30, second_lesion_rate=0, non_mass_rate=0, missing_view_rate=0, second_vendor_rate=0,
        missing_label_rate=0,
    )  # fmt: skip
    cohort = phantom.read(plain)
    assert cohort.notes == ()
    assert cohort.counts == {"images": 120, "patients": 30, "breasts": 30, "lesions": 30}
