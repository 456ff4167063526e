"""Rows and what is predicted of them as a file, in the format of its suffix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.events import Emit
from tunesmith.data import output
from tunesmith.data.table_out import Form, Table, table_writer

Parts = Iterable[Sequence[Mapping[str, Any]]]


def write_rows(target: Path, parts: Parts, form: Form, emit: Emit) -> None:
    """Write all parts to `target`, which is there when they are.

    The first part says which columns there are; of JSON lines each row has its own. Lists and objects are JSON in
    cells, and where Arrow has no type. `form`: how a CSV is written. Raises FolderError, OptionError.
    """
    cells = output.Cells()
    with output.written(target) as file:
        if target.suffix == ".jsonl":
            file.writelines(_json(row).encode() + b"\n" for rows in parts for row in rows)
        elif target.suffix == ".parquet":
            _write_parquet(file, parts)
        else:
            _write_cells(partial(table_writer, file, target.suffix, form, cells, emit), parts)
    cells.warn(emit)


def _write_parquet(file: IO[bytes], parts: Parts) -> None:
    writer: pq.ParquetWriter | None = None
    convert: Callable[[Any], Any] = _as_it_is
    for rows in parts:
        names = _names(rows) if writer is None else writer.schema.names
        try:
            table = _table(names, rows, convert)
        except pa.ArrowException:
            if writer is not None:
                raise
            convert = _flat
            table = _table(names, rows, convert)
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


def _write_cells(make: Callable[[], Table], parts: Parts) -> None:
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


def _names(rows: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _table(names: Sequence[str], rows: Sequence[Mapping[str, object]], convert: Callable[[object], object]) -> pa.Table:
    return pa.table({name: [convert(row.get(name)) for row in rows] for name in names})


def _as_it_is(value: object) -> object:
    return value


def _flat(value: object) -> object:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
