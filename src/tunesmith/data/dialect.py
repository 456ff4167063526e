"""How a delimited text file is written: delimiter, quoting, header. Looks, decides, gives the reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data.limits import refuse_wide
from tunesmith.data.numbers import is_plain as is_number
from tunesmith.data.textfile import TextFile

DELIMITERS = (",", "\t", ";", "|")
NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", "\x1f": "none (one column)"}
_NO_DELIMITER = "\x1f"
_SAMPLE_LINES = 1_000
_SAMPLE_CHARACTERS = 1 << 20

# Words that are names of columns far more often than cells.
_HEADER_WORDS = frozenset((
    "id", "idx", "index", "text", "texts", "sentence", "sentence1", "sentence2", "sentence_1",
    "sentence_2", "text1", "text2", "text_a", "text_b", "premise", "hypothesis", "question",
    "question1", "question2", "answer", "query", "message", "body", "title", "subject", "description",
    "review", "comment", "content", "tweet", "utterance", "document", "abstract", "summary", "label",
    "labels", "category", "categories", "class", "target", "intent", "sentiment", "score", "rating",
    "stars", "emotion", "emotions", "topic", "tags", "date", "time", "timestamp", "created_at", "user",
    "user_id", "author", "url", "source", "split", "name", "type",
))  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quoting of a file; `why` says how the delimiter was chosen. `spaced`: a space follows each
    delimiter and is no part of the cell."""

    delimiter: str
    quoting: bool = True
    escape: str | None = None
    why: str = ""
    spaced: bool = False

    def reader(self, lines: Iterable[str]) -> Any:
        """A csv reader; strict, so that broken quotes raise csv.Error and never merge rows silently."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
            strict=True,
        )


@dataclass(frozen=True)
class Header:
    """Whether the first row holds names, and why we think so."""

    present: bool
    why: str


def sniff(file: TextFile) -> Dialect:
    """The dialect under which the rows of the file agree best on their number of cells."""
    lines = _sample(file)
    suffixes = [suffix.lower() for suffix in file.path.suffixes]
    preferred = "\t" if ".tsv" in suffixes or ".tab" in suffixes else ","
    trials = {delimiter: _agreement(lines, delimiter) for delimiter in DELIMITERS}
    share, width, rows = trials[preferred]
    if width > 1 and share == 1.0:
        best = preferred
    else:
        wide = [delimiter for delimiter in DELIMITERS if trials[delimiter][1] > 1]
        best = max(
            wide,
            key=lambda d: (round(trials[d][0], 2), d == preferred, trials[d][1]),
            default=_NO_DELIMITER,
        )
        # sentences hold commas too: a first line without any is the header of one column
        if best not in next((line for line in lines if line.strip()), ""):
            best = _NO_DELIMITER
    if best == _NO_DELIMITER:
        return _one_column(lines)
    share, width, rows = trials[best]
    refuse_wide(width, file.path)
    who = "all" if share == 1.0 else f"{share:.0%}"
    dialect = Dialect(best, why=f"{who} of the first {rows} rows have {width} cells")
    return _with_quoting(file, dialect, lines)


def find_header(rows: Sequence[Sequence[str]], expected: Iterable[str] = ()) -> Header:
    """Whether the first of these rows is a header. `expected` are names the user gave.

    A header is the norm: the answer is 'no' only on evidence.
    """
    first = [cell.strip() for cell in rows[0]]
    named = [name for name in expected if name in first]
    if named:
        return Header(True, f"the first row holds {named[0]!r}")
    rest = list(zip(*rows[1:], strict=False))
    for position, cells in enumerate(rest):
        filled = [cell for cell in cells if cell.strip()]
        numeric = sum(is_number(cell) for cell in filled)
        if filled and is_number(first[position]) and numeric > 0.5 * len(filled):
            return Header(False, f"the first row holds the number {first[position]!r} among numbers")
    known = [cell for cell in first if cell.lower().replace(" ", "_") in _HEADER_WORDS]
    if known:
        return Header(True, f"the first row holds {known[0]!r}, a usual column name")
    for position, cells in enumerate(rest):
        times = sum(cell.strip() == first[position] for cell in cells)
        if first[position] and times >= 2 and len(set(cells)) <= 0.5 * len(cells):
            return Header(False, f"{first[position]!r} of the first row comes {times} times more below it")
    for cell in first:
        words = cell.split()
        if len(words) >= 4 and (cell[-1] in ".!?…" or len(words) >= 8):
            return Header(False, f"the first row holds a whole sentence: {cell[:60]!r}")
    return Header(True, "nothing in the first row looks like data")


def _sample(file: TextFile) -> list[str]:
    lines: list[str] = []
    size = 0
    with file.open() as stream:
        for line in stream:
            size += len(line)
            if len(lines) >= _SAMPLE_LINES or (size > _SAMPLE_CHARACTERS and lines):
                break
            lines.append(line.replace("\0", ""))
    return lines


def _widths(lines: list[str], dialect: Dialect) -> tuple[list[int], bool]:
    """Number of cells of each row, and whether a quote broke it (other than by the end of the sample)."""
    widths: list[int] = []
    reader = dialect.reader(lines)
    try:
        for row in reader:
            if row:
                widths.append(len(row))
    except csv.Error as error:
        return widths, "unexpected end" not in str(error)
    return widths, False


def _agreement(lines: list[str], delimiter: str) -> tuple[float, int, int]:
    """Share of rows that have the commonest number of cells, that number, and the rows seen."""
    widths, broken = _widths(lines, Dialect(delimiter))
    if broken or not widths:
        plain, _ = _widths(lines, Dialect(delimiter, quoting=False))
        widths = plain if delimiter == "\t" or not widths else widths
    if not widths:
        return 0.0, 0, 0
    width, times = Counter(widths).most_common(1)[0]
    return times / len(widths), width, len(widths)


def _one_column(lines: list[str]) -> Dialect:
    quoted = sum(line.startswith('"') for line in lines)
    widths, broken = _widths(lines, Dialect(","))
    if quoted and not broken and set(widths) == {1}:
        return Dialect(",", why="every row has one cell")
    return Dialect(_NO_DELIMITER, quoting=False, why="no delimiter cuts the rows into the same number of cells")


def _with_quoting(file: TextFile, dialect: Dialect, lines: list[str]) -> Dialect:
    if dialect.delimiter == "\t" and _quotes_are_text(file):
        why = f"{dialect.why}; quotation marks are part of the text"
        return Dialect("\t", quoting=False, why=why)
    if _opens_behind_spaces(dialect, lines):
        spaced = replace(dialect, spaced=True, why=f"{dialect.why}; quotes stand behind a space")
        widths, broken = _widths(lines, spaced)
        if not broken and len(set(widths)) == 1:
            return spaced
    if any('\\"' in line for line in lines):
        escaped = Dialect(dialect.delimiter, escape="\\", why=f'{dialect.why}; quotes are written as \\"')
        if _widths(lines, dialect)[1] and not _widths(lines, escaped)[1]:
            return escaped
    return dialect


def _opens_behind_spaces(dialect: Dialect, lines: list[str]) -> bool:
    """Whether most rows have a cell that begins with a space and a quotation mark."""
    rows = opened = 0
    if not any(' "' in line for line in lines):
        return False
    with suppress(csv.Error):
        for row in dialect.reader(lines):
            rows += 1
            opened += any(cell.startswith(' "') for cell in row)
    return opened > 0.5 * rows


def _quotes_are_text(file: TextFile) -> bool:
    """Tab-separated files often do not quote: true if lines split evenly and some quote never closes."""
    width: int | None = None
    stray = False
    with file.open() as stream:
        for line in stream:
            cells = line.rstrip("\r\n").split("\t")
            if cells == [""]:
                continue
            width = width or len(cells)
            if len(cells) != width:
                return False
            stray = stray or ('"' in line and any(_is_stray(cell) for cell in cells))
    return stray


def _is_stray(cell: str) -> bool:
    if not cell.startswith('"'):
        return False
    return len(cell) < 2 or not cell.endswith('"') or '"' in cell[1:-1].replace('""', "")


def numbered(width: int) -> list[str]:
    """The column names of a file without a header: column_1, column_2, ..."""
    return [f"column_{position}" for position in range(1, width + 1)]


def first_rows(file: TextFile, dialect: Dialect, count: int = 200) -> list[list[str]]:
    """Up to `count` rows that have the width of the first, for looking at the header."""
    rows: list[list[str]] = []
    try:
        with file.open() as stream:
            for row in _filled(dialect.reader(_without_nul(stream))):
                if not rows or len(row) == len(rows[0]):
                    rows.append(row)
                if len(rows) >= count:
                    break
    except csv.Error:
        pass  # reported with its line when the whole file is read
    return rows


def _filled(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    return (row for row in rows if any(row))


def _without_nul(stream: Iterable[str]) -> Iterator[str]:
    return (line.replace("\0", "") for line in stream)
