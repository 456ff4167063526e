"""Answers as a table that people open: CSV written as the input was, TSV, or a sheet of Excel."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Emit, Warned
from tunesmith.data.output import Cells
from tunesmith.data.textfile import inspect
from tunesmith.data.types import ReadOptions

TABLES = (".csv", ".tsv", ".xlsx")
_COMMA, _POINT = re.compile(r"-?\d+,\d+"), re.compile(r"-?\d+\.\d+")
_SHEET_ROWS, _SHEET_CHARACTERS = 1_048_576, 32_767


@dataclass(frozen=True)
class Form:
    """How a CSV is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."


class Table(Protocol):
    """Rows that are written one after another."""

    def row(self, values: Iterable[object]) -> None: ...
    def close(self) -> None: ...


def form_of(data: object, options: ReadOptions, names: Sequence[str], decimal: str | None = None) -> Form:
    """The form of the file that was read: its delimiter, encoding and byte order mark; `Form()` for what is no CSV.

    names: columns that it has; decimal: the sign in its numbers, where that is known.
    """
    from tunesmith.data import delimited
    from tunesmith.data.dialect import first_rows
    from tunesmith.data.tables import TEXT_SUFFIXES

    if not isinstance(data, str | Path) or not Path(data).is_file():
        return Form()
    path = Path(data)
    if not {suffix.lower() for suffix in path.suffixes[-2:]} & TEXT_SUFFIXES:
        return Form()
    try:
        file = inspect(path, options)
        reading = next(
            (one for one in delimited.readings(file, names, options=options) if {*names} <= {*one.layout.names}), None
        )
    except DataError:
        return Form()
    delimiter = reading.dialect.delimiter if reading and reading.dialect.delimiter.isprintable() else ","
    delimiter = "\t" if reading and reading.dialect.delimiter == "\t" else delimiter
    encoding = "utf-8" if file.bad_lines else file.encoding
    if encoding == "latin-1" and file.guessed:  # which is all that cp1252 is, less €, “ and the like
        encoding = "cp1252"
    decimal = options.decimal or decimal
    if decimal is None and reading is not None and delimiter != ",":
        cells = [cell.strip() for _, row in first_rows(file, reading.dialect) for cell in row]
        decimal = "," if any(map(_COMMA.fullmatch, cells)) and not any(map(_POINT.fullmatch, cells)) else "."
    decimal = decimal or "."
    return Form(delimiter, encoding, decimal if delimiter != "," else ".")


def table_writer(file: IO[bytes], suffix: str, form: Form, cells: Cells, emit: Emit) -> Table:
    """Writes rows to `file` in the format of the suffix, one of TABLES."""
    if suffix == ".xlsx":
        return _Sheet(file, emit)
    return _Text(file, form if suffix == ".csv" else Form("\t", form.encoding), cells, emit)


class _Text:
    """CSV or TSV. What the encoding of the input can not hold goes on in references such as &#8364;, counted."""

    def __init__(self, file: IO[bytes], form: Form, cells: Cells, emit: Emit):
        self._form, self._cells, self._emit, self._replaced = form, cells, emit, 0
        self._codec = None if form.encoding.startswith("utf") else codecs.lookup(form.encoding)
        self._text = io.TextIOWrapper(file, form.encoding, "xmlcharrefreplace", newline="", write_through=True)
        self._writer = csv.writer(self._text, delimiter=form.delimiter)

    def row(self, values: Iterable[object]) -> None:
        if self._form.decimal == ",":
            values = [repr(value).replace(".", ",") if isinstance(value, float) else value for value in values]
        row = self._cells.of(values)
        if self._codec is not None:
            self._replaced += sum(isinstance(cell, str) and not self._holds(cell) for cell in row)
        self._writer.writerow(row)

    def _holds(self, cell: str) -> bool:
        try:
            cell.encode(self._form.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def close(self) -> None:
        if self._replaced:
            message = (
                f"{self._replaced:,} cells hold characters that {self._form.encoding}, as the input is, does not have"
            )
            self._emit(Warned("encoding", f"{message}: they are written as &#8364;. A .jsonl or .xlsx file has them"))
        self._text.detach()


class _Sheet:
    """One sheet of Excel; texts are never formulas."""

    def __init__(self, file: IO[bytes], emit: Emit):
        from openpyxl import Workbook

        self._file, self._emit, self._rows, self._cut, self._replaced = file, emit, 0, 0, 0
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("predictions")

    def row(self, values: Iterable[object]) -> None:
        self._rows += 1
        if self._rows > _SHEET_ROWS:
            raise OptionError(f"--out: a sheet of Excel holds {_SHEET_ROWS:,} rows, and there are more.", "Use .csv.")
        self._sheet.append([self._cell(value) for value in values])

    def _cell(self, value: object) -> object:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

        if value is None or isinstance(value, bool | int | float):
            return value
        text = value if isinstance(value, str) else Cells().of([value])[0]
        text, replaced = ILLEGAL_CHARACTERS_RE.subn("\ufffd", text if isinstance(text, str) else str(text))
        self._replaced += bool(replaced)
        self._cut += len(text) > _SHEET_CHARACTERS
        cell = WriteOnlyCell(self._sheet, text[:_SHEET_CHARACTERS])
        cell.data_type = "s"
        return cell

    def close(self) -> None:
        self._book.save(self._file)
        for number, what in (
            (self._cut, f"are cut at {_SHEET_CHARACTERS:,} characters, as many as a cell of Excel holds"),
            (self._replaced, "held control characters, which Excel refuses: U+FFFD stands in their place"),
        ):
            if number:
                self._emit(Warned("cells", f"{number:,} cells {what}. A .jsonl file has them to the letter"))
