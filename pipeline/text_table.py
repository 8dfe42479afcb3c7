"""Text tables: CSV, Excel and Parquet files with every cell as the text that stands in it."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from ..features.errors import CohortError

MAX_TABLE_BYTES = 1024 * 1024 * 1024
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".txt", ".xlsx", ".parquet")
_DELIMITERS = (",", ";", "\t")
_MAX_CELL = 16 * 1024 * 1024


def read_text_table(path: Path, *, sheet: str | None = None) -> pd.DataFrame:
    """A table as text: ids such as ``007``, ``NA`` and ``1e5`` stay what they are, empty cells are ``""``.

    Parameters
    ----------
    path : Path
        CSV (UTF-8 with or without a mark; comma, semicolon or tab, by its header line; also
        gzipped), XLSX or Parquet.
    sheet : str, optional
        Sheet of an XLSX file; the first without it.

    Returns
    -------
    DataFrame of str
        Index: the line, or row, of the file that each row stands in, as editors count. Names of
        columns without outer blanks.

    Raises
    ------
    CohortError
        If the file is absent, damaged, of another kind, has no header, a column name twice, or a
        row whose number of cells is not the header's; the message names the line.
    """
    if not path.is_file():
        raise CohortError(f"{path}: no such table")
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CohortError(f"{path}: larger than {MAX_TABLE_BYTES} bytes")
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise CohortError(f"{path.name}: not a table that is read here ({', '.join(SUFFIXES)})")
    if name.endswith(".parquet"):
        header, rows, lines = _parquet_rows(path)
    elif name.endswith(".xlsx"):
        header, rows, lines = _excel_rows(path, sheet)
    else:
        header, rows, lines = _csv_rows(path)
    header = [column.strip() for column in header]
    twice = sorted(column for column, n in Counter(header).items() if n > 1)
    if twice:
        raise CohortError(f"{path.name}: column names must differ; more than once: {', '.join(map(repr, twice))}")
    return pd.DataFrame(rows, columns=pd.Index(header, dtype=object), index=pd.Index(lines, dtype=int), dtype=object)


Rows = tuple[list[str], list[list[str]], list[int]]


def _csv_rows(path: Path) -> Rows:
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CohortError(f"{path.name}: not UTF-8 at byte {error.start}; save it as CSV UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise CohortError(f"{path.name}: cannot be unpacked ({error})") from None
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)  # the first of them where none occurs
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        header = next(reader, [])
        if not any(cell.strip() for cell in header):
            raise CohortError(f"{path.name}: no header line")
        for row in reader:
            if not any(row):
                continue
            if len(row) != len(header):
                raise CohortError(
                    f"{path.name}: line {reader.line_num} has {len(row)} cells and the header {len(header)}; "
                    "quote cells that hold the separator"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise CohortError(f"{path.name}: line {reader.line_num}: {error}") from None
    return header, rows, lines


def _excel_rows(path: Path, sheet: str | None) -> Rows:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # openpyxl, of styles and validations it does not know
            frame = pd.read_excel(path, sheet_name=sheet or 0, header=None, dtype=str, keep_default_na=False)
    except Exception as error:  # noqa: BLE001 - zipfile, openpyxl and pandas each have their own
        raise CohortError(f"{path.name}: cannot be read as a workbook ({error})") from None
    cells = frame.fillna("").to_numpy(dtype=object).tolist()  # a cell such as #N/A is read as NaN
    if not cells or not any(cells[0]):
        raise CohortError(f"{path.name}: no header row")
    kept = [(row, line) for line, row in enumerate(cells[1:], start=2) if any(row)]
    return cells[0], [row for row, _ in kept], [line for _, line in kept]


def _parquet_rows(path: Path) -> Rows:
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise CohortError(f"{path.name}: cannot be read as Parquet ({error})") from None
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return table.column_names, rows, list(range(1, len(rows) + 1))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return str(value)
