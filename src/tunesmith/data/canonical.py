"""All kept rows in one Arrow file: row_id, text, [text_pair], target. Drops and refuses; decides nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.arrowfile import ArrowWriter, content_hash
from tunesmith.data.delimited import CELL_LIMIT
from tunesmith.data.ledger import Ledger
from tunesmith.data.nothing import nothing_in_text
from tunesmith.data.tables import Part
from tunesmith.data.targets import BATCH, TargetReader
from tunesmith.data.types import Columns

REPAIRED = "repaired: bytes that were not of the encoding"
_MOST_PROBLEMS = 1_000
_LONGEST_WORD = 24
"""Characters of the longest word for nothing; longer cells are texts."""
Flags = npt.NDArray[np.bool_]


@dataclass
class Canonical:
    """The kept rows (`table`, memory-mapped), the ledger so far, and the sha256 of the content."""

    table: pa.Table
    path: Path
    ledger: Ledger
    content: str
    missing: dict[str, int] = field(default_factory=dict)
    words: dict[str, Counter[str]] = field(default_factory=dict)
    """The words for nothing that rows were dropped for, by column."""


def write_rows(parts: list[Part], reader: TargetReader, cache_dir: Path) -> Canonical:
    """Convert every row; rows without text or target are dropped, with their reason, in the ledger.

    Raises DataError, all rows together, for NUL characters, cells over the limit, and targets that can
    not be read as what they should be.
    """
    columns = reader.columns
    for part in parts:
        refuse_objects(part.table.select(list(columns.texts)), part.name)
    ledger = open_ledger(parts)
    writer, hasher = ArrowWriter(cache_dir), hashlib.sha256()
    problems: list[Problem] = []
    words: dict[str, Counter[str]] = {}
    try:
        first = 0
        for part in parts:
            for start, batch in _batches(part, columns):
                ids = np.arange(first + start, first + start + batch.num_rows, dtype=np.int64)
                rows = _convert(batch, part, start, ids, reader, ledger, (problems, words))
                if problems:
                    if len(problems) >= _MOST_PROBLEMS:
                        break
                    continue
                content_hash(rows, hasher)
                writer.write(rows)
            first += part.rows
        if problems:
            raise DataError(problems, fix=_fix(columns))
        content = hasher.hexdigest()
        table = writer.finish(f"rows-{content[:20]}.arrow")
    except BaseException:
        writer.discard()
        raise
    return Canonical(table, writer.path, ledger, content, ledger.counts()["reasons"]["dropped"], words)


def open_ledger(parts: list[Part]) -> Ledger:
    """A ledger of all rows of the parts; behind them, those that the files hold beside, in the same order."""
    total = sum(part.rows for part in parts)
    ledger = Ledger(total + sum(len(part.left_out) for part in parts))
    first, extra = 0, total
    for part in parts:
        ledger.note(first + part.repaired, REPAIRED)
        for number, row in enumerate(part.left_out, extra):
            ledger.drop([number], row.reason)
        first, extra = first + part.rows, extra + len(part.left_out)
    return ledger


def check_texts(parts: list[Part], names: Sequence[str]) -> None:
    """Raises DataError for cells of these columns that `write_rows` would refuse as text, and if all are empty."""
    problems: list[Problem] = []
    for part in parts:
        refuse_objects(part.table.select(list(dict.fromkeys(names))), part.name)
        for name in names:
            filled = 0
            for start in range(0, part.rows, BATCH):
                texts = as_text(part.table.column(name).slice(start, BATCH))
                filled += int((~_blank(texts)).sum())
                problems += [part.problem(start + row, message, name) for row, message in _faults(texts)]
            if not filled:
                problems.append(Problem("no row has a text", part.name, column=name))
    if problems:
        raise DataError(problems, fix="Mend or remove these cells.")


def blank_rows(column: pa.ChunkedArray) -> list[int]:
    """Rows (from 0) without text."""
    return [int(row) for row in np.flatnonzero(_blank(as_text(column)))]


def refuse_objects(texts: pa.Table, source: str) -> None:
    """Raises DataError for columns of lists, objects or bytes."""
    problems = []
    for name in texts.column_names:
        column = texts.column(name)
        held = "lists" if pa.types.is_list(column.type) else "objects"
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            cell = next((str(value) for value in column[:1000].to_pylist() if value is not None), "nothing")
            problems.append(Problem(f"this column holds {held}, such as {cell[:60]}, and no text", source, column=name))
    if problems:
        raise DataError(problems, fix="Write a text into each cell, with spaces between its words.")


def _batches(part: Part, columns: Columns) -> Iterator[tuple[int, pa.Table]]:
    wanted = part.table.select([*columns.texts, *columns.target])
    for start in range(0, part.rows, BATCH):
        yield start, wanted.slice(start, BATCH)


def _convert(
    batch: pa.Table,
    part: Part,
    start: int,
    ids: npt.NDArray[np.int64],
    reader: TargetReader,
    ledger: Ledger,
    told: tuple[list[Problem], dict[str, Counter[str]]],
) -> pa.Table:
    columns = reader.columns
    problems, words = told
    kept = np.ones(batch.num_rows, dtype=bool)
    found: dict[str, Any] = {"row_id": pa.array(ids)}
    for key, name in zip(("text", "text_pair"), columns.texts, strict=False):
        texts = as_text(batch.column(name))
        problems += [part.problem(start + row, message, name) for row, message in _faults(texts)]
        _drop(~_blank(texts), kept, ids, f"no text in column {name!r}", ledger)
        if not reader.keep_nothing:
            worded = _worded(texts)
            _count(words, name, texts, worded & kept)
            _drop(~worded, kept, ids, f"a word for nothing in column {name!r}", ledger)
        found[key] = texts
    targets, faults = reader.read(batch)
    problems += [part.problem(start + row, message, name) for row, name, message in faults]
    present = np.asarray(targets.is_valid())
    if not present.all() and len(columns.target) == 1:
        cells = as_text(batch.column(columns.target[0]))
        worded = ~present & ~_blank(cells)
        _count(words, columns.target[0], cells, worded & kept)
        _drop(~worded, kept, ids, f"a word for nothing in column {columns.target[0]!r}", ledger)
    _drop(present, kept, ids, f"no target in column {' + '.join(map(repr, columns.target))}", ledger)
    found["target"] = targets
    table = pa.table(found)
    return table if kept.all() else table.filter(pa.array(kept))


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """A column as an Arrow string array; numbers and the like as Python writes them."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_string(array.type):
        return array
    return pa.array([None if cell is None else str(cell) for cell in array.to_pylist()], type=pa.string())


def _drop(good: Flags, kept: Flags, ids: npt.NDArray[np.int64], reason: str, ledger: Ledger) -> None:
    if not good.all():
        ledger.drop(ids[~good], reason)
        kept &= good


def _blank(texts: pa.Array) -> Flags:
    trimmed = pc.utf8_trim_whitespace(texts)
    return np.asarray(pc.fill_null(pc.equal(trimmed, ""), True))


def _worded(texts: pa.Array) -> Flags:
    """Cells that hold but a word for nothing."""
    short = np.asarray(pc.fill_null(pc.less(pc.utf8_length(texts), _LONGEST_WORD), False)) & ~_blank(texts)
    for row in np.flatnonzero(short):
        short[row] = nothing_in_text(texts[int(row)].as_py())
    return short


def _count(words: dict[str, Counter[str]], name: str, cells: pa.Array, rows: Flags) -> None:
    if rows.any():
        words.setdefault(name, Counter()).update(str(cells[int(row)]).strip() for row in np.flatnonzero(rows))


def _faults(texts: pa.Array) -> list[tuple[int, str]]:
    nul = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(texts, "\0"), False)))
    faults = [(int(row), "the cell holds a NUL character (a zero byte)") for row in nul]
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > CELL_LIMIT:
        big = np.flatnonzero(np.asarray(pc.fill_null(pc.utf8_length(texts), 0)) > CELL_LIMIT)
        faults += [(int(row), f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)") for row in big]
    return faults


def _fix(columns: Columns) -> str:
    if columns.kind == "number":
        return (
            "Mend or remove these cells, and write all numbers alike. Where they could mean two things, say which sign "
            "stands before the fraction: --set decimal=, (or decimal=.). If the target is a category and not a number, "
            "ask for --task text-classification, or name another column with "
            "--target."
        )
    return "Mend or remove these cells, or name other columns with --text and --target."
