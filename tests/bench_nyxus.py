"""Nyxus on one region in memory. Nyxus' own Python runs it, in an environment that has nothing of ours.

Arguments: a folder with image.npy and mask.npy (uint32, as Nyxus wants them), grey levels, repeats.
Leaves nyxus.json there.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from bench_timing import Clock
from nyxus import Nyxus

GROUPS = ["*ALL_INTENSITY*", "*ALL_GLCM*", "*ALL_GLRLM*", "*ALL_GLSZM*", "*ALL_GLDM*", "*ALL_NGTDM*"]


def main(folder: Path, n_levels: int, repeats: int) -> None:
    image, mask = np.load(folder / "image.npy"), np.load(folder / "mask.npy")
    nyxus = Nyxus(GROUPS, coarse_gray_depth=n_levels, n_feature_calc_threads=1, ibsi=False)
    given = nyxus.get_params("coarse_gray_depth", "n_feature_calc_threads", "ibsi")
    clock = Clock()
    table = clock.repeat(lambda: nyxus.featurize(image, mask), repeats)
    n_values = sum(name.isupper() for name in table.columns)
    record = {
        "version": importlib.metadata.version("nyxus"),
        "settings": given,
        "groups": GROUPS,
        "n_values": n_values,
        "clock": clock.record(),
    }
    (folder / "nyxus.json").write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
