"""Endpoints of several classes: one model per class against the rest over one split, and what they are together.

Each class has its own model and its own endpoint, ``NAME=CLASS``. All of them share the persons of every fold. Of a
case, the probabilities of its classes are divided by their sum (Zadrozny and Elkan 2002, doi 10.1145/775047.775151),
and the largest one names the predicted class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .class_metrics import CLASS_METRICS, ClassPredictions, recall
from .dealing import designs_of_classes
from .design import Design
from .folds import seed_of
from .heldout import one_person_each
from .intervals import Estimate, HeldOut, bootstrap_weights, cv_statistic
from .metrics import Array
from .scoring import ScoringSettings
from .units import UNIT, Aggregate

CLASS_COLUMNS = ["endpoint", "endpoint_title", "level", "class", "title", "n_cases", "n_patients", "reason"]
"""``Result.tables["classes"]``: one row per class; `reason` says why it has no model, else it is empty."""
FIGURE_COLUMNS = ["endpoint", "level", "arm", "metric", "estimate", "low", "high", "chance", "method", "n"]
"""``Result.tables["multiclass"]``: over all classes that have a model; `chance` is what no knowledge reaches."""
CONFUSION_COLUMNS = ["endpoint", "level", "arm", "truth", "predicted", "n", "share", "low", "high"]
"""``Result.tables["confusion"]``: `n` per repeat, `share` of the true class with its interval."""


def class_probabilities(predictions: pd.DataFrame, names: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Probabilities of the classes, divided by their sum.

    Parameters
    ----------
    predictions : DataFrame
        Rows of the endpoints `names` with a ``probability`` each.
    names : sequence of str
        Endpoints of the classes, in their order.
    keys : sequence of str
        Columns that tell cases apart.

    Returns
    -------
    DataFrame
        Index `keys`, one column per endpoint; NaN where a class has no probability.
    """
    rows = predictions[predictions["endpoint"].isin(names)]
    by_class = {name: rows[rows["endpoint"] == name].set_index(list(keys))["probability"] for name in names}
    wide = pd.concat(by_class, axis=1)
    return wide.div(wide.sum(axis=1, skipna=False), axis=0)


def class_table(predictions: pd.DataFrame, classes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The class of new cases, by the models of a bundle.

    Parameters
    ----------
    predictions : DataFrame
        As :meth:`~cemrad.models.bundle.Bundle.predict` gives them.
    classes : mapping of str to sequence of str
        Endpoint of several classes to the endpoints of its classes.

    Returns
    -------
    DataFrame
        One row per endpoint, case and class: ``endpoint``, ``case_id``, ``class``, ``probability`` (summing to 1 over
        the classes; NaN where one has none) and ``predicted``, true at the largest.
    """
    parts = []
    for endpoint, names in classes.items():
        wide = class_probabilities(predictions, names, ["case_id"])
        long = wide.reset_index().melt("case_id", list(names), "class", "probability")
        long["class"] = long["class"].str.removeprefix(f"{endpoint}=")
        largest = long.groupby("case_id", sort=False)["probability"].transform("max")
        parts.append(long.assign(endpoint=endpoint, predicted=long["probability"] == largest))
    columns = ["endpoint", "case_id", "class", "probability", "predicted"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def measure_classes(
    designs: Sequence[Design],
    predictions: pd.DataFrame,
    arms: Sequence[str],
    settings: ScoringSettings,
    seed: int,
    problems: Mapping[str, str],
) -> dict[str, pd.DataFrame]:
    """The further tables of a result that holds endpoints of several classes.

    Figures are made at the level where the label lives, as its classes have no order of severity that would give a
    breast or patient with two of them one truth.

    Parameters
    ----------
    designs : sequence of Design
    predictions : DataFrame
        Columns ``PREDICTION_COLUMNS``.
    arms : sequence of str
    settings : ScoringSettings
    seed : int
    problems : mapping of str to str
        Classes, by the name of their design, that have no model, with the reason.

    Returns
    -------
    dict of str to DataFrame
        ``classes``, ``multiclass`` and ``confusion``; empty where no endpoint has several classes.
    """
    found = designs_of_classes(designs)
    if not found:
        return {}
    classes, figures, confusion = [], [], []
    for name, parts in found.items():
        classes += list(_classes(name, parts, problems))
        kept = [part for part in parts if part.name not in problems]
        level = parts[0].endpoint.target.level
        for arm in arms:
            key = {"endpoint": name, "level": level, "arm": arm}
            rows = predictions[(predictions["arm"] == arm) & predictions["endpoint"].isin([p.name for p in kept])]
            if len(kept) < 2 or rows["endpoint"].nunique() < len(kept):
                figures += [key | _nothing(metric) for metric in CLASS_METRICS]
                continue
            held, carriers = _held_out(rows, kept, level, settings.aggregate)
            weights = bootstrap_weights(held.person, settings.n_bootstrap, seed_of(seed, name, level, "bootstrap"))
            figures += [key | row for row in figures_of(held, carriers, weights)]
            confusion += [key | row for row in _confusion(held, carriers, weights, kept)]
    return {
        "classes": pd.DataFrame(classes, columns=CLASS_COLUMNS),
        "multiclass": pd.DataFrame(figures, columns=FIGURE_COLUMNS),
        "confusion": pd.DataFrame(confusion, columns=CONFUSION_COLUMNS),
    }


def _classes(name: str, parts: Sequence[Design], problems: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for part in parts:
        mine = np.flatnonzero(part.rows.y == 1)
        yield {
            "endpoint": name, "endpoint_title": part.endpoint.target.title, "level": part.endpoint.target.level,
            "class": part.name.removeprefix(f"{name}="), "title": part.endpoint.positive,
            "n_cases": len(mine), "n_patients": len({part.rows.persons[i] for i in mine}),
            "reason": problems.get(part.name, ""),
        }  # fmt: skip


def _nothing(metric: str) -> dict[str, Any]:
    why = "not estimable: not every class has a model of this arm"
    return {"metric": metric, **Estimate(np.nan, np.nan, np.nan, why)._asdict(), "chance": np.nan, "n": 0}


def _held_out(
    rows: pd.DataFrame, kept: Sequence[Design], level: str, aggregate: Aggregate
) -> tuple[ClassPredictions, list[HeldOut]]:
    """Predictions by unit, cases of a class without a model left out; and for each class its cases against the rest.

    The latter carry persons, folds and repeats to what makes the intervals.
    """
    keys = ["repeat", "fold", UNIT[level]]
    wide = class_probabilities(rows, [part.name for part in kept], ["repeat", "fold", "case_id"])
    places = {part.endpoint.place: at for at, part in enumerate(kept)}
    truth = {case: places.get(int(k)) for case, k in zip(kept[0].cases.index, kept[0].classes, strict=True)}
    cases = kept[0].cases[["patient_id", "breast_id"]].rename_axis("case_id")
    units = wide.reset_index().merge(cases.reset_index(), on="case_id")
    units["truth"] = units["case_id"].map(truth)
    units = units.dropna(subset="truth")
    names = list(wide.columns)
    if level != "lesion" and aggregate == "vote":
        units[names] = np.eye(len(names))[units[names].to_numpy().argmax(axis=1)]
    how = "max" if level == "lesion" or aggregate == "max" else "mean"
    extra = [] if level == "patient" else ["patient_id"]
    grouped = units.groupby(keys, sort=True)
    found = grouped[names].agg(how)
    facts = grouped[["truth", *extra]].first().reset_index()
    fold = facts["fold"].to_numpy(dtype=np.int64)
    person = np.unique(facts["patient_id"].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    places_of = facts["truth"].to_numpy(dtype=np.int64)
    carriers = [
        HeldOut(
            truth=(places_of == k).astype(np.int64), probability=found[name].to_numpy(dtype=np.float64),
            called=np.zeros(len(fold), dtype=bool), repeat=facts["repeat"].to_numpy(dtype=np.int64), fold=fold,
            person=person, pooled=one_person_each(fold, person),
        )
        for k, name in enumerate(names)
    ]  # fmt: skip
    probability = found.div(found.sum(axis=1), axis=0).to_numpy(dtype=np.float64)
    return ClassPredictions(places_of, probability, carriers[0].repeat, carriers[0].cell, person), carriers


def figures_of(held: ClassPredictions, carriers: Sequence[HeldOut], weights: Array) -> Iterator[dict[str, Any]]:
    """Each metric of several classes with its interval and the level of no knowledge.

    The interval is that of :func:`~cemrad.models.intervals.cv_statistic`, counting patients of the rarest class.

    Parameters
    ----------
    held : ClassPredictions
    carriers : sequence of HeldOut
        For each class its cases against the rest, in the same order.
    weights : ndarray, shape (n_draws, n)
        From :func:`~cemrad.models.intervals.bootstrap_weights`.
    """
    first = held.repeat == held.repeat.min()
    shares = np.bincount(held.truth[first], minlength=held.n_classes) / first.sum()
    chance = {"accuracy": float(shares.max()), "balanced_accuracy": 1 / held.n_classes}
    rarest = min(carriers, key=lambda carrier: carrier.freedom)
    for metric in CLASS_METRICS:
        statistic = CLASS_METRICS[metric]
        found = cv_statistic(
            rarest, lambda _, drawn, statistic=statistic: statistic(held, drawn), weights,  # type: ignore[misc]
            nothing="two classes are never in one fold together", ranks=metric in ("auc_macro", "hand_till"),
        )  # fmt: skip
        yield {"metric": metric, **found._asdict(), "chance": chance.get(metric, 0.5), "n": int(first.sum())}


def _confusion(
    held: ClassPredictions, carriers: Sequence[HeldOut], weights: Array, kept: Sequence[Design]
) -> Iterator[dict[str, Any]]:
    keys = [part.name.removeprefix(f"{part.endpoint.whole}=") for part in kept]
    n_repeats = len(np.unique(held.repeat))
    for truth, predicted in np.ndindex(held.n_classes, held.n_classes):
        share = partial(recall, truth=truth, predicted=predicted)
        found = cv_statistic(carriers[truth], lambda _, drawn, share=share: share(held, drawn), weights)  # type: ignore[misc]
        n = int(((held.truth == truth) & (held.predicted == predicted)).sum())
        yield {
            "truth": keys[truth], "predicted": keys[predicted], "n": n / n_repeats,
            "share": found.estimate, "low": found.low, "high": found.high,
        }  # fmt: skip
