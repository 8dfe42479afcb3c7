"""Exported masks of real lesions, read by libraries that are not ours."""

import json

import numpy as np
import pytest
import SimpleITK
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.imagefile import ImageFile
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts import manifest
from cemrad.pipeline.mask_export import FORMATS, export_masks
from cemrad.pipeline.masks.label_image import LabelImage
from PIL import Image as PillowImage
from skimage.draw import polygon2mask

TYPES = {"DM": "LE", "CM": "RC"}
N_PICTURES = 12


@pytest.fixture(scope="module")
def pairs(realdata):
    """Every twenty-sixth of the real pictures, with the mask that a reader drew."""
    folder = realdata / "cdd-cesm" / "pairs-512"
    cases = []
    for path in sorted((folder / "images").iterdir())[::26][:N_PICTURES]:
        patient, side, image_type, view = path.stem.split("_")[:4]
        picture = Picture(ImageFile(path), LabelImage(folder / "masks" / path.name))
        cases.append(Case(path.stem, patient, side, path.stem, {PictureKey(TYPES[image_type], view): picture}))
    return Cohort("pairs", tuple(cases))


@pytest.fixture(scope="module")
def exports(pairs, tmp_path_factory):
    """The export in every format, with its folder."""
    folder = tmp_path_factory.mktemp("exports")
    return {kind: (export_masks(pairs, folder / kind, kind), folder / kind / "masks") for kind in FORMATS}


def _truth(case):
    ((key, picture),) = case.pictures.items()
    return f"{case.case_id}__{key.name}", picture.mask.read(picture.image.read())


def _dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_simpleitk_and_pillow_read_the_same_pixels(pairs, exports):
    assert [made.n_masks for made, _ in exports.values()] == [N_PICTURES] * len(FORMATS)
    for case in pairs.cases:
        name, mask = _truth(case)
        png = np.asarray(PillowImage.open(exports["png"][1] / f"{name}.png"))
        nrrd = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(exports["nrrd"][1] / f"{name}.nrrd"))
        np.testing.assert_array_equal(png, mask * 255)
        np.testing.assert_array_equal(nrrd, mask)


def test_scikit_image_fills_the_contours_to_the_same_masks(pairs, exports):
    made, folder = exports["via"]
    found = []
    for case in pairs.cases:
        name, mask = _truth(case)
        (entry,) = json.loads((folder / f"{name}.json").read_text()).values()
        filled = np.zeros(mask.shape, bool)
        for region in entry["regions"]:
            shape = region["shape_attributes"]
            points = np.column_stack([shape["all_points_y"], shape["all_points_x"]]) - 0.5
            filled |= polygon2mask(mask.shape, points)
        found.append(_dice(filled, mask))
    assert min(found) > 0.99
    assert made.lowest_dice >= 0.995


def test_the_manifest_gives_the_same_masks(pairs, exports):
    for kind, (made, _) in exports.items():
        back = manifest.read(manifest.Settings(path=made.manifest, root=made.root))
        assert len(back.cases) == N_PICTURES
        for before, after in zip(pairs.cases, back.cases, strict=True):
            _, mask = _truth(before)
            _, again = _truth(after)
            assert _dice(again, mask) > (0.99 if kind == "via" else 0.9999999)
