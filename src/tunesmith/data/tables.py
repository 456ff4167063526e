"""One input as an Arrow table on disk: files by their suffix, DataFrames, datasets, lists of dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core import registry
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit
from tunesmith.data.arrowfile import (
    BATCH_ROWS,
    HALF,
    HALF_FIX,
    ArrowWriter,
    array_of,
    durations,
    half_characters,
    plain,
    table_of_rows,
)
from tunesmith.data.header import refuse_duplicates
from tunesmith.data.limits import MOST_UNPACKED, refuse_special, refuse_wide
from tunesmith.data.part import Hints, Part
from tunesmith.data.profile import holds_files
from tunesmith.data.target_kind import kind_named
from tunesmith.data.textrows import JSON_SUFFIXES, LINES_SUFFIXES, read_text_table
from tunesmith.data.workbook import WORKBOOK_SUFFIXES, read_workbook

TEXT_SUFFIXES = {".csv", ".tsv", ".tab", ".txt", ".psv"}
PARQUET_SUFFIXES = {".parquet", ".pq"}
ARROW_SUFFIXES = {".arrow", ".feather", ".ipc"}
SUFFIXES = WORKBOOK_SUFFIXES | TEXT_SUFFIXES | JSON_SUFFIXES | LINES_SUFFIXES | PARQUET_SUFFIXES | ARROW_SUFFIXES


def data_suffix(name: str) -> str:
    """What says how the file is read: '.csv' of Data.csv.gz."""
    return Path(name.lower().removesuffix(".gz")).suffix


_ARROW_BATCH = 4 * BATCH_ROWS
_MOST_BYTES = 1 << 30  # unpacked, that no ratio is asked of


def read_file(path: Path, split: str, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
    """One file as a Part; of one that holds several parts that of this split, or the first. Raises DataError for
    everything that is wrong with it."""
    parts = read_parts(path, split, emit=emit, cache_dir=cache_dir, hints=hints)
    chosen = next((part for part in parts if part.split == split), parts[0])
    for part in parts:
        if part is not chosen:
            part.release()
    return chosen


def read_parts(path: Path, split: str, *, emit: Emit, cache_dir: Path, hints: Hints) -> list[Part]:
    """The parts that a file holds: one, called `split`, but for a JSON document that is divided. Raises DataError."""
    refuse_special(path)
    if path.suffix.lower() in WORKBOOK_SUFFIXES:
        return read_workbook(path, split, cache_dir, emit, hints)
    for modality in hints.modalities:
        if modality.reads(path):
            return [read_tables(modality.tables(path, hints.options, emit), split, str(path), cache_dir, emit)]
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    try:
        with ArrowWriter(cache_dir) as writer:
            if suffixes & PARQUET_SUFFIXES:
                return [_part(_parquet(path), split, str(path), writer, emit)]
            if suffixes & ARROW_SUFFIXES:
                return [_part(_arrow(path), split, str(path), writer, emit)]
            return read_text_table(path, suffixes, split, writer, emit, hints)
    except pa.ArrowException as error:  # nested more deeply than a table can be
        raise _damaged(path, "table", error) from error


def read_tables(tables: Iterator[pa.Table], split: str, name: str, cache_dir: Path, emit: Emit) -> Part:
    """Tables in memory, one after another, as one Part."""
    with ArrowWriter(cache_dir) as writer:
        return _part(tables, split, name, writer, emit)


def frame_tables(frame: Any) -> Iterator[pa.Table]:
    """A pandas DataFrame in batches. Raises DataError for duplicate column names."""
    names = [str(name) for name in frame.columns]
    refuse_duplicates(names, "DataFrame")
    for start in range(0, max(len(frame), 1), _ARROW_BATCH):
        chunk = frame.iloc[start : start + _ARROW_BATCH]
        try:
            yield pa.table({name: _series(chunk.iloc[:, place]) for place, name in enumerate(names)})
        except UnicodeEncodeError as error:
            raise _half(chunk.to_dict("records"), start, "DataFrame") from error


def dataset_tables(dataset: datasets.Dataset) -> Iterator[pa.Table]:
    """A datasets.Dataset in batches; class numbers become class names."""
    named = {name: feature for name, feature in dataset.features.items() if _class_label(feature)}
    arrow = dataset.with_format("arrow")
    for table in arrow.iter(batch_size=_ARROW_BATCH):
        for name, feature in named.items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, _named(table.column(name), _class_label(feature)))
        yield table


def list_tables(rows: Sequence[Mapping[str, object]]) -> Iterator[pa.Table]:
    """A list of dicts in batches. Raises DataError for a row that is not a dict."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            problem = Problem(f"this is a {type(row).__name__}, not a dict", "list of rows", row=number + 1)
            raise DataError(problem, fix='Give a list of dicts, such as [{"text": "...", "label": "..."}, ...].')
    for start in range(0, max(len(rows), 1), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        try:
            yield table_of_rows(batch)
        except UnicodeEncodeError as error:
            raise _half(batch, start, "list of rows") from error


def _half(rows: Sequence[Mapping[Any, Any]], start: int, source: str) -> DataError:
    found = [Problem(HALF, source, start + row + 1, name) for row, name in half_characters(rows)]
    return DataError(found, fix=HALF_FIX)


def flatten(table: pa.Table) -> pa.Table:
    """The table with objects in cells as columns of their own: 'meta.label' for {"meta": {"label": ...}}; those that
    are inputs, or targets of some kind, stay whole."""
    kinds = [kind for name in registry.names("data.target_kinds") if (kind := kind_named(name)) is not None]

    def whole(kind: pa.DataType) -> bool:
        return not pa.types.is_struct(kind) or holds_files(kind) or any(one.keeps(kind) for one in kinds)

    while not all(map(whole, table.schema.types)):
        flat: dict[str, pa.ChunkedArray] = {}
        for name, kind in zip(table.column_names, table.schema.types, strict=True):
            one = table.select([name])
            one = one if whole(kind) else one.flatten()
            flat |= dict(zip(one.column_names, one.columns, strict=True))
        table = pa.table(flat)
    return table


def _part(tables: Iterator[pa.Table], split: str, name: str, writer: ArrowWriter, emit: Emit) -> Part:
    timed: dict[str, None] = {}
    for table in tables:
        refuse_duplicates(table.column_names, name)
        timed.update(dict.fromkeys(durations(table.schema)))
        writer.write(table)
    if writer.rows == 0:
        raise DataError(Problem("there are no rows", name), fix="Give data that has rows in it.")
    notes = []
    if timed:
        emit(Decided("durations", "in seconds", f"{Path(name).name}: {', '.join(map(repr, list(timed)[:8]))}"))
        notes.append(f"durations in {', '.join(map(repr, list(timed)[:8]))} are read as seconds")
    return Part(split, name, writer.finish(), writer.path, notes=notes)


def _parquet(path: Path) -> Iterator[pa.Table]:
    try:
        file = pq.ParquetFile(path)
        refuse_wide(len(file.schema_arrow), path)
        size, most = 0, max(_MOST_BYTES, MOST_UNPACKED * path.stat().st_size)
        for batch in file.iter_batches(batch_size=_ARROW_BATCH):
            table = _sound(pa.Table.from_batches([batch]))
            size += plain(table).nbytes
            if size > most:
                problem = Problem(f"it unpacks to more than {MOST_UNPACKED} times its size, as a trap would", str(path))
                raise DataError(problem, fix="If you trust it, write it again as CSV or JSONL, and give that file.")
            yield table
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, "Parquet", error) from error


def _arrow(path: Path) -> Iterator[pa.Table]:
    try:
        with pa.memory_map(str(path)) as source:
            try:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            except pa.ArrowInvalid:
                batches = iter(pa.ipc.open_stream(source))
            for batch in batches:
                refuse_wide(batch.num_columns, path)
                yield _sound(pa.Table.from_batches([batch]))
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, "Arrow", error) from error


def _sound(table: pa.Table) -> pa.Table:
    """The table, with text that is stored as bytes as text. Raises ArrowInvalid for text that is not UTF-8."""
    table.validate(full=True)
    for place, column in enumerate(table.schema):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            with suppress(pa.ArrowInvalid):  # images and the like stay bytes
                table = table.set_column(place, column.name, table.column(place).cast(pa.string()))
    return table


def _damaged(path: Path, kind: str, error: Exception) -> DataError:
    problem = Problem(f"this is not a readable {kind} file ({str(error).splitlines()[0]})", str(path))
    return DataError(problem, fix=f"Write it again as {kind}, or as CSV.")


def _series(series: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return array_of(series.tolist())


def _class_label(feature: object) -> datasets.ClassLabel | None:
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else feature)
    return inner if isinstance(inner, datasets.ClassLabel) and inner.names else None


def _named(column: pa.ChunkedArray, feature: datasets.ClassLabel) -> pa.Array:
    names = feature.names

    def name(value: object) -> object:
        if isinstance(value, list):
            return [name(number) for number in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    return pa.array([name(value) for value in column.to_pylist()])
