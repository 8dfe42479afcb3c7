"""Whether an evaluation finds what was planted: run it by `make bench-truth`.

Sections (both without a name): features, tables with planted columns; images, the phantom's pictures through the
extraction. Each cohort is evaluated, and each fold's own model is judged again on many new cases, which is the truth
that its cross-validated figures estimate. What has been computed under runs/ is kept.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench import load, machine
from bench_timing import say
from cemrad.features.table import ColumnName, FeatureTable
from cemrad.models import evaluate as evaluation
from cemrad.models.design import lay_out, resolve_endpoints
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.irls import fit_logistic
from cemrad.models.metrics import auc
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.phantom_truth import BLOCKS, Effects, label_model, population_auc
from planted import Block, Endpoint, World

OUTPUT = Path(__file__).parents[1] / "runs" / "bench-truth"
ENDPOINT = "malignancy"
EXPLAINED = "fused+clinical"
QUICK = {"n_bootstrap": 100, "further": ("calibration",)}
"""Of the scores, estimates and the AUC's interval are read, which no bootstrap makes."""
N_NEW = 40_000
SCENES: dict[str, tuple[int, float]] = {
    "no effect, 150 patients": (150, 0.0),
    "half the effects, 150 patients": (150, 0.5),
    "the effects, 150 patients": (150, 1.0),
    "the effects, 400 patients": (400, 1.0),
}
FAMILIES = {
    "radiomics": {
        "parameters": {
            "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}},
            "featureClass": {"shape2D": [], "firstorder": [], "glcm": [], "glrlm": []},
            "setting": {"binCount": 32},
        }
    },
    "deep": {"network": "resnet18", "weights": "random", "size": 112, "composite": False},
}


def world(strength: float) -> World:
    effects = {block: strength * getattr(Effects(), block) for block in BLOCKS}
    return World(
        blocks={
            "radiomics": Block(n_columns=60, n_planted=4, n_copies=3),
            "deep": Block(n_columns=60, n_planted=4, n_copies=3),
            "clinical": Block(n_columns=8, n_planted=2, n_copies=1, least=0.9),
        },
        endpoints={ENDPOINT: Endpoint(effects, 0.5)},
    )


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help="of features, images; both without one")
    parser.add_argument("--cohorts", type=int, default=40, help="of each scene of the section features")
    parser.add_argument("--image-cohorts", type=int, default=4, help="of the section images")
    parser.add_argument("--image-patients", type=int, default=150, help="of each of them")
    parser.add_argument("--new-image-patients", type=int, default=400, help="on which their models are judged")
    parser.add_argument(
        "--scenes", nargs="*", default=list(SCENES), choices=list(SCENES), help="of the section features"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="of the evaluation, as JSON")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of what was computed")
    options = parser.parse_args()
    if unknown := sorted(set(options.sections) - {"features", "images"}):
        parser.error(f"no section {', '.join(unknown)}; there are features, images")
    return options


def main() -> None:
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    about = machine()
    say(f"{about['processor']}, {about['cores']} cores, Python {about['python']}; load {load()}")
    settings = EvaluationSettings(**({"scoring": QUICK} | options.settings))
    for section in options.sections or ("features", "images"):
        say()
        (features if section == "features" else images)(options, settings)


def features(options: argparse.Namespace, settings: EvaluationSettings) -> None:
    for scene in options.scenes:
        n_patients, strength = SCENES[scene]
        made = world(strength)
        new = made.draw(N_NEW, N_NEW, seed=0)
        truth = new.labels[ENDPOINT].to_numpy(dtype=int)
        best = auc(truth, new.probability[ENDPOINT].to_numpy())
        rows = []
        for seed in range(1, options.cohorts + 1):
            kept = kept_at(options, settings, scene.replace(" ", "-").replace(",", ""), seed)
            if not kept.is_file():
                cohort = made.draw(int(1.4 * n_patients), n_patients, seed)
                judged = judge(cohort.table, cohort.labels, new.table, new.labels, settings, made.columns)
                judged.to_parquet(kept)
            rows.append(pd.read_parquet(kept))
        show(f"{scene}: {options.cohorts} cohorts; best possible AUC {best:.3f}", pd.concat(rows), shares(strength))


def images(options: argparse.Namespace, settings: EvaluationSettings) -> None:
    stated = phantom.Settings(n_patients=options.image_patients)
    new_settings = stated.model_copy(
        update={"seed": 1, "first_patient": 1001, "n_patients": options.new_image_patients}
    )
    best = population_auc(label_model(stated.effects, stated.prevalence), ENDPOINT, BLOCKS)
    rows, new = [], None
    for seed in range(1, options.image_cohorts + 1):
        kept = kept_at(options, settings, f"images-{options.image_patients}-{options.new_image_patients}", seed)
        if not kept.is_file():
            new = new or _extracted(new_settings)
            table, labels = _extracted(stated.model_copy(update={"seed": 100 + seed}))
            judge(table, labels, *new, settings).to_parquet(kept)
        rows.append(pd.read_parquet(kept))
    say(f"images: random weights of resnet18; new cases are {options.new_image_patients} patients")
    title = f"phantom pictures: {options.image_cohorts} cohorts of {options.image_patients} patients"
    show(f"{title}; best possible AUC {best:.3f}", pd.concat(rows), shares(1.0))


def kept_at(options: argparse.Namespace, settings: EvaluationSettings, scene: str, seed: int) -> Path:
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:8]
    return options.output / f"{scene}-{digest}-{seed}.parquet"


def _extracted(settings: phantom.Settings) -> tuple[FeatureTable, pd.DataFrame]:
    from cemrad.pipeline.extract import FeatureSettings, extract  # seconds to import; tables need neither
    from cemrad.pipeline.means import Means

    cohort = phantom.read(settings)
    return extract(cohort, FeatureSettings(families=FAMILIES), Means(jobs=2)), cohort.labels()


def shares(strength: float) -> dict[str, float]:
    """Each block's share of the true log odds: mean |effect x latent| over their sum."""
    sizes = {block: strength * getattr(Effects(), block) for block in BLOCKS}
    return {block: size / sum(sizes.values()) for block, size in sizes.items()} if strength else {}


def judge(
    table: FeatureTable,
    labels: pd.DataFrame,
    new_table: FeatureTable,
    new_labels: pd.DataFrame,
    settings: EvaluationSettings,
    planted: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per arm: what its cross-validation says, and what is true of its models."""
    models: list[dict[str, Any]] = []
    plain = evaluation.fit_arms

    def remembered(*args: Any) -> Any:
        made = plain(*args)
        models.append(made[0])
        return made

    evaluation.fit_arms = remembered
    try:
        result = evaluate(table, labels, [ENDPOINT], settings)
    finally:
        evaluation.fit_arms = plain
    rows = lay_out(new_table, new_labels, resolve_endpoints([ENDPOINT], new_labels)[0]).rows
    stated = result.metrics.query("level == 'lesion' and metric == 'auc'").set_index("arm")
    calibration = result.tables["calibration"].query("level == 'lesion'").pivot_table("estimate", "arm", "metric")
    found = []
    for arm in result.predictions["arm"].unique():
        truths = [_measured(rows.y, fold[arm].held_out_margin(rows)) for fold in models]
        true_auc, true_slope, true_large = np.mean(truths, axis=0)
        low, high = stated.loc[arm, ["low", "high"]]
        found.append({
            "arm": arm, "auc": stated.loc[arm, "estimate"], "true_auc": true_auc, "covers": low <= true_auc <= high,
            "slope": calibration.loc[arm, "calibration_slope"], "true_slope": true_slope,
            "citl": calibration.loc[arm, "calibration_in_the_large"], "true_citl": true_large,
            **(_explained(result) if arm == EXPLAINED else {}),
            **(_selected(result, planted) if arm == EXPLAINED and planted is not None else {}),
        })  # fmt: skip
    return pd.DataFrame(found)


def _measured(truth: np.ndarray, margin: np.ndarray) -> tuple[float, float, float]:
    """AUC, calibration slope, and calibration in the large: the intercept with the slope fixed at 1."""
    ones = np.ones((len(truth), 1))
    large = fit_logistic(ones, truth, ones.T, offset=margin)[0, 0]
    slope = fit_logistic(np.column_stack([ones, margin]), truth, ones.T)[0, 1]
    return auc(truth, margin), float(slope), float(large)


def _explained(result: Any) -> dict[str, float]:
    """Share of |SHAP| of each block: of single features as the report gives it, and of the block's sum."""
    shap = result.shap[result.shap["arm"] == EXPLAINED]
    family = shap["feature"].map(lambda name: ColumnName.parse(name).family)
    single = shap["shap"].abs().groupby(family).sum()
    joint = shap["shap"].groupby([family, shap["repeat"], shap["case_id"]]).sum().abs().groupby(level=0).sum()
    return {f"{kind}_{block}": part.get(block, 0.0) / max(part.sum(), 1e-12)
            for kind, part in (("single", single), ("joint", joint)) for block in BLOCKS}  # fmt: skip


def _selected(result: Any, planted: pd.DataFrame) -> dict[str, float]:
    """Of the features that a model used: how many are planted, their share of |SHAP|, and planted factors found."""
    used = result.chosen.query("arm == @EXPLAINED and gain > 0")
    about = planted.loc[used["feature"]].reset_index()
    n_models = len(used[["repeat", "fold"]].drop_duplicates())
    factors = about[about["planted"]].assign(model=(used["repeat"] * 1000 + used["fold"]).to_numpy()[about["planted"]])
    n_found = len(factors[["model", "family", "factor"]].drop_duplicates()) / max(n_models, 1)
    n_planted = len(planted.loc[planted["planted"], ["family", "factor"]].drop_duplicates())
    shap = result.shap[result.shap["arm"] == EXPLAINED]
    size = shap["shap"].abs().groupby(shap["feature"]).sum()
    return {
        "precision": about["planted"].mean(), "recall": n_found / n_planted, "n_used": len(used) / max(n_models, 1),
        "chance": planted["planted"].mean(),
        "shap_on_planted": size[planted.loc[size.index, "planted"]].sum() / size.sum(),
    }  # fmt: skip


def show(title: str, rows: pd.DataFrame, planted: dict[str, float]) -> None:
    say(f"{title}\n")
    say("| arm | AUC | true | bias (SE) | covered | slope | true slope | CITL | true CITL |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for line in _lines(rows):
        say(f"| {' | '.join(line)} |")
    explained = rows[rows["arm"] == EXPLAINED]
    for kind, meaning in (("single", "share of |SHAP| by block, of single features"), ("joint", "of the block's sum")):
        parts = (f"{block} {explained[f'{kind}_{block}'].mean():.3f}" for block in BLOCKS)
        say(f"\n  {meaning}: {', '.join(parts)}")
    if planted:
        say(f"  planted: {', '.join(f'{block} {share:.3f}' for block, share in planted.items())}")
    if "precision" in explained:
        mean = explained[["precision", "chance", "shap_on_planted", "recall", "n_used"]].mean()
        say(f"  features used per model {mean['n_used']:.1f}; planted among them {mean['precision']:.3f} (of all "
            f"columns {mean['chance']:.3f}), with {mean['shap_on_planted']:.3f} of |SHAP|; planted factors found "
            f"{mean['recall']:.3f}")  # fmt: skip
    say()


def _lines(rows: pd.DataFrame) -> Iterator[list[str]]:
    for arm, part in rows.groupby("arm", sort=False):
        bias = part["auc"] - part["true_auc"]
        error = bias.std(ddof=1) / np.sqrt(len(bias))
        areas = [f"{part[name].mean():.3f}" for name in ("auc", "true_auc")]
        slopes = [f"{part[name].median():.2f}" for name in ("slope", "true_slope")]
        large = [f"{part[name].mean():+.2f}" for name in ("citl", "true_citl")]
        yield [str(arm), *areas, f"{bias.mean():+.4f} ({error:.4f})", f"{part['covers'].mean():.0%}", *slopes, *large]


if __name__ == "__main__":
    main()
