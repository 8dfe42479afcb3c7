"""The deep family and its weights: what is refused, what is said, what a case that fails leaves behind."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError, WeightsError
from cemrad.features.families import deep
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.weights import load_network

LE, RC, LERC = (PictureKey(image_type, "CC") for image_type in ("LE", "RC", "LERC"))


def picture(seed=0, mask=None):
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 96)).astype(np.uint8)
    if mask is None:
        mask = np.zeros((96, 96), bool)
        mask[30:60, 40:70] = True
    return Picture(ArrayImage(pixels), ArrayMask(mask))


def family(**values):
    return deep.Family(deep.Settings(**{"weights": "random", "size": 64, **values}), MaskRules())


def test_random_weights_are_said_and_follow_their_seed():
    first, again, other = family(seed=1), family(seed=1), family(seed=2)
    assert first.network is again.network  # loaded once
    assert first.weights.sha256 != other.weights.sha256
    record = first.provenance()
    assert record["weights"]["source"] == "random"
    assert record["weights"]["name"] == "random (seed 1)"
    assert record["notes"] == ["resnet18 has random weights: nothing was learned from images"]
    assert json.loads(json.dumps(record)) == record


def test_random_weights_leave_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_network("resnet18", "random", seed=987)
    assert torch.equal(torch.rand(3), expected)


def test_weights_from_a_file_are_the_tensors_of_the_file(tmp_path):
    path = tmp_path / "own.safetensors"
    torch.manual_seed(3)
    network = timm.create_model("resnet18", pretrained=False, num_classes=0)
    safetensors.torch.save_file(network.state_dict(), path)
    loaded = family(weights=str(path))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), loaded.network.parameters(), strict=True))
    assert loaded.weights.source == "file"
    assert loaded.weights.name == "own.safetensors"
    assert loaded.provenance()["notes"] == []
    assert family(weights=str(path), sha256=loaded.weights.sha256).weights == loaded.weights
    with pytest.raises(WeightsError, match="not those that were named"):
        family(weights=str(path), sha256="0" * 64)


def test_a_pickle_is_refused_whatever_its_name(tmp_path):
    path = tmp_path / "renamed.safetensors"
    torch.save(timm.create_model("resnet18", pretrained=False, num_classes=0).state_dict(), path)
    with pytest.raises(WeightsError, match=r"not a safetensors file .* Pickled checkpoints"):
        family(weights=str(path))
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        family(weights=str(path))


def test_a_file_that_does_not_fit_the_network_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet34", pretrained=False).state_dict(), path)
    with pytest.raises(WeightsError, match=r"does not fit the network: .*Unexpected key"):
        family(weights=str(path))
    tensors = timm.create_model("resnet18", pretrained=False).state_dict()
    del tensors["layer4.1.bn2.running_mean"]
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(WeightsError, match="running_mean"):
        load_network("resnet18", str(path), seed=1)


def test_what_is_not_there_is_refused_with_advice(tmp_path):
    with pytest.raises(WeightsError, match="neither 'imagenet' nor 'random'"):
        family(weights=str(tmp_path / "absent.safetensors"))
    with pytest.raises(StudyError, match="timm has no network 'resnet81'; did you mean 'resnet18'"):
        family(network="resnet81")
    with pytest.raises(StudyError, match="timm has no network"):
        family(network="hf_hub:somebody/something")
    with pytest.raises(StudyError, match="cannot look at 64 x 64 px"):
        family(network="vit_tiny_patch16_224")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_not_replaced_by_the_cpu_in_silence():
    with pytest.raises(StudyError, match="cuda was asked for and there is none"):
        family(device="cuda")


@pytest.mark.parametrize("download", [False, pytest.param(True, marks=pytest.mark.slow)])  # the hub retries
def test_pretrained_weights_that_cannot_be_had_never_become_random(tmp_path, download):
    """Nor is the network touched unless a download was asked for."""
    code = (
        "import socket\n"
        "from cemrad.features.weights import load_network\n"
        "from cemrad.features.errors import WeightsError\n"
        "def spy(*args, **kwargs):\n    print('NETWORK')\n    raise OSError('blocked')\n"
        "socket.getaddrinfo = socket.socket.connect = spy\n"
        f"try:\n    load_network('resnet18', 'imagenet', download={download})\n"
        "except WeightsError as error:\n    print(error)\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "pretrained weights of resnet18 cannot be had" in done.stdout
    assert "https://huggingface.co/timm/resnet18.a1_in1k" in done.stdout
    assert "weights: path/to/model.safetensors" in done.stdout
    assert ("NETWORK" in done.stdout) is download


def test_columns_are_known_before_any_case_is_seen():
    made = family()
    keys = [LE, RC, PictureKey("RC", "MLO")]
    names = made.columns(keys)
    assert list(dict.fromkeys(name.split(":")[1] for name in names)) == ["LE_CC", "RC_CC", "LERC_CC", "RC_MLO"]
    assert names[0] == "deep:LE_CC:resnet18_0000"
    assert names[-1] == "deep:RC_MLO:resnet18_0511"
    assert len(family(composite=False).columns(keys)) == 3 * 512


def test_a_picture_that_fails_costs_itself_and_the_composite():
    empty = picture(mask=np.zeros((96, 96), bool))
    flat = Picture(ArrayImage(np.full((96, 96), 9)), picture().mask)
    cases = [
        Case("good", "p", pictures={LE: picture(1), RC: picture(2)}),
        Case("empty", "p", pictures={LE: empty, RC: picture(2)}),
        Case("flat", "p", pictures={LE: picture(1), RC: flat}),
        Case("alone", "p", pictures={RC: picture(2)}),
        Case("none", "p"),
    ]
    rows = {row.case_id: row for row in family().extract(cases)}
    told = {name: [(f.stage, f.code, f.picture) for f in row.failures] for name, row in rows.items()}
    assert told == {
        "good": [],
        "empty": [("mask", "mask.empty", "LE_CC"), ("deep", "pair.failed", "LERC_CC")],
        "flat": [("deep", "image.constant", "RC_CC"), ("deep", "pair.failed", "LERC_CC")],
        "alone": [],
        "none": [],
    }
    assert {name: len(row.values) // 512 for name, row in rows.items()} == {
        "good": 3, "empty": 1, "flat": 1, "alone": 1, "none": 0,
    }  # fmt: skip
    assert rows["empty"].values.keys() == rows["alone"].values.keys()


def test_a_picture_that_is_nearly_all_background_is_still_seen():
    pixels = np.zeros((400, 400), np.uint8)
    pixels[200:210, 200:210] = np.arange(100).reshape(10, 10)  # 0.06 % of the picture
    assert deep.scale_grey(pixels).max() == 1
    mask = np.zeros((400, 400), bool)
    mask[200:210, 200:210] = True
    case = Case("a", "p", pictures={LE: Picture(ArrayImage(pixels), ArrayMask(mask))})
    row = family().extract([case])[0]
    assert [failure.state for failure in row.failures] in ([], ["warned"])
    assert len(row.values) == 512


def test_weights_that_timm_has_only_as_a_pickle_are_not_fetched(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("timm was asked for the weights"))
    with pytest.raises(WeightsError, match=r"weights: path/to/model\.safetensors"):
        load_network("legacy_seresnet18", "imagenet", download=True)
