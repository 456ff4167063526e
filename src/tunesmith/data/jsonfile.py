"""JSON and JSON-lines files: objects in batches, with the line each one starts on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.arrowfile import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    HALF,
    HALF_FIX,
    ArrowWriter,
    half_characters,
    table_of_rows,
)
from tunesmith.data.delimited import CELL_LIMIT
from tunesmith.data.textfile import TextFile

_MOST_PROBLEMS = 1_000
_FIX_LINES = 'Every line must hold one object, such as {"text": "...", "label": "..."}.'
_FIX_LIST = 'Expected a list of objects, [{"text": ..., "label": ...}, ...], or {"data": [...]}.'

Row = tuple[int, dict[str, Any], int]  # line, object, characters


def read_lines(file: TextFile, writer: ArrowWriter) -> npt.NDArray[np.int64]:
    """Read one object a line; returns the line of each row. Raises DataError with every bad line."""
    problems: list[Problem] = []
    lines = _write(_objects_of_lines(file, problems), writer, str(file.path))
    if problems:
        raise DataError(problems, fix=_FIX_LINES)
    return lines


def read_document(file: TextFile, writer: ArrowWriter) -> npt.NDArray[np.int64]:
    """Read a list of objects, {"data": [...]}, or {"column": [...], ...}; returns the line of each row.

    A .json file that holds one object a line is read as that. Raises DataError with the line of a
    syntax error, or if the document is none of these.
    """
    with file.open() as stream:
        text = stream.read()
    start = start_of_rows(text, file)
    if start < 0:
        del text
        return read_lines(file, writer)
    if text[start] == "[":
        return _write(_objects_of_list(text, start, str(file.path)), writer, str(file.path))
    columns = json.loads(text)
    rows = ((1, row, 0) for row in _rows_of_columns(columns, str(file.path)))
    return _write(rows, writer, str(file.path))


def _objects_of_lines(file: TextFile, problems: list[Problem]) -> Iterator[Row]:
    row = 0
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            row += 1
            try:
                value = json.loads(line)
                fault = None if isinstance(value, dict) else f"this line is {_kind(value)}, not an object"
            except (ValueError, RecursionError) as error:
                fault = f"this line is not valid JSON: {error}"
            if fault is None:
                yield number, value, len(line)
                continue
            problems.append(Problem(fault, str(file.path), row=row, line=number))
            if len(problems) >= _MOST_PROBLEMS:
                return


def start_of_rows(text: str, file: TextFile) -> int:
    """Where the list of rows begins in a document, or its object of columns; -1 for one object a line.

    Raises DataError for a document that is neither, and for one with several lists of rows.
    """
    start = len(text) - len(text.lstrip())
    if text[start] == "[":
        return start
    try:
        value, end = _decode(text, start)
    except json.JSONDecodeError as error:
        raise _syntax(error, str(file.path)) from error
    if not isinstance(value, dict):
        raise DataError(Problem(f"the document is {_kind(value)} without rows in it", str(file.path)), fix=_FIX_LIST)
    if text[end:].strip():
        return -1
    lists = {key: rows for key, rows in value.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)}
    if lists:
        if len(lists) > 1 and "data" not in lists:
            told = ", ".join(f"{key!r} with {len(rows)}" for key, rows in lists.items())
            raise DataError(
                Problem(f"the document holds {len(lists)} lists of rows: {told}", str(file.path)),
                fix="Write each list into a file of its own; --validation FILE and --test FILE take such parts.",
            )
        return _value_position(text, start, "data" if "data" in lists else next(iter(lists)))
    if value and all(isinstance(column, (list, dict)) for column in value.values()):
        return start
    if "\n" not in text.strip() and value:
        return -1  # a file of one JSON line
    raise DataError(Problem("the document is one object without rows in it", str(file.path)), fix=_FIX_LIST)


def _value_position(text: str, start: int, key: str) -> int:
    """Position of the value of a top-level `key` of the object that begins at `start`."""
    decoder = json.JSONDecoder()
    position = start + 1
    while True:
        position = _skip(text, position, ", \t\r\n")
        name, position = decoder.raw_decode(text, position)
        position = _skip(text, position, ": \t\r\n")
        if name == key:
            return position
        _, position = decoder.raw_decode(text, position)


def _skip(text: str, position: int, signs: str) -> int:
    while position < len(text) and text[position] in signs:
        position += 1
    return position


def _decode(text: str, start: int) -> tuple[Any, int]:
    """The value at `start` and where it ends. Raises JSONDecodeError, also for what Python alone can not hold."""
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), text, start) from error


def _objects_of_list(text: str, start: int, file: str) -> Iterator[Row]:
    line = 1 + text.count("\n", 0, start)
    seen, position, row = start, _skip(text, start + 1, " \t\r\n"), 0
    while position < len(text) and text[position] != "]":
        row += 1
        line, seen = line + text.count("\n", seen, position), position
        try:
            value, end = _decode(text, position)
        except json.JSONDecodeError as error:
            raise _syntax(error, file, row) from error
        if not isinstance(value, dict):
            raise DataError(Problem(f"this is {_kind(value)}, not an object", file, row=row, line=line), fix=_FIX_LIST)
        yield line, value, end - position
        position = _skip(text, end, " \t\r\n")
        if position < len(text) and text[position] == ",":
            position = _skip(text, position + 1, " \t\r\n")
        elif position >= len(text) or text[position] != "]":
            what = json.JSONDecodeError("Expecting ',' or ']'", text, position)
            raise _syntax(what if position < len(text) else _unclosed(text), file, row)
    if position >= len(text):
        raise _syntax(_unclosed(text), file, row)


def _unclosed(text: str) -> json.JSONDecodeError:
    return json.JSONDecodeError("The list is never closed", text, len(text.rstrip()))


def _rows_of_columns(columns: dict[str, Any], file: str) -> Iterator[dict[str, Any]]:
    lists = {name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in columns.items()}
    lengths = {name: len(cells) for name, cells in lists.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise DataError(Problem(f"the columns differ in length: {told}", file), fix=_FIX_LIST)
    for cells in zip(*lists.values(), strict=True):
        yield dict(zip(lists, cells, strict=True))


def _write(rows: Iterable[Row], writer: ArrowWriter, file: str) -> npt.NDArray[np.int64]:
    lines: list[int] = []
    batch: list[dict[str, Any]] = []
    size = 0
    for line, value, characters in rows:
        if characters > CELL_LIMIT:
            _refuse_big_cell(value, file, len(lines) + 1, line)
        lines.append(line)
        batch.append(value)
        size += characters
        if len(batch) >= BATCH_ROWS or size > BATCH_CHARACTERS:
            writer.write(_table(batch, lines, file))
            batch, size = [], 0
    if batch:
        writer.write(_table(batch, lines, file))
    return np.asarray(lines, dtype=np.int64)


def _table(batch: list[dict[str, Any]], lines: list[int], file: str) -> pa.Table:
    """The last rows as a table. Raises DataError for cells that no file of text can hold."""
    try:
        return table_of_rows(batch)
    except UnicodeEncodeError as error:
        first = len(lines) - len(batch)
        raise DataError(
            [
                Problem(HALF, file, row=first + row + 1, column=name, line=lines[first + row])
                for row, name in half_characters(batch)
            ],
            fix=HALF_FIX,
        ) from error


def _refuse_big_cell(value: dict[str, Any], file: str, row: int, line: int) -> None:
    for name, cell in value.items():
        if isinstance(cell, str) and len(cell) > CELL_LIMIT:
            message = f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)"
            raise DataError(Problem(message, file, row=row, column=name, line=line), fix="Shorten the cell.")


def _syntax(error: json.JSONDecodeError, file: str, row: int | None = None) -> DataError:
    message = f"not valid JSON: {error.msg} (character {error.colno} of the line)"
    fix = "Mend the file; `python -m json.tool FILE` shows the same place."
    return DataError(Problem(message, file, row=row, line=error.lineno), fix=fix)


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false"}
    return kinds.get(type(value), "null")
