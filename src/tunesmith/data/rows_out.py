"""Rows and what is predicted of them as a file, in the format of its suffix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.events import Emit
from tunesmith.data import output
from tunesmith.data.table_out import Form, Table, table_writer

Rows = Sequence[Mapping[str, Any]]


@contextmanager
def rows_to(target: Path, form: Form, emit: Emit) -> Iterator[Callable[[Rows], None]]:
    """A function that appends rows to `target`, which is there when all of them are.

    The first rows say which columns there are; of JSON lines each has its own. Lists and objects are JSON in cells, and
    where Arrow has no type. `form`: how a CSV is written. Raises FolderError, OptionError.
    """
    cells = output.Cells()
    with output.written(target) as file:
        writer: _Writer
        if target.suffix in (".jsonl", ".parquet"):
            writer = _Lines(file) if target.suffix == ".jsonl" else _Parquet(file)
        else:
            writer = _Cells(partial(table_writer, file, target.suffix, form, cells, emit))
        yield writer.write
        writer.close()
    cells.warn(emit)


class _Writer(Protocol):
    def write(self, rows: Rows) -> None: ...
    def close(self) -> None: ...


class _Lines:
    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, rows: Rows) -> None:
        lines = (json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n" for row in rows)
        self._file.writelines(lines)

    def close(self) -> None: ...


class _Parquet:
    def __init__(self, file: IO[bytes]):
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._flat = False

    def write(self, rows: Rows) -> None:
        if self._writer is None:
            names = list(dict.fromkeys(name for row in rows for name in row))
            try:
                table = _table(names, rows)
            except pa.ArrowException:
                self._flat = True
                table = _table(names, rows, _plain)
            self._writer = pq.ParquetWriter(self._file, table.schema)
        else:
            table = _table(self._writer.schema.names, rows, _plain if self._flat else None).cast(self._writer.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Cells:
    def __init__(self, make: Callable[[], Table]):
        self._make = make
        self._table: Table | None = None
        self._names: list[str] = []

    def write(self, rows: Rows) -> None:
        if self._table is None:
            self._table = self._make()
            self._names = list(dict.fromkeys(name for row in rows for name in row))
            self._table.row(self._names)
        for row in rows:
            self._table.row(row.get(name) for name in self._names)

    def close(self) -> None:
        if self._table is not None:
            self._table.close()


def _table(names: Sequence[str], rows: Rows, of: Callable[[Any], Any] | None = None) -> pa.Table:
    return pa.table({name: [row.get(name) if of is None else of(row.get(name)) for row in rows] for name in names})


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
