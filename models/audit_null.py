"""The leak audit where there is nothing to find: permuted labels, noise, and signatures of persons.

A pipeline that finds something there has seen what it should not have. Means are judged within a stated margin of
0.5, widened by their Monte-Carlo error: a 99 % t interval over the repetitions, so that a sound pipeline rarely fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..features.errors import EvaluationError
from .audit import Check, Pipeline, State, auc_over
from .folds import Ints, Split, seed_of, split
from .intervals import HeldOut, cv_auc
from .learner import Array
from .rows import Rows

Deal = Callable[[Rows, int], Split]
"""Deals rows into folds, with a seed."""

PERMUTED_MARGIN, NOISE_MARGIN, VIEWS_MARGIN = 0.02, 0.025, 0.03
"""How far from 0.5 a mean AUC may lie, before its Monte-Carlo error."""
SURE = 0.995
"""Quantile of the t distribution by whose standard errors a margin is widened."""
LEAST_KS = 0.01
IMAGES_PER_PERSON, SIGNATURE_COLUMNS = 4, 30


class Nulls(NamedTuple):
    """AUCs of repetitions, and what the first fold of each says: a p-value, and whether its interval covers 0.5."""

    aucs: Array
    p_values: Array
    covered: Array


def shuffle_labels(rows: Rows, seed: int) -> Rows:
    """Labels dealt anew by person: those of one person stay together as far as the sizes of persons allow.

    Persons are put into a random order, and their labels, one person after the other, go to the cases in the order
    of the table.
    """
    rng = np.random.default_rng(seed)
    owners = np.unique(rows.persons, return_inverse=True)[1]
    place = rng.permutation(int(owners.max()) + 1)
    grouped = np.argsort(owners, kind="stable")  # cases, person by person
    dealt = np.argsort(place[owners], kind="stable")
    y = np.empty_like(rows.y)
    y[grouped] = rows.y[dealt]
    return replace(rows, y=y)


def noise(rows: Rows, seed: int) -> Rows:
    """Normal noise in place of every feature; gaps, labels and persons as they are."""
    x = np.random.default_rng(seed).normal(size=rows.x.shape)
    x[np.isnan(rows.x)] = np.nan
    return replace(rows, x=x)


def reference_noise(families: Sequence[str], *, n: int = 200, n_columns: int = 1000, seed: int = 0) -> Rows:
    """Noise of a stated size: one case per person, half of them positive, columns shared out among the families."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"n{i:04d}" for i in range(n))
    columns = tuple(f"{families[i % len(families)]}:IMG:noise_{i:04d}" for i in range(n_columns))
    return Rows(rng.normal(size=(n, n_columns)), rng.permutation(np.arange(n) % 2), ids, ids, columns)


def signatures(families: Sequence[str], *, n_persons: int = 40, seed: int = 0) -> Rows:
    """Persons with four images each that are recognised at a glance, and labels that have nothing to do with it."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_persons), IMAGES_PER_PERSON)
    n_columns = SIGNATURE_COLUMNS * len(families)
    x = rng.normal(size=(n_persons, n_columns))[person] + 0.05 * rng.normal(size=(len(person), n_columns))
    columns = tuple(f"{families[i % len(families)]}:IMG:signature_{i:02d}" for i in range(n_columns))
    truth = rng.permutation(np.arange(n_persons) % 2)[person]
    ids = tuple(f"image{i:04d}" for i in range(len(person)))
    return Rows(x, truth, ids, tuple(f"person{i:03d}" for i in person), columns)


def deal_folds(rows: Rows, seed: int, n_folds: int = 5) -> Split:
    """Folds by person, as an evaluation deals them."""
    return split(rows.case_ids, rows.persons, rows.y, n_folds=n_folds, seed=seed)


def repeat(pipeline: Pipeline, deal: Deal, made: Sequence[Rows], *, seed: int, jobs: int = 1) -> Nulls:
    """Run a pipeline on each of several tables; the AUC is NaN where it could not be fitted."""

    def one(at: int) -> tuple[float, float, float]:
        rows = made[at]
        own = seed_of(seed, "repeat", at)
        found, margin, first = _once(pipeline, deal, rows, own)
        held = np.flatnonzero(first & ~np.isnan(margin))
        return found, *_first_fold(rows, held, margin[held], own)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return Nulls(*(np.array(part) for part in zip(*pool.map(one, range(len(made))), strict=True)))


def _once(pipeline: Pipeline, deal: Deal, rows: Rows, seed: int) -> tuple[float, Array, NDArray[np.bool_]]:
    """The AUC and the margins of one run, and who is in the first fold; NaN where these labels cannot be dealt."""
    try:
        parts = deal(rows, seed)
    except EvaluationError:
        return np.nan, np.full(len(rows.y), np.nan), np.zeros(len(rows.y), dtype=bool)
    return *auc_over(pipeline, rows, parts, seed), parts.assignment[0] == 0


def _first_fold(rows: Rows, held: Ints, margin: Array, seed: int) -> tuple[float, float]:
    """A p-value of the AUC of one model on new persons, and whether a result's interval covers 0.5; else NaN.

    The p-value takes one case per person and compares with permutations of these labels; as the observed order
    takes a random place among equal ones, it is exactly uniform where nothing leaks.
    """
    truth, owners = rows.y[held], [rows.persons[i] for i in held]
    if len(np.unique(truth)) < 2:
        return np.nan, np.nan
    first = np.unique(owners, return_index=True)[1]
    p_value = _permutation_p(truth[first], margin[first], seed)
    person = np.unique(owners, return_inverse=True)[1].astype(np.int64)
    zeros = np.zeros(len(held), dtype=np.int64)
    estimate = cv_auc(HeldOut(truth, margin, zeros.astype(bool), zeros, zeros, person))
    covered = float(estimate.low <= 0.5 <= estimate.high) if np.isfinite(estimate.low) else np.nan
    return p_value, covered


def _permutation_p(truth: Ints, margin: Array, seed: int, n_draws: int = 999) -> float:
    from scipy.stats import rankdata  # a second to import; an extraction ranks nothing

    if len(np.unique(truth)) < 2:
        return np.nan
    rng = np.random.default_rng(seed)
    ranks = rankdata(margin)
    sums = rng.permuted(np.tile(truth, (n_draws, 1)), axis=1) @ ranks
    observed = float(truth @ ranks)
    above, equal = int((sums > observed + 1e-9).sum()), int((np.abs(sums - observed) <= 1e-9).sum())
    return float((above + rng.random() * (equal + 1)) / (n_draws + 1))


def check_permuted(
    pipeline: Pipeline, deal: Deal, rows: Rows, *, n: int, seed: int, jobs: int = 1, endpoint: str = ""
) -> list[Check]:
    """Labels permuted by person, everything done anew (T2), and the p-value of the true labels among them.

    Returns
    -------
    list of Check
        The mean AUC; whether p-values are uniform; and, as a finding, the permutation p-value of the result
        (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585).
    """
    made = [shuffle_labels(rows, seed_of(seed, "permutation", i)) for i in range(n)]
    nulls = repeat(pipeline, deal, made, seed=seed_of(seed, "permuted"), jobs=jobs)
    observed = _once(pipeline, deal, rows, seed)[0]
    known = nulls.aucs[~np.isnan(nulls.aucs)]
    p_value = (1 + int((known >= observed - 1e-12).sum())) / (len(known) + 1)
    text = f"AUC {observed:.3f} with the true labels; {len(known)} permutations give p = {p_value:.3g}"
    found = Check("permutation p-value", endpoint, "finding", p_value, np.nan, text)
    if np.isnan(observed):
        text = "no model could be fitted with the true labels"
        found = found._replace(state="not applicable", value=np.nan, text=text)
    return [
        judge_mean("permuted labels", nulls.aucs, PERMUTED_MARGIN, "labels permuted by person", endpoint),
        _judge_uniform(nulls.p_values, endpoint),
        found,
    ]


def check_noise(
    pipeline: Pipeline, deal: Deal, rows: Rows, *, n: int, seed: int, jobs: int = 1, endpoint: str = ""
) -> list[Check]:
    """Noise in place of the features: the mean AUC (LK2), and how often a hold-out interval covers 0.5 (LK3)."""
    made = [noise(rows, seed_of(seed, "noise", i)) for i in range(n)]
    nulls = repeat(pipeline, deal, made, seed=seed_of(seed, "noisy"), jobs=jobs)
    shape = f"noise in place of {rows.x.shape[1]} features of {rows.x.shape[0]} cases"
    return [
        judge_mean("noise features", nulls.aucs, NOISE_MARGIN, shape, endpoint),
        judge_coverage(nulls.covered, endpoint),
    ]


def check_views(pipeline: Pipeline, families: Sequence[str], *, n: int, seed: int, jobs: int = 1) -> Check:
    """Images that tell who a person is and nothing else (T8): dealt by person there is nothing to find.

    Dealt by image the same cohort must look easy, as a proof that the pipeline could have recognised persons.
    """
    name = "views of a person"
    made = [signatures(families, seed=seed_of(seed, "views", i)) for i in range(n)]
    grouped = repeat(pipeline, deal_folds, made, seed=seed, jobs=jobs)
    by_image = repeat(pipeline, deal_folds, [replace(rows, persons=rows.case_ids) for rows in made[:3]], seed=seed)
    found = judge_mean(name, grouped.aucs, VIEWS_MARGIN, "images of one person on one side", "")
    seen = float(np.nanmean(by_image.aucs))
    text = f"{found.text}; torn apart by image, the same cohorts give {seen:.3f}"
    if seen <= 0.9 and found.state == "passed":
        return found._replace(state="not applicable", text=f"{text}: this learner does not recognise persons")
    return found._replace(text=text)


def judge_mean(check: str, aucs: Array, margin: float, what: str, endpoint: str) -> Check:
    """Whether a mean AUC is within `margin` of 0.5, widened by its Monte-Carlo error."""
    known = aucs[~np.isnan(aucs)]
    if len(known) < 2:
        return Check(check, endpoint, "not applicable", np.nan, np.nan, f"{what}: no model could be fitted")
    mean, error = float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
    limit = margin + float(stdtrit(len(known) - 1, SURE)) * error
    state: State = "passed" if abs(mean - 0.5) <= limit else "failed"
    left = len(aucs) - len(known)
    text = (
        f"{what}, {len(known)} times: mean AUC {mean:.3f} (SD {known.std(ddof=1):.3f}), allowed 0.5 +- {limit:.3f}, "
        f"which is {margin:g} and the Monte-Carlo error" + (f"; {left} could not be fitted" if left else "")
    )
    return Check(check, endpoint, state, mean, limit, text)


def _judge_uniform(p_values: Array, endpoint: str) -> Check:
    from scipy.stats import kstest

    known = p_values[~np.isnan(p_values)]
    if len(known) < 5:
        return Check("p-values", endpoint, "not applicable", np.nan, np.nan, "fewer than five folds had both classes")
    found = float(kstest(known, "uniform").pvalue)
    text = (
        f"p-values of {len(known)} permuted data sets against a uniform distribution: Kolmogorov-Smirnov p {found:.3f}"
    )
    return Check("p-values", endpoint, "passed" if found > LEAST_KS else "failed", found, LEAST_KS, text)


def judge_coverage(covered: Array, endpoint: str) -> Check:
    """Whether 95 % intervals of held-out noise cover 0.5 as often as a binomial of 0.95 does at its 1 % quantile."""
    from scipy.stats import binom

    known = covered[~np.isnan(covered)]
    if len(known) < 10:
        return Check("interval covers 0.5", endpoint, "not applicable", np.nan, np.nan, "fewer than ten intervals")
    n, least = int(known.sum()), int(binom.ppf(0.01, len(known), 0.95))
    text = f"the interval of one held-out fold of noise covers 0.5 in {n} of {len(known)}, at least {least} expected"
    return Check("interval covers 0.5", endpoint, "passed" if n >= least else "failed", float(n), float(least), text)
