"""How the rows lie in a JSON file: one a line, a list, by id, by column, by part, or as a tool exports them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tunesmith.core.errors import DataError, Problem
from tunesmith.data import labelling
from tunesmith.data.jsonkeys import DECODER, Json, KeyTwice, TwiceIn, decode, kind
from tunesmith.data.limits import refuse_wide
from tunesmith.data.textfile import TextFile

SPLIT_WORDS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "devel": "validation", "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
FIX_LINES = 'Every line must hold one object, such as {"text": "...", "label": "..."}.'
_FIX_TWICE = "Keep one of the two, or give the other a key of its own."
_FIX_LIST = 'Expected a list of objects, [{"text": ..., "label": ...}, ...], or {"data": [...]}.'


class Bad(str):
    """Why a line holds no object."""


Row = tuple[int, Any, int]
"""Line, object (or Bad), characters."""


@dataclass
class Document:
    """The rows of a file, by part: '' where it is not divided.

    layout, why: how the rows lie, where that is worth telling. single: columns in which a list of one label is that
    label. notes: what turns up while the rows are read.
    """

    parts: dict[str, Iterator[Row]]
    layout: str = ""
    why: str = ""
    single: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def open_json(file: TextFile, lines: bool) -> Document:
    """The rows of a JSON document, or of a file with one object a line (`lines`); each is taken for the other where it
    is written so.

    Raises DataError for a document that holds no rows, and while they are read for a syntax error in one.
    """
    source = str(file.path)
    if lines:
        first = first_line(file)
        sample = _value_of(first.removesuffix(","))
        if not first or isinstance(sample, dict):
            return _of_lines(file, first, sample)
        listed = isinstance(sample, list) and sample and not first.endswith(",")
        if not first.startswith(("[", "{")) or (listed and not isinstance(sample[0], dict | list)):
            return _of_lines(file, first)
    with file.open() as stream:
        text = stream.read().removeprefix("\ufeff")
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "[":
        return _of_list(text, start, source, told=lines)
    try:
        value, end = decode(text, start)
    except json.JSONDecodeError as error:
        if lines:
            return _of_lines(file, "")
        raise _syntax(error, source) from error
    if not isinstance(value, dict):
        raise DataError(Problem(f"the document is {kind(value)} without rows in it", source), fix=_FIX_LIST)
    if text[end:].strip():
        if "\n" in text[start:end] or not lines:
            return _of_sequence(text, start, source, pretty="\n" in text[start:end].strip())
        return _of_lines(file, "")
    holds_rows = any(isinstance(rows, list) and rows and isinstance(rows[0], dict) for rows in value.values())
    if lines and not (holds_rows and {"rows", "data", *SPLIT_WORDS} & set(value)):  # no document after all
        return Document({"": iter([(1, value, end)])})
    return _of_object(text, start, value, source)


def first_line(file: TextFile) -> str:
    """The first line that is not blank; '' for none."""
    with file.open() as stream:
        return next((line.strip().removeprefix("\ufeff") for line in stream if line.strip()), "")


def _value_of(text: str) -> Any:
    """What the text holds, None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_lines(file: TextFile, first: str, sample: Json | None = None) -> Document:
    """One object a line; `first` is the first of them, and what it holds the `sample`."""
    refuse_wide(len(sample or {}), file.path)
    told = ("one object a line", "a comma behind each is passed over") if first.endswith(",") else ("", "")
    return _document(_lines(file), sample or {}, str(file.path), *told)


def _lines(file: TextFile) -> Iterator[Row]:
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            words = line.strip().removeprefix("\ufeff")
            if not words:
                continue
            try:
                value = _line_value(words)
            except KeyTwice as error:
                value = Bad(str(error))
            except (ValueError, RecursionError) as error:
                shown = getattr(error, "msg", str(error))
                value = Bad(f"this line is not valid JSON: {shown} (character {getattr(error, 'colno', 1)})")
            if not isinstance(value, dict | Bad):
                value = Bad(f"this line is {kind(value)}, not an object")
            yield number, value, len(line)


def _line_value(words: str) -> object:
    """What a line holds, with or without a comma behind it. Raises ValueError."""
    try:
        return DECODER.decode(words)
    except (KeyTwice, RecursionError):
        raise
    except ValueError as error:
        if not words.endswith("},"):
            raise
        try:
            return DECODER.decode(words.removesuffix(","))
        except (ValueError, RecursionError) as again:
            raise (again if isinstance(again, KeyTwice) else error) from None


def _of_list(text: str, start: int, source: str, *, told: bool = False) -> Document:
    try:
        first, _ = decode(text, _skip(text, start + 1, " \t\r\n"))
    except json.JSONDecodeError:
        first = {}
    if isinstance(first, list):
        shown = json.dumps(first, ensure_ascii=False)[:60]
        message = f"this is a list of lists, such as {shown}: rows without the names of their columns"
        fix = " With pandas: DataFrame(rows, columns=['text', 'label']).to_json(FILE, orient='records')"
        raise DataError(Problem(message, source), fix=_FIX_LIST + fix)
    if isinstance(first, dict) and isinstance(first.get("paragraphs"), list):
        problem = Problem("this is SQuAD: questions to paragraphs, answered by a place in them", source)
        fix = "Write one row a question, with the columns question, context and answer, for a task that writes text."
        raise DataError(problem, fix)
    why = ("a list", "all rows stand in one list, whatever the name of the file says") if told else ("", "")
    return _document(_objects_of_list(text, start, source), first, source, *why)


def _of_sequence(text: str, start: int, source: str, *, pretty: bool) -> Document:
    """Objects one after another, each over as many lines as it takes."""
    first, _ = decode(text, start)
    told = ("objects one after another", "each goes on over several lines") if pretty else ("", "")
    return _document(_objects_of_sequence(text, start, source), first, source, *told)


def _objects_of_sequence(text: str, start: int, source: str) -> Iterator[Row]:
    for _, line, value, size in _values(text, start, source, lambda end, _: _skip(text, end, " \t\r\n,")):
        yield line, value if isinstance(value, dict) else Bad(f"this is {kind(value)}, not an object"), size


def _values(
    text: str, position: int, source: str, behind: Callable[[int, int], int]
) -> Iterator[tuple[int, int, Any, int]]:
    """Row, line, value and characters of the values from a position on. behind: where the next one begins, by where
    one ends and its row; the end of the text where there is none."""
    line, seen, row = 1, 0, 0
    while position < len(text):
        row += 1
        line, seen = line + text.count("\n", seen, position), position
        try:
            value, end = decode(text, position)
        except json.JSONDecodeError as error:
            raise _syntax(error, source, row) from error
        yield row, line, value, end - position
        position = behind(end, row)


def _of_object(text: str, start: int, value: Json, source: str) -> Document:
    lists = {key: rows for key, rows in value.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)}
    if "rows" in lists and isinstance(lists["rows"][0].get("row"), dict):
        return _of_viewer(value, source)
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list) and not lists:
        names = [str(name) for name in value["columns"]]
        rows = (dict(zip(names, row, strict=False)) for row in value["data"])
        return Document({"": _numbered(rows)}, "pandas, orient='split'", "names in 'columns', rows in 'data'")
    parts = {key: SPLIT_WORDS[key.lower()] for key in value if key.lower() in SPLIT_WORDS and _is_table(value[key])}
    if "train" in parts.values() and len(set(parts.values())) == len(parts):
        return _of_parts(text, start, value, parts, source)
    if lists:
        if len(lists) > 1 and "data" not in lists:
            told = ", ".join(f"{key!r} with {len(rows)}" for key, rows in lists.items())
            fix = "Name the parts 'train', 'validation' and 'test', or write each list into a file of its own; "
            fix += "--validation FILE and --test FILE take such parts."
            raise DataError(Problem(f"the document holds {len(lists)} lists of rows: {told}", source), fix)
        return _of_list(text, _value_position(text, start, "data" if "data" in lists else next(iter(lists))), source)
    if value and all(isinstance(row, dict) for row in value.values()) and _is_by_id(value):
        told = f"{len(value)} objects by their id, such as {next(iter(value))!r}"
        return _document(_numbered(iter(value.values())), next(iter(value.values())), source, "by id", told)
    if value and all(isinstance(column, list | dict) for column in value.values()):
        return Document({"": _numbered(rows_of_columns(value, source))})
    if "\n" not in text.strip() and value:  # a file of one JSON line
        return Document({"": iter([(1, value, len(text))])})
    keys = ", ".join(map(repr, list(value)[:8]))
    raise DataError(Problem(f"the document is one object without rows in it (its keys: {keys})", source), fix=_FIX_LIST)


def _of_viewer(value: Json, source: str) -> Document:
    found = Document({}, "rows of the dataset viewer", "each row stands under 'row'")
    cut = sum(bool(one.get("truncated_cells")) for one in value["rows"] if isinstance(one, dict))
    if cut:
        problem = Problem(f"the viewer cut cells in {cut} rows ('truncated_cells'): the texts are not whole", source)
        raise DataError(problem, fix="Download the data set itself (Parquet), or ask the viewer for shorter pages.")
    total = value.get("num_rows_total")
    if isinstance(total, int) and total > len(value["rows"]):
        found.notes.append(f"this is a page of {len(value['rows'])} rows of a data set that has {total:,}")
    rows = (one.get("row") if isinstance(one, dict) else None for one in value["rows"])
    found.parts[""] = _numbered(row if isinstance(row, dict) else Bad("this row has no 'row'") for row in rows)
    return found


def _of_parts(text: str, start: int, value: Json, parts: dict[str, str], source: str) -> Document:
    told = ", ".join(f"{key!r} with {_size(value[key])}" for key in parts)
    found = Document({}, "parts in one document", f"{told} rows")
    left_out = [key for key in value if key not in parts]
    if left_out:
        found.notes.append(f"left out: {', '.join(map(repr, left_out[:8]))}, not called train, validation or test")
    for key, part in parts.items():
        if isinstance(value[key], list):
            rows = _objects_of_list(text, _value_position(text, start, key), source)
            found.parts[part] = _converted(rows, value[key][0], found, source)
        else:
            found.parts[part] = _numbered(rows_of_columns(value[key], source))
    return found


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) and bool(value) and all(isinstance(column, list) for column in value.values())


def _size(value: Any) -> int:
    return len(value) if isinstance(value, list) else len(next(iter(value.values())))


def _is_by_id(value: Json) -> bool:
    """{id: {column: cell}} and not {column: {id: cell}}: the columns are the fewer, and are no numbers."""
    inner = next(iter(value.values()))
    if all(key.isdigit() for key in inner):
        return False
    if all(key.isdigit() for key in value):
        return True
    return len(value) >= len(inner) and not all(isinstance(cell, dict) for cell in inner.values())


def _numbered(rows: Iterator[object]) -> Iterator[Row]:
    return ((1, row, 0) for row in rows)


def _converted(rows: Iterator[Row], first: object, found: Document, source: str) -> Iterator[Row]:
    """The rows, out of the form of a tool for labelling if the first has one."""
    if not isinstance(first, dict):
        return rows
    tool = labelling.tool_of(first)
    if tool is None:
        return rows
    found.layout, found.why, found.single = tool.name, tool.why, tool.labels

    def each() -> Iterator[Row]:
        for number, (line, row, size) in enumerate(rows, 1):
            if isinstance(row, dict):
                try:
                    row = tool.convert(row, tool)
                except ValueError as error:
                    raise DataError(Problem(str(error), source, row=number, line=line), fix=labelling.FIX) from None
            yield line, row, size
        if tool.differing:
            told = f"{tool.differing} texts were labelled more than once and differently: the first counts"
            found.notes.append(told)

    return each()


def _document(rows: Iterator[Row], first: object, source: str, layout: str = "", why: str = "") -> Document:
    """The rows as a document that is not divided."""
    found = Document({}, layout, why)
    found.parts[""] = _converted(rows, first, found, source)
    return found


def _value_position(text: str, start: int, key: str) -> int:
    """Position of the value of a top-level `key` of the object that begins at `start`."""
    decoder = json.JSONDecoder()
    position = start + 1
    while True:
        position = _skip(text, position, ", \t\r\n")
        name, position = decoder.raw_decode(text, position)
        position = _skip(text, position, ": \t\r\n")
        if name == key:
            return position
        _, position = decoder.raw_decode(text, position)


def _skip(text: str, position: int, signs: str) -> int:
    found = re.compile(f"[{signs}]*").match(text, position)
    return found.end() if found else position


def _objects_of_list(text: str, start: int, file: str) -> Iterator[Row]:
    def next_item(position: int, row: int) -> int:
        if position >= len(text):
            unclosed = json.JSONDecodeError("The list is never closed", text, len(text.rstrip()))
            raise _syntax(unclosed, file, row)
        return position if text[position] != "]" else len(text)

    def behind(end: int, row: int) -> int:
        position = _skip(text, end, " \t\r\n")
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1, " \t\r\n")
        elif text[position : position + 1] not in ("]", ""):
            raise _syntax(json.JSONDecodeError("Expecting ',' or ']'", text, position), file, row)
        return next_item(position, row)

    first = next_item(_skip(text, start + 1, " \t\r\n"), 0)
    for row, line, value, size in _values(text, first, file, behind):
        if not isinstance(value, dict):
            raise DataError(Problem(f"this is {kind(value)}, not an object", file, row=row, line=line), fix=_FIX_LIST)
        yield line, value, size


def rows_of_columns(columns: Json, file: str) -> Iterator[Json]:
    """Rows of {"column": [...]} or {"column": {"id": cell}}. Raises DataError for columns of different length."""
    ids = list(dict.fromkeys(key for cells in columns.values() if isinstance(cells, dict) for key in cells))
    lists = {
        name: [cells.get(key) for key in ids] if isinstance(cells, dict) else cells for name, cells in columns.items()
    }
    lengths = {name: len(cells) for name, cells in lists.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise DataError(Problem(f"the columns differ in length: {told}", file), fix=_FIX_LIST)
    for cells in zip(*lists.values(), strict=True):
        yield dict(zip(lists, cells, strict=True))


def _syntax(error: json.JSONDecodeError, file: str, row: int | None = None) -> DataError:
    if isinstance(error, TwiceIn):
        return DataError(Problem(error.msg, file, row=row, line=error.lineno), fix=_FIX_TWICE)
    message = f"not valid JSON: {error.msg} (character {error.colno} of the line)"
    fix = "Mend the file; `python -m json.tool FILE` shows the same place."
    return DataError(Problem(message, file, row=row, line=error.lineno), fix=fix)
