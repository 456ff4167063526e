"""The format of a source from its first rows alone, so that choosing a task costs nothing."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq

from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.core.files import scratch, write_bytes
from tunesmith.data import class_files, delimited, dialect, tables, textfile
from tunesmith.data.conversations.formats import SAMPLE_ROWS, Format, detect
from tunesmith.data.conversations.inputs import Input, files_of, open_file, open_parts, plain
from tunesmith.data.conversations.pair_names import COLUMNS
from tunesmith.data.conversations.read import TEXT_FILE
from tunesmith.data.folders import folders_in
from tunesmith.data.labelling import is_fasttext
from tunesmith.data.limits import open_counted, refuse_special
from tunesmith.data.part import is_frame
from tunesmith.data.profile import TARGET_NAMES, simple
from tunesmith.data.sources import is_arrow_folder, load_folder
from tunesmith.data.types import ReadOptions

_HEAD_BYTES = 1 << 20
_MOST_COLUMNS = 1_000  # a table that has more holds no conversations
_MOST_HEAD = 16 << 20  # of a first line that is longer, a part has to do


def peek(source: object, options: ReadOptions | None = None) -> Format | None:
    """The format of a source; None if it holds no generative text, or can not be read. options: how files are read.

    Reads the first rows only, of files, folders and objects in memory; a hub id is loaded as a whole, and
    so is a .json document that is one object.
    """
    try:
        with scratch() as folder:
            return _first_format(source, folder, options)
    except (DataError, OSError, EOFError, ValueError, RecursionError, zlib.error):
        return None


def _first_format(source: Any, folder: Path, options: ReadOptions | None) -> Format | None:
    if isinstance(source, datasets.Dataset):
        return _format(source.select(range(min(SAMPLE_ROWS, len(source)))).to_list())
    if is_frame(source):
        source = source.head(SAMPLE_ROWS)
    elif isinstance(source, (list, tuple)):
        source = source[:SAMPLE_ROWS]
    elif isinstance(source, Mapping) and source:
        return _first_format(source.get("train", next(iter(source.values()))), folder, options)
    elif isinstance(source, (str, os.PathLike)) and (path := Path(source).expanduser()).exists():
        if path.is_dir() and is_arrow_folder(path):
            return _first_format(load_folder(path), folder, options)
        first = path if path.is_file() else next(iter(files_of(path).values()))[0]
        if path.is_dir() and first.name in class_files.FILES and folders_in(path):
            return None  # it names the classes of what lies in the folders
        return _of_file(first, folder, options)
    return _of_input(next(iter(open_parts(source, folder, ignore, options).values()))[0])


def _of_file(path: Path, folder: Path, options: ReadOptions | None) -> Format | None:
    refuse_special(path)
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if suffixes & tables.PARQUET_SUFFIXES:
        return _format(_parquet_rows(path))
    if suffixes & tables.ARROW_SUFFIXES or path.suffix.lower() in tables.WORKBOOK_SUFFIXES:
        return _of_input(open_file(path, folder, ignore, options))
    head = folder / f"head{''.join(path.suffixes[-2:]).lower().removesuffix('.gz')}"
    cut = _write_head(path, head)
    file = textfile.inspect(head, options)
    if file.guessed:  # rows that are refused later tell their format all the same
        with file.open() as stream:
            text = stream.read()
        write_bytes(head, text.encode())
    if head.suffix in tables.TEXT_SUFFIXES:
        return _of_table(head, options)
    if cut and head.suffix in tables.JSON_SUFFIXES and _is_object(head):
        return _of_input(open_file(path, folder, ignore, options))
    return _of_input(open_file(head, folder, ignore, options))


def _write_head(path: Path, head: Path) -> bool:
    """Copy the first lines, unpacked; whether that is not all."""
    size = _HEAD_BYTES
    with open_counted(path, packed=path.name.lower().endswith(".gz")) as file:
        data = file.read(size)
        while len(data) == size and b"\n" not in data and size < _MOST_HEAD:
            data += file.read(size)
            size *= 2
        cut = bool(file.read(1))
    if cut and b"\0" not in data[:1000] and b"\n" in data:
        data = data[: data.rfind(b"\n") + 1]
    write_bytes(head, data)
    return cut


def _is_object(head: Path) -> bool:
    """Whether a document begins with one object that goes on over several lines."""
    first = head.read_bytes().lstrip(b"\xef\xbb\xbf \t\r\n").splitlines()[0].strip()
    return first.startswith(b"{") and not first.endswith(b"}")


def _of_table(head: Path, options: ReadOptions | None) -> Format | None:
    file = textfile.inspect(head, options)
    if is_fasttext(file):
        return None
    found = delimited.readings(file, COLUMNS, options=options)[0]
    layout = found.layout
    if len(layout.names) > _MOST_COLUMNS:
        return None
    if head.suffix == ".txt":
        # text, unless it is a table to classify in disguise
        return TEXT_FILE if len(layout.names) < 2 or found.dialect.delimiter == "," else None
    rows = dialect.first_rows(file, found.dialect, SAMPLE_ROWS + 1 + len(layout.titles))
    below = [row for line, row in rows if line >= layout.first + layout.header]
    return _format([dict(zip(layout.names, row, strict=True)) for row in below if len(row) == len(layout.names)])


def _parquet_rows(path: Path) -> list[dict[str, object]]:
    try:
        file = pq.ParquetFile(path)
        if len(file.schema_arrow) > _MOST_COLUMNS:
            return []
        return next(file.iter_batches(batch_size=SAMPLE_ROWS)).to_pylist()
    except (StopIteration, ValueError, OverflowError):
        return []


def _of_input(first: Input) -> Format | None:
    if first.text:
        return TEXT_FILE
    return _format([row for _, row in itertools.islice(_whole(first), SAMPLE_ROWS) if isinstance(row, Mapping)])


def _whole(first: Input) -> Iterator[tuple[int, object]]:
    """The rows up to the place where the head was cut."""
    try:
        yield from first.rows
    except DataError:
        return


def _format(rows: list[Any]) -> Format | None:
    if any(len(row) > _MOST_COLUMNS for row in rows):
        return None
    names = {simple(str(name)) for row in rows for name in row}
    rows = [plain(row) for row in rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = detect(columns, rows) if rows else None
    if found and found.name == "text" and (names - set(map(simple, columns))) & set(TARGET_NAMES):
        return None  # a table to classify, whose labels are missing
    return found
