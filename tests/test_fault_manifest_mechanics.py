"""Faults of manifests and ids: refused whole with the place named, or one row of them, never guessed."""

import unicodedata
from datetime import date, datetime

import numpy as np
import openpyxl
import pytest
from cemrad.features.errors import CohortError, StudyError
from cemrad.features.parameters import read_parameters, two_dimensional
from cemrad.features.plain_yaml import parse_yaml
from cemrad.pipeline.cohorts import table as table_cohort
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.study import read_study

from .fault_cohort import (
    BASE,
    HEALTHY,
    breast,
    clean,
    computed,
    disc,
    healthy,
    require_contained,
    require_told,
    save,
    table,
    with_fault,
)


def _rows(folder, *more):
    return [*healthy(folder), *(BASE | cells for cells in more)]


REFUSED = {
    "D1 an id twice": ([{}, {}], "more than once: bad IMG \\(2 times\\)"),
    "D1 two ids twice": ([{}, {}, {"case_id": "c"}, {"case_id": "c"}], "bad IMG \\(2 times\\), c IMG \\(2 times\\)"),
    "D5 case": ([{}, {"case_id": "b", "patient_id": "BAD"}], "look alike: 'bad' and 'BAD'"),
    "D5 blank": ([{}, {"case_id": "b", "patient_id": "bad "}], "look alike: 'bad' and 'bad '"),
    "D5 Unicode": (
        [{"patient_id": unicodedata.normalize(f, "é")} | {"case_id": f} for f in ("NFC", "NFD")], "look alike",
    ),
    "D5 case ids": ([{"case_id": "b"}, {"case_id": "B"}], "case ids that only look alike: 'b' and 'B'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_ids_that_may_be_confused_are_refused_before_work(tmp_path, fault):
    rows, message = REFUSED[fault]
    with pytest.raises(CohortError, match=message):
        read(Settings(path=table(tmp_path / "cohort.csv", _rows(tmp_path, *rows))))


CONFLICTS = {"sex": ("F", "M"), "birth_year": ("1960", "1971"), "Date of birth": ("1960-01-02", "1960-02-01")}


@pytest.mark.parametrize("column", CONFLICTS)
def test_d3_two_persons_of_one_id_are_both_failed(tmp_path, column):
    expected = clean(tmp_path)
    first, second = CONFLICTS[column]
    rows = _rows(tmp_path, {column: first, "case_id": "a"}, {column: second, "case_id": "b"})
    found = computed(table(tmp_path / "cohort.csv", rows))
    assert found.values.index.tolist() == list(HEALTHY)
    assert found.values.to_numpy(float).tobytes() == expected.values.to_numpy(float).tobytes()
    assert found.failures.code.tolist() == ["id.conflict"] * 2
    assert found.failures.state.tolist() == ["failed"] * 2
    fact = column.lower().replace("_", " ").replace("date of birth", "birth date")
    for line, reason in zip((5, 6), found.failures.reason, strict=True):
        assert f"row {line}: patient id 'bad' is stated with more than one {fact}" in reason
        assert first not in reason.split()
    assert found.provenance["counts"]["rows_refused"] == 2


def test_d3_two_breasts_and_two_spellings_are_one_person(tmp_path):
    rows = _rows(tmp_path, {"case_id": "a", "sex": "F", "laterality": "L"}, {"case_id": "b", "sex": "f "})
    save(tmp_path / "other.png", breast(9))
    save(tmp_path / "other_mask.png", disc())
    other = {"image_path": "other.png", "mask_path": "other_mask.png", "laterality": "R"}
    rows.append(BASE | other | {"case_id": "c"})
    cohort = read(Settings(path=table(tmp_path / "cohort.csv", rows)))
    assert len(cohort.cases) == 6
    assert cohort.failures == ()


@pytest.mark.parametrize("name", ["007", "1e5", "NA", "None", "nan", "1.0", "TRUE", "=1+1"])
def test_d4_ids_stay_what_they_are(tmp_path, name):
    healthy(tmp_path)
    found = computed(table(tmp_path / "cohort.csv", [BASE | {"case_id": name, "patient_id": name}]))
    assert found.values.index.tolist() == [name]
    assert found.cases.patient_id.tolist() == [name]


@pytest.mark.parametrize("name", ["../../x", "a/b", "CON", "x" * 300, "\u202egpj.a", "~"])
def test_d6_strange_ids_are_computed_and_name_no_file(tmp_path, name):
    healthy(tmp_path)
    before = {path.name for path in tmp_path.parent.iterdir()}
    found = computed(table(tmp_path / "cohort.csv", [BASE | {"case_id": name, "patient_id": name}]))
    assert found.values.index.tolist() == [name]
    assert found.failures.empty
    assert {path.name for path in tmp_path.parent.iterdir()} == before


LINES = "case_id,patient_id,image_path,mask_path\nbad,bad,bad.png,bad_mask.png\n"
SPELLINGS = {
    "D11 BOM": b"\xef\xbb\xbf" + LINES.encode(),
    "D11 CRLF": LINES.replace("\n", "\r\n").encode(),
    "D11 semicolon": LINES.replace(",", ";").encode(),
    "D11 quoted newline": LINES.replace("mask_path\n", "mask_path,note\n")
    .replace("mask.png\n", 'mask.png,"a\nb"\n')
    .encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_a_table_change_nothing(tmp_path, spelling):
    healthy(tmp_path)
    path = tmp_path / "cohort.csv"
    path.write_bytes(LINES.encode())
    plain = computed(path)
    path.write_bytes(SPELLINGS[spelling])
    found = computed(path)
    assert found.values.equals(plain.values)
    assert found.failures.empty


UNREADABLE = {
    "D13 one short row": (LINES + "x,y\n", "line 3 has 2 cells and the header 4"),
    "D11 decimal comma": (
        LINES.replace("path\n", "path,age\n").replace("k.png\n", "k.png,61,5\n"),
        "line 2 has 6 cells",
    ),
    "D11 open quote": (LINES + 'x,"y\n', "line"),
    "D11 UTF-16": (LINES.encode("utf-16"), "not UTF-8 at byte 0"),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_table_that_cannot_be_read_names_the_line(tmp_path, fault):
    content, message = UNREADABLE[fault]
    path = tmp_path / "cohort.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CohortError, match=message):
        read(Settings(path=path))


def test_d13_one_bad_row_of_many_is_named_and_the_others_are_read(tmp_path):
    rows = _rows(tmp_path, *({"case_id": f"c{i}"} for i in range(5000)))
    rows[700]["laterality"] = "upper"
    cohort = read(Settings(path=table(tmp_path / "cohort.csv", rows)))
    assert len(cohort.cases) == len(rows) - 1
    assert [(f.state, f.code) for f in cohort.failures] == [("failed", "laterality.unknown")]
    assert "row 702" in cohort.failures[0].reason


REFUSED_ROWS = {
    "D6 NUL": ({"case_id": "b\0d"}, "id.invalid", "NUL"),
    "D13 no id": ({"case_id": ""}, "id.missing", "row 5"),
    "D13 view": ({"view": "sideways"}, "view.unknown", "row 5"),
}


@pytest.mark.parametrize("fault", REFUSED_ROWS)
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_computed(tmp_path, fault):
    expected = clean(tmp_path).values
    cells, code, word = REFUSED_ROWS[fault]
    found = with_fault(tmp_path, **cells)
    assert found.failures[["state", "code"]].to_numpy().tolist() == [["failed", code]]
    assert word in found.failures.reason.item()
    assert found.values.equals(expected)
    assert found.provenance["counts"]["rows_refused"] == 1


NOT_NUMBERS = {
    "D11 decimal comma": ("61,5", "has a comma"),
    "D11 thousands": ("1,061", "has a comma"),
    "D14 years of DICOM": ("061Y", "has a unit"),
    "D14 months": ("732 months", "has a unit"),
}


@pytest.mark.parametrize("fault", NOT_NUMBERS)
def test_a_number_that_may_mean_two_things_is_never_guessed(tmp_path, fault):
    expected = clean(tmp_path).values
    age, word = NOT_NUMBERS[fault]
    rows = [row | {"age": "50"} for row in healthy(tmp_path)]
    found = computed(table(tmp_path / "cohort.csv", [*rows, BASE | {"age": age}]))
    told = found.failures[found.failures.state == "failed"]
    assert told[["case_id", "code"]].to_numpy().tolist() == [["bad", "clinical.not_number"]]
    assert all(part in told.reason.item() for part in ("row 5", repr(age), word))
    assert found.values["clinical:case:age"].tolist()[:3] == [50.0] * 3
    assert np.isnan(found.values.loc["bad", "clinical:case:age"])
    assert found.values.loc[list(HEALTHY), expected.columns].equals(expected)


def test_d11_a_table_of_features_with_a_decimal_comma_is_refused_with_its_line(tmp_path):
    path = tmp_path / "features.csv"
    path.write_text("id;age;original_glcm_Contrast\na;50;0.5\nb;51;0,5\n", encoding="utf-8")
    with pytest.raises(CohortError, match=r"original_glcm_Contrast \(holds '0,5' in line 3\)"):
        table_cohort.read(table_cohort.Settings(path=path))
    path.write_text("id;age;original_glcm_Contrast\na;50;0.5\nb;51,5;0.5\n", encoding="utf-8")
    with pytest.raises(CohortError, match="line 3: age '51,5' has a comma"):
        table_cohort.read(table_cohort.Settings(path=path))


def test_d11_dates_of_excel_are_read_as_dates_and_never_as_ages(tmp_path):
    expected = clean(tmp_path).values
    book = openpyxl.Workbook()
    book.active.append([*BASE, "age", "exam_date"])
    for row in healthy(tmp_path):
        book.active.append([*row.values(), 50, datetime(2024, 1, 31)])
    book.active.append([*BASE.values(), datetime(1900, 2, 19), datetime(2024, 1, 31)])  # 50, in a column of dates
    book.save(tmp_path / "cohort.xlsx")
    found = computed(tmp_path / "cohort.xlsx")
    told = found.failures[found.failures.state == "failed"]
    assert told[["case_id", "code"]].to_numpy().tolist() == [["bad", "clinical.not_number"]]
    assert found.cases.exam_date.str.startswith("2024-01-31").all()
    assert np.isnan(found.values.loc["bad", "clinical:case:age"])
    assert found.values.loc[list(HEALTHY), expected.columns].equals(expected)


HIDDEN = {
    "D12 a key twice": ("a: 1\na: 2", "the same key twice: a"),
    "D12 a key twice in JSON": ('{"a": 1, "a": 2}', "the same key twice: a"),
    "D12 alias": ("a: &x [1]\nb: *x", "aliases"),
    "D12 alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases"),
    "D12 tag": ("a: !!python/object/apply:os.system ['true']", "not plain YAML"),
    "D12 NaN": ("a: .nan", "line 1: .nan is no number"),
    "D12 infinity": ("a: 1\nb: -.inf", "line 2: -.inf is no number"),
    "D12 depth": ("[" * 70 + "]" * 70, "nested more than 64 deep"),
    "D12 no such date": ("a: 2024-02-31", "cannot be read"),
}


@pytest.mark.parametrize("fault", HIDDEN)
def test_settings_that_hide_something_are_refused(fault):
    text, message = HIDDEN[fault]
    with pytest.raises(StudyError, match=message):
        parse_yaml(text, where="study.yaml")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "'25'"])
def test_d12_numbers_of_json_that_are_none_are_refused_before_work(tmp_path, value):
    path = tmp_path / "parameters.json"
    path.write_text(f'{{"imageType": {{"Original": {{}}}}, "setting": {{"binWidth": {value}}}}}', encoding="utf-8")
    with pytest.raises(StudyError, match="setting: binWidth"):
        two_dimensional(read_parameters(path))


@pytest.mark.parametrize("read_it", [read_study, read_parameters])
def test_d12_settings_larger_than_any_are_refused(tmp_path, read_it):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n" + "#" * 1_000_000, encoding="utf-8")
    with pytest.raises(StudyError, match="larger than"):
        read_it(path)


CIRCLE = '"name": "circle", "cx": 30, "cy": 40, "r": 9'
ENTRY = f'"a": {{"filename": "bad.png", "regions": [{{"shape_attributes": {{{CIRCLE}}}}}]}}'
CONTOURS = {
    "D12 a picture twice": (f"{{{ENTRY}, {ENTRY}}}", "the same key twice"),
    "D12 NaN": (f"{{{ENTRY}}}".replace("30", "NaN"), "finite"),
    "D12 depth": ("[" * 100_000 + "]" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("fault", CONTOURS)
def test_contours_that_hide_something_are_one_failed_row(tmp_path, fault):
    expected = clean(tmp_path)
    text, word = CONTOURS[fault]
    (tmp_path / "via.json").write_text(text, encoding="utf-8")
    found = with_fault(tmp_path, mask_path="via.json")
    require_told(found, "failed", "mask.malformed", word)
    require_contained(found, expected, gives=False)


LATER = date.today().year + 5
IMPLAUSIBLE = {
    "D14 age 140": ({"age": "140"}, "age is not between"),
    "D14 age below 0": ({"age": "-3"}, "age is not between"),
    "D14 exam to come": ({"exam_date": f"{LATER}-01-31"}, "exam_date is in the future"),
    "D14 birth to come": ({"birth_year": str(LATER)}, "birth_year is in the future"),
}


@pytest.mark.parametrize("fault", IMPLAUSIBLE)
def test_what_no_person_has_is_warned_of_and_kept(tmp_path, fault):
    expected = clean(tmp_path).values
    cells, word = IMPLAUSIBLE[fault]
    found = with_fault(tmp_path, **cells)
    rows = found.failures[found.failures.code == "row.implausible"]
    assert rows[["case_id", "state"]].to_numpy().tolist() == [["bad", "warned"]]
    assert all(part in rows.reason.item() for part in (word, "row 5", "correct the table"))
    assert found.failures.state.ne("failed").all()
    assert found.values.loc[list(HEALTHY), expected.columns].equals(expected)
    assert found.values.loc["bad"].notna().all()
    if "age" in cells:
        assert found.values.drop(columns=expected.columns).loc["bad"].tolist() == [float(cells["age"])]
