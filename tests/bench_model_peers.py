"""Our default against other modelling on published tables, same outer folds: run it by `make bench-peers`.

Peers: xgboost as it comes, penalised logistic regression, a random forest, and AutoGluon in an environment of its own
under runs/, installed on the first call. What a peer has predicted for the same folds is kept there and not computed
again: remove runs/bench-peers/models to measure anew.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from bench import ONE_THREAD, load, machine
from bench_model_peer import PEERS, kept_as
from bench_timing import say
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.intervals import Estimate, HeldOut, cv_auc, cv_auc_difference
from cemrad.models.result import Result
from cemrad.models.units import held_out
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts.table import Settings, read

ROOT = Path(__file__).parents[1]
TABLES = {"fae_prostate.csv": "label", "hn1_nodes.csv.gz": "Target", "hnscc_nodes.csv.gz": "Target"}
OUTPUT = ROOT / "runs" / "bench-peers" / "models"
WANTED = "autogluon.tabular[lightgbm,xgboost,catboost]==1.6.*"
OTHER_HOME = ROOT / "runs" / "bench-peers" / "autogluon"
OWN: dict[str, dict[str, Any]] = {"cemrad": {}}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("CEMRAD_REALDATA", ROOT.parent / "shared" / "data"),
                        help="folder that holds tables/")  # fmt: skip
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--repeats", type=int, default=5, help="times that all cases are dealt into five folds anew")
    parser.add_argument("--own", type=json.loads, default={}, help="more settings of ours by name, as JSON")
    parser.add_argument("--autogluon-python", type=Path, help="of an environment that has it, in place of our own")
    parser.add_argument("--limit", type=float, default=60, help="seconds that AutoGluon may take per fold")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of predictions and bench.json")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    if any(os.environ.get(key) != value for key, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    options.output.mkdir(parents=True, exist_ok=True)
    about = machine()
    say(f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}; load {load()}")
    say(f"5 folds, {options.repeats} repeats; times are of all folds; AutoGluon {options.limit:g} s per fold\n")
    say("| table | model | AUC | 95 % interval | ours less theirs | 95 % interval | p | wall, s | processor, s |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = [row for name in options.tables for row in compare(name, options)]
    record = {"machine": about, "load": load(), "repeats": options.repeats, "limit_s": options.limit, "rows": rows}
    (options.output / "bench.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def compare(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    cohort = read(Settings(path=Path(options.data) / "tables" / name))
    label = TABLES[name]
    rows, default = [], None
    for own, changed in (OWN | options.own).items():
        used, started = _cpu_s(), time.perf_counter()
        result = _ours(cohort, label, {"repeats": options.repeats} | changed)
        clock = {"wall_s": time.perf_counter() - started, "cpu_s": _cpu_s() - used}
        found = held_out(result.predictions, "lesion")
        if default is None:
            default, folds = found, result
        rows.append(_row(name, own, found, default, clock))
    for peer in options.peers:
        try:
            predicted, clock = _predicted(peer, cohort, folds, options)
        except (subprocess.CalledProcessError, OSError) as error:
            text = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            say(f"| {name} | {peer} | left out: {text[-1] if text else 'no reason given'} | | | | | | |")
            continue
        rows.append(_row(name, peer, held_out(predicted, "lesion"), default, clock))
    return rows


def _ours(cohort: Cohort, label: str, changed: dict[str, Any]) -> Result:
    settings = EvaluationSettings(arms=("radiomics",), **changed)
    return evaluate(cohort.table, cohort.labels(), [label], settings, jobs=2)


def _row(table: str, model: str, found: HeldOut, default: HeldOut, clock: dict[str, Any]) -> dict[str, Any]:
    area = cv_auc(found)
    gap = cv_auc_difference(default, found) if found is not default else None
    against = ["", "", ""] if gap is None else [f"{gap.estimate:+.3f}", _span(gap), f"{gap.p:.2f}"]
    clocks = [f"{clock['wall_s']:.0f}", f"{clock['cpu_s']:.0f}"]
    say(f"| {' | '.join([table.split('.')[0], model, f'{area.estimate:.3f}', _span(area), *against, *clocks])} |")
    return {"table": table, "model": model, "auc": area._asdict(), "ours_less": gap and gap._asdict(), **clock}


def _span(found: Estimate) -> str:
    return f"{found.low:.3f} to {found.high:.3f}"


def _predicted(
    peer: str, cohort: Cohort, ours: Result, options: argparse.Namespace
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of a peer in the form of ours, and its times; folds whose predictions are kept are not run again."""
    keys = ["repeat", "fold", "case_id"]
    folder = options.output / f"{cohort.name}-{peer.replace(' ', '_')}"
    folder.mkdir(parents=True, exist_ok=True)
    truth = ours.predictions.drop_duplicates("case_id").set_index("case_id")["truth"]
    cohort.table.values.loc[truth.index].assign(truth=truth).to_parquet(folder / "table.parquet")
    ours.predictions[keys].to_parquet(folder / "folds.parquet")
    script = Path(__file__).with_name("bench_model_peer.py")
    command = [_python(peer, options), script, folder, peer, str(options.limit)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = pd.concat([
        pd.read_parquet(folder / kept_as(held["case_id"])).assign(repeat=repeat, fold=fold)
        for (repeat, fold), held in ours.predictions.groupby(["repeat", "fold"])
    ])  # fmt: skip
    clock = theirs.drop_duplicates(["repeat", "fold"])[["wall_s", "cpu_s"]].sum().to_dict()
    merged = ours.predictions.drop(columns="probability").merge(theirs, on=keys, validate="one_to_one")
    version = json.loads((folder / "peer.json").read_text(encoding="utf-8"))
    return merged, clock | version


def _python(peer: str, options: argparse.Namespace) -> Path:
    """Who runs a peer: our own Python, or for AutoGluon one that has it, installed on the first call."""
    if peer != "autogluon":
        return Path(sys.executable)
    if options.autogluon_python is not None:
        return options.autogluon_python
    python = OTHER_HOME / "bin" / "python"
    if not python.exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(OTHER_HOME)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    return python


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
