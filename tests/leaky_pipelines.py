"""Pipelines that leak on purpose, each by one mistake of the literature, around one light and honest learner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cemrad.models.audit import Outcome, fingerprint
from cemrad.models.folds import inner_sides
from cemrad.models.metrics import auc
from cemrad.models.rows import Rows


def null_rows(
    n: int = 80, n_columns: int = 200, *, positive: float = 0.5, per_person: int = 1, missing: float = 0.1,
    seed: int = 0,
) -> Rows:  # fmt: skip
    """Nothing to find: normal noise with gaps, labels by person; the site of each case is the digit of its id."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) < round(positive * n)).astype(np.int64)
    person = np.repeat(np.arange(n), per_person)
    x = rng.normal(size=(n, n_columns))[person]
    x += 0.1 * rng.normal(size=x.shape) if per_person > 1 else 0
    x[rng.random(x.shape) < missing] = np.nan
    # Classes are unequal between the two sites: what a harmoniser with the label as covariate trips over.
    site = (rng.random(n) < 0.2 + 0.6 * truth).astype(int)[person]
    ids = tuple(f"c{i:04d}_{s}" for i, s in enumerate(site))
    columns = tuple(f"radiomics:IMG:f{i:04d}" for i in range(n_columns))
    return Rows(x, truth[person], ids, tuple(f"p{i:03d}" for i in person), columns)


def site_of(rows: Rows) -> np.ndarray:
    return np.array([int(name[-1]) for name in rows.case_ids])


class Ridge:
    """Ridge regression on standard scores of the training side, gaps at its mean."""

    def __init__(self, x, y, penalty=10.0):
        self.mean, self.spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0) + 1e-9
        z = self._scores(x)
        self.weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))

    def _scores(self, x):
        return np.nan_to_num(np.clip((x - self.mean) / self.spread, -50, 50))

    def margin(self, x):
        return self._scores(x) @ self.weights

    def parts(self):
        return [self.mean, self.spread, self.weights]


def strongest(x, y, n=30):
    """The columns that correlate most with the truth."""
    z = np.nan_to_num((x - np.nanmean(x, axis=0)) / (np.nanstd(x, axis=0) + 1e-9))
    return np.sort(np.argsort(-np.abs(z.T @ (y - y.mean())), kind="stable")[:n])


def distances(these, those):
    """Squared distances of rows."""
    return (these**2).sum(axis=1)[:, None] + (those**2).sum(axis=1)[None, :] - 2 * these @ those.T


def honest(rows, fit, held, seed):
    """Everything fitted on the training side: the audit must pass it."""
    x, y = rows.x, rows.y
    chosen = strongest(x[fit], y[fit])
    model = Ridge(x[np.ix_(fit, chosen)], y[fit])
    return Outcome(fingerprint([chosen, *model.parts()]), model.margin(x[np.ix_(held, chosen)]))


def selection_before_split(rows, fit, held, seed):
    """Features chosen on all cases, then cross-validated (Demircioglu 2021)."""
    both = np.sort(np.concatenate([fit, held]))
    chosen = strongest(rows.x[both], rows.y[both])
    model = Ridge(rows.x[np.ix_(fit, chosen)], rows.y[fit])
    return Outcome(fingerprint([chosen, *model.parts()]), model.margin(rows.x[np.ix_(held, chosen)]))


def imputation_by_class(rows, fit, held, seed):
    """Gaps filled with the mean of the case's class, over all cases: the gap then tells the label."""
    x = rows.x.copy()
    for value in (0, 1):
        of = rows.y == value
        mean = np.nan_to_num(np.nanmean(x[of], axis=0))
        x[of] = np.where(np.isnan(x[of]), mean, x[of])
    return honest(replace(rows, x=x), fit, held, seed)


def scaling_on_all(rows, fit, held, seed):
    """Standard scores from all cases: no label in it, so the AUC hardly moves; what is fitted does."""
    x = (rows.x - np.nanmean(rows.x, axis=0)) / (np.nanstd(rows.x, axis=0) + 1e-9)
    return honest(replace(rows, x=x), fit, held, seed)


def oversampling_before_split(rows, fit, held, seed):
    """Copies of rare positives made before the split land on the training side (Demircioglu 2024)."""
    x, rng = np.nan_to_num(rows.x), np.random.default_rng(seed)
    positive = np.flatnonzero(rows.y == 1)
    copies = rng.choice(positive, size=4 * len(positive))
    known = np.concatenate([fit, copies[rng.random(len(copies)) < 0.8]])
    distance = distances(x[held], x[known])
    nearest = known[distance.argmin(axis=1)]
    return Outcome(fingerprint([x[known], rows.y[known]]), rows.y[nearest] - 1e-6 * distance.min(axis=1))


def split_by_image(rows, fit, held, seed):
    """Images dealt without regard to whose they are: the held-out ones are predicted from others of the person."""
    truth, x = rows.y, np.nan_to_num(rows.x)
    margin, seen = np.full(len(truth), np.nan), []
    for inside, outside in inner_sides([], truth, 5, seed):
        distance = distances(x[outside], x[inside])
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :3]
        margin[outside] = truth[inside][nearest].mean(axis=1)
        seen.append(x[inside])
    return Outcome(fingerprint(seen), margin[held])


def tuning_on_held_out(rows, fit, held, seed):
    """Of ten models the one that does best on the cases that it is then judged on."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(10):
        chosen = np.sort(rng.choice(rows.x.shape[1], size=5, replace=False))
        model = Ridge(rows.x[np.ix_(fit, chosen)], rows.y[fit])
        margin = model.margin(rows.x[np.ix_(held, chosen)])
        made.append((auc(rows.y[held], margin), [chosen, *model.parts()], margin))
    _, parts, margin = max(made, key=lambda one: one[0])
    return Outcome(fingerprint(parts), margin)


def harmonising_with_the_label(rows, fit, held, seed):
    """Site means taken away on all cases with the label as covariate (Nieto 2026)."""
    x, site = np.nan_to_num(rows.x), site_of(rows)
    design = np.column_stack([np.ones(len(site)), site, rows.y]).astype(float)
    effect = np.linalg.lstsq(design, x, rcond=None)[0]
    return honest(replace(rows, x=x - np.outer(site, effect[1])), fit, held, seed)


LEAKY = (
    selection_before_split, imputation_by_class, oversampling_before_split, split_by_image, tuning_on_held_out,
    harmonising_with_the_label, scaling_on_all,
)  # fmt: skip
