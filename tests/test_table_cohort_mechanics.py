"""Feature tables that users have: which column is what, and nothing numeric is lost or invented."""

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import CohortError
from cemrad.models.persons import persons_of
from cemrad.pipeline.cohorts.table import Settings, read

TABLES = {
    "fae_prostate.csv": (260, 264, "label", "N10", "ADC_original_firstorder_Entropy"),
    "hn1_nodes.csv.gz": (137, 105, "Target", "HN1004", "GTV-1_original_ngtdm_Strength"),
    "hnscc_nodes.csv.gz": (93, 105, "Target", "HNSCC-01-0001", "GTV_original_shape_Elongation"),
}


def _table(folder, frame, name="t.csv", **settings):
    path = folder / name
    if name.endswith(".xlsx"):
        frame.to_excel(path, index=False)
    elif name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return read(Settings(path=path, **settings))


def _frame(**columns):
    base = {"case_id": ["007", "NA", "1e5"], "a": [1.5, 2.5, -3.0], "malignant": [0, 1, 1]}
    return pd.DataFrame(base | columns)


@pytest.mark.parametrize("name", TABLES)
def test_real_tables(realdata, name):
    rows, features, label, first, column = TABLES[name]
    cohort = read(Settings(path=realdata / "tables" / name))
    values = cohort.table.values
    assert values.shape == (rows, features)
    assert cohort.cases[0].case_id == first
    assert list(cohort.labels().columns) == [label]
    plain = pd.read_csv(realdata / "tables" / name, float_precision="round_trip")
    np.testing.assert_array_equal(values[f"radiomics:table:{column}"], plain[column])
    assert cohort.labels()[label].tolist() == plain[label].tolist()
    assert len(cohort.table.failures) == 0
    assert [note.items for note in cohort.notes if note.code == "table.labels"] == [(label,)]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.xlsx", "t.parquet"])
def test_every_format_gives_the_same(tmp_path, name):
    cohort = _table(tmp_path, _frame(), name)
    assert cohort.table.values.index.tolist() == ["007", "NA", "1e5"]
    assert cohort.table.values["radiomics:table:a"].tolist() == [1.5, 2.5, -3.0]
    assert cohort.labels()["malignancy"].tolist() == [0, 1, 1]


def test_floats_survive_bit_by_bit(tmp_path):
    values = np.random.default_rng(5).normal(size=300) * 10.0 ** np.arange(-150, 150)
    frame = pd.DataFrame({"case_id": [f"c{k}" for k in range(300)], "a": values})
    for name in ("t.csv", "t.parquet"):
        np.testing.assert_array_equal(_table(tmp_path, frame, name).table.values["radiomics:table:a"], values)


def test_names_of_columns(tmp_path):
    frame = _frame(**{"deep:RC_CC:resnet18_001": 1, "T2:glcm": 2, "resnet_5": 3, "x:y:z": 4, "radiomics::odd": 5})
    cohort = _table(tmp_path, frame, deep="^resnet")
    assert list(cohort.table.values.columns) == [
        "radiomics:table:a", "deep:RC_CC:resnet18_001", "radiomics:table:T2:glcm", "deep:table:resnet_5",
        "radiomics:table:x:y:z", "radiomics:table:radiomics::odd",
    ]  # fmt: skip
    assert cohort.table.families() == ["radiomics", "deep"]
    assert "deep:table:a" in _table(tmp_path, frame, family="deep").table.values


def test_patients_labels_clinical_and_dropped_columns(tmp_path):
    frame = _frame(who=["p", "p", "q"], outcome=["yes", "no", ""], age=[50, 60, 70], site=["A", "B", "A"])
    cohort = _table(tmp_path, frame, patient="who", label="outcome", clinical=("age",), drop=("site",))
    assert [case.patient_id for case in cohort.cases] == ["p", "p", "q"]
    assert cohort.cases[0].labels == {"outcome": "yes", "malignancy": 0}
    assert cohort.cases[2].labels["outcome"] is None
    assert [case.clinical for case in cohort.cases] == [{"age": 50}, {"age": 60}, {"age": 70}]
    assert list(cohort.table.values.columns) == ["radiomics:table:a"]
    assert "table.patient_per_row" not in [note.code for note in cohort.notes]


def test_a_column_called_like_a_label_is_never_a_feature(tmp_path):
    cohort = _table(tmp_path, _frame(grade=[1, 2, 3], **{"ER status": [0, 1, 1]}, Target=[0, 1, 0]))
    assert list(cohort.table.values.columns) == ["radiomics:table:a"]
    assert set(cohort.labels().columns) == {"malignancy", "grade", "er", "Target"}


def test_rows_without_ids_are_numbered(tmp_path):
    cohort = _table(tmp_path, pd.DataFrame({"a": [1, 2]}))
    assert [case.case_id for case in cohort.cases] == ["1", "2"]
    assert [note.code for note in cohort.notes] == ["table.row_ids", "table.patient_per_row"]


def test_missing_cells_are_counted_and_have_a_row_each_case(tmp_path):
    cohort = _table(tmp_path, _frame(b=["1", "", "n/a"], c=["", "2", "3"]))
    values = cohort.table.values
    assert np.isnan(values.to_numpy()).sum() == 3
    failures = cohort.table.failures
    assert failures[["case_id", "code", "state"]].to_numpy().tolist() == [
        [case, "feature.missing", "skipped"] for case in ("007", "NA", "1e5")
    ]
    (note,) = [note for note in cohort.notes if note.code == "table.missing"]
    assert (note.count, note.items) == (3, ("b", "c"))


def test_infinite_cells_are_failures(tmp_path):
    cohort = _table(tmp_path, _frame(b=["1", "inf", "-inf"]))
    assert np.isnan(cohort.table.values["radiomics:table:b"]).tolist() == [False, True, True]
    assert cohort.table.failures["code"].tolist() == ["feature.infinite"] * 2
    assert cohort.table.failures["state"].tolist() == ["failed"] * 2


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"site": ["A", "B", "C"]}, {}, r"site \(holds 'A' in line 2\).*drop"),
        ({"case_id": ["x", "x", "y"]}, {}, r"x \(2 times\)"),
        ({"case_id": ["x", "X", "y"]}, {}, "'x' and 'X'"),
        ({"case_id": ["x", "", "y"]}, {}, "no case id in line 3"),
        ({}, {"label": "malignnt"}, "did you mean 'malignant'"),
        ({"pathology": [0, 1, 1]}, {}, "both state malignancy"),
        ({}, {"drop": ("a",)}, "no column is left"),
        ({}, {"deep": "("}, "regular expression"),
    ],
)
def test_what_cannot_be_a_table(tmp_path, columns, settings, message):
    with pytest.raises(CohortError, match=message):
        _table(tmp_path, _frame(**columns), **settings)


def test_an_unnamed_first_column_holds_the_ids(tmp_path):
    _frame().set_index("case_id").rename_axis(None).to_csv(tmp_path / "t.csv")
    assert [case.case_id for case in read(Settings(path=tmp_path / "t.csv")).cases] == ["007", "NA", "1e5"]


def test_an_index_of_parquet_is_never_a_feature(tmp_path):
    _frame().set_index("case_id").rename_axis(None).to_parquet(tmp_path / "t.parquet")
    cohort = read(Settings(path=tmp_path / "t.parquet"))
    assert [case.case_id for case in cohort.cases] == ["007", "NA", "1e5"]
    assert list(cohort.table.values) == ["radiomics:table:a"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_row_numbers_beside_ids_are_left_out_and_said(tmp_path, name):
    frame = _frame(index=[7, 8, 9]).set_axis([2, 0, 1])
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_csv(tmp_path / name)
    cohort = read(Settings(path=tmp_path / name))
    assert [case.case_id for case in cohort.cases] == ["007", "NA", "1e5"]
    assert list(cohort.table.values) == ["radiomics:table:a"]
    (note,) = [note for note in cohort.notes if note.code == "table.indices"]
    assert note.count == 2


def test_age_and_density_are_clinical_without_being_named(tmp_path):
    frame = _frame(**{"Patient Age": [50, 60, 70], "density": ["B", "C", "C"]})
    cohort = _table(tmp_path, frame)
    assert cohort.cases[0].clinical == {"age": 50, "density": "B"}
    assert list(cohort.table.values) == ["radiomics:table:a"]
    assert [note.items for note in cohort.notes if note.code == "table.clinical"] == [("Patient Age", "density")]
    assert "radiomics:table:Patient Age" in _table(tmp_path, frame, clinical=("density",)).table.values


def test_what_pyradiomics_says_of_its_own_run_is_no_feature(tmp_path):
    frame = _frame(**{"diagnostics_Versions_Numpy": ["2.0"] * 3, "diagnostics_Image-original_Mean": [1.0, 2.0, 3.0]})
    cohort = _table(tmp_path, frame)
    assert list(cohort.table.values) == ["radiomics:table:a"]
    assert [note.count for note in cohort.notes if note.code == "table.diagnostics"] == [2]


def test_columns_beside_the_case_tie_persons_and_are_no_features(tmp_path):
    frame = _frame(exam=["7", " 7 ", "NA"], site=["A", "A", "B"])
    table = _table(tmp_path, frame, info=("exam", "site")).table
    assert list(table.values.columns) == ["radiomics:table:a"]
    assert table.cases[["exam", "site"]].to_numpy().tolist() == [["7", "A"], ["7", "A"], ["", "B"]]
    assert persons_of(table.cases, ["exam"]).tolist() == ["007", "007", "1e5"]
    with pytest.raises(CohortError, match="no column 'sites'; did you mean 'site'"):
        _table(tmp_path, frame, info=("sites",))
    with pytest.raises(ValueError, match="every case has laterality of its own"):
        Settings(path=tmp_path / "t.csv", info=("laterality",))
