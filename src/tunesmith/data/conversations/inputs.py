"""From what the user gave to rows as Python objects, nested values unchanged. Knows files, not formats."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.events import Decided, Emit
from tunesmith.data import jsonlayout, sources, tables, textfile
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.conversations.pair_names import COLUMNS
from tunesmith.data.jsonkeys import kind
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.limits import refuse_special
from tunesmith.data.part import is_frame
from tunesmith.data.types import ReadOptions

PIECE_CHARACTERS = 2_000
"""A piece of a text file ends with the paragraph before this many characters."""
_PIECES, _SHORTEST = 20, 200

_JSON = tables.JSON_SUFFIXES | tables.LINES_SUFFIXES
_TABLES = tables.SUFFIXES - _JSON - {".txt"}
_BATCH_ROWS = 1_000
_BYTE = re.compile("[\udc80-\udcff]")
_HINT = 'an object such as {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'

Row = tuple[int, Any]
"""The line of the file (0 for none), and the object; a Fault that says why there is none, or a LeftOut for what is no
row of data."""


@dataclass
class Input:
    """The rows of one file or object. text: they are pieces of running text. part: what they are for. bad_lines: lines
    of the file with bytes that were not of its encoding, and were repaired."""

    name: str
    rows: Iterator[Row]
    text: bool = False
    part: str = "train"
    bad_lines: tuple[int, ...] = ()


def open_parts(source: object, folder: Path, emit: Emit, options: ReadOptions | None = None) -> dict[str, list[Input]]:
    """The inputs of each part ('train', 'validation', 'test') of a source; an undivided one is 'train'.

    folder: for files that are only needed while the rows are read; options: how files are read. Raises
    DataError if there is nothing.
    """
    if isinstance(source, Mapping):
        return _of_mapping(source, folder, emit, options)
    if isinstance(source, (list, tuple)):
        return {"train": [Input("list of rows", ((0, _object(row)) for row in source))]}
    if is_frame(source):
        cells = source.itertuples(index=False, name=None)
        names = [str(name) for name in source.columns]
        return {"train": [Input("DataFrame", ((0, plain(dict(zip(names, row, strict=True)))) for row in cells))]}
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        if path.is_file():
            return {name: [one] for name, one in open_divided(path, folder, emit, options).items()}
        if path.is_dir() and not sources.is_arrow_folder(path):
            opened = partial(open_file, folder=folder, emit=emit, options=options)
            return {name: list(map(opened, files)) for name, files in files_of(path).items()}
    hints = tables.Hints(options=options or ReadOptions())
    parts = sources.read_source(source, "train", emit=emit, cache_dir=folder, hints=hints)
    return {part.split: [Input(part.name, _of_part(part))] for part in parts}


def open_file(path: Path, folder: Path, emit: Emit, options: ReadOptions | None = None) -> Input:
    """One file, or the first part of one that holds several."""
    return next(iter(open_divided(path, folder, emit, options).values()))


def open_divided(path: Path, folder: Path, emit: Emit, options: ReadOptions | None = None) -> dict[str, Input]:
    """One file by its suffix, 'train' if it is not divided; JSON in a file without a known suffix is recognised by its
    first character."""
    refuse_special(path)
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if suffixes & (_TABLES - tables.TEXT_SUFFIXES):
        return {"train": Input(str(path), _of_table(path, folder, emit, options))}
    file = textfile.inspect(path, options)
    text, lines = ".txt" in suffixes, bool(suffixes & tables.LINES_SUFFIXES)
    if lines or suffixes & _JSON or not (text or suffixes & _TABLES or jsonlayout.first_line(file)[:1] not in "[{"):
        return _open_json(file, lines, emit)
    if text:
        _tell_encoding(file, emit)
        return {"train": Input(str(path), _pieces(file), text=True, bad_lines=file.bad_lines)}
    return {"train": Input(str(path), _of_table(path, folder, emit, options), bad_lines=file.bad_lines)}


def _open_json(file: textfile.TextFile, lines: bool, emit: Emit) -> dict[str, Input]:
    guessed = file.guessed
    if guessed:  # JSON is UTF-8 by its standard, and what is learned is no place for a guess
        file = replace(file, encoding="utf-8", errors="surrogateescape")
    else:
        _tell_encoding(file, emit)
    document = jsonlayout.open_json(file, lines)
    if document.layout:
        emit(Decided("layout", document.layout, f"{file.path.name}: {document.why}"))
    found = {}
    for name, rows in document.parts.items():
        read = _utf8_only(_json_rows(rows)) if guessed else _json_rows(rows)
        label = f"{file.path} ({name})" if name else str(file.path)
        found[name or "train"] = Input(label, read, bad_lines=file.bad_lines)
    return found


def _tell_encoding(file: textfile.TextFile, emit: Emit) -> None:
    if file.why is not None:
        emit(Decided("encoding", file.encoding, f"{file.path.name}: {file.why}"))


def _utf8_only(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; a Fault for each that has bytes which are no UTF-8, read as half characters."""
    for line, row in rows:
        found = None if isinstance(row, Fault) else _BYTE.search(json.dumps(row, ensure_ascii=False))
        if found:
            row = Fault(f"this is not UTF-8: it holds the byte 0x{ord(found[0]) - 0xDC00:02x}; save it as UTF-8")
        yield line, row


def files_of(path: Path) -> dict[str, list[Path]]:
    """The data files of a folder by part: one file, files with train, validation, test in their names, or
    text files alone. Raises DataError if that is not clear."""
    files = [entry for entry in sorted(path.iterdir()) if entry.is_file() and not entry.name.startswith(".")]
    texts = [file for file in files if tables.data_suffix(file.name) == ".txt"]
    data = [file for file in files if tables.data_suffix(file.name) in tables.SUFFIXES - {".txt"}]
    if not data and texts:
        return {"train": texts}
    if len(data) == 1:
        return {"train": data}
    parts = sources.files_by_part(data)
    if "train" not in parts:
        fix = "Give one file, or a folder with train.jsonl (validation.jsonl, test.jsonl)."
        raise sources.no_training_file(data, path, fix)
    return parts


def _of_mapping(
    source: Mapping[object, object], folder: Path, emit: Emit, options: ReadOptions | None
) -> dict[str, list[Input]]:
    named = {SPLIT_WORDS.get(str(name).lower()): data for name, data in source.items()}
    if len(source) == 1 and None in named:
        named = {"train": next(iter(source.values()))}
    known = {name: data for name, data in named.items() if name is not None}
    if not known:
        raise sources.no_parts(source)
    found: dict[str, list[Input]] = {}
    for name, data in sorted(known.items(), key=lambda item: item[0] != "train"):
        parts = open_parts(data, folder, emit, options)
        if name == "train":
            found |= parts if "train" in parts else {"train": next(iter(parts.values()))}
        else:
            found[name] = parts.get(name) or next(iter(parts.values()))
    return found


def _object(value: object) -> object:
    return value if isinstance(value, Mapping) else Fault(f"this is {kind(value)}, not {_HINT}")


def _json_rows(rows: Iterator[jsonlayout.Row]) -> Iterator[Row]:
    for line, value, _ in rows:
        bad = isinstance(value, jsonlayout.Bad)
        yield line, Fault(value.replace("not an object", f"not {_HINT}")) if bad else value


def _of_table(path: Path, folder: Path, emit: Emit, options: ReadOptions | None) -> Iterator[Row]:
    hints = tables.Hints(COLUMNS, options=options or ReadOptions())
    yield from _of_part(tables.read_file(path, "train", emit=emit, cache_dir=folder, hints=hints))


def _of_part(part: tables.Part) -> Iterator[Row]:
    number, beside = 0, list(part.left_out)
    for batch in part.table.to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            line = int(part.lines[number]) if part.lines is not None else 0
            while beside and beside[0].line < line:
                yield beside[0].line, beside.pop(0)
            yield line, plain(row)
            number += 1
    yield from ((row.line, row) for row in beside)
    part.release()


def plain(value: object) -> object:
    """Cells of Arrow and pandas as JSON's types. Keys without a value, which Arrow adds to make all objects
    alike, are left out."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return None if str(value) in ("<NA>", "NaT") else str(value)  # dates and the like; pandas' own missing values


def _pieces(file: textfile.TextFile) -> Iterator[Row]:
    """Paragraphs joined to pieces of about 2,000 characters; all pieces together are the text.

    A longer paragraph is cut behind a line, a sentence or a word. A short text has shorter pieces, some twenty of
    them, so that a part of it can be held out.
    """
    with file.open() as stream:
        short = len(stream.read(_PIECES * PIECE_CHARACTERS)) // _PIECES
    most = min(max(short, _SHORTEST), PIECE_CHARACTERS)
    piece, first = "", 1
    for line, paragraph in _paragraphs(file):
        if piece and len(piece) + len(paragraph.rstrip()) > most:
            yield first, {"text": piece}
            piece = ""
        first = first if piece else line
        piece += paragraph
        start, end = 0, len(piece.rstrip())
        while end - start > most:
            cut = _cut(piece, start, most)
            yield first, {"text": piece[start:cut]}
            first += piece.count("\n", start, cut)
            start = cut
        piece = piece[start:]
    if piece:
        yield first, {"text": piece}


def _paragraphs(file: textfile.TextFile) -> Iterator[tuple[int, str]]:
    """Each paragraph with the blank lines behind it, line ends as \\n, and the line where it begins."""
    lines: list[str] = []
    first, size = 1, 0
    begun = blank = False  # whether words have come, and blank lines after them
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            line = line.replace("\r\n", "\n").replace("\r", "\n")
            words = bool(line.strip())
            # a file without blank lines is handed on in parts too
            if (blank and words) or size > 50 * PIECE_CHARACTERS:
                yield first, "".join(lines)
                lines, first, size = [], number, 0
                begun = blank = False
            begun = begun or words
            blank = begun and not words
            lines.append(line)
            size += len(line)
    if lines:
        yield first, "".join(lines)


def _cut(text: str, start: int, size: int) -> int:
    """The last line end, sentence end, or space that leaves a piece of half to whole size."""
    for sign in ("\n", ". ", " "):
        place = text.rfind(sign, start + size // 2, start + size)
        if place >= 0:
            return place + len(sign)
    return start + size
