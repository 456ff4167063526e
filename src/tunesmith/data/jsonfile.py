"""JSON and JSON-lines files: objects in batches, with the line each one starts on."""

from __future__ import annotations

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
from tunesmith.data.jsonlayout import FIX_LINES, Bad, Row
from tunesmith.data.limits import refuse_wide

_MOST_PROBLEMS = 1_000


def read(rows: Iterable[Row], writer: ArrowWriter, source: str) -> npt.NDArray[np.int64]:
    """Write the rows of a document or of one of its parts; returns the line of each. Raises DataError with every bad
    line."""
    problems: list[Problem] = []
    lines = _write(_sound(rows, problems, source), writer, source)
    if problems:
        raise DataError(problems, fix=FIX_LINES)
    return lines


def _sound(rows: Iterable[Row], problems: list[Problem], source: str) -> Iterator[Row]:
    for number, (line, value, characters) in enumerate(rows, 1):
        if not isinstance(value, Bad):
            yield line, value, characters
            continue
        problems.append(Problem(str(value), source, row=number, line=line))
        if len(problems) >= _MOST_PROBLEMS:
            return


def _write(rows: Iterable[Row], writer: ArrowWriter, file: str) -> npt.NDArray[np.int64]:
    lines: list[int] = []
    batch: list[dict[str, Any]] = []
    size = 0
    for line, value, characters in rows:
        refuse_wide(len(value), file)  # at once, and not when a batch is full
        for name, cell in value.items() if characters > CELL_LIMIT else ():
            if isinstance(cell, str) and len(cell) > CELL_LIMIT:
                message = f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)"
                raise DataError(Problem(message, file, len(lines) + 1, name, line), fix="Shorten the cell.")
        lines.append(line)
        batch.append(value)
        size += characters
        if len(batch) >= BATCH_ROWS or size > BATCH_CHARACTERS:
            writer.write(_table(batch, lines, file))
            batch, size = [], 0
    if batch:
        writer.write(_table(batch, lines, file))
    return np.asarray(lines, dtype=np.int64)


def _table(batch: list[dict[str, object]], lines: list[int], file: str) -> pa.Table:
    """The last rows as a table. Raises DataError for cells that no file of text can hold."""
    refuse_wide(len({name for row in batch for name in row}), file)
    try:
        return table_of_rows(batch)
    except UnicodeEncodeError as error:
        first = len(lines) - len(batch)
        found = [(first + row, name) for row, name in half_characters(batch)]
        raise DataError([Problem(HALF, file, row + 1, name, lines[row]) for row, name in found], HALF_FIX) from error
