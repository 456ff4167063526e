"""Text files as Parts: what is in a file, how it is written, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import delimited, jsonfile, textfile
from tunesmith.data.arrowfile import BATCH_ROWS, ArrowWriter, remove
from tunesmith.data.header import Layout, may_be_data
from tunesmith.data.jsonlayout import Document, open_json
from tunesmith.data.labelling import fasttext_rows, is_fasttext
from tunesmith.data.part import Hints, LeftOut, Part, released_on_failure, rows_of_lines

JSON_SUFFIXES = {".json"}
LINES_SUFFIXES = {".jsonl", ".ndjson"}
REPEATED_HEADER = "the header again"
ABOVE_HEADER = "above the header"


def read_text_table(
    path: Path, suffixes: set[str], split: str, writer: ArrowWriter, emit: Emit, hints: Hints
) -> list[Part]:
    file = textfile.inspect(path, hints.options)
    notes = []
    if file.why is not None:
        emit(Decided("encoding", file.encoding, f"{path.name}: {file.why}"))
        notes.append(f"{path.name} is read as {file.encoding}: {file.why}")
    lines = bool(suffixes & LINES_SUFFIXES)
    if not lines and not suffixes & JSON_SUFFIXES:
        if is_fasttext(file):
            rows = fasttext_rows(file)
            found = Document({"": rows}, "fastText", "lines name labels as `__label__NAME`", ("label",))
            return _read_json(found, file, split, writer, emit, notes)
        lines = _refuse_other_kinds(file)
        if not lines:
            return [_read_delimited(file, split, writer, emit, hints, notes)]
    return _read_json(open_json(file, lines), file, split, writer, emit, notes)


def _refuse_other_kinds(file: textfile.TextFile) -> bool:
    """Whether a file with the name of a table holds JSON. Raises DataError for a page, and for what only points to a
    file."""
    with file.open() as stream:
        head = stream.read(4096).lstrip("\ufeff \t\r\n")
    source, first = str(file.path), head.split("\n", 1)[0].strip()
    if re.match(r"<!doctype html|<html", head, re.IGNORECASE):
        fix = "Download the file itself: such a page often asks to log in, or shows the file."
        raise DataError(Problem("this is a web page (HTML), not a table", source, line=1), fix)
    if head.startswith("<?xml"):
        raise DataError(Problem("this is XML, not a table", source, line=1), fix="Export the rows as CSV or JSON.")
    if head.startswith("version https://git-lfs"):
        problem = Problem("this is a pointer of Git LFS, and not the file itself", source, line=1)
        raise DataError(problem, fix="Run: git lfs pull")
    return first.startswith(('{"', "[{")) and first.endswith(("}", "},", "]", "{"))


def _read_json(
    found: Document, file: textfile.TextFile, split: str, writer: ArrowWriter, emit: Emit, notes: list[str]
) -> list[Part]:
    source = str(file.path)
    if found.layout:
        emit(Decided("layout", found.layout, f"{file.path.name}: {found.why}"))
    with released_on_failure() as parts:
        for name, rows in found.parts.items():
            one = writer if not parts else ArrowWriter(writer.path.parent)
            lines = jsonfile.read(rows, one, source)
            if one.rows == 0:
                raise DataError(Problem("the file has no rows", source), fix="Give a file that has rows in it.")
            part = Part(name or split, f"{source} ({name})" if name else source, one.finish(), one.path, lines)
            part.notes = notes
            parts.append(part)
            part.table = _single_labels(part.table, found.single)
            _note_repaired(part, file, emit)
    for note in found.notes:
        emit(Warned("layout", f"{file.path.name}: {note}"))
    return parts


def _single_labels(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table, where these columns hold lists of at most one label each, with the labels themselves."""
    for name in names:
        if name not in table.column_names or not pa.types.is_list(table.schema.field(name).type):
            continue
        column = table.column(name)
        if (pc.max(pc.list_value_length(column)).as_py() or 0) <= 1:
            cells = pa.array([cell[0] if cell else None for cell in column.to_pylist()])
            table = table.set_column(table.column_names.index(name), name, cells)
    return table


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
    part = finish_rows(chosen.layout, outcome, split, str(path), writer, emit, file)
    part.notes[:0] = notes
    return part


def finish_rows(
    layout: Layout,
    outcome: delimited.Outcome,
    split: str,
    name: str,
    writer: ArrowWriter,
    emit: Emit,
    file: textfile.TextFile | None = None,
) -> Part:
    """The Part of rows of cells that were written: what was found of the header is told, rows that repeat it are left
    out, and so are columns without name and content."""
    short, notes = Path(name).name, list[str]()
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
    part.left_out += [LeftOut(line, ABOVE_HEADER) for line in layout.above]
    for column in layout.unnamed:
        if not pc.any(pc.not_equal(pc.utf8_trim_whitespace(part.table.column(column)), "")).as_py():
            part.table = part.table.drop_columns([column])
    if outcome.repeated:
        _leave_out_repeats(part, layout, outcome.repeated, emit)
    if file is not None:
        _note_repaired(part, file, emit)
    return part


def _leave_out_repeats(part: Part, layout: Layout, repeated: list[int], emit: Emit) -> None:
    """Drop the rows that are the header again, unless they may be data."""
    assert part.lines is not None
    lines, short = part.lines[repeated], Path(part.name).name
    told = f"{short}: {'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines[:10]))}"
    times = [_times(part.table.column(name), name, len(repeated)) for name in part.table.column_names]
    kept = may_be_data(layout, times)
    if kept is not None:
        emit(Warned("repeated header", f"{told}: like the header, and kept, as {kept!r} stands in other rows too"))
        return
    emit(Warned("repeated header", f"{told}: the header again, so {len(lines)} rows are left out"))
    stays = np.ones(part.rows, dtype=bool)
    stays[repeated] = False
    part.left_out += [LeftOut(int(line), REPEATED_HEADER) for line in lines]
    part.lines = part.lines[stays]
    writer, old = ArrowWriter(part.path.parent), part.path
    for start in range(0, part.rows, BATCH_ROWS):
        batch = part.table.slice(start, BATCH_ROWS)
        writer.write(batch.filter(pa.array(stays[start : start + BATCH_ROWS])))
    part.table, part.path, part.rows = writer.finish(), writer.path, writer.rows
    remove(old)


def _times(column: pa.ChunkedArray, name: str, repeated: int) -> tuple[int, int]:
    """How many other rows hold the name of the column, and how many rows there are."""
    cells = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return pc.sum(pc.equal(cells, name.lower())).as_py() - repeated, len(column)
