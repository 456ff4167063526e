"""CSV, TSV and their kin: rows in batches, with the line each one starts on. Knows no meaning of cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.data import dialect as dialects
from tunesmith.data.arrowfile import BATCH_CHARACTERS, BATCH_ROWS, ArrowWriter
from tunesmith.data.dialect import BrokenRowError, Dialect, numbered_rows
from tunesmith.data.header import Layout, find_layout, repeats
from tunesmith.data.textfile import TextFile
from tunesmith.data.types import ReadOptions

CELL_LIMIT = 10 * 2**20
"""Most characters a cell may hold; a bigger one is nearly always a quote that was never closed."""
_MOST_PROBLEMS = 1_000


@dataclass(frozen=True)
class Reading:
    """What was found out about the file before its rows are read: how it is written, and where its names stand."""

    dialect: Dialect
    layout: Layout


@dataclass
class Outcome:
    """What reading found: lines on which the rows start; rows (from 0) that are like the header; every fault, how many
    of them are rows with another number of cells; how many rows were written."""

    lines: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    repeated: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    uneven: int = 0
    rows: int = 0


def readings(
    file: TextFile, expected: Sequence[str] = (), header: bool | None = None, options: ReadOptions | None = None
) -> list[Reading]:
    """The ways in which the file may be read, the likeliest first. `expected`: names that would prove a header;
    `header`: whether there is one, where that is known.

    Raises DataError for duplicate column names, and where the user's words do not fit the file.
    """
    options = options or ReadOptions()
    found = []
    with cell_limit():
        for dialect in dialects.sniff(file, expected, options.delimiter):
            count = max(200, options.header_row or 0)
            rows = dialects.first_rows(file, dialect, count)
            if options.delimiter and rows and {len(row) for _, row in rows} == {1}:
                problem = Problem(f"no row has a {dialect.name} between cells, as --delimiter says", str(file.path))
                raise DataError(problem, fix="Leave --delimiter out to have it found.")
            layout = find_layout(rows, str(file.path), expected=expected, header=header, header_row=options.header_row)
            found.append(Reading(dialect, layout))
    return found


def read(file: TextFile, reading: Reading, writer: ArrowWriter) -> Outcome:
    """Write all data rows as string columns.

    The outcome has rows with another number of cells, cells over the limit and NUL characters, all together. Raises
    DataError for broken quotes.
    """
    with cell_limit(), file.open() as stream:
        rows = _guarded(numbered_rows(stream, reading.dialect), file, reading)
        return write_rows(rows, reading.layout, str(file.path), writer, has_nul=file.has_nul)


def write_rows(
    rows: Iterator[tuple[int, list[str]]], layout: Layout, source: str, writer: ArrowWriter, *, has_nul: bool = False
) -> Outcome:
    """Write the rows below the header; each comes with the line on which it begins."""
    found, lines = Outcome(), [np.zeros(0, dtype=np.int64)]
    for cells, starts in _batches(rows, layout, source, found):
        for number, (row, line) in enumerate(zip(cells, starts, strict=True) if has_nul else (), found.rows + 1):
            columns = [name for name, cell in zip(layout.names, row, strict=True) if "\0" in cell]
            message = "the cell holds a NUL character (a zero byte)"
            found.problems += [Problem(message, source, number, name, line) for name in columns]
        found.rows += len(cells)
        writer.write(_table(cells, layout.names))
        lines.append(np.asarray(starts, dtype=np.int64))
    found.lines = np.concatenate(lines)
    return found


def _batches(
    numbered: Iterator[tuple[int, list[str]]], layout: Layout, source: str, found: Outcome
) -> Iterator[tuple[list[list[str]], list[int]]]:
    width, known = len(layout.names), repeats(layout)
    first_names = {*known, *(f"\ufeff{name}" for name in known)} if layout.header else set()
    rows: list[list[str]] = []
    starts: list[int] = []
    size = done = 0
    for line, row in numbered:
        if line < layout.first or not row or (len(row) != width and not any(cell.strip() for cell in row)):
            continue
        if line == layout.first and layout.header:
            if any("\0" in cell for cell in row):
                found.problems.append(Problem("the header holds a NUL character (a zero byte)", source, line=line))
            continue
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            row = row[:width]
        number = done + len(rows) + 1
        if len(row) != width:
            whose = "the header has" if layout.header else "the first row has"
            message = f"{len(row)} cell{'s' * (len(row) != 1)} where {whose} {width}"
            found.problems.append(Problem(message, source, row=number, line=line))
            found.uneven += 1
            row = (row + [""] * width)[:width]  # keeps the numbering of the rows below
        elif row[0].strip().lower() in first_names:
            cells = tuple(cell.strip().removeprefix("\ufeff").lower() for cell in row)
            if cells == known:
                found.repeated.append(number - 1)
            elif width > 1 and sorted(cells) == sorted(known):
                message = "the names of the columns stand here again in another order: another file begins, with other "
                found.problems.append(Problem(f"{message}columns", source, row=number, line=line))
        rows.append(row)
        starts.append(line)
        size += sum(map(len, row))
        if len(found.problems) >= _MOST_PROBLEMS:
            return
        if len(rows) >= BATCH_ROWS or size > BATCH_CHARACTERS:
            yield rows, starts
            done += len(rows)
            rows, starts, size = [], [], 0
    if rows:
        yield rows, starts


def _guarded(
    rows: Iterator[tuple[int, list[str]]], file: TextFile, reading: Reading
) -> Iterator[tuple[int, list[str]]]:
    """The rows; the errors of the csv reader as DataError with the line where the trouble began."""
    row = 0 if reading.layout.header else 1
    try:
        for line, cells in rows:
            if cells and line >= reading.layout.first:
                row += 1
            yield line, cells
    except BrokenRowError as error:
        raise _broken(str(error), file, reading, row, error.line) from error


def _broken(error: str, file: TextFile, reading: Reading, row: int, start: int) -> DataError:
    line, column = _last_quote(file, reading.dialect, start)
    name = reading.layout.names[column] if column < len(reading.layout.names) else None
    fix = 'Close the cell with ", and write a quotation mark inside a quoted cell twice: "".'
    if "field limit" in error:
        message = f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)"
        fix = "Shorten the cell, or close the quotation mark that it begins with."
    elif "unexpected end" in error:
        message = "a quotation mark opens here and is never closed"
    else:
        message = "a quotation mark opens here, and text goes on right after the one that closes it"
    return DataError(Problem(message, str(file.path), row or None, name, line), fix)


def _last_quote(file: TextFile, dialect: Dialect, start: int) -> tuple[int, int]:
    """Line and column number of the quoted cell at which reading the row from line `start` breaks.

    Without a quoted cell: the line `start` and the longest cell.
    """
    with file.open() as stream:
        text = "".join(line for number, line in enumerate(stream, 1) if number >= start)
    position, column = 0, 0
    while position < len(text):
        if text[position] != '"' or not dialect.quoting:
            ends = [text.find(sign, position) for sign in (dialect.delimiter, "\n", "\r")]
            end = min((end for end in ends if end >= 0), default=len(text))
            if end - position > CELL_LIMIT or end == len(text):
                break
            position, column = end + 1, column + 1 if text[end] == dialect.delimiter else 0
            continue
        end = _closing(text, position + 1, dialect)
        broken = end < 0 or end - position > CELL_LIMIT
        after = text[end + 1 : end + 2]
        if broken or after not in ("", dialect.delimiter, "\n", "\r"):
            break
        position, column = end + 2, column + 1 if after == dialect.delimiter else 0
    before = text[:position]
    return start + before.count("\n") + before.count("\r") - before.count("\r\n"), column


def _closing(text: str, position: int, dialect: Dialect) -> int:
    while (end := text.find('"', position)) >= 0:
        start, after = end, text[end + 1 : end + 2]
        while text[start - 1] == "\\" and start > position:
            start -= 1
        last = dialect.escape == "inside" and after in ("", dialect.delimiter, "\n", "\r")
        if dialect.escape and (end - start) % 2 and not last:
            position = end + 1
        elif after == '"':
            position = end + 2
        else:
            return end
    return -1


def width_fix(dialect: Dialect) -> str:
    what = f"a {dialect.name} or a line break" if dialect.quoting else "a line break"
    rest = "remove zero bytes, and give every row the same number of cells."
    return f"Put a cell that contains {what} in double quotes, {rest}"


def _table(rows: list[list[str]], names: list[str]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(cells, type=pa.string()) for name, cells in zip(names, columns, strict=True)})


@contextmanager
def cell_limit() -> Iterator[None]:
    before = csv.field_size_limit(CELL_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
