"""One input as an Arrow table on disk: files by their suffix, DataFrames, datasets, lists of dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import delimited, jsonfile, textfile
from tunesmith.data.arrowfile import (
    BATCH_ROWS,
    HALF,
    HALF_FIX,
    ArrowWriter,
    array_of,
    half_characters,
    remove,
    table_of_rows,
)
from tunesmith.data.header import Layout, may_be_data, refuse_duplicates
from tunesmith.data.limits import refuse_special
from tunesmith.data.types import ReadOptions

TEXT_SUFFIXES = {".csv", ".tsv", ".tab", ".txt", ".psv"}
JSON_SUFFIXES = {".json"}
LINES_SUFFIXES = {".jsonl", ".ndjson"}
PARQUET_SUFFIXES = {".parquet", ".pq"}
ARROW_SUFFIXES = {".arrow", ".feather", ".ipc"}
SUFFIXES = TEXT_SUFFIXES | JSON_SUFFIXES | LINES_SUFFIXES | PARQUET_SUFFIXES | ARROW_SUFFIXES

REPEATED_HEADER = "the header again"
_ARROW_BATCH = 4 * BATCH_ROWS


@dataclass(frozen=True)
class LeftOut:
    """A row of a file that is no row of data: the line on which it starts, and why."""

    line: int
    reason: str


@dataclass
class Part:
    """The rows of one input, all columns as they are, in a memory-mapped table.

    lines: the file line on which each row starts (text formats); row_files: the file of each row (a
    folder of text files); header: False if the columns are only numbered; left_out: rows of the file that
    are not in the table; repaired: rows (from 0) with bytes that were not of the encoding.
    """

    split: str
    name: str
    table: pa.Table
    path: Path
    lines: npt.NDArray[np.int64] | None = None
    row_files: Sequence[str] | None = None
    header: bool = True
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    repaired: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        self.rows: int = self.table.num_rows

    def release(self) -> None:
        """Drop the table and its file; where the rows came from is still known."""
        self.table = pa.table({name: [] for name in self.table.column_names})
        remove(self.path)

    def location(self, row: int) -> dict[str, Any]:
        """Where the row (from 0) came from: file, data row from 1, line from 1 or None."""
        if row >= self.rows:
            return {"file": self.name, "row": None, "line": self.left_out[row - self.rows].line}
        if self.row_files is not None:
            return {"file": self.row_files[row], "row": 1, "line": None}
        line = int(self.lines[row]) if self.lines is not None else None
        return {"file": self.name, "row": row + 1, "line": line}

    def problem(self, row: int, message: str, column: str | None = None) -> Problem:
        """A Problem that names the place of the row (from 0)."""
        return Problem(message, column=column, **self.location(row))


@dataclass(frozen=True)
class Hints:
    """What the caller knows of a table: names that prove a header, whether there is one, how it is to be read."""

    names: tuple[str, ...] = ()
    header: bool | None = None
    options: ReadOptions = field(default_factory=ReadOptions)


def read_file(path: Path, split: str, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
    """One file as a Part. Raises DataError for everything that is wrong with it."""
    refuse_special(path)
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    writer = ArrowWriter(cache_dir)
    try:
        if suffixes & PARQUET_SUFFIXES:
            return _part(_parquet(path), split, str(path), writer)
        if suffixes & ARROW_SUFFIXES:
            return _part(_arrow(path), split, str(path), writer)
        return _read_text(path, suffixes, split, writer, emit, hints)
    except BaseException:
        writer.discard()
        raise


def read_tables(tables: Iterator[pa.Table], split: str, name: str, cache_dir: Path) -> Part:
    """Tables in memory, one after another, as one Part."""
    writer = ArrowWriter(cache_dir)
    try:
        return _part(tables, split, name, writer)
    except BaseException:
        writer.discard()
        raise


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


def list_tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[pa.Table]:
    """A list of dicts in batches. Raises DataError for a row that is not a dict."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                Problem(f"this is a {type(row).__name__}, not a dict", "list of rows", row=number + 1),
                fix='Give a list of dicts, such as [{"text": "...", "label": "..."}, ...].',
            )
    for start in range(0, max(len(rows), 1), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        try:
            yield table_of_rows(batch)
        except UnicodeEncodeError as error:
            raise _half(batch, start, "list of rows") from error


def _half(rows: Sequence[Mapping[Any, Any]], start: int, source: str) -> DataError:
    found = [Problem(HALF, source, start + row + 1, name) for row, name in half_characters(rows)]
    return DataError(found, fix=HALF_FIX)


def _read_text(path: Path, suffixes: set[str], split: str, writer: ArrowWriter, emit: Emit, hints: Hints) -> Part:
    file = textfile.inspect(path, hints.options)
    notes = []
    if file.why is not None:
        emit(Decided("encoding", file.encoding, f"{path.name}: {file.why}"))
        notes.append(f"{path.name} is read as {file.encoding}: {file.why}")
    if suffixes & LINES_SUFFIXES:
        lines = jsonfile.read_lines(file, writer)
    elif suffixes & JSON_SUFFIXES:
        lines = jsonfile.read_document(file, writer)
    else:
        return _read_delimited(file, split, writer, emit, hints, notes)
    if writer.rows == 0:
        raise DataError(Problem("the file has no rows", str(path)), fix="Give a file that has rows in it.")
    part = Part(split, str(path), writer.finish(), writer.path, lines, None, True, notes)
    _note_repaired(part, file, emit)
    return part


def _note_repaired(part: Part, file: textfile.TextFile, emit: Emit) -> None:
    if file.bad_lines and part.lines is not None:
        part.repaired = rows_of_lines(part.lines, file.bad_lines)
        emit(Warned("repaired rows", f"{file.path.name}: {len(part.repaired)} rows hold {file.why}"))


def _read_delimited(
    file: textfile.TextFile, split: str, writer: ArrowWriter, emit: Emit, hints: Hints, notes: list[str]
) -> Part:
    """With the likeliest delimiter; with the next one if only that cuts all rows alike."""
    path, found = file.path, delimited.readings(file, hints.names, hints.header, hints.options)
    chosen, first = found[0], delimited.read(file, found[0], writer)
    outcome = first
    for other in found[1:] if first.uneven else []:
        again = ArrowWriter(writer.path.parent)
        try:
            outcome = delimited.read(file, other, again)
        except DataError:
            outcome = first
        if not outcome.problems:
            why = f"all rows have {len(other.layout.names)} cells; with a {chosen.dialect.name} they do not"
            writer.take(again)
            chosen = replace(other, dialect=replace(other.dialect, why=why))
            break
        again.discard()
        outcome = first
    if outcome.problems:
        raise DataError(outcome.problems, fix=delimited.width_fix(chosen.dialect))
    emit(Decided("delimiter", chosen.dialect.name, f"{path.name}: {chosen.dialect.why}"))
    return finish_rows(chosen.layout, outcome, split, str(path), writer, emit, notes, file)


def finish_rows(
    layout: Layout,
    outcome: delimited.Outcome,
    split: str,
    name: str,
    writer: ArrowWriter,
    emit: Emit,
    notes: list[str],
    file: textfile.TextFile | None = None,
) -> Part:
    """The Part of rows of cells that were written: what was found of the header is told, rows that repeat it are left
    out, and so are columns without name and content."""
    short = Path(name).name
    if outcome.rows == len(outcome.repeated):
        what = "a header and no rows" if layout.header else "no rows"
        raise DataError(Problem(f"the file has {what}", name), fix="Give a file that has rows in it.")
    if not layout.header:
        named = f"columns are called {layout.names[0]} ... {layout.names[-1]}"
        emit(Decided("header", "none", f"{short}: {layout.why}; {named}"))
        notes.append(f"{short} has no header: {layout.why}")
    elif layout.titles:
        title = " / ".join(filter(None, layout.titles))[:120]
        why = f"{short}: {len(layout.titles)} rows above it are no data: {title!r}"
        emit(Decided("header", f"line {layout.first}", why))
        notes.append(why)
    part = Part(split, name, writer.finish(), writer.path, outcome.lines, None, layout.header, notes)
    empty = [column for column in layout.unnamed if _is_blank(part.table.column(column))]
    if empty:
        part.table = part.table.drop_columns(empty)
    if outcome.repeated:
        _leave_out_repeats(part, layout, outcome.repeated, emit)
    if file is not None:
        _note_repaired(part, file, emit)
    return part


def _is_blank(column: pa.ChunkedArray) -> bool:
    return not pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py()


def _leave_out_repeats(part: Part, layout: Layout, repeated: list[int], emit: Emit) -> None:
    """Drop the rows that are the header again, unless they may be data."""
    assert part.lines is not None
    lines, short = part.lines[repeated], Path(part.name).name
    told = f"{short}: {'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines[:10]))}"
    kept = may_be_data(
        layout, [_times(part.table.column(name), name, len(repeated)) for name in part.table.column_names]
    )
    if kept is not None:
        emit(Warned("repeated header", f"{told}: like the header, and kept, as {kept!r} stands in other rows too"))
        return
    emit(Warned("repeated header", f"{told}: the header again, so {len(lines)} rows are left out"))
    stays = np.ones(part.rows, dtype=bool)
    stays[repeated] = False
    part.left_out += [LeftOut(int(line), REPEATED_HEADER) for line in lines]
    part.lines = part.lines[stays]
    writer, old = ArrowWriter(part.path.parent), part.path
    for start in range(0, part.rows, _ARROW_BATCH):
        batch = part.table.slice(start, _ARROW_BATCH)
        writer.write(batch.filter(pa.array(stays[start : start + _ARROW_BATCH])))
    part.table, part.path, part.rows = writer.finish(), writer.path, writer.rows
    remove(old)


def _times(column: pa.ChunkedArray, name: str, repeated: int) -> tuple[int, int]:
    """How many other rows hold the name of the column, and how many rows there are."""
    cells = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return pc.sum(pc.equal(cells, name.lower())).as_py() - repeated, len(column)


def rows_of_lines(starts: npt.NDArray[np.int64], lines: Sequence[int]) -> npt.NDArray[np.int64]:
    """The rows (from 0) that the lines belong to, by the lines on which rows start."""
    rows = np.unique(np.searchsorted(starts, np.asarray(lines, dtype=np.int64), side="right") - 1)
    return rows[rows >= 0].astype(np.int64)


def _part(tables: Iterator[pa.Table], split: str, name: str, writer: ArrowWriter) -> Part:
    for table in tables:
        refuse_duplicates(table.column_names, name)
        writer.write(table)
    if writer.rows == 0:
        writer.discard()
        raise DataError(Problem("there are no rows", name), fix="Give data that has rows in it.")
    return Part(split, name, writer.finish(), writer.path)


def _parquet(path: Path) -> Iterator[pa.Table]:
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=_ARROW_BATCH):
            yield _sound(pa.Table.from_batches([batch]))
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
    reason = str(error).splitlines()[0]
    return DataError(
        Problem(f"this is not a readable {kind} file ({reason})", str(path)),
        fix=f"Write it again as {kind}, or as CSV.",
    )


def _series(series: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return array_of(series.tolist())


def _class_label(feature: Any) -> datasets.ClassLabel | None:
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else feature)
    return inner if isinstance(inner, datasets.ClassLabel) and inner.names else None


def _named(column: pa.ChunkedArray, feature: datasets.ClassLabel) -> pa.Array:
    names = feature.names

    def name(value: Any) -> Any:
        if isinstance(value, list):
            return [name(number) for number in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    return pa.array([name(value) for value in column.to_pylist()])
