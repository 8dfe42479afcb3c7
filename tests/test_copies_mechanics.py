"""One picture under two patients is found by its features, and nothing else is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.models.copies import check_copies, find_copies


def _values(n=60, n_columns=30, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_columns)) * 10.0 ** rng.integers(-3, 6, n_columns) + 1e4
    columns = [f"radiomics:{'LE_CC' if i % 2 else 'RC_MLO'}:f{i:02d}" for i in range(n_columns)]
    values = pd.DataFrame(x, columns=columns, index=[f"case{i:02d}" for i in range(n)])
    values["clinical:case:age"] = 50.0
    return values, [f"P{i:02d}" for i in range(n)]


def test_equal_rows_of_two_patients_fail_and_are_named():
    values, persons = _values()
    values.iloc[40] = values.iloc[7]
    found = find_copies(values, persons)
    assert found[["picture", "case_id", "other_id"]].to_numpy().tolist() == [
        ["RC_MLO", "case07", "case40"], ["LE_CC", "case07", "case40"],
    ]  # fmt: skip
    assert (found["distance"] == 0).all()
    check = check_copies(values, persons)
    assert (check.state, check.value) == ("failed", 1.0)
    assert "'case07' and 'case40'" in check.text
    united = persons[:40] + [persons[7]] + persons[41:]
    assert check_copies(values, united).state == "passed"


def test_one_shared_picture_is_enough():
    """The other view is of another exam, and one feature of the shared picture is missing."""
    values, persons = _values()
    shared = [name for name in values if ":LE_CC:" in name]
    values.loc["case40", shared] = values.loc["case07", shared]
    values.loc["case40", shared[3]] = np.nan
    assert find_copies(values, persons)["picture"].tolist() == ["LE_CC"]


def test_a_picture_saved_again_is_found_where_there_are_columns_enough():
    values, persons = _values(n_columns=80)
    spread = values.std()
    values.iloc[40] = values.iloc[7] + 0.003 * spread * np.random.default_rng(1).choice([-1, 1], values.shape[1])
    found = find_copies(values, persons)
    assert set(found["picture"]) == {"LE_CC", "RC_MLO"}
    assert found["distance"].to_numpy() == pytest.approx(0.003, rel=0.05)
    few, _ = _values(n_columns=20)
    few.iloc[40] = few.iloc[7] + 0.003 * few.std()
    assert find_copies(few, persons).empty


def test_counts_and_flags_agree_by_chance_and_say_nothing():
    rng = np.random.default_rng(0)
    values = pd.DataFrame(
        rng.integers(0, 2, (50, 6)).astype(float),
        columns=[f"radiomics:RC_CC:flag{i}" for i in range(6)],
        index=[f"c{i}" for i in range(50)],
    )
    assert values.duplicated().any()
    assert find_copies(values, list(values.index)).empty


def test_real_like_tables_hold_no_copies(make_table):
    table, _ = make_table(60)
    assert check_copies(table.values, table.cases["patient_id"].tolist()).state == "passed"
    clinical = replace(table, values=table.values[table.columns_of("clinical")])
    assert check_copies(clinical.values, table.cases["patient_id"].tolist()).state == "not applicable"
