"""A small network with random weights, as a file of a training, and the simplest picture of a breast."""

import numpy as np
from cemrad.models.networks.unet import Settings as UNetSettings
from cemrad.models.networks.unet import build
from cemrad.models.segmenter import SegmenterSettings
from cemrad.models.segmenter_file import save_segmenter

SMALL = SegmenterSettings(
    network=UNetSettings(encoder="resnet10t", weights="random", decoder=(16, 16, 8, 8)), size_px=(64, 64)
)


def save_network(folder, number, ids, seed=0):
    """Write the network of a fold that was trained on these persons."""
    network, _ = build(SMALL.network, 1, seed)
    path = folder / f"fold_{number}.safetensors"
    record = {"encoder": {}, "best_epoch": 1, "validation_dice": 0.5}
    save_segmenter(path, network.state_dict(), SMALL, ids, record)
    return path


def half_disc(seed, side="L", scale=1):
    """A half disc of a breast with one bright lesion, and the lesion's mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: 96 * scale, : 70 * scale] / scale
    breast = ((rows - 48) / 44) ** 2 + (columns / 60) ** 2 < 1
    row, column = rng.uniform(30, 66), rng.uniform(12, 34)
    lesion = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(6, 11) ** 2
    pixels = np.where(breast, 80 + 6 * rng.standard_normal(breast.shape), 0) + 90 * (lesion & breast)
    turn = slice(None, None, 1 if side == "L" else -1)
    return np.clip(pixels[:, turn], 0, 255).astype(np.uint8), (lesion & breast)[:, turn]
