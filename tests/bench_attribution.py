"""SHAP values on pixels: whether maps add up, and whether they find a sign that was planted.

Run as a program: ``python tests/bench_attribution.py --realdata FOLDER [--weights FILE]``. Figures in
``docs/explanation_maps.md``.

- Sums: 200 phantom lesions and the real pairs, all pictures, random SHAP values of both signs on all features.
- Planted: a network learns to tell phantoms with a slanted patch (``planted_sign.py``) apart; on 200 new ones its
  pooled features go through nested cross-validation, SHAP and the stage that makes a report's maps. Then its weights
  are randomised under the same boosters, several seeds, after Adebayo et al., NeurIPS 2018 (arXiv 1810.03292); and new
  boosters learn from the random networks, whose features tell textures apart as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_timing import say
from cemrad.features.activation import activations, require_mean
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.families import deep
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import MaskRules
from cemrad.features.reading import read_case
from cemrad.features.spread import spread, upsample
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.explain import explain
from cemrad.models.heldout import wilson
from cemrad.models.learners import xgboost as trees
from cemrad.pipeline.attribution import attribute
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.masks.label_image import LabelImage
from cemrad.reports.facts import ReportSettings
from numpy.typing import NDArray
from planted_sign import CHANCE, CORNERS, RC, SIDE_PX, SIGN_PX, Planted, planted_case, train_network
from sklearn.metrics import roc_auc_score

Map = tuple[Planted, NDArray]


class Place(NamedTuple):
    """Whether a map's maximum lies in the sign, in the distractor, in a sign drawn at random; its share in the sign."""

    sign: bool
    distractor: bool
    others: float
    share: float


NETWORK, INPUT_PX = "resnet10t", 128
N_TRAIN, N_EPOCHS, N_NEW = 256, 4, 300
N_SEEDS = 3


def sums(cases: Iterator[Case], network: str, size: int) -> tuple[int, int, float]:
    """Cases, maps, and the largest difference between a map's sum and its SHAP values', cells and pixels."""
    family = deep.Family(deep.Settings(network=network, weights="random", size=size, device="cpu"), MaskRules())
    require_mean(family)
    rng = np.random.default_rng(0)
    readings = (read_case(case, MaskRules()) for case in cases)
    wanted = _Every()
    seen, n_maps, worst = set(), 0, 0.0
    for one in activations(family, readings, wanted):
        shap = rng.normal(size=len(family.features))
        cells = spread(one.values, shap)
        gaps = [abs(float(m.sum() - shap.sum())) for m in (cells, upsample(cells, one.side_px))]
        seen.add(one.case_id)
        n_maps, worst = n_maps + 1, max(worst, *gaps)
    return len(seen), n_maps, worst


class _Every(dict):
    """All units of a view, of every case."""

    def get(self, key, default=None):
        return [f"{kind}_{view}" for kind in ("LE", "RC", "LERC") for view in ("CC", "MLO", "MLO2")]


def real_cases(folder: Path) -> Iterator[Case]:
    """One case per breast of the real pairs."""
    files: dict[str, dict[PictureKey, Picture]] = {}
    for path in sorted((folder / "images").glob("*.jpg")):
        patient, side, kind, *view = path.stem.split("_")
        key = PictureKey({"CM": "RC", "DM": "LE"}[kind], "".join(view))
        mask = LabelImage(folder / "masks" / path.name, threshold=127)
        files.setdefault(f"{patient}_{side}", {})[key] = Picture(ImageFile(path), mask)
    for name, pictures in files.items():
        yield Case(name, name.split("_")[0], pictures=pictures)


def phantom_cases(n: int) -> Iterator[Case]:
    yield from phantom.read(phantom.Settings(n_patients=n)).cases[:n]


def family_of(weights: str, seed: int = 0) -> dict[str, Any]:
    return {"network": NETWORK, "weights": weights, "size": INPUT_PX, "composite": False, "seed": seed, "device": "cpu"}


def found(planted: list[Planted], weights: str) -> tuple[float, list[Map]]:
    """The whole way, as a run takes it, from extraction to the stage: AUC, and the maps of cases with a sign."""
    cohort = Cohort("planted", tuple(one.case for one in planted), phantom=True)
    features = FeatureSettings(families={"deep": family_of(weights)})
    table = extract(cohort, features)
    quick = EvaluationSettings(
        arms=["deep"], n_candidates=1, inner_folds=3, selector_settings={"n_features": 24},
        learner_settings={"max_depth": [2], "n_rounds": [60]}, scoring={"n_bootstrap": 200},
    )  # fmt: skip
    result = evaluate(table, cohort.labels(), ["malignancy"], quick, name="planted")
    shown = [one.case.case_id for one in planted]
    rows = attribute(cohort, table, result, features, shown, ReportSettings(arm="deep", local_maps=0)).tables
    assert (rows["attribution"]["map"].map(sum) - rows["attribution"]["shap"]).abs().max() < 1e-9
    auc = result.metrics.query("level == 'lesion' and metric == 'auc'")["estimate"].iloc[0]
    by_id = {one.case.case_id: one for one in planted}
    maps = [
        (by_id[row["case_id"]], np.reshape(row["map"], (row["rows"], row["columns"])))
        for row in rows["attribution"].to_dict("records")
        if by_id[row["case_id"]].positive
    ]
    return float(auc), maps


def held(planted: list[Planted], weights: str, seed: int = 0) -> NDArray:
    """Activation maps, shape (cases, channels, rows, columns)."""
    family = deep.Family(deep.Settings(**family_of(weights, seed)), MaskRules())
    wanted = {one.case.case_id: [RC.name] for one in planted}
    readings = (read_case(one.case, MaskRules()) for one in planted)
    return np.stack([one.values for one in activations(family, readings, wanted)])


class Folds:
    """A booster for each of five folds, on all pooled features of one network."""

    def __init__(self, planted: list[Planted], maps: NDArray) -> None:
        self.planted, self.fold = planted, np.arange(len(planted)) // 2 % 5
        learner = trees.Learner(trees.Settings(max_depth=(2,), n_rounds=(60,)))
        x, y = maps.mean(axis=(2, 3)), np.array([int(one.positive) for one in planted])
        (params,) = learner.candidates()
        self.models = [learner.fit(x[self.fold != k], y[self.fold != k], params, seed=k) for k in range(5)]

    def explain(self, maps: NDArray) -> tuple[float, list[Map]]:
        """AUC, and maps of the SHAP values that the folds' boosters give cases with a sign, by this network."""
        x, y = maps.mean(axis=(2, 3)), [one.positive for one in self.planted]
        margin, found = np.zeros(len(x)), []
        for i, (one, held_out) in enumerate(zip(self.planted, maps, strict=True)):
            shap, base = explain(self.models[self.fold[i]], x[i : i + 1])
            margin[i] = base[0] + shap.sum()
            if one.positive:
                found.append((one, spread(held_out, shap[0])))
        return float(roc_auc_score(y, margin)), found


def tell(name: str, auc: float, maps: list[Map]) -> list[Place]:
    """Where maps of cases with a sign have their largest absolute value; by chance, where another sign might be."""
    places = [_place(one, cells) for one, cells in maps]
    sign, distractor, others, share = np.mean(places, axis=0)
    low, high = wilson(sign, len(places), 1.96)
    say(
        f"  {name:30s} AUC {auc:.3f} n {len(places)}: in the sign {sign:.1%} [{low:.1%}, {high:.1%}], where others "
        f"have it {others:.1%}, in the distractor {distractor:.1%}, of the map in the sign {share:.1%}"
    )
    return places


def _place(one: Planted, cells: NDArray) -> Place:
    size = np.abs(upsample(cells, SIDE_PX))
    top = np.unravel_index(int(size.argmax()), size.shape)
    y, x = one.sign
    share = size[y : y + SIGN_PX, x : x + SIGN_PX].sum() / size.sum()
    others = np.mean([one.holds(top, corner) for corner in CORNERS])
    return Place(one.holds(top, one.sign), one.holds(top, one.distractor), float(others), float(share))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--realdata", type=Path)
    asked.add_argument("--weights", type=Path, default=Path("planted.safetensors"), help="trained here if absent")
    asked.add_argument("--only", choices=["sums", "planted"])
    options = asked.parse_args()
    if options.only != "planted":
        cohorts = {"phantoms": phantom_cases(200)}
        if options.realdata is not None:
            cohorts["real pairs"] = real_cases(options.realdata / "cdd-cesm" / "pairs-512")
        for name, cases in cohorts.items():
            started = time.perf_counter()
            n_cases, n_maps, worst = sums(cases, "resnet18", 64)
            say(f"{name}: {n_cases} cases, {n_maps} maps, worst gap {worst:.1e}, {time.perf_counter() - started:.0f} s")
    if options.only == "sums":
        return
    if not options.weights.is_file():
        started = time.perf_counter()
        right = train_network(NETWORK, INPUT_PX, N_TRAIN, N_EPOCHS, options.weights)
        say(f"trained {NETWORK}: {right:.1%} right in the last epoch, {time.perf_counter() - started:.0f} s")
    planted = [planted_case(number) for number in range(N_NEW)]
    say(f"planted: chance {CHANCE:.1%}")
    own = held(planted, str(options.weights))
    folds = Folds(planted, own)
    tell("trained, five boosters", *folds.explain(own))
    randomised = [held(planted, "random", seed) for seed in range(N_SEEDS)]
    _tell_all("same boosters, random weights", [folds.explain(maps) for maps in randomised])
    tell("trained, as in a run", *found(planted, str(options.weights)))
    _tell_all("new boosters, random weights", [Folds(planted, maps).explain(maps) for maps in randomised])


def _tell_all(name: str, runs: list[tuple[float, list[Map]]]) -> None:
    every = [place for auc, maps in runs for place in tell(name, auc, maps)]
    sign, _, others, _ = np.mean(every, axis=0)
    low, high = wilson(sign, len(every), 1.96)
    say(f"  {name}, all: in the sign {sign:.1%} [{low:.1%}, {high:.1%}], where others have it {others:.1%}")


if __name__ == "__main__":
    main()
