"""How long an evaluation takes, how much memory it needs and where the time goes: run it by `make bench-models`.

A generated table of 900 cases of 700 patients and 530 columns with five endpoints: nested folds, every arm.
"""

import argparse
import collections
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import ONE_THREAD, load, machine
from bench_timing import met, say
from cemrad.models import evaluate as evaluation
from cemrad.models import fusion
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.metrics import auc
from planted import Block, Endpoint, World

OUTPUT = Path(__file__).parents[1] / "runs" / "bench-models.json"
N_CASES, N_PATIENTS = 900, 700
GOAL_S = 900
WORLD = World(
    blocks={
        "radiomics": Block(n_columns=400, n_planted=6, n_copies=8),
        "deep": Block(n_columns=120, n_planted=6, n_copies=4),
        "clinical": Block(n_columns=10, n_planted=2, n_copies=1, least=0.9),
    },
    endpoints={
        "malignancy": Endpoint({"radiomics": 1.8, "deep": 1.6, "clinical": 0.9}, 0.45),
        "er": Endpoint({"radiomics": 1.8, "deep": 1.0, "clinical": 0.7}, 0.65, 0.10, (1, -1)),
        "her2": Endpoint({"radiomics": 1.0, "deep": 1.6, "clinical": 0.5}, 0.20, 0.15, (1, 1, -1)),
        "nodal": Endpoint({"radiomics": 1.4, "deep": 1.4, "clinical": 0.6}, 0.35, 0.05, (1, 1, -1, -1)),
        "response": Endpoint({"radiomics": 0.6, "deep": 0.6, "clinical": 0.3}, 0.30, 0.25, (1, -1, -1)),
    },
)
STAGES: dict[str, tuple[Any, str]] = {
    "selection": (fusion, "_select"),
    "fits": (fusion, "_fit_part"),
    "SHAP": (evaluation, "explain"),
    "scoring": (evaluation, "score"),
    "further tables": (evaluation, "further_tables"),
    "long tables": (evaluation, "long_tables"),
    "learning curve": (evaluation, "learning_curve"),
}


class Stopwatch:
    """Processor seconds of the thread that was in a function, by stage."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = collections.defaultdict(float)
        self.lock = threading.Lock()

    def around(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            started = time.thread_time()
            try:
                return run(*args, **named)
            finally:
                with self.lock:
                    self.cpu_s[name] += time.thread_time() - started

        return timed


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=len(WORLD.endpoints), help="the first so many of the five")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--settings", type=json.loads, default={"preset": "fast"}, help="of the evaluation, as JSON")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON of everything measured")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    if any(os.environ.get(key) != value for key, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    about = machine()
    say(f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    settings = EvaluationSettings(outer_folds=5, inner_folds=4, repeats=options.repeats, **options.settings)
    record = {"machine": about, "load_before": load(), **measure(settings, options.endpoints, options.jobs)}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record | {"load_after": load()}, indent=1) + "\n", encoding="utf-8")
    say(f"\nwritten: {os.path.relpath(options.output)}")


def measure(settings: EvaluationSettings, n_endpoints: int, jobs: int) -> dict[str, Any]:
    cohort = WORLD.draw(N_CASES, N_PATIENTS, seed=1)
    names = list(WORLD.endpoints)[:n_endpoints]
    watch = Stopwatch()
    for name, (module, function) in STAGES.items():
        setattr(module, function, watch.around(name, getattr(module, function)))
    n_cases, n_columns = cohort.table.values.shape
    folds = f"{settings.outer_folds} x {settings.inner_folds} folds, {settings.repeats} repeats"
    say(f"{n_cases} cases, {n_columns} columns, {len(names)} endpoints, {folds}, {jobs} threads\n")
    before_mib, before_s, started = peak_mib(), cpu_s(), time.perf_counter()
    result = evaluate(cohort.table, cohort.labels, names, settings, jobs=jobs)
    wall, cpu = time.perf_counter() - started, cpu_s() - before_s
    say(f"  {wall:.0f} s wall, {cpu:.0f} s of processor, {peak_mib():.0f} MiB at most ({before_mib:.0f} before); "
        f"goal of the whole below {GOAL_S} s: {met(wall < GOAL_S)}")  # fmt: skip
    for name, seconds in sorted(watch.cpu_s.items(), key=lambda item: -item[1]):
        say(f"  {name:14} {seconds:7.1f} s of processor, {seconds / cpu:6.1%}")
    rows = result.metrics.query("level == 'lesion' and metric == 'auc'")
    areas = rows.pivot_table(index="endpoint", columns="arm", values="estimate", sort=False)
    best = {name: auc(_truth(cohort.labels[name]), cohort.probability.loc[cohort.labels[name].notna(), name].to_numpy())
            for name in names}  # fmt: skip
    say(f"\n{areas.assign(best_possible=best).round(3).to_string()}")
    return {
        "settings": settings.model_dump(mode="json"), "jobs": jobs, "wall_s": wall, "cpu_s": cpu,
        "peak_mib": peak_mib(), "mib_before": before_mib, "stages_cpu_s": dict(watch.cpu_s),
        "auc": areas.to_dict("index"), "best_possible": best, "shap_rows": len(result.shap),
        "shap_mib": result.shap.memory_usage(deep=True).sum() / 2**20,
    }  # fmt: skip


def _truth(labels: Any) -> Any:
    return labels.dropna().to_numpy(dtype=int)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
