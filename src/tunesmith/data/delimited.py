"""CSV, TSV and their kin: rows in batches, with the line each one starts on. Knows no meaning of cells."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.data import dialect as dialects
from tunesmith.data.arrowfile import BATCH_CHARACTERS, BATCH_ROWS, ArrowWriter
from tunesmith.data.dialect import Dialect
from tunesmith.data.textfile import TextFile

CELL_LIMIT = 10 * 2**20
"""Most characters a cell may hold; a bigger one is nearly always a quote that was never closed."""
_MOST_PROBLEMS = 1_000


@dataclass(frozen=True)
class Layout:
    """What was found out about the file before its rows are read."""

    dialect: Dialect
    names: list[str]
    header: bool
    header_why: str


def layout(file: TextFile, expected: Sequence[str] = (), header: bool | None = None) -> Layout:
    """Delimiter, header and column names. `expected`: names that would prove a header; `header`: force it.

    Raises DataError for duplicate column names.
    """
    with _cell_limit():
        dialect = dialects.sniff(file)
        rows = dialects.first_rows(file, dialect)
    if not rows:
        return Layout(dialect, [], True, "")
    if re.fullmatch(r"sep=.?", dialect.delimiter.join(rows[0]).strip()):
        raise DataError(
            Problem(
                "this line is Excel's word for the delimiter, and neither a header nor a row", str(file.path), line=1
            ),
            fix="Remove the first line; the delimiter is found without it.",
        )
    found = dialects.find_header(rows, expected)
    if header is not None:
        found = dialects.Header(header, "as in the training file")
    numbered = dialects.numbered(len(rows[0]))
    if not found.present:
        return Layout(dialect, numbered, False, found.why)
    names = [cell.strip() or name for cell, name in zip(rows[0], numbered, strict=True)]
    refuse_duplicates(names, str(file.path))
    return Layout(dialect, names, True, found.why)


def refuse_duplicates(names: Sequence[str], source: str) -> None:
    """Raises DataError if two columns have one name."""
    doubles = sorted((name, times) for name, times in Counter(names).items() if times > 1)
    if doubles:
        raise DataError(
            [Problem(f"{times} columns have this name", source, column=name) for name, times in doubles],
            fix="Rename or remove the double columns.",
        )


def read(file: TextFile, layout: Layout, writer: ArrowWriter) -> npt.NDArray[np.int64]:
    """Write all data rows as string columns; returns the file line on which each row starts.

    Raises DataError for rows with another number of cells, broken quotes, cells over the limit and
    NUL characters; all such rows are reported together where that is possible.
    """
    lines: list[npt.NDArray[np.int64]] = []
    problems: list[Problem] = []
    with _cell_limit():
        for rows, starts in _batches(file, layout, problems):
            writer.write(_table(rows, layout.names))
            lines.append(np.asarray(starts, dtype=np.int64))
    if problems:
        raise DataError(problems, fix=_fix(layout.dialect))
    return np.concatenate(lines) if lines else np.zeros(0, dtype=np.int64)


def _batches(file: TextFile, layout: Layout, problems: list[Problem]) -> Iterator[tuple[list[list[str]], list[int]]]:
    width, skip_header = len(layout.names), layout.header
    rows: list[list[str]] = []
    starts: list[int] = []
    size, done, start = 0, 0, 1
    with file.open() as stream:
        reader = layout.dialect.reader(stream)
        iterator = _guarded(reader, file, layout)
        for row in iterator:
            first, start = start, reader.line_num + 1
            if not row or (len(row) != width and not any(cell.strip() for cell in row)):
                continue
            if skip_header:
                skip_header = False
                if file.has_nul and any("\0" in cell for cell in row):
                    problems.append(
                        Problem("the header holds a NUL character (a zero byte)", str(file.path), line=first)
                    )
                continue
            if len(row) != width or file.has_nul:
                problems += _faults(row, layout, str(file.path), done + len(rows) + 1, first)
                if len(problems) >= _MOST_PROBLEMS:
                    return
                if len(row) != width:
                    row = (row + [""] * width)[:width]  # keeps the numbering of the rows below
            rows.append(row)
            starts.append(first)
            size += sum(map(len, row))
            if len(rows) >= BATCH_ROWS or size > BATCH_CHARACTERS:
                yield rows, starts
                done += len(rows)
                rows, starts, size = [], [], 0
    if rows:
        yield rows, starts


def _guarded(reader: Iterator[list[str]], file: TextFile, layout: Layout) -> Iterator[list[str]]:
    """The reader's rows; its errors as DataError with the line where the trouble began."""
    row = 0 if layout.header else 1
    while True:
        start = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(str(error), file, layout, row, start) from error
        if cells:
            row += 1
        yield cells


def _broken(error: str, file: TextFile, layout: Layout, row: int, start: int) -> DataError:
    line, column = _last_quote(file, layout.dialect, start)
    name = layout.names[column] if column < len(layout.names) else None
    where = {"file": str(file.path), "row": row or None, "column": name}
    if "field limit" in error:
        message = f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)"
        fix = "Shorten the cell, or close the quotation mark that it begins with."
        return DataError(Problem(message, line=line, **where), fix)  # type: ignore[arg-type]
    if "unexpected end" in error:
        message = "a quotation mark opens here and is never closed"
    else:
        message = "a quotation mark opens here, and text goes on right after the one that closes it"
    fix = 'Close the cell with ", and write a quotation mark inside a quoted cell twice: "".'
    return DataError(Problem(message, line=line, **where), fix)  # type: ignore[arg-type]


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
        end = _closing(text, position + 1, dialect.escape)
        broken = end < 0 or end - position > CELL_LIMIT
        after = text[end + 1 : end + 2]
        if broken or after not in ("", dialect.delimiter, "\n", "\r"):
            break
        position, column = end + 2, column + 1 if after == dialect.delimiter else 0
    return start + _line_ends(text[:position]), column


def _closing(text: str, position: int, escape: str | None) -> int:
    while (end := text.find('"', position)) >= 0:
        if escape and text[end - 1] == escape:
            position = end + 1
        elif text[end + 1 : end + 2] == '"':
            position = end + 2
        else:
            return end
    return -1


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _faults(row: list[str], layout: Layout, file: str, number: int, line: int) -> list[Problem]:
    width = len(layout.names)
    if len(row) != width:
        whose = "the header has" if layout.header else "the first row has"
        message = f"{len(row)} cell{'s' * (len(row) != 1)} where {whose} {width}"
        return [Problem(message, file, row=number, line=line)]
    return [
        Problem("the cell holds a NUL character (a zero byte)", file, row=number, column=name, line=line)
        for name, cell in zip(layout.names, row, strict=True)
        if "\0" in cell
    ]


def _fix(dialect: Dialect) -> str:
    delimiter = f"a {dialects.NAMES[dialect.delimiter]} or " if dialect.quoting else ""
    return (
        f"Put a cell that contains {delimiter}a line break in double quotes, remove zero bytes, "
        f"and give every row the same number of cells."
    )


def _table(rows: list[list[str]], names: list[str]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(cells, type=pa.string()) for name, cells in zip(names, columns, strict=True)})


@contextmanager
def _cell_limit() -> Iterator[None]:
    before = csv.field_size_limit(CELL_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
