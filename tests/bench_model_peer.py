"""A peer on one table, fold by fold, in a process of its own: it has the table and the folds, and nothing of ours.

Arguments: a folder with table.parquet (features, and `truth`) and folds.parquet (repeat, fold, case_id), the peer's
name, seconds that it may take per fold. Leaves peer.json and a file of predictions per fold there; a fold whose file
is there is not computed again.
"""

import hashlib
import importlib.metadata
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N_JOBS = 2
SEED = 2026


def boosted(x: pd.DataFrame, y: pd.Series, new: pd.DataFrame, limit_s: float) -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_jobs=N_JOBS, random_state=SEED).fit(x, y).predict_proba(new)[:, 1]


def logistic(x: pd.DataFrame, y: pd.Series, new: pd.DataFrame, limit_s: float) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = {"Cs": np.logspace(-4, 1, 10), "l1_ratios": (0.0,), "cv": 5, "scoring": "neg_log_loss", "max_iter": 2000}
    model = LogisticRegressionCV(**ridge, use_legacy_attributes=False)
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), model).fit(x, y).predict_proba(new)[:, 1]


def forest(x: pd.DataFrame, y: pd.Series, new: pd.DataFrame, limit_s: float) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(500, n_jobs=N_JOBS, random_state=SEED).fit(x, y).predict_proba(new)[:, 1]


def autogluon(x: pd.DataFrame, y: pd.Series, new: pd.DataFrame, limit_s: float) -> Any:
    from autogluon.tabular import TabularPredictor

    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("truth", problem_type="binary", eval_metric="roc_auc", path=folder, verbosity=0)
        predictor.fit(x.assign(truth=y), time_limit=limit_s, presets="medium_quality", num_cpus=N_JOBS, num_gpus=0)
        return predictor.predict_proba(new)[1]


PEERS: dict[str, tuple[Callable[..., Any], str]] = {
    "xgboost": (boosted, "xgboost"),
    "logistic": (logistic, "scikit-learn"),
    "random forest": (forest, "scikit-learn"),
    "autogluon": (autogluon, "autogluon.tabular"),
}


def main(folder: Path, name: str, limit_s: float) -> None:
    run, package = PEERS[name]
    table = pd.read_parquet(folder / "table.parquet")
    folds = pd.read_parquet(folder / "folds.parquet")
    y, x = table["truth"], table.drop(columns="truth")
    record = {"peer": name, "package": package, "version": importlib.metadata.version(package)}
    (folder / "peer.json").write_text(json.dumps(record), encoding="utf-8")
    for _, held in folds.groupby(["repeat", "fold"]):
        kept = folder / kept_as(held["case_id"])
        if kept.is_file():
            continue
        new = x.index.isin(held["case_id"])
        used, started = _cpu_s(), time.perf_counter()
        probability = np.asarray(run(x[~new], y[~new], x[new], limit_s), dtype=float)
        cells = {"case_id": x.index[new], "probability": probability}
        clock = {"wall_s": time.perf_counter() - started, "cpu_s": _cpu_s() - used}
        pd.DataFrame(cells | clock).to_parquet(kept)


def kept_as(held: Iterable[str]) -> str:
    """The file of a fold: it is known by whom it holds out."""
    return f"{hashlib.sha256(chr(10).join(sorted(held)).encode()).hexdigest()[:16]}.parquet"


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
