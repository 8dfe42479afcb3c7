"""Label images and contour files: which pixels are chosen, and what is refused with which code."""

import json

import numpy as np
import PIL.Image
import pytest
import SimpleITK
from cemrad.features.errors import CohortError, MaskError
from cemrad.features.image import Grid, Image
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import MaskRules, require_usable
from cemrad.pipeline.contour import Region
from cemrad.pipeline.masks import SHELF
from cemrad.pipeline.masks.drawn import DrawnMask
from cemrad.pipeline.masks.label_image import LabelImage
from cemrad.pipeline.masks.transferred import TransferredMask
from cemrad.pipeline.masks.via import ViaMask, parse_region, read_via

IMAGE = Image(np.zeros((32, 40), np.uint8))
SQUARE = np.zeros((32, 40), np.uint8)
SQUARE[8:20, 10:30] = 1


def _file(folder, values, suffix=".png", **options):
    path = folder / f"mask{suffix}"
    if suffix in (".png", ".jpg", ".tif"):
        PIL.Image.fromarray(values).save(path, **options)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), path)
    return path


def _code(source, image=IMAGE):
    with pytest.raises(MaskError) as caught:
        source.read(image)
    return caught.value.code


def test_every_mask_source_names_its_class():
    readers = {name: part.SOURCE for name in SHELF.names() if hasattr(part := SHELF.take(name), "SOURCE")}
    assert readers == {
        "drawn": DrawnMask, "label_image": LabelImage, "transferred": TransferredMask, "via": ViaMask,
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nrrd", ".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize("value", [1, 7, 255])
def test_one_label_of_any_value_is_the_lesion(tmp_path, suffix, value):
    path = _file(tmp_path, SQUARE * np.uint8(value), suffix)
    np.testing.assert_array_equal(LabelImage(path).read(IMAGE), SQUARE == 1)


def test_label_one_takes_the_255_of_a_binary_file(tmp_path):
    np.testing.assert_array_equal(LabelImage(_file(tmp_path, SQUARE * np.uint8(255)), 1).read(IMAGE), SQUARE == 1)


def test_jpeg_is_cut_at_127_unless_said_otherwise(tmp_path):
    path = _file(tmp_path, SQUARE * np.uint8(255), ".jpg", quality=60)
    soft = np.asarray(PIL.Image.open(path))
    assert len(np.unique(soft)) > 2, "the file must have soft edges for this test to say anything"
    np.testing.assert_array_equal(LabelImage(path).read(IMAGE), soft > 127)
    np.testing.assert_array_equal(LabelImage(path, threshold=200).read(IMAGE), soft > 200)
    assert _code(LabelImage(path, 2)) == "mask.not_binary"


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA"])
def test_other_modes_of_a_black_and_white_png(tmp_path, mode):
    picture = PIL.Image.fromarray(SQUARE * np.uint8(255)).convert(mode)
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(LabelImage(tmp_path / "mask.png").read(IMAGE), SQUARE == 1)


def test_a_coloured_palette_holds_labels(tmp_path):
    values = SQUARE.copy()
    values[0:3, 0:3] = 2
    picture = PIL.Image.fromarray(values, "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "mask.png")
    assert _code(LabelImage(tmp_path / "mask.png")) == "mask.multilabel"
    np.testing.assert_array_equal(LabelImage(tmp_path / "mask.png", 2).read(IMAGE), values == 2)


def test_several_labels(tmp_path):
    values = SQUARE.copy()
    values[25:30, 0:9] = 2
    path = _file(tmp_path, values)
    assert _code(LabelImage(path)) == "mask.multilabel"
    assert _code(LabelImage(path, 3)) == "mask.label_absent"
    np.testing.assert_array_equal(LabelImage(path, 2).read(IMAGE), values == 2)


def test_grey_edges_need_a_threshold(tmp_path):
    values = SQUARE * np.uint8(255)
    values[8, 10:30] = 90
    path = _file(tmp_path, values)
    assert _code(LabelImage(path)) == "mask.not_binary"
    np.testing.assert_array_equal(LabelImage(path, threshold=127).read(IMAGE), values > 127)


def test_a_threshold_never_overrides_a_label(tmp_path):
    path = _file(tmp_path, SQUARE * np.uint8(255))
    assert _code(LabelImage(path, label=2, threshold=0.5)) == "mask.not_binary"
    assert LabelImage(path, label=1, threshold=0.5).read(IMAGE).sum() == SQUARE.sum()


@pytest.mark.parametrize("value", [0.6, 1 / 255, -1.0, np.nan])
def test_values_that_are_no_labels(tmp_path, value):
    path = _file(tmp_path, SQUARE.astype(np.float32) * np.float32(value), ".nrrd")
    assert _code(LabelImage(path)) == "mask.not_binary"


def test_a_photograph_is_no_mask(tmp_path):
    path = _file(tmp_path, np.random.default_rng(0).integers(0, 200, (32, 40), dtype=np.uint8))
    assert _code(LabelImage(path)) == "mask.not_binary"


def test_a_mask_in_colour(tmp_path):
    values = np.zeros((32, 40, 3), np.uint8)
    values[..., 0] = SQUARE * 255
    assert _code(LabelImage(_file(tmp_path, values))) == "mask.colour"


@pytest.mark.parametrize(("content", "code"), [(None, "file.missing"), (b"", "file.empty"), (b"text", "file.corrupt")])
def test_files_that_cannot_be_read_keep_their_code(tmp_path, content, code):
    if content is not None:
        (tmp_path / "mask.png").write_bytes(content)
    assert _code(LabelImage(tmp_path / "mask.png")) == code


def test_an_empty_mask_is_empty_whatever_label_is_asked(tmp_path):
    path = _file(tmp_path, SQUARE * np.uint8(0))
    for source in (LabelImage(path), LabelImage(path, 1)):
        with pytest.raises(MaskError) as caught:
            require_usable(source.read(IMAGE), MaskRules())
        assert caught.value.code == "mask.empty"


def _placed(folder, name, spacing=(0.1, 0.1), origin=(0.0, 0.0), direction=(1.0, 0.0, 0.0, 1.0)):
    volume = SimpleITK.GetImageFromArray(SQUARE)
    volume.SetSpacing(spacing)
    volume.SetOrigin(origin)
    volume.SetDirection(direction)
    SimpleITK.WriteImage(volume, folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("placed", "code"),
    [
        ({"spacing": (0.1, 0.1001)}, "geometry.spacing"),
        ({"spacing": (0.2, 0.2)}, "geometry.spacing"),
        ({"origin": (1.0, 0.0)}, "geometry.origin"),
        ({"direction": (-1.0, 0.0, 0.0, 1.0)}, "geometry.direction"),
    ],
)
def test_a_mask_that_lies_elsewhere_is_never_moved(tmp_path, placed, code):
    image = ImageFile(_placed(tmp_path, "image.nrrd")).read()
    assert LabelImage(_placed(tmp_path, "same.nrrd")).read(image).sum() == 240
    assert _code(LabelImage(_placed(tmp_path, "mask.nrrd", **placed)), image) == code


def test_spacing_that_differs_by_rounding_is_the_same(tmp_path):
    image = ImageFile(_placed(tmp_path, "image.nrrd")).read()
    assert LabelImage(_placed(tmp_path, "mask.nrrd", spacing=(0.1, 0.10001))).read(image).sum() == 240


def test_a_png_mask_of_an_image_with_a_grid_is_checked_by_its_size(tmp_path):
    image = Image(np.zeros((32, 40)), grid=Grid((0.1, 0.1), (5.0, 5.0)))
    assert LabelImage(_file(tmp_path, SQUARE)).read(image).sum() == 240
    assert _code(LabelImage(_file(tmp_path, SQUARE[:-1])), image) == "geometry.size"


@pytest.mark.parametrize(
    "name", ["seg_empty.nii.gz", "seg_multilabel.nrrd", "seg_one_label.nii.gz", "seg_single_slice.nii.gz"]
)
def test_volumes_are_no_masks_of_a_mammogram(realdata, name):
    assert _code(LabelImage(realdata / "mask-edge-cases" / name)) == "mask.not_2d"


@pytest.mark.parametrize(
    ("name", "label", "code"),
    [
        ("seg_empty.nii.gz", None, None),
        ("seg_one_label.nii.gz", None, None),
        ("seg_two_labels.nii.gz", None, "mask.multilabel"),
        ("seg_two_labels.nii.gz", 2, None),
        ("seg_two_labels.nii.gz", 3, "mask.label_absent"),
    ],
)
def test_a_slice_of_the_real_edge_cases(realdata, tmp_path, name, label, code):
    volume = SimpleITK.ReadImage(realdata / "mask-edge-cases" / name)
    array = SimpleITK.GetArrayFromImage(volume)
    kinds = [len(np.unique(plane)) for plane in array]
    k = int(np.argmax(kinds))
    SimpleITK.WriteImage(volume[:, :, k], tmp_path / "mask.nii.gz")
    source = LabelImage(tmp_path / "mask.nii.gz", label)
    image = Image(np.zeros(array[k].shape))
    if code is not None:
        assert _code(source, image) == code
    else:
        expected = array[k] == label if label else array[k] > 0
        np.testing.assert_array_equal(source.read(image), expected)


def test_real_jpeg_masks_have_grey_edges_that_127_cuts(realdata):
    folder = realdata / "cdd-cesm" / "pairs-512"
    paths = sorted((folder / "masks").iterdir())[::40]
    for path in paths:
        mask = LabelImage(path).read(ImageFile(folder / "images" / path.name).read())
        assert mask.shape == (512, 512)
        assert 64 < mask.sum() < 512 * 512 / 2


def test_contours_of_another_picture_are_refused():
    far = Region("circle", (900.0,), (900.0,), 40.0, 40.0)
    assert _code(ViaMask((far,))) == "geometry.outside"
    partly = Region("circle", (0.0,), (16.0,), 10.0, 10.0)
    assert ViaMask((partly, Region("circle", (20.0,), (16.0,), 5.0, 5.0))).read(IMAGE).any()


def test_polylines_are_closed_or_ignored():
    line = Region("polyline", (5.0, 25.0, 25.0, 5.0), (5.0, 5.0, 25.0, 25.0))
    assert ViaMask((line,)).read(IMAGE).sum() == 400
    assert not ViaMask((line,), polylines="ignored").read(IMAGE).any()


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "blob"},
        {"name": "circle", "cx": 1, "cy": 2},
        {"name": "circle", "cx": 1, "cy": 2, "r": -3},
        {"name": "ellipse", "cx": 1, "cy": float("nan"), "rx": 1, "ry": 1},
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
        {"name": "polygon", "all_points_x": "abc", "all_points_y": "abc"},
    ],
)
def test_regions_that_cannot_be_read_name_their_picture(tmp_path, attributes):
    with pytest.raises((ValueError, KeyError)):
        parse_region(attributes)
    entry = {"filename": "a.jpg", "size": 1, "regions": [{"shape_attributes": attributes}]}
    (tmp_path / "via.json").write_text(json.dumps({"a": entry}), encoding="utf-8")
    with pytest.raises(CohortError, match="a.jpg"):
        read_via(tmp_path / "via.json")


def test_pictures_without_regions_are_known_and_empty(tmp_path):
    (tmp_path / "via.csv").write_text(
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,12,"{}",0,0,"{}","{}"\n',
        encoding="utf-8",
    )
    assert read_via(tmp_path / "via.csv")["a.jpg"].regions == ()
    old = {
        "a.jpg12": {
            "filename": "a.jpg",
            "size": 12,
            "regions": {"0": {"shape_attributes": {"name": "point", "cx": 1, "cy": 2}}},
        }
    }
    (tmp_path / "via.json").write_text(json.dumps(old), encoding="utf-8")
    assert read_via(tmp_path / "via.json")["a.jpg"].regions[0].shape == "point"


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', '{"a": {"filename": "x"}}'])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / "via.json").write_text(content, encoding="utf-8")
    with pytest.raises(CohortError, match="via.json"):
        read_via(tmp_path / "via.json")
