"""The learned segmenter: frames, training, files, and who may be drawn by which network."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from cemrad.features.breast import find_breast
from cemrad.features.errors import MaskError, StudyError, WeightsError
from cemrad.features.image import Image
from cemrad.features.training_ids import TrainingIds
from cemrad.features.weights import read_tensors
from cemrad.models.networks.unet import Settings as UNetSettings
from cemrad.models.networks.unet import UNet, build
from cemrad.models.rejection import RejectionSettings, Rejector, fit_rejector
from cemrad.models.segmenter import Segmenter, SegmenterSettings, stack
from cemrad.models.segmenter_augment import AugmentSettings, augment
from cemrad.models.segmenter_file import load_segmenter, save_segmenter
from cemrad.models.segmenter_frame import frame_of, grey
from cemrad.models.segmenter_regions import describe_candidates, find_candidates
from cemrad.models.segmenter_training import Samples, TrainingSettings, train_network
from cemrad.pipeline.drawer import View
from cemrad.pipeline.masks.unet import Drawer
from cemrad.pipeline.masks.unet import Settings as DrawerSettings
from safetensors.torch import save_file

from .small_segmenter import SMALL, half_disc, save_network

QUICK = TrainingSettings(epochs=3, batch=4, rate=3e-3, encoder_rate=1.0, augment=AugmentSettings(turn_deg=5))


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads that wait for each other are slow where other tests use the processor as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def samples():
    inputs, targets = [], []
    for seed in range(16):
        pixels, lesion = half_disc(seed)
        region = find_breast(pixels)
        frame = frame_of(region, SMALL.size_px)
        inputs.append(stack(frame.cut(grey(Image(pixels), region)), None, "own"))
        targets.append(frame.cut(lesion))
    persons = tuple(f"P{n // 2}" for n in range(16))
    return Samples(np.stack(inputs).astype(np.float16), np.stack(targets).astype(np.float16), persons)


@pytest.mark.parametrize("side", ["L", "R"])
def test_what_is_cut_and_pasted_back_lies_where_it_lay(side):
    pixels, lesion = half_disc(3, side)
    frame = frame_of(find_breast(pixels), (128, 96))
    back = frame.paste(frame.cut(lesion)) > 0.5
    assert (back & lesion).sum() > 0.95 * (back | lesion).sum()
    assert frame.is_mirrored == (side == "R")


def test_both_sides_look_alike_to_the_network():
    left, _ = half_disc(5, "L")
    right, _ = half_disc(5, "R")
    cuts = []
    for pixels in (left, right):
        region = find_breast(pixels)
        cuts.append(frame_of(region, (64, 64)).cut(grey(Image(pixels), region)))
    assert np.array_equal(*cuts)


def test_augmentation_moves_picture_and_mask_together():
    x = torch.full((6, 1, 64, 48), -1.0)
    y = torch.zeros((6, 1, 64, 48))
    x[:, :, 20:30, 15:25], y[:, :, 20:30, 15:25] = 1.0, 1.0
    moved, target = augment(x, y, AugmentSettings(gamma=0, noise=0), np.random.default_rng(1))
    assert torch.allclose((moved + 1) / 2, target, atol=0.02)
    assert not torch.equal(target, y)


def test_a_partner_that_is_taken_away_leaves_no_trace():
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    x[:, 2] = 1.0
    moved, _ = augment(x, torch.zeros(8, 1, 32, 32), AugmentSettings(alone=1.0), np.random.default_rng(0))
    assert (moved[:, 1:] == -1).all()


def test_it_learns_a_bright_lesion(samples):
    network, _ = build(SMALL.network, 1)
    settings = QUICK.model_copy(update={"epochs": 14, "patience": 14, "average": 0.8})
    trained = train_network(network, samples, range(12), range(12, 16), settings)
    assert trained.best > 0.8
    assert trained.history[0]["validation_dice"] < trained.best


def test_an_interrupted_training_ends_with_the_same_tensors(samples, tmp_path):
    def fresh():
        return build(SMALL.network, 1)[0]

    whole = train_network(fresh(), samples, range(8), range(8, 12), QUICK)

    def stop(epoch, row):
        if epoch == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "fold.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train_network(
            fresh(), samples, range(8), range(8, 12), QUICK, checkpoint=checkpoint, identity="a", each_epoch=stop
        )
    epochs = []
    resumed = train_network(
        fresh(), samples, range(8), range(8, 12), QUICK,
        checkpoint=checkpoint, identity="a", each_epoch=lambda epoch, row: epochs.append(epoch),
    )  # fmt: skip
    assert epochs == [3]
    assert resumed.epoch == whole.epoch
    assert all(torch.equal(resumed.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_the_checkpoint_of_another_training_is_not_gone_on_with(samples, tmp_path):
    checkpoint, epochs = tmp_path / "fold.checkpoint", []
    for identity in ("a", "b"):
        train_network(
            build(SMALL.network, 1)[0], samples, range(4), range(4, 8), QUICK.model_copy(update={"epochs": 1}),
            checkpoint=checkpoint, identity=identity, each_epoch=lambda epoch, row: epochs.append(epoch),
        )  # fmt: skip
    assert epochs == [1, 1]


def test_nobody_to_stop_by_is_refused(samples):
    with pytest.raises(StudyError, match="at least two patients"):
        train_network(build(SMALL.network, 1)[0], samples, range(4), [], QUICK)


def test_a_file_gives_back_the_network_in_another_process(tmp_path):
    path = save_network(tmp_path, 1, TrainingIds.of(["P1"]))
    framed = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    own = load_segmenter(path, "cpu").probability(framed)
    code = (
        "import numpy as np, pathlib, sys; from cemrad.models.segmenter_file import load_segmenter, save_segmenter;"
        "x = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32);"
        "sys.stdout.buffer.write(load_segmenter(pathlib.Path(sys.argv[1]), 'cpu').probability(x).tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert done.stdout == own.tobytes()


def test_altered_tensors_are_refused(tmp_path):
    path = save_network(tmp_path, 1, TrainingIds.of(["P1"]))
    tensors, metadata = read_tensors(path)
    name = next(name for name in tensors if name.startswith("head"))
    save_file(tensors | {name: tensors[name] + 1}, path, metadata=metadata)
    with pytest.raises(WeightsError, match="not those that were saved"):
        load_segmenter(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04 pickle within"])
def test_what_is_no_segmenter_is_refused(tmp_path, content):
    path = tmp_path / "fold_1.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        load_segmenter(path)


def test_weights_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "fold_1.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="no segmenter"):
        load_segmenter(path)


def test_an_encoder_that_gives_no_maps_is_named():
    with pytest.raises(StudyError, match="no network 'resnet19'; did you mean"):
        UNet(UNetSettings(encoder="resnet19", weights="random"), 1)
    with pytest.raises(StudyError, match="decoder needs"):
        UNet(UNetSettings(encoder="resnet10t", weights="random", decoder=(8,)), 1)


def _view(patient_id, seed=1):
    pixels, _ = half_disc(seed)
    return View("A1", patient_id, "CC", "L", {"RC": Image(pixels)})


def test_a_patient_is_drawn_by_networks_that_have_not_seen_her(tmp_path):
    ids = [TrainingIds.of(names, salt="s") for names in (["P1", "P2"], ["P2", "P3"])]
    for number, one in enumerate(ids, start=1):
        save_network(tmp_path, number, one, seed=number)
    drawer = Drawer(DrawerSettings(path=tmp_path, device="cpu"))
    assert drawer.draw(_view("P1"))["RC"].trained_on == ids[1]
    assert drawer.draw(_view("P3"))["RC"].trained_on == ids[0]
    assert drawer.draw(_view("new"))["RC"].trained_on == TrainingIds.union(ids)
    refused = drawer.draw(_view("P2"))["RC"]
    assert isinstance(refused, MaskError)
    assert refused.code == "mask.trained_on"


def test_a_patient_is_known_by_her_picture_too(tmp_path):
    from cemrad.features.fingerprint import fingerprint

    pixels, _ = half_disc(1)
    save_network(tmp_path, 1, TrainingIds.of(["P1"], [fingerprint(pixels).pixels]))
    other, _ = half_disc(2)
    images = {"LE": Image(other), "RC": Image(pixels)}
    drawn = Drawer(DrawerSettings(path=tmp_path, device="cpu")).draw(View("A1", "another id", "CC", "L", images))
    assert {name: one.code for name, one in drawn.items()} == dict.fromkeys(images, "mask.trained_on")


def test_a_black_picture_is_an_error_of_that_picture_alone(tmp_path):
    save_network(tmp_path, 1, TrainingIds.of(["P1"]))
    pixels, _ = half_disc(1)
    images = {"LE": Image(np.zeros((90, 60), np.uint8)), "RC": Image(pixels)}
    made = Drawer(DrawerSettings(path=tmp_path, device="cpu")).draw(View("A1", "new", "CC", "L", images))
    assert made["LE"].code == "breast.not_found"
    assert made["RC"].labels.shape == pixels.shape


def test_the_best_of_two_alike_is_one(tmp_path):
    save_network(tmp_path, 1, TrainingIds.of(["P1"]))
    drawer = Drawer(DrawerSettings(path=tmp_path, device="cpu", lesions="best"))
    rows = [{"score": 0.4}, {"score": 0.7}, {"score": 0.7}]
    regions = drawer._judged(list(drawer.segmenters), rows, np.array([[1, 2, 3]], np.int32))
    assert [one.accepted for one in regions] == [False, True, False]


def test_a_network_that_was_trained_anew_is_read_anew(tmp_path):
    found = []
    for seed in (1, 2):
        save_network(tmp_path, 1, TrainingIds.of(["P1"]), seed=seed)
        found.append(Drawer(DrawerSettings(path=tmp_path, device="cpu")).segmenters[0].sha256)
    assert found[0] != found[1]


def test_networks_that_the_training_does_not_name_do_not_draw(tmp_path):
    for number in (1, 2):
        save_network(tmp_path, number, TrainingIds.of(["P1"]), seed=number)
    sha256 = load_segmenter(tmp_path / "fold_1.safetensors").sha256
    index = tmp_path / "segmenter.json"
    index.write_text(json.dumps({"files": {"fold_1.safetensors": sha256}}))
    drawer = Drawer(DrawerSettings(path=tmp_path, device="cpu"))
    assert [one.sha256 for one in drawer.segmenters] == [sha256]
    index.write_text(json.dumps({"files": {"fold_2.safetensors": sha256}}))
    with pytest.raises(WeightsError, match="not the network that segmenter.json names"):
        Drawer(DrawerSettings(path=tmp_path, device="cpu"))


def test_whom_the_encoder_has_seen_is_known(tmp_path):
    record = {"encoder": {"trained_on": TrainingIds.of(["P9"]).as_record()}, "best_epoch": 1, "validation_dice": 0.5}
    network, _ = build(SMALL.network, 1)
    save_segmenter(tmp_path / "fold_1.safetensors", network.state_dict(), SMALL, TrainingIds.of(["P1"]), record)
    drawer = Drawer(DrawerSettings(path=tmp_path, device="cpu"))
    assert drawer.draw(_view("P9"))["RC"].code == "mask.trained_on"
    assert drawer.draw(_view("new"))["RC"].trained_on is not None


def test_an_empty_folder_says_what_makes_networks(tmp_path):
    with pytest.raises(StudyError, match="cemrad masks train"):
        Drawer(DrawerSettings(path=tmp_path))


def test_candidates_are_within_the_breast_and_largest_first():
    pixels, lesion = half_disc(2)
    region = find_breast(pixels)
    probability = np.where(lesion, 0.9, 0.1).astype(np.float32)
    probability[40:44, 2:5] = 0.8
    probability[:3, 60:] = 0.9  # air
    labels = find_candidates(probability, region, 0.5, 0.0)
    assert labels.max() == 2
    assert (labels == 1).sum() > (labels == 2).sum()
    rows = describe_candidates(Image(pixels), region, probability, labels)
    assert rows[0]["score"] == pytest.approx(0.9, abs=1e-5)
    assert rows[0]["contrast"] > rows[1]["contrast"]


def test_a_candidate_is_as_deep_in_either_breast():
    depths = []
    for side in ("L", "R"):
        pixels, lesion = half_disc(2, side)
        region = find_breast(pixels)
        (row,) = describe_candidates(Image(pixels), region, lesion.astype(np.float32), lesion.astype(np.int32))
        depths.append(row["depth"])
    assert depths[0] == pytest.approx(depths[1], abs=1e-9)


@pytest.mark.parametrize(
    ("of", "values"), [(TrainingSettings, {"batch": 1}), (SegmenterSettings, {"size_px": (0, 64)})]
)
def test_sizes_that_cannot_be_are_refused(of, values):
    with pytest.raises(ValueError, match="greater than or equal"):
        of(**values)


def _candidates(n=60, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.5
    rows = [{"score": float(rng.normal(0.8 if t else 0.5, 0.1)), "noise": float(rng.random())} for t in truth]
    return rows, truth.tolist(), [f"P{i // 3}" for i in range(n)]


def test_the_booster_sorts_out_false_positives_and_keeps_lesions():
    made = fit_rejector(*_candidates(), RejectionSettings(), seed=0)
    rows, truth, _ = _candidates(200, seed=1)
    kept = made.scores(rows) >= made.threshold
    assert kept[np.array(truth)].mean() > 0.85
    assert kept[~np.array(truth)].mean() < 0.4
    again = Rejector.from_record(made.as_record())
    assert np.array_equal(again.scores(rows), made.scores(rows))
    assert again.threshold == made.threshold


def test_too_little_to_learn_from_makes_no_booster():
    rows, truth, persons = _candidates(10)
    assert fit_rejector(rows, truth, persons, RejectionSettings(), seed=0) is None


def test_a_damaged_booster_is_refused():
    record = fit_rejector(*_candidates(), RejectionSettings(), seed=0).as_record()
    with pytest.raises(WeightsError, match="damaged"):
        Rejector.from_record(record | {"trees": "AAAA"})
    with pytest.raises(WeightsError, match="does not fit"):
        Rejector.from_record(record | {"features": ["score"]})


def test_the_segmenter_gives_the_same_map_again():
    network, record = build(SMALL.network, 1)
    one = Segmenter(network.eval(), SMALL, TrainingIds.of([]), {"encoder": record.as_record()}, "")
    framed = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    assert np.array_equal(one.probability(framed), one.probability(framed))
