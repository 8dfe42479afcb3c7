"""Registration against what is known: planted offsets, cuts made here, local correlation, another toolkit."""

import numpy as np
import pytest
import SimpleITK
from cemrad.features.case import PictureKey
from cemrad.features.errors import ImageError
from cemrad.features.image import Image
from cemrad.features.registration import register
from cemrad.pipeline.cohorts import cdd_cesm
from cemrad.pipeline.cohorts.phantom import Settings, read
from PIL import Image as Pillow
from scipy import ndimage
from skimage.feature import match_template


def test_planted_offsets_are_recovered_within_one_pixel():
    """Both views, both vendors; the issue asks for 95 % of the pairs."""
    errors, kinds, seen = [], set(), set()
    for case in read(Settings(n_patients=30, seed=21)).cases:
        for name in ("CC", "MLO"):
            pictures = [case.pictures.get(PictureKey(kind, name)) for kind in ("LE", "RC")]
            if pictures[0] is None or pictures[0].image.view in seen:
                continue
            view = pictures[0].image.view
            seen.add(view)
            kinds.add((name, view.breast.vendor))
            shift = register(*(picture.image.read() for picture in pictures))
            top, left = view.offset_px()
            errors.append(max(abs(shift.rows_px + top), abs(shift.columns_px + left)))
    assert len(errors) >= 60
    assert len(kinds) == 4
    assert np.mean(np.array(errors) <= 1) >= 0.95


@pytest.fixture(scope="module")
def p40(realdata, tmp_path_factory):
    """The four originals of one patient with their contours: by side, image and mask of LE and RC."""
    folder = tmp_path_factory.mktemp("p40")
    for name in ("tables", "original-p40"):
        for source in (realdata / "cdd-cesm" / name).iterdir():
            (folder / source.name).symlink_to(source)
    views = {}
    for case in cdd_cesm.read(cdd_cesm.Settings(path=folder)).cases:
        pictures = [case.pictures[PictureKey(kind, "MLO")] for kind in ("LE", "RC")]
        read_in = [picture.image.read() for picture in pictures]
        views[case.laterality] = [(image, p.mask.read(image)) for image, p in zip(read_in, pictures, strict=True)]
    return views


def _local_shifts(le, rc):
    """Where patches of the low-energy picture lie in the recombined one, by normalised correlation of a band-pass."""
    low, high = (ndimage.gaussian_filter(x, 2.0) - ndimage.gaussian_filter(x, 12.0) for x in (le, rc))
    found = []
    for row in range(300, le.shape[0] - 200, 450):
        for column in range(300, le.shape[1] - 200, 300):
            around = high[row - 160 : row + 160, column - 160 : column + 160]
            part = slice(row - 128, row + 128), slice(column - 128, column + 128)
            if around.shape == (320, 320) and np.mean(le[part] < 5) < 0.05:
                peaks = match_template(around, low[part])
                if peaks.max() > 0.2:
                    found.append(np.array(np.unravel_index(peaks.argmax(), peaks.shape)) - 32)
    return np.array(found)


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_shift_of_the_originals_is_that_of_their_patches(p40, side):
    (le, _), (rc, _) = p40[side]
    shift = register(le, rc)
    patches = _local_shifts(le.pixels.astype(np.float32), rc.pixels.astype(np.float32))
    assert len(patches) >= 8
    assert np.abs(np.median(patches, axis=0) - (shift.rows_px, shift.columns_px)).max() <= 3


def test_contours_of_the_originals_agree_with_the_tissue_within_5_px_or_are_refused(p40):
    """L lies 14 rows and 6 columns off under equal contours, which were copied unmoved; those of R were drawn anew."""
    (le, le_mask), (rc, rc_mask) = p40["L"]
    tissue = register(le, rc)
    assert tissue.rows_px == pytest.approx(14, abs=2)
    assert tissue.columns_px == pytest.approx(6, abs=2)
    with pytest.raises(ImageError, match="contours lie 0 rows and 0 columns apart, the tissue 1") as caught:
        register(le, rc, le_mask, rc_mask)
    assert caught.value.code == "registration.contours"
    (le, le_mask), (rc, rc_mask) = p40["R"]
    assert register(le, rc, le_mask, rc_mask).method == "phase_correlation"


def test_a_cut_moves_the_shift_of_the_originals_by_what_was_cut(p40):
    (le, _), (rc, _) = p40["R"]
    whole, cut = register(le, rc), register(le, Image(rc.pixels[61:-40, 33:-25]))
    assert cut.rows_px - whole.rows_px == pytest.approx(-61, abs=2)
    assert cut.columns_px - whole.columns_px == pytest.approx(-33, abs=2)


def test_the_two_breasts_of_one_woman_are_refused(p40):
    with pytest.raises(ImageError) as caught:
        register(p40["L"][0][0], Image(p40["R"][1][0].pixels[:, ::-1]))
    assert caught.value.code == "registration.poor"


def test_mutual_information_finds_the_same_shift():
    """SimpleITK's Mattes mutual information, on phantoms."""
    case = read(Settings(n_patients=2, seed=3, missing_view_rate=0)).cases[0]
    for name in ("CC", "MLO"):
        pair = [case.pictures[PictureKey(kind, name)].image.read() for kind in ("LE", "RC")]
        shift = register(*pair)
        fixed, moving = (SimpleITK.GetImageFromArray(image.pixels.astype(np.float32)) for image in pair)
        method = SimpleITK.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 200)
        method.SetInterpolator(SimpleITK.sitkLinear)
        method.SetInitialTransform(SimpleITK.TranslationTransform(2))
        columns, rows = method.Execute(fixed, moving).GetParameters()
        assert (shift.rows_px, shift.columns_px) == pytest.approx((rows, columns), abs=1)


@pytest.mark.slow
def test_pictures_of_two_patients_are_refused_on_real_pairs(realdata):
    """One of a hundred may pass by chance."""
    folder = realdata / "cdd-cesm" / "pairs-512" / "images"
    passed = tried = 0
    for view in ("L_DM_CC", "R_DM_CC", "L_DM_MLO", "R_DM_MLO"):
        paths = sorted(folder.glob(f"*_{view}.jpg"))
        for path, other in zip(paths, paths[1:] + paths[:1], strict=True):
            recombined = other.with_name(other.name.replace("_DM_", "_CM_"))
            if not recombined.is_file():
                continue
            pair = [Image(np.asarray(Pillow.open(p).convert("L"))) for p in (path, recombined)]
            tried += 1
            try:
                register(*pair)
                passed += 1
            except ImageError:
                pass
    assert tried > 100
    assert passed / tried <= 0.02
