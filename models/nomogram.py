"""A nomogram: a logistic regression as a table of points that can be added up by hand.

Iasonos et al. 2008, doi 10.1200/JCO.2007.12.9791.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .learner import Array, Fitted, probability
from .learners.logistic import FittedLine

POINT_COLUMNS = ["kind", "feature", "value", "points", "probability"]
MOST = 100.0
"""Points of the feature that can move the log odds most."""


def nomogram(model: Fitted, features: Sequence[str], low: Array, high: Array, n_values: int = 5) -> pd.DataFrame:
    """Points of each feature's values, and the probability of their total.

    Parameters
    ----------
    model : FittedLine
        Of the learner ``logistic``.
    features : sequence of str
        Names of the model's features, in its order.
    low, high : ndarray, shape (n_features,)
        Range of each that the table covers: that of the training cases.
    n_values : int
        Values per feature, evenly spaced from `low` to `high`.

    Returns
    -------
    DataFrame
        Columns ``POINT_COLUMNS``. Rows of the kind ``feature`` give points for a value; rows of the kind ``total`` give
        the probability for a sum of points. A missing value counts as the training median, which has a row of its own.
        Empty if no feature moves the log odds.
    """
    if not isinstance(model, FittedLine):
        raise TypeError("a nomogram is a table of a logistic regression")
    standard = model.standard
    steps = np.linspace(np.nan_to_num(low), np.nan_to_num(high), n_values)
    values = np.vstack([steps, standard.median])
    terms = (values - standard.mean) / standard.scale * model.coefficients
    least = terms[:n_values].min(axis=0)
    reach = terms[:n_values].max(axis=0) - least
    unit = float(reach.max(initial=0.0)) / MOST
    if unit == 0:
        return pd.DataFrame(columns=POINT_COLUMNS)
    points = (terms - least) / unit
    order = np.argsort(-reach, kind="stable")
    rows = [
        {"kind": "feature" if at < n_values else "missing", "feature": features[j], "value": values[at, j],
         "points": points[at, j], "probability": np.nan}
        for j in order
        for at in range(n_values + 1)
    ]  # fmt: skip
    totals = np.linspace(0, float(reach.sum()) / unit, 21)
    reached = probability(model.intercept + float(least.sum()) + totals * unit)
    rows += [
        {"kind": "total", "feature": "", "value": np.nan, "points": total, "probability": chance}
        for total, chance in zip(totals, reached, strict=True)
    ]
    return pd.DataFrame(rows, columns=POINT_COLUMNS)
