"""The report's section on stability: what it says with and without the tables, and that its figures are theirs."""

import re

import numpy as np
import pandas as pd
import pytest
from cemrad.models.replicates import FOLD_COLUMNS, STABILITY_COLUMNS
from cemrad.reports.facts import gather_facts
from cemrad.reports.sections import stability

from .report_fixture import make_result

RNG = np.random.default_rng(0)


def tables(n=40, **changes):
    family = ["radiomics"] * (n // 2) + ["deep"] * (n - n // 2)
    low = RNG.uniform(-0.2, 1, n)
    low[:3] = np.nan
    frame = pd.DataFrame(
        {
            "column": [f"{name}:RC_CC:f{i}" for i, name in enumerate(family)],
            "family": family,
            "picture": "RC_CC",
            "feature_class": ["glcm", "shape2D"] * (n // 2),
            "icc": low + 0.05,
            "low": low,
            "high": low + 0.1,
            "n_cases": [*range(30, 30 + n)],
            "n_replicates": 6,
        }
    )
    folds = [("malignancy", 0, fold, "radiomics", 20, 12 + fold, 25) for fold in range(3)]
    found = {"stability": frame[STABILITY_COLUMNS], "stability_folds": pd.DataFrame(folds, columns=FOLD_COLUMNS)}
    return found | changes


def rendered(**changes):
    result = make_result(**changes)
    return stability.render(gather_facts(result), result)


def test_it_says_so_where_nothing_was_measured():
    for found in ({}, {"stability": pd.DataFrame(columns=STABILITY_COLUMNS)}):
        text = rendered(tables=found)
        assert "Not measured" in text
        assert "<svg" not in text


def test_counts_and_bars_are_those_of_the_table():
    found = tables()
    frame = found["stability"]
    text = rendered(tables=found, provenance={"evaluation": {"stability": {"min_icc": 0.4}}})
    assert "at least 0.40" in text
    assert "33 to 69 cases" in text
    assert "3 features without an ICC" in text
    for family, of in frame.groupby("family"):
        assert (
            f'<bdi>{family}</bdi></b></th><td class="n">{len(of)}</td><td class="n">{(of["low"] >= 0.4).sum()}</td>'
            in text
        )
    bars = [float(height) for height in re.findall(r'class="bar [^"]*"[^>]* height="([0-9.]+)"', text)]
    counts, _ = np.histogram(frame["low"].dropna().clip(0, 1), np.linspace(0, 1, stability.N_BINS + 1))
    assert sum(bars) == pytest.approx(150 * counts.sum() / counts.max(), abs=1.0)
    assert "12 to 14" in text
    assert "Malignancy" in text


def test_it_says_where_the_folds_did_not_use_it():
    text = rendered(tables={"stability": tables()["stability"]})
    assert "did not use it" in text


def test_an_unknown_family_is_escaped():
    found = tables()
    hostile = found["stability"].assign(family='<script>x</script>"', feature_class="<b>")
    text = rendered(tables={"stability": hostile})
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
