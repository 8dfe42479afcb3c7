"""The native engine against IBSI 1's digital phantom: its texture matrices and its consensus values.

A 2-D engine has two of the phantom's three modes. "2D, averaged": each slice on its own, then the mean. "2.5D,
direction-merged": the slices side by side in one picture with a gap between them, so that matrices add up over
slices. First order is of all 74 voxels. The third mode (3D) is of volumes.
"""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cemrad.features.native import matrices
from cemrad.features.native.engine import NativeEngine
from cemrad.features.native.ibsi_engine import IbsiEngine

from . import ibsi_definition as definition
from .ibsi_definition import PHANTOM

CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
ASKED = {
    "imageType": {"Original": {}},
    "featureClass": dict.fromkeys(CLASSES),
    "setting": {"binWidth": 1, "minimumROIDimensions": 1},
}
CONSENSUS = pd.read_csv(Path(__file__).with_name("ibsi_phantom.csv"), comment="#")


def measure(engine, levels):
    found, problems = engine.measure(levels.astype(np.int16), levels > 0, (1.0, 1.0))
    assert problems == []
    return found


def side_by_side():
    gap = np.zeros((PHANTOM.shape[1], 2), dtype=int)
    return np.hstack([part for plane in PHANTOM for part in (plane, gap)])


def by_mode(engine):
    slices = pd.DataFrame([measure(engine, plane) for plane in PHANTOM]).mean()
    together = measure(engine, side_by_side())
    return {"2D": slices, "2.5D": together, "any": together}


def misses(found, table):
    """Rule of IBSI 1: equal after rounding to three significant digits (all tolerances of the phantom are 0)."""
    return [
        (row.mode, name, value, row.value)
        for row in table.itertuples()
        if (name := f"original_{row[3]}_{row.feature}")
        and abs(float(f"{(value := found[row.mode][name]):.3g}") - row.value) > row.tolerance + 1e-12
    ]


def test_all_values_of_the_digital_phantom_with_the_preset_ibsi():
    counts = CONSENSUS.groupby("mode").size().to_dict()
    assert counts == {"2D": 74, "2.5D": 74, "any": 17}
    assert misses(by_mode(IbsiEngine(ASKED, 64)), CONSENSUS) == []


def test_all_values_but_kurtosis_with_pyradiomics_definitions():
    found = by_mode(NativeEngine(ASKED, 64))
    assert misses(found, CONSENSUS[CONSENSUS.feature != "excess_kurtosis"]) == []
    assert found["any"]["original_firstorder_Kurtosis"] - 3 == pytest.approx(-0.355, abs=5e-4)


def published(reference):
    table = pd.read_csv(reference / "ibsi" / "ibsi1_digital_phantom_texture_matrices.csv").fillna("")
    table.columns = ["matrix", "region", "direction", "i", "j", "n"]
    for (matrix, region, direction), rows in table.groupby(["matrix", "region", "direction"], sort=False):
        levels = PHANTOM if region == "volume" else PHANTOM[int(region.split()[1]) - 1]
        steps = definition.directions(levels.ndim)
        if direction.startswith("("):
            x, y, z = ast.literal_eval(direction)
            steps = [(z, y, x)[-levels.ndim :]]
        if "tone difference" in matrix:
            stated = {int(row.i): (row.j, int(row.n)) for row in rows.itertuples()}
        else:
            stated = {(int(row.i), int(row.j)): int(row.n) for row in rows.itertuples()}
        yield matrix, levels, steps, stated


def close(found, stated):
    """Counts are equal; the summed differences of an NGTDM are printed with six digits."""
    if not any(isinstance(value, tuple) for value in stated.values()):
        return dict(found) == stated
    same = {level: n for level, (_, n) in found.items()} == {level: n for level, (_, n) in stated.items()}
    return same and all(found[level][0] == pytest.approx(s, rel=1e-5) for level, (s, _) in stated.items())


def by_definition(matrix, levels, steps):
    if "co-occurrence" in matrix:
        return sum((definition.glcm(levels, step) for step in steps), Counter())
    if "run length" in matrix:
        return sum((definition.glrlm(levels, step) for step in steps), Counter())
    kinds = {"size zone": definition.glszm, "distance zone": definition.gldzm, "dependence": definition.ngldm}
    return next((make for name, make in kinds.items() if name in matrix), definition.ngtdm)(levels)


def counted(matrix):
    """The entries of a two-dimensional matrix that are not 0, from 1 on."""
    return {(int(i) + 1, int(j) + 1): int(matrix[i, j]) for i, j in np.argwhere(matrix > 0)}


def native(matrix, levels, steps):
    """The product's matrix in the form of the published one."""
    framed, n = np.pad(levels, 1).astype(np.int32), int(levels.max())
    places = [matrices.FORWARD.index(step if step in matrices.FORWARD else tuple(-s for s in step)) for step in steps]
    if "co-occurrence" in matrix:
        pairs = matrices.count_pairs(framed, n)[places].sum(axis=0)
        return counted(pairs + pairs.T)
    if "run length" in matrix:
        return counted(matrices.count_runs(framed, n)[places].sum(axis=0))
    if "size zone" in matrix:
        small, level, size = matrices.count_zones(framed, n)
        large = zip(level.tolist(), size.tolist(), strict=True)
        return Counter({(i + 1, j + 1): int(small[i, j]) for i, j in np.argwhere(small)}) + Counter(large)
    if "dependence" in matrix:
        return counted(matrices.count_dependence(framed, n, 0))
    found = matrices.count_neighbours(framed, n, False)
    return {level + 1: (found[level, 1], int(found[level, 0])) for level in np.flatnonzero(found[:, 0])}


def test_the_definitions_give_all_88_published_matrices(reference):
    right = [close(by_definition(*given), stated) for *given, stated in published(reference)]
    assert right == [True] * 88


def test_the_engine_gives_all_52_published_matrices_of_slices(reference):
    """Of 56 matrices of slices, 4 are distance zone matrices, which have no features here."""
    right = [
        close(native(matrix, levels, steps), stated)
        for matrix, levels, steps, stated in published(reference)
        if levels.ndim == 2 and "distance zone" not in matrix
    ]
    assert right == [True] * 52


KINDS = ("co-occurrence", "run length", "size zone", "dependence", "tone difference")


@pytest.mark.parametrize("seed", range(12))
def test_the_engine_equals_the_definitions_on_regions_with_holes(seed):
    rng = np.random.default_rng(seed)
    shape, n_levels = rng.integers(1, 25, 2), int(rng.integers(1, 9))
    levels = rng.integers(1, n_levels + 1, shape) * (rng.random(shape) < rng.uniform(0.3, 1))
    levels[tuple(n // 2 for n in shape)] = n_levels
    for kind in KINDS:
        for step in matrices.FORWARD:
            assert close(native(kind, levels, [step]), by_definition(kind, levels, [step])), kind
