"""Laws of CSV cells: none is a formula to a spreadsheet, and what was written is what is read."""

import csv
import re

import pandas as pd
import pytest
from cemrad.features.cells import guard, unguard, write_csv
from cemrad.features.failure import Failure, failures_frame
from cemrad.features.table import read_text_csv
from cemrad.pipeline.inputs import InputLog
from cemrad.pipeline.text_table import read_text_table
from hypothesis import given, settings
from hypothesis import strategies as st

FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", '=HYPERLINK("https://evil.example","x")',
    "-2+3+cmd|' /C calc'!A0", "=IMPORTXML(CONCAT(\"https://evil.example\"))", "\uff1d1+1", "\uff0b1", "'=1", "''=1",
)  # fmt: skip
# As the OWASP page on CSV injection lists them.
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def is_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.startswith(STARTS)
    return False


@given(st.text(alphabet=st.sampled_from("=+-@\t\r'1.eEx ,;\"\uff1d")) | st.text(max_size=8))
@settings(max_examples=500, deadline=None)
def test_a_cell_comes_back_and_is_no_formula(cell):
    assert unguard(guard(cell)) == cell
    assert not is_formula(guard(cell)) or re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?", guard(cell))


@pytest.mark.parametrize("number", ["-0.5", "+3", "-1e-05", "-7.", "+.5"])
def test_a_number_stays_a_number(number):
    assert guard(number) == number == unguard(number)


def test_a_table_holds_no_formula_and_comes_back(tmp_path):
    frame = pd.DataFrame({"x": FORMULAS, "=y": FORMULAS, "z": -1.5}, index=pd.Index(FORMULAS, name="case_id"))
    write_csv(frame, tmp_path / "t.csv", index=True)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(map(is_formula, cells))
    assert cells.count("-1.5") == len(FORMULAS)
    for read in (read_text_csv, read_text_table):
        back = read(tmp_path / "t.csv")
        assert list(back.columns) == ["case_id", "x", "=y", "z"]
        assert back["case_id"].tolist() == back["x"].tolist() == back["=y"].tolist() == list(FORMULAS)


def test_a_failure_with_formulas_comes_back(tmp_path):
    frame = failures_frame([Failure(text, "cohort", "picture.absent", text, text) for text in FORMULAS])
    write_csv(frame, tmp_path / "failures.csv")
    pd.testing.assert_frame_equal(read_text_csv(tmp_path / "failures.csv"), frame)


def test_the_log_of_inputs_knows_a_case_that_is_called_like_a_formula(tmp_path):
    path = tmp_path / "inputs.csv"
    assert InputLog(path).note("=1+1", {"RC_CC": ("image", "mask")}) == []
    assert path.read_text().splitlines()[1].startswith("'=1+1,")
    assert InputLog(path).note("=1+1", {"RC_CC": ("other", "mask")}) == ["=1+1 RC_CC"]
