"""The file that predictions go to: checked before any work, whole or absent under its name, in the format of its
suffix: CSV written as the input was, TSV, a sheet of Excel, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Emit, Warned
from tunesmith.core.files import new_file, written_to
from tunesmith.core.text import quoted_formula
from tunesmith.data import delimited
from tunesmith.data.dialect import first_rows
from tunesmith.data.tables import TEXT_SUFFIXES
from tunesmith.data.textfile import inspect
from tunesmith.data.types import ReadOptions

Rows = Sequence[Mapping[str, Any]]
ARRAY = ".npy"
"""What vectors alone can be written to."""
FORMATS = (".csv", ".tsv", ".xlsx", ".jsonl", ".parquet")


def checked(out: str | Path, data: object, formats: tuple[str, ...] = FORMATS) -> Path:
    """`out` as a path. Raises OptionError where it names no format, no folder, or the file that is read."""
    target = Path(out)
    if target.suffix not in formats:
        raise OptionError(f"--out {out}: the suffix tells the format; expected one of {', '.join(formats)}.")
    if not target.resolve().parent.is_dir():
        raise OptionError(f"--out {out}: the folder {target.parent} does not exist.", "Create it first.")
    if isinstance(data, str | Path) and target.exists() and Path(data).exists() and target.samefile(data):
        raise OptionError(f"--out {out} is the file that is read; it would be lost.", "Choose another name.")
    return target


def write_array(target: Path, answers: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """The vectors of all answers as one array float32 [n, size], and their number. Raises OptionError where there are
    none."""
    found = []
    for some in answers:
        if "vector" not in some[0]:
            fix = "Give a file of texts alone to a model of the task embedding, or another suffix."
            raise OptionError(f"--out {target}: an array is for vectors, and there are none here.", fix)
        found.append(np.array([answer["vector"] for answer in some], dtype=np.float32))
    if not found:
        raise OptionError(f"--out {target}: the file that is read holds no rows.")
    vectors = np.concatenate(found)
    with written(target) as file:
        np.save(file, vectors, allow_pickle=False)
    return len(vectors)


@contextmanager
def written(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to that becomes `target`, which stays as it was when anything fails. Raises FolderError for a
    place that can not be written."""
    with written_to(target), new_file(target, private=False) as file:
        yield file


class Cells:
    """Values as cells of CSV: lists and objects as JSON, and formulas with an apostrophe before them, counted."""

    def __init__(self) -> None:
        self.quoted = 0

    def of(self, values: Iterable[object]) -> list[object]:
        cells = list(map(_flat, values))
        quoted = list(map(quoted_formula, cells))
        self.quoted += sum(before is not after for before, after in zip(cells, quoted, strict=True))
        return quoted

    def warn(self, emit: Emit) -> None:
        if self.quoted:
            what = "1 cell begins" if self.quoted == 1 else f"{self.quoted:,} cells begin"
            emit(Warned("formulas", f"{what} with an apostrophe: a spreadsheet would run the text as a formula. "
                                    "A .jsonl or .parquet file has it to the letter"))  # fmt: skip


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
    if not isinstance(data, str | Path) or not Path(data).is_file():
        return Form()
    path = Path(data)
    if not {suffix.lower() for suffix in path.suffixes[-2:]} & TEXT_SUFFIXES:
        return Form()
    try:
        file = inspect(path, options)
        readings = delimited.readings(file, names, options=options)
    except DataError:
        return Form()
    reading = next((one for one in readings if {*names} <= {*one.layout.names}), None)
    delimiter = reading.dialect.delimiter if reading else ","
    delimiter = delimiter if delimiter.isprintable() or delimiter == "\t" else ","
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
        self._text = io.TextIOWrapper(file, form.encoding, "xmlcharrefreplace", newline="", write_through=True)
        self._writer = csv.writer(self._text, delimiter=form.delimiter)

    def row(self, values: Iterable[object]) -> None:
        if self._form.decimal == ",":
            values = [repr(value).replace(".", ",") if isinstance(value, float) else value for value in values]
        row = self._cells.of(values)
        self._replaced += sum(isinstance(cell, str) and not self._holds(cell) for cell in row)
        self._writer.writerow(row)

    def _holds(self, cell: str) -> bool:
        if self._form.encoding.startswith("utf"):
            return True
        try:
            cell.encode(self._form.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def close(self) -> None:
        if self._replaced:
            message = f"{self._replaced:,} cells hold characters that {self._form.encoding}, as the input is, does not "
            message += "have: they are written as &#8364;. A .jsonl or .xlsx file has them"
            self._emit(Warned("encoding", message))
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
        text, replaced = ILLEGAL_CHARACTERS_RE.subn("\ufffd", str(_flat(value)))
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


def write_rows(target: Path, parts: Iterable[Rows], form: Form, emit: Emit) -> None:
    """Write all parts to `target`, which is there when they are.

    The first part says which columns there are; of JSON lines each row has its own. Lists and objects are JSON in
    cells, and where Arrow has no type. `form`: how a CSV is written. Raises FolderError, OptionError.
    """
    cells = Cells()
    with written(target) as file:
        if target.suffix == ".jsonl":
            file.writelines(_json(row).encode() + b"\n" for rows in parts for row in rows)
        elif target.suffix == ".parquet":
            _write_parquet(file, parts)
        else:
            _write_cells(partial(table_writer, file, target.suffix, form, cells, emit), parts)
    cells.warn(emit)


def _write_parquet(file: IO[bytes], parts: Iterable[Rows]) -> None:
    writer: pq.ParquetWriter | None = None
    flat = False
    for rows in parts:
        names = _names(rows) if writer is None else writer.schema.names
        try:
            table = _table(names, rows, flat)
        except pa.ArrowException:
            if writer is not None:
                raise
            flat = True
            table = _table(names, rows, flat)
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


def _write_cells(make: Callable[[], Table], parts: Iterable[Rows]) -> None:
    table: Table | None = None
    names: list[str] = []
    for rows in parts:
        if table is None:
            table, names = make(), _names(rows)
            table.row(names)
        for row in rows:
            table.row(row.get(name) for name in names)
    if table is not None:
        table.close()


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _table(names: Sequence[str], rows: Rows, flat: bool) -> pa.Table:
    return pa.table({name: [_flat(row.get(name)) if flat else row.get(name) for row in rows] for name in names})


def _flat(value: object) -> object:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
