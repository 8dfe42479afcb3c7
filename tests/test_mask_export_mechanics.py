"""Exported masks come back through the mask sources and the manifest reader as they went out."""

import json

import numpy as np
import pytest
from cemrad.features.case import Picture
from cemrad.features.errors import StudyError
from cemrad.features.image import ArrayImage, Grid, Image
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import ArrayMask
from cemrad.pipeline.cohorts import manifest
from cemrad.pipeline.contour import rasterise
from cemrad.pipeline.draw import apply, draw_cohort
from cemrad.pipeline.mask_export import FORMATS, contours, export_masks
from cemrad.pipeline.masks.via import read_via
from PIL import Image as PillowImage

from .fake_drawer import BIG, OTHER, SMALL, FakeDrawer, case, cohort, picture


def _blob(seed, shape=(90, 110)):
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 5)
    return noise > np.quantile(noise, 0.7)


def _ring():
    y, x = np.mgrid[:80, :80]
    radius = np.hypot(y - 40, x - 40)
    return ((radius < 35) & (radius > 20)) | (radius < 8)


def _back(polygons, shape):
    found = np.zeros(shape, bool)
    for polygon in polygons:
        found |= rasterise(polygon, shape)
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_a_drawn_cohort_goes_out_and_comes_back_as_a_manifest(tmp_path, kind):
    PillowImage.fromarray(picture(BIG, OTHER).pixels).save(tmp_path / "a.png")
    exam = cohort(
        case("A_L_1", "A", LE_CC=Picture(ImageFile(tmp_path / "a.png")), RC_MLO=picture(OTHER)),
        case("B_L_1", "B", RC_CC=picture(BIG), LE_CC=picture(SMALL)),
    )
    found = apply(exam, draw_cohort(exam, FakeDrawer(), tmp_path / "masks"))
    made = export_masks(found, tmp_path / "out", kind)
    assert (made.n_masks, made.failures) == (3, ())
    back = manifest.read(manifest.Settings(path=made.manifest, root=made.root))
    assert [one.case_id for one in back.cases] == ["A_L_1", "B_L_1"]
    assert [f for f in back.failures if f.state != "warned"] == []
    for before, after in zip(found.cases, back.cases, strict=True):
        assert set(before.pictures) == set(after.pictures)
        for key, one in before.pictures.items():
            again = after.pictures[key]
            np.testing.assert_array_equal(again.image.read().pixels, one.image.read().pixels)
            assert (again.mask is None) == (one.mask is None)
            if one.mask is not None:
                np.testing.assert_array_equal(again.mask.read(again.image.read()), one.mask.read(one.image.read()))


def test_pictures_without_a_type_come_back_one_row_each(tmp_path):
    exam = cohort(case("x", IMG=Picture(picture(BIG), ArrayMask(picture(BIG).pixels > 100))))
    made = export_masks(exam, tmp_path, "png")
    (back,) = manifest.read(manifest.Settings(path=made.manifest)).cases
    assert back.case_id == "x"
    assert [key.name for key in back.pictures] == ["IMG"]


@pytest.mark.parametrize("mask", [*map(_blob, range(6)), _ring()], ids=[*(f"blob{i}" for i in range(6)), "ring"])
def test_contours_keep_parts_and_holes(mask):
    polygons, dice = contours(mask)
    back = _back(polygons, mask.shape)
    assert dice == 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert dice >= 0.995
    assert sum(len(p.xs) for p in polygons) < 0.8 * np.count_nonzero(mask ^ np.roll(mask, 1, 0))  # thinned


@pytest.mark.parametrize("seed", range(4))
def test_contours_of_ragged_masks_are_exact_where_thinning_would_cost_too_much(seed):
    mask = np.random.default_rng(seed).random((30, 40)) > 0.5
    polygons, dice = contours(mask)
    assert dice == 1.0
    np.testing.assert_array_equal(_back(polygons, mask.shape), mask)


def test_two_lesions_of_one_picture_keep_their_own_contours(tmp_path):
    PillowImage.fromarray(picture(BIG, OTHER).pixels).save(tmp_path / "a.png")
    image = ImageFile(tmp_path / "a.png")
    one, two = np.zeros((2, 40, 30), bool)
    one[5:15, 5:15], two[20:30, 10:20] = True, True
    exam = cohort(
        case("A_L_1", "A", "1", RC_CC=Picture(image, ArrayMask(one))),
        case("A_L_2", "A", "2", RC_CC=Picture(image, ArrayMask(two))),
    )
    made = export_masks(exam, tmp_path / "out", "via")
    back = manifest.read(manifest.Settings(path=made.manifest, root=made.root))
    for after, mask in zip(back.cases, (one, two), strict=True):
        (again,) = after.pictures.values()
        np.testing.assert_array_equal(again.mask.read(again.image.read()), mask)
    (all_of_it,) = read_via(tmp_path / "out" / "via.json").values()
    assert len(all_of_it.regions) == 2
    assert all_of_it.file_size == (tmp_path / "a.png").stat().st_size
    (entry,) = json.loads((tmp_path / "out" / "via.json").read_text()).values()
    assert [r["region_attributes"]["case_id"] for r in entry["regions"]] == ["A_L_1", "A_L_2"]


class Placed(ArrayImage):
    """A picture that states where it lies."""

    def read(self):
        return Image(self.pixels, (0.1, 0.2), grid=Grid((0.1, 0.2), (3.0, -4.0)))


def test_a_volume_lies_where_its_picture_does(tmp_path):
    import SimpleITK

    exam = cohort(case("A_L_1", "A", RC_CC=Picture(Placed(picture(BIG).pixels), ArrayMask(picture(BIG).pixels > 100))))
    made = export_masks(exam, tmp_path, "nrrd")
    volume = SimpleITK.ReadImage(tmp_path / "masks" / "A_L_1__RC_CC.nrrd")
    assert volume.GetSpacing() == (0.2, 0.1)
    assert volume.GetOrigin() == (-4.0, 3.0)
    (back,) = manifest.read(manifest.Settings(path=made.manifest)).cases
    (again,) = back.pictures.values()
    assert again.mask.read(again.image.read()).sum() == 100


def test_what_cannot_be_written_is_told(tmp_path):
    empty = ArrayMask(np.zeros((40, 30), bool))
    other = ArrayMask(np.ones((4, 3), bool))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    exam = cohort(
        case("empty", RC_CC=Picture(picture(BIG), empty)),
        case("size", RC_CC=Picture(picture(BIG), other)),
        case("broken", RC_CC=Picture(ImageFile(tmp_path / "broken.png"), empty)),
    )
    made = export_masks(exam, tmp_path / "out")
    assert [(f.case_id, f.code) for f in made.failures] == [
        ("empty", "mask.empty"), ("size", "geometry.size"), ("broken", "file.corrupt"),
    ]  # fmt: skip
    assert made.manifest.read_text().count("\n") == 3
    with pytest.raises(StudyError, match="name a new folder"):
        export_masks(exam, tmp_path / "out")
    with pytest.raises(StudyError, match="there are: png, nrrd, via"):
        export_masks(exam, tmp_path / "new", "stl")
