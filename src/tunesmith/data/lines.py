"""Rows that come line by line, through a pipe: each as soon as it is there."""

from __future__ import annotations

import csv
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.data.jsonkeys import DECODER, KeyTwice

FORMATS = ("text", "jsonl", "csv")
SOURCE = "standard input"


@dataclass(frozen=True)
class Row:
    """One row of the input: the line in which it begins (from 1), its cells (of 'text' none), and what is asked.

    delimiter: what stands between the cells of a table.
    """

    line: int
    cells: dict[str, Any]
    asked: Any
    delimiter: str = ","


def together(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Batches of the rows that have come: the next one is waited for, those behind it only as far as they are there."""
    waiting: queue.Queue[Any] = queue.Queue(2 * most)

    def fill() -> None:
        try:
            for row in rows:
                waiting.put(row)
            waiting.put(None)
        except Exception as error:
            waiting.put(error)

    threading.Thread(target=fill, daemon=True).start()  # it may wait for input for ever
    ended = False
    while not ended:
        batch = [waiting.get()]
        while isinstance(batch[-1], Row) and len(batch) < most and not waiting.empty():
            batch.append(waiting.get())
        last = batch[-1]
        ended = not isinstance(last, Row)
        if found := batch[:-1] if ended else batch:
            yield found
        if isinstance(last, BaseException):
            raise last


def rows_of(lines: Iterable[bytes], format: str, columns: tuple[str, ...] | None) -> Iterator[Row]:
    """The rows that stand in `lines` (UTF-8): a text a line (for pairs two with a tab between them), JSON objects, or a
    table of the columns that the model reads; `columns` None for one that reads rows of any format.

    Raises DataError naming the line, OptionError.
    """
    if format not in FORMATS:
        raise OptionError(f"--format {format}: expected one of {', '.join(FORMATS)}.")
    texts = _decoded(lines)
    if format == "csv":
        yield from _cells(texts, columns)
        return
    for number, text in enumerate(texts, 1):
        text = text.removesuffix("\n").removesuffix("\r")
        if format == "jsonl":
            if text.strip():
                cells = _object(text, number, columns)
                yield Row(number, cells, _asked(cells, columns, number))
        elif columns is not None and len(columns) == 2:
            pair = text.split("\t")
            if len(pair) != 2:
                raise _fault(number, "the model reads pairs: two texts with a tab between them", "Or --format jsonl.")
            yield Row(number, {}, tuple(pair))
        else:
            yield Row(number, {}, text)


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _fault(number, "not UTF-8", "Convert it, as by: iconv -f cp1252 -t utf-8") from None


def _object(text: str, number: int, columns: tuple[str, ...] | None) -> dict[str, object]:
    """A line of JSON: an object, or a text, which stands for the one column that is read."""
    try:
        value = DECODER.decode(text)
    except KeyTwice as error:
        raise _fault(number, str(error), "One value for each key.") from None
    except (ValueError, RecursionError) as error:
        raise _fault(number, f"not valid JSON: {error}", "One JSON object a line.") from None
    if isinstance(value, str) and (columns is None or len(columns) == 1):
        return {columns[0] if columns else "prompt": value}
    if not isinstance(value, dict):
        raise _fault(number, f"expected a JSON object, got {text[:60]}", "One JSON object a line.")
    return value


def _cells(texts: Iterator[str], columns: tuple[str, ...] | None) -> Iterator[Row]:
    """Rows of a table, whose delimiter is the one that gives its header the columns that are read."""
    header = next(texts, None)
    if header is None:
        return
    found = {sign: [name.strip() for name in next(csv.reader([header], delimiter=sign), [])] for sign in ",;\t|"}
    wanted = set(columns or ())
    chosen = max(found, key=lambda one: (len(wanted & set(found[one])), len(found[one])))
    names = found[chosen]
    reader = csv.reader(texts, delimiter=chosen)
    start = 2
    try:
        for values in reader:
            if values:
                cells: dict[str, Any] = dict(zip(names, values, strict=False))
                if len(values) != len(names):
                    raise _fault(start, f"{len(values)} cells, and the header has {len(names)}", "Quote the cells.")
                yield Row(start, cells, _asked(cells, columns, start), chosen)
            start = reader.line_num + 2
    except csv.Error as error:
        raise _fault(start, f"not valid CSV: {error}", "Quote cells that hold the delimiter.") from None


def _asked(cells: Mapping[str, object], columns: tuple[str, ...] | None, number: int) -> object:
    """The text, or the pair of texts, that the model reads of a row; of one that writes the row itself."""
    if columns is None:
        return cells
    for name in columns:
        if name not in cells:
            has = ", ".join(map(str, cells)) or "none"
            raise _fault(number, f"there is no column {name!r}; it has {has}", "Name it as in the training data.")
    texts = tuple("" if cells[name] is None else str(cells[name]) for name in columns)
    return texts if len(texts) == 2 else texts[0]


def _fault(line: int, message: str, fix: str) -> DataError:
    return DataError(Problem(message, SOURCE, line=line), fix)
