"""Batches of rows to one memory-mapped Arrow file, whatever their types. Knows no file formats."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.files import move, new_in_place, own_folder, remove

BATCH_ROWS = 10_000
BATCH_CHARACTERS = 1 << 25
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


class ArrowWriter:
    """Appends tables to an Arrow stream on disk; types that differ between batches are widened.

    **Usage**:
    writer = ArrowWriter(folder)
    writer.write(pa.table({"text": ["a"], "label": [1]}))
    writer.write(pa.table({"text": ["b"], "label": ["x"]}))   # label becomes a string column
    table = writer.finish()                                    # memory-mapped
    """

    def __init__(self, folder: Path):
        own_folder(folder)
        self.path = folder / f"tmp-{os.getpid()}-{uuid.uuid4().hex}.arrow"
        self.rows = 0
        self._schema: pa.Schema | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._file: IO[bytes] | None = None

    def write(self, table: pa.Table) -> None:
        """Append the rows. Missing columns become null, new ones are added."""
        if table.num_rows == 0 and self._schema is not None:
            return
        table = plain(table)
        if self._schema is None:
            self._open(table.schema)
        elif table.schema != self._schema:
            wider = _widen(self._schema, table.schema)
            if wider != self._schema:
                self._rewrite(wider)
            table = _fit(table, wider)
        assert self._writer is not None
        self._writer.write_table(table.combine_chunks())
        self.rows += table.num_rows

    def finish(self, name: str | None = None) -> pa.Table:
        """Close the file, give it its final name if there is one, and map it into memory."""
        if self._writer is None:
            self._open(pa.schema([]))
        self._close()
        if name is not None:
            final = self.path.with_name(name)
            move(self.path, final)
            self.path = final
        return pa.ipc.open_stream(pa.memory_map(str(self.path))).read_all()

    def take(self, other: ArrowWriter) -> None:
        """Have what `other` wrote in place of the rows so far; `other` is used up."""
        self.discard()
        self.path, self.rows, self._schema, self._writer = other.path, other.rows, other._schema, other._writer

    def discard(self) -> None:
        """Close and remove the file, if it is there."""
        with suppress(OSError):  # a full disk says so again
            self._close()
        remove(self.path)

    def __enter__(self) -> ArrowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()

    def _close(self) -> None:
        if self._writer is not None and self._file is not None:
            file, self._file = self._file, None
            with file:
                self._writer.close()

    def _open(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = new_in_place(self.path)
        self._writer = pa.ipc.new_stream(self._file, schema)

    def _rewrite(self, schema: pa.Schema) -> None:
        assert self._writer is not None
        self._close()
        old = self.path
        self.path = old.with_name(f"tmp-{os.getpid()}-{uuid.uuid4().hex}.arrow")
        self._open(schema)
        with pa.memory_map(str(old)) as source:
            for batch in pa.ipc.open_stream(source):
                self._writer.write_table(_fit(pa.Table.from_batches([batch]), schema))
        remove(old)


def table_of_rows(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """A table of dicts; keys may differ between rows, and values of mixed types become strings."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: array_of([row.get(name) for row in rows]) for name in names})


HALF = "the text holds half a character (a lone surrogate such as \\ud83d)"
HALF_FIX = "Mend the text where it was cut: such a half needs its second half, or must go."


def half_characters(rows: Sequence[Mapping[Any, Any]]) -> list[tuple[int, str]]:
    """Row (from 0) and column of the cells that Unicode can not write."""
    found = []
    for number, row in enumerate(rows):
        for name, cell in row.items():
            try:
                f"{name}{cell}".encode()
            except UnicodeEncodeError:
                found.append((number, str(name).encode("utf-8", "replace").decode()))
    return found


def array_of(values: list[object]) -> pa.Array:
    """An Arrow array; if the values have no common type, every one is written as a string."""
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _pictures(values) or pa.array([_as_string(value) for value in values], type=pa.string())


def _pictures(values: list[object]) -> pa.Array | None:
    """Pictures of Pillow and arrays of pixels as files, whose bytes they are; None where they are something else."""
    from tunesmith.data.pictures import content_of

    found = [None if value is None else content_of(value) for value in values]
    whole = all(content is not None or value is None for content, value in zip(found, values, strict=True))
    return pa.array(found, pa.binary()) if whole and any(found) else None


def plain(table: pa.Table) -> pa.Table:
    """The table without metadata and with plain types: string, list<string>, float64, ...; durations in seconds."""
    table = _in_seconds(table)
    schema = pa.schema([(field.name, _plain_type(field.type)) for field in table.schema])
    return table.replace_schema_metadata(None).cast(schema)


def durations(schema: pa.Schema) -> list[str]:
    """Names of the columns that hold durations."""
    return [field.name for field in schema if pa.types.is_duration(field.type)]


def _in_seconds(table: pa.Table) -> pa.Table:
    """Durations as seconds (float64): what they count in, nanoseconds to seconds, differs from file to file."""
    for name in durations(table.schema):
        place = table.column_names.index(name)
        count = table.column(place).cast(pa.int64()).cast(pa.float64(), safe=False)
        seconds = pc.divide(count, _PER_SECOND[table.schema.field(place).type.unit])
        table = table.set_column(place, name, seconds)
    return table


def content_hash(table: pa.Table, hasher: Any = None) -> Any:
    """A sha256 object fed with names, types and cells; how the rows are chunked does not matter."""
    hasher = hasher or hashlib.sha256()
    hasher.update(str([(field.name, str(field.type)) for field in table.schema]).encode())
    for start in range(0, table.num_rows, BATCH_ROWS):
        for column in table.slice(start, BATCH_ROWS).columns:
            _hash_array(column.combine_chunks(), hasher)
    return hasher


def _hash_array(array: pa.Array, hasher: Any) -> None:
    hasher.update(np.asarray(array.is_valid()).tobytes() if array.null_count else b"v")
    if pa.types.is_list(array.type):
        offsets = np.asarray(array.offsets, dtype=np.int64)
        hasher.update((offsets - offsets[0]).tobytes())
        _hash_array(array.flatten(), hasher)
    elif pa.types.is_string(array.type):
        starts = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
        hasher.update((starts - starts[0]).tobytes())
        if array.buffers()[2] is not None:
            hasher.update(memoryview(array.buffers()[2])[int(starts[0]) : int(starts[-1])])
    elif pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        hasher.update(np.asarray(array.fill_null(0)).tobytes())
    else:
        hasher.update(repr(array.to_pylist()).encode("utf-8", "surrogatepass"))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_duration(kind):  # within lists, where nothing reads them
        return pa.int64()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return pa.float64()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _widen(left: pa.Schema, right: pa.Schema) -> pa.Schema:
    kinds = {field.name: field.type for field in left}
    for field in right:
        kinds[field.name] = _common(kinds.get(field.name, field.type), field.type)
    return pa.schema(list(kinds.items()))


def _common(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    if left == right:
        return left
    try:
        both = [pa.schema([("x", left)]), pa.schema([("x", right)])]
        return _plain_type(pa.unify_schemas(both, promote_options="permissive").field("x").type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, type=field.type))
            continue
        column = table.column(field.name)
        try:
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            columns.append(pa.array([_as_string(value) for value in column.to_pylist()], type=field.type))
    return pa.table(columns, schema=schema)


def _as_string(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
