"""Text tables: CSV, Excel and Parquet files with every cell as the text that stands in it."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow
import pyarrow.parquet

from ..features.archive import require_safe_members, unpack_gzip
from ..features.cells import unguard
from ..features.errors import ArchiveError, CohortError

MAX_TABLE_BYTES = 1024 * 1024 * 1024
"""Largest table that is read, as stored and as unpacked."""
MAX_CELLS = 50_000_000
"""Most cells of a workbook or Parquet file, which can state very many in a few bytes."""
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".txt", ".xlsx", ".parquet")
_DELIMITERS = (",", ";", "\t")
_MAX_CELL = 16 * 1024 * 1024


def read_text_table(path: Path, *, sheet: str | None = None) -> pd.DataFrame:
    """A table as text: ids such as ``007``, ``NA`` and ``1e5`` stay what they are, empty cells are ``""``.

    Parameters
    ----------
    path : Path
        CSV (UTF-8 with or without a mark; comma, semicolon or tab, by its header line; also
        gzipped; an apostrophe that keeps a cell from being a formula is no part of it), XLSX or Parquet.
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
        If the file is absent, damaged, of another kind, unpacks to too much, has no header, a column name
        twice, or a row whose number of cells is not the header's; the message names the line.
    """
    if not path.is_file():
        raise CohortError(f"{path}: {'not a regular file' if path.exists() else 'no such table'}")
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
        packed = path.name.lower().endswith(".gz")
        text = (unpack_gzip(raw, max_bytes=MAX_TABLE_BYTES) if packed else raw).decode("utf-8-sig")
    except ArchiveError as error:
        raise CohortError(f"{path.name}: {error}") from None
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
            rows.append([unguard(cell) for cell in row])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise CohortError(f"{path.name}: line {reader.line_num}: {error}") from None
    return [unguard(cell) for cell in header], rows, lines


def _excel_rows(path: Path, sheet: str | None) -> Rows:
    try:
        with zipfile.ZipFile(path) as archive:
            require_safe_members(archive, max_bytes=MAX_TABLE_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # openpyxl, of styles and validations it does not know
            rows = list(_sheet_rows(path, sheet))
    except CohortError:
        raise
    except ArchiveError as error:
        raise CohortError(f"{path.name}: {error}") from None
    except Exception as error:  # noqa: BLE001 - zipfile, openpyxl and expat each have their own
        raise CohortError(f"{path.name}: cannot be read as a workbook ({error})") from None
    width = max(map(len, rows), default=0)
    cells = [row + [""] * (width - len(row)) for row in rows]
    if not cells or not any(cells[0]):
        raise CohortError(f"{path.name}: no header row")
    kept = [(row, line) for line, row in enumerate(cells[1:], start=2) if any(row)]
    return cells[0], [row for row, _ in kept], [line for _, line in kept]


def _sheet_rows(path: Path, sheet: str | None) -> Iterator[list[str]]:
    """Rows of a sheet as text, each up to its last cell that holds something."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        page = book[sheet] if sheet is not None else book.worksheets[0]
        page.reset_dimensions()  # what the sheet states of its own size may be wrong
        width = 0
        for number, row in enumerate(page.rows, start=1):
            texts = [_excel_text(cell) for cell in row]
            while texts and not texts[-1]:
                texts.pop()
            width = max(width, len(texts))
            if width * number > MAX_CELLS:
                raise CohortError(f"{path.name}: {number} rows of {width} cells; at most {MAX_CELLS} cells are read")
            yield texts
    finally:
        book.close()


def _excel_text(cell: Any) -> str:
    value = cell.value
    if value is None or cell.data_type == "e":  # an error such as #N/A
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _parquet_rows(path: Path) -> Rows:
    try:
        stated = pyarrow.parquet.read_metadata(path)
        if stated.num_rows * stated.num_columns > MAX_CELLS:
            raise CohortError(
                f"{path.name}: {stated.num_rows} rows of {stated.num_columns} cells; at most {MAX_CELLS} cells are read"
            )
        table = pyarrow.parquet.read_table(path)
    except CohortError:
        raise
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
