"""Deep features against a forward pass written independently, from the crop to the pooled output."""

import numpy as np
import pytest
import safetensors.torch
import SimpleITK
import timm
import torch
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from torchvision.transforms import functional

LE, RC = PictureKey("LE", "MLO"), PictureKey("RC", "MLO")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_crop(pixels, mask, side):
    """The square as a loop over pixels would cut it: edge values beyond the image."""
    grey = pixels.astype(float)
    low, high = np.percentile(grey, 0.5), np.percentile(grey, 99.5)
    grey = np.minimum(np.maximum((grey - low) / (high - low), 0), 1)
    rows, columns = np.nonzero(mask)
    top = (rows.min() + rows.max() + 1) // 2 - side // 2
    left = (columns.min() + columns.max() + 1) // 2 - side // 2
    padded = np.pad(grey, side, mode="edge")
    return padded[top + side : top + 2 * side, left + side : left + 2 * side].astype(np.float32)


def side_of(mask, margin):
    rows, columns = np.nonzero(mask)
    return round((max(np.ptp(rows), np.ptp(columns)) + 1) * (1 + 2 * margin))


def plain_features(network, channels, size):
    image = functional.resize(torch.tensor(np.stack(channels)), [size, size], antialias=True)
    image = functional.normalize(image, MEAN, STD)
    with torch.no_grad():
        maps = network.forward_features(image[None])
    return maps.mean(dim=(2, 3))[0].numpy()


def features(family, case, picture):
    (row,) = family.extract([case])
    assert row.failures == []
    return np.array([row.values[name] for name in family.columns(list(case.pictures)) if f":{picture}:" in name])


@pytest.fixture(scope="module")
def exam():
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:180, :150]
    pictures = {}
    for key, (row, column, radius), top in ((LE, (90, 10, 22), 4095), (RC, (100, 30, 17), 65535)):
        mask = ((rows - row) / 1.3) ** 2 + (columns - column) ** 2 < radius**2  # reaches beyond the left edge
        grey = rng.normal(0.4, 0.1, mask.shape).cumsum(axis=1) / 80 + 0.3 * mask
        pictures[key] = Picture(ArrayImage((grey.clip(0, 1) * top).astype(np.uint16)), ArrayMask(mask))
    return Case("A", "P", pictures=pictures)


@pytest.mark.parametrize(("name", "n", "size"), [("resnet18", 512, 96), ("resnet50", 2048, 64)])
def test_features_equal_a_plain_forward_pass(exam, name, n, size):
    family = deep.Family(deep.Settings(network=name, weights="random", seed=5, size=size, margin=0.4), MaskRules())
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = timm.create_model(name, pretrained=False, num_classes=0).eval()
    pixels = {key: picture.image.pixels for key, picture in exam.pictures.items()}
    masks = {key: picture.mask.pixels for key, picture in exam.pictures.items()}
    for key in (LE, RC):
        crop = plain_crop(pixels[key], masks[key], side_of(masks[key], 0.4))
        found = features(family, exam, key.name)
        assert len(found) == n
        np.testing.assert_allclose(found, plain_features(network, [crop] * 3, size), rtol=1e-5, atol=1e-5)
    side = max(side_of(mask, 0.4) for mask in masks.values())
    low_energy, recombined = (plain_crop(pixels[key], masks[key], side) for key in (LE, RC))
    expected = plain_features(network, [low_energy, recombined, (low_energy + recombined) / 2], size)
    np.testing.assert_allclose(features(family, exam, "LERC_MLO"), expected, rtol=1e-5, atol=1e-5)


def test_a_real_image_and_weights_from_a_file_equal_a_plain_forward_pass(realdata, tmp_path):
    torch.manual_seed(11)
    network = timm.create_model("resnet18", pretrained=False).eval()
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)  # with its classifier, as timm publishes weights
    folder = realdata / "cdd-cesm" / "pairs-512"
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "images" / "P102_R_CM_MLO.jpg")))
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "masks" / "P102_R_CM_MLO.jpg"))) > 127
    case = Case("A", "P", pictures={RC: Picture(ArrayImage(image), ArrayMask(mask))})
    family = deep.Family(deep.Settings(weights=str(path)), MaskRules())
    crop = plain_crop(image, mask, side_of(mask, 0.5))
    expected = plain_features(network, [crop] * 3, 224)
    np.testing.assert_allclose(features(family, case, RC.name), expected, rtol=1e-5, atol=1e-5)
