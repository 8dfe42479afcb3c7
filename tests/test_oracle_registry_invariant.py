"""Every number that is shipped has a judge outside this code: `oracles.csv`, one row per feature and per filter."""

import ast
from pathlib import Path

import pandas as pd
import pytest
from cemrad.features.case import PictureKey
from cemrad.features.families import radiomics
from cemrad.features.mask import MaskRules
from cemrad.features.native import dictionary
from cemrad.features.native.ibsi_engine import IbsiEngine

HERE = Path(__file__).parent
REGISTRY = pd.read_csv(HERE / "oracles.csv").fillna("")
# Who may be a judge, and whose code it is: pyradiomics' baselines are no second opinion on pyradiomics.
SOURCES = {
    "pyradiomics": "pyradiomics",
    "pyradiomics baseline": "pyradiomics",
    "IBSI 1 phantom": "IBSI",
    "IBSI 2 map": "IBSI",
    "SciPy": "SciPy",
    "NumPy": "NumPy",
    "scikit-image": "scikit-image",
    "closed form": "mathematics",
}


def judged(row):
    """Oracle and test of each filled pair of a row."""
    pairs = [(row[f"oracle_{n}"], row[f"test_{n}"]) for n in range(1, (REGISTRY.shape[1] - 2) // 2 + 1)]
    return [pair for pair in pairs if any(pair)]


def n_sources(row):
    return len({SOURCES[oracle] for oracle, _ in judged(row)})


def rows():
    return {(row["class"], row["feature"]): row for _, row in REGISTRY.iterrows()}


def shipped(preset):
    """Class and feature of every column of a preset, and its filters."""
    settings = radiomics.Settings(preset=preset)
    names = radiomics.Family(settings, MaskRules()).columns([PictureKey("RC", "CC")])
    if preset == "ibsi":
        names = IbsiEngine(settings.asked(), 1024).names
    found = set()
    for name in names:
        image, feature = dictionary.find(name)
        found |= {(feature.kind, feature.feature), (image.kind, image.feature)}
    return len(names), found


def test_every_shipped_feature_has_an_oracle_outside_this_code():
    n_columns, names = shipped("cem-2d")
    assert n_columns == 1404
    assert len([name for name in names if name[0] != dictionary.FILTER]) == 102
    assert len([name for name in names if name[0] == dictionary.FILTER]) == 9
    registered = rows()
    assert {name for name in names if name not in registered or n_sources(registered[name]) < 1} == set()


def test_at_least_60_percent_have_two():
    _, names = shipped("cem-2d")
    features = [name for name in names if name[0] != dictionary.FILTER]
    two = [name for name in features if n_sources(rows()[name]) >= 2]
    assert len(two) / len(features) >= 0.6


def test_registry_and_features_do_not_drift():
    assert not REGISTRY.duplicated(["class", "feature"]).any()
    assert set(rows()) == shipped("cem-2d")[1] | shipped("ibsi")[1]


def test_every_oracle_is_known_and_every_row_names_where():
    for name, row in rows().items():
        assert all(oracle in SOURCES and test for oracle, test in judged(row)), name


def named_tests():
    return sorted({test for row in rows().values() for _, test in judged(row)})


@pytest.mark.parametrize("test", named_tests())
def test_every_named_test_exists_and_is_an_oracle_test(test):
    path, _, name = test.partition("::")
    assert path.endswith("_oracle.py")
    tree = ast.parse((HERE / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_what_the_registry_says_of_ibsi_is_in_the_phantom_table():
    table = pd.read_csv(HERE / "ibsi_phantom.csv", comment="#")
    stated = set(table[["class", "feature"]].itertuples(index=False, name=None))
    claimed = {
        name for name, row in rows().items() if name[0] != dictionary.FILTER and "IBSI 1 phantom" in dict(judged(row))
    }
    assert claimed == stated | {("firstorder", "Kurtosis")}


def test_a_feature_without_an_oracle_would_be_seen():
    assert n_sources({f"{part}_{n}": "" for part in ("oracle", "test") for n in range(1, 5)}) == 0
    both = {f"{part}_{n}": "" for part in ("oracle", "test") for n in range(1, 5)}
    both |= {"oracle_1": "pyradiomics", "oracle_2": "pyradiomics baseline", "test_1": "a", "test_2": "b"}
    assert n_sources(both) == 1
