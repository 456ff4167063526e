"""All kept rows in one Arrow file: row_id, inputs (text, [text_pair]), target. Drops and refuses; decides nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.arrowfile import ArrowWriter, content_hash
from tunesmith.data.features import cells_of
from tunesmith.data.ledger import Ledger
from tunesmith.data.modality import DataModality
from tunesmith.data.tables import Part
from tunesmith.data.targets import TargetReader
from tunesmith.data.texts import as_text, is_blank
from tunesmith.data.types import Columns

REPAIRED = "repaired: bytes that were not of the encoding"
_MOST_PROBLEMS = 1_000
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
    unreadable: list[Problem] = field(default_factory=list)
    """What was wrong with the inputs that rows were dropped for."""


def write_rows(parts: list[Part], reader: TargetReader, modality: DataModality, cache_dir: Path) -> Canonical:
    """Convert every row; rows without input or target are dropped, with their reason, in the ledger.

    Raises DataError, all rows together, for inputs and targets that can not be read as what they should be.
    """
    columns = reader.columns
    for part in parts:
        modality.refuse(part.table.select(list(columns.inputs)), part.name)
    ledger, hasher, first = open_ledger(parts), hashlib.sha256(), 0
    problems: list[Problem] = []
    words: dict[str, Counter[str]] = {}
    unreadable: list[Problem] = []
    with ArrowWriter(cache_dir) as writer:
        for part in parts:
            wanted = part.table.select([*columns.inputs, *columns.target, *columns.features])
            for start in range(0, part.rows, modality.batch_rows):
                batch = wanted.slice(start, modality.batch_rows)
                ids = np.arange(first + start, first + start + batch.num_rows, dtype=np.int64)
                rows = _convert(batch, part, start, ids, (reader, modality), ledger, (problems, words, unreadable))
                if problems:
                    if len(problems) >= _MOST_PROBLEMS:
                        break
                    continue
                content_hash(rows.drop_columns([name for name in modality.places if name in rows.column_names]), hasher)
                writer.write(rows)
            first += part.rows
        if problems:
            raise DataError(problems, fix=_fix(columns, modality))
        content = hasher.hexdigest()
        table = writer.finish(f"rows-{content[:20]}.arrow")
    return Canonical(table, writer.path, ledger, content, ledger.counts()["reasons"]["dropped"], words, unreadable)


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


def check_inputs(parts: list[Part], columns: Columns, modality: DataModality) -> None:
    """Raises DataError for cells that `write_rows` would refuse as input, and for columns that are all empty."""
    problems: list[Problem] = []
    for part in parts:
        modality.refuse(part.table.select(list(dict.fromkeys(columns.inputs))), part.name)
        for role, name in zip(modality.roles, columns.inputs, strict=False):
            filled = 0
            for start in range(0, part.rows, modality.batch_rows):
                cells = modality.faults(role, part.table.column(name).slice(start, modality.batch_rows), part.folder)
                filled += int((~cells.blank).sum())
                problems += [part.problem(start + row, message, name) for row, message in cells.faults]
            if not filled:
                problems.append(Problem(f"no row has a {modality.noun}", part.name, column=name))
    if problems:
        raise DataError(problems, fix="Mend or remove these cells.")


def _convert(
    batch: pa.Table,
    part: Part,
    start: int,
    ids: npt.NDArray[np.int64],
    readers: tuple[TargetReader, DataModality],
    ledger: Ledger,
    told: tuple[list[Problem], dict[str, Counter[str]], list[Problem]],
) -> pa.Table:
    reader, modality = readers
    columns = reader.columns
    problems, words, unreadable = told
    kept = np.ones(batch.num_rows, dtype=bool)
    found: dict[str, Any] = {"row_id": pa.array(ids)}
    for role, name in zip(modality.roles, columns.inputs, strict=False):
        cells = modality.read(role, batch.column(name), part.folder)
        faulty = [part.problem(start + row, message, name) for row, message in cells.faults]
        if reader.drop_unreadable:
            unreadable += faulty
            for row, _ in cells.faults:
                reason = f"the {modality.noun} can not be read: {cells.reasons.get(row, 'it is damaged')}"
                ledger.drop([ids[row]], reason)
                kept[row] = False
        else:
            problems += faulty
        _drop(~cells.blank, kept, ids, f"no {modality.noun} in column {name!r}", ledger)
        if not reader.keep_nothing:
            _count(words, name, cells.columns[role], cells.nothing & kept)
            _drop(~cells.nothing, kept, ids, f"a word for nothing in column {name!r}", ledger)
        found |= cells.columns
    for name in columns.inputs:  # kinds of target may look at what they are of
        place = batch.column_names.index(name)
        batch = batch.set_column(place, name, modality.anchored(batch.column(name), part.folder))
    targets, faults = reader.read(batch)
    problems += [part.problem(start + row, message, name) for row, name, message in faults]
    present = np.asarray(targets.is_valid())
    if not present.all() and len(columns.target) == 1:
        written = as_text(batch.column(columns.target[0]))
        worded = ~present & ~is_blank(written)
        _count(words, columns.target[0], written, worded & kept)
        _drop(~worded, kept, ids, f"a word for nothing in column {columns.target[0]!r}", ledger)
    _drop(present, kept, ids, f"no target in column {' + '.join(map(repr, columns.target))}", ledger)
    found["target"] = targets
    if columns.features:
        found["features"] = cells_of(batch, columns.features)
    table = pa.table(found)
    return table if kept.all() else table.filter(pa.array(kept))


def _drop(good: Flags, kept: Flags, ids: npt.NDArray[np.int64], reason: str, ledger: Ledger) -> None:
    if not good.all():
        ledger.drop(ids[~good], reason)
        kept &= good


def _count(words: dict[str, Counter[str]], name: str, cells: pa.Array, rows: Flags) -> None:
    if rows.any():
        words.setdefault(name, Counter()).update(str(cells[int(row)]).strip() for row in np.flatnonzero(rows))


def _fix(columns: Columns, modality: DataModality) -> str:
    if columns.kind == "number":
        return (
            "Mend or remove these cells, and write all numbers alike. Where they could mean two things, say which sign "
            "stands before the fraction: --set decimal=, (or decimal=.). If the target is a category and not a number, "
            "ask for --task text-classification, or name another column with --target."
        )
    if modality.places:
        more = " To go on without them: --set unreadable=drop"
        return f"Mend these {modality.nouns}, or take them out of the data.{more}"
    return f"Mend or remove these cells, or name other columns with {modality.flag} and --target."
