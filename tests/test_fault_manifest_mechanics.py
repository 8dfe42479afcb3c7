"""Faults of manifests and ids: refused whole with the place named, or one row of them, never guessed."""

import unicodedata
from datetime import date

import pytest
from cemrad.features.errors import CohortError, StudyError
from cemrad.features.plain_yaml import parse_yaml
from cemrad.pipeline.cohorts.manifest import Settings, read

from .fault_cohort import BASE, HEALTHY, clean, computed, healthy, table, with_fault


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
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_ids_that_may_be_confused_are_refused_before_work(tmp_path, fault):
    rows, message = REFUSED[fault]
    with pytest.raises(CohortError, match=message):
        read(Settings(path=table(tmp_path / "cohort.csv", _rows(tmp_path, *rows))))


CONFLICTS = {"sex": ("F", "M"), "birth_year": ("1960", "1971"), "Date of birth": ("1960-01-02", "1960-02-01")}


@pytest.mark.parametrize("column", CONFLICTS)
def test_two_persons_of_one_id_are_both_failed(tmp_path, column):
    expected = clean(tmp_path)
    first, second = CONFLICTS[column]
    rows = _rows(tmp_path, {column: first, "case_id": "a"}, {column: second, "case_id": "b"})
    found = computed(table(tmp_path / "cohort.csv", rows))
    assert found.values.index.tolist() == list(HEALTHY)
    assert found.values.to_numpy(float).tobytes() == expected.values.to_numpy(float).tobytes()
    assert found.failures.code.tolist() == ["id.conflict"] * 2
    assert found.failures.state.tolist() == ["failed"] * 2
    assert all(f"'{first}' and '{second}'" in reason and "'bad'" in reason for reason in found.failures.reason)
    assert found.provenance["counts"]["rows_refused"] == 2


def test_two_breasts_and_two_spellings_are_one_person(tmp_path):
    rows = _rows(tmp_path, {"case_id": "a", "sex": "F", "laterality": "L"}, {"case_id": "b", "sex": "f "})
    rows.append(BASE | {"case_id": "c", "laterality": "R"})
    cohort = read(Settings(path=table(tmp_path / "cohort.csv", rows)))
    assert len(cohort.cases) == 6
    assert cohort.failures == ()


@pytest.mark.parametrize("name", ["007", "1e5", "NA", "None", "nan", "1.0", "TRUE", "=1+1"])
def test_ids_stay_what_they_are(tmp_path, name):
    healthy(tmp_path)
    found = computed(table(tmp_path / "cohort.csv", [BASE | {"case_id": name, "patient_id": name}]))
    assert found.values.index.tolist() == [name]
    assert found.cases.patient_id.tolist() == [name]


@pytest.mark.parametrize("name", ["../../x", "a/b", "CON", "x" * 300, "\u202egpj.a", "~"])
def test_strange_ids_are_computed_and_name_no_file(tmp_path, name):
    healthy(tmp_path)
    before = {path.name for path in tmp_path.parent.iterdir()}
    found = computed(table(tmp_path / "cohort.csv", [BASE | {"case_id": name, "patient_id": name}]))
    assert found.values.index.tolist() == [name]
    assert found.failures.empty
    assert {path.name for path in tmp_path.parent.iterdir()} == before


LINES = "case_id,patient_id,image_path,mask_path\nbad,bad,bad.png,bad_mask.png\n"
SPELLINGS = {
    "BOM": b"\xef\xbb\xbf" + LINES.encode(),
    "CRLF": LINES.replace("\n", "\r\n").encode(),
    "semicolon": LINES.replace(",", ";").encode(),
    "quoted newline": LINES.replace("mask_path\n", "mask_path,note\n")
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


def test_one_bad_row_of_many_is_named_and_the_others_are_read(tmp_path):
    rows = _rows(tmp_path, *({"case_id": f"c{i}", "patient_id": f"p{i}"} for i in range(1000)))
    rows[700]["laterality"] = "upper"
    cohort = read(Settings(path=table(tmp_path / "cohort.csv", rows)))
    assert len(cohort.cases) == len(rows) - 1
    assert [(f.state, f.code) for f in cohort.failures] == [("failed", "laterality.unknown")]
    assert "row 702" in cohort.failures[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "the same key twice: a"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system ['true']", "not plain YAML"),
    ],
)
def test_settings_that_hide_something_are_refused(text, message):
    with pytest.raises(StudyError, match=message):
        parse_yaml(text, where="study.yaml")


LATER = date.today().year + 5
IMPLAUSIBLE = {
    "D14 age 140": ({"age": "140"}, "'140'"),
    "D14 age below 0": ({"age": "-3"}, "'-3'"),
    "D14 exam to come": ({"exam_date": f"{LATER}-01-31"}, f"{LATER}-01-31"),
    "D14 birth to come": ({"birth_year": str(LATER)}, str(LATER)),
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
