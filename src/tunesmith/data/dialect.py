"""How a delimited text file is written: delimiter, quoting, escapes. Looks, decides, gives the reason."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from tunesmith.data.header import find_header, is_usual_name, title_rows
from tunesmith.data.limits import MOST_COLUMNS, refuse_wide
from tunesmith.data.textfile import TextFile

DELIMITERS = (",", "\t", ";", "|")
NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space", "\x1f": "none (one column)"}
_NO_DELIMITER = "\x1f"
_SAMPLE_LINES = 1_000
_SAMPLE_CHARACTERS = 1 << 20
_SEP = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
_LOOKED_AT = 200

_QUOTE, _BACKSLASH, _DELIMITER, _BREAK = "\ufdd0\ufdd1\ufdd2\ufdd3"  # for what is escaped; no text holds them


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quoting of a file; `why` says how the delimiter was chosen. `spaced`: a space follows each
    delimiter and is no part of the cell. escape: 'always' for a backslash before quotation marks, backslashes and
    delimiters, 'inside' where one at the end of a cell is a backslash, None for none. continued: one at the end of a
    line makes the line break a part of the cell, as databases write it. `skip`: lines above the table."""

    delimiter: str
    quoting: bool = True
    escape: str | None = None
    why: str = ""
    spaced: bool = False
    skip: int = 0
    continued: bool = False

    def reader(self, lines: Iterable[str]) -> CellReader:
        """A csv reader; strict, so that broken quotes raise csv.Error and never merge rows silently."""
        return CellReader(lines, self)

    @property
    def name(self) -> str:
        return NAMES.get(self.delimiter, repr(self.delimiter))

    @cached_property
    def escapes(self) -> re.Pattern[str]:
        """What a backslash makes a part of the cell."""
        sign = re.escape(self.delimiter)
        end = f"(?!{sign}|[\r\n]|$)" if self.escape == "inside" else ""
        return re.compile(rf"\\(?:\"{end}|\\|{sign})")


def _goes_on(line: str) -> bool:
    """Whether the line ends with a backslash that no other one stands before."""
    end = line.rstrip("\r\n")
    return line != end and (len(end) - len(end.rstrip("\\"))) % 2 == 1


class BrokenRowError(csv.Error):
    """A row that the csv reader gives up on, and the line on which it begins."""

    def __init__(self, message: str, line: int):
        super().__init__(message)
        self.line = line


class CellReader:
    """csv.reader, in which a backslash before anything but a quotation mark, a backslash or the delimiter is a
    backslash: that of Python would drop it, and with it the paths of Windows."""

    def __init__(self, lines: Iterable[str], dialect: Dialect):
        self._dialect = dialect
        self._cells = {_QUOTE: '"', _BACKSLASH: "\\", _DELIMITER: dialect.delimiter, _BREAK: "\n"}
        self._joined = 0
        self._signs = {'\\"': _QUOTE, "\\\\": _BACKSLASH, f"\\{dialect.delimiter}": _DELIMITER}
        lines = self._whole(lines) if dialect.continued else lines
        lines = lines if dialect.escape is None else map(self._escaped, lines)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE
        self._reader = csv.reader(
            lines, delimiter=dialect.delimiter, quoting=quoting, skipinitialspace=dialect.spaced, strict=True
        )

    @property
    def line_num(self) -> int:
        return self._reader.line_num + self._joined

    def __iter__(self) -> Iterator[list[str]]:
        return self if self._dialect.escape else self._reader

    def __next__(self) -> list[str]:
        row = next(self._reader)
        if self._dialect.escape is None:
            return row
        return [self._plain(cell) if any(mark in cell for mark in self._cells) else cell for cell in row]

    def _whole(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines with those that they go on with behind a backslash."""
        begun = ""
        for line in lines:
            if _goes_on(line):
                begun += line.rstrip("\r\n")[:-1] + _BREAK
                self._joined += 1
                continue
            yield begun + line
            begun = ""
        if begun:
            self._joined -= 1
            yield begun

    def _escaped(self, line: str) -> str:
        return self._dialect.escapes.sub(lambda found: self._signs[found[0]], line) if "\\" in line else line

    def _plain(self, cell: str) -> str:
        for mark, sign in self._cells.items():
            cell = cell.replace(mark, sign)
        return cell


@dataclass(frozen=True)
class _Trial:
    """How the sample reads with a delimiter. share: of rows with the commonest number of cells, `width`; begins: the
    table begins with the first line, or below a title; named: whether its header has the names that are expected (2),
    or a usual one (1); doubtful: nearly all of them stand as commas do in sentences or in numbers."""

    delimiter: str
    share: float
    width: int
    rows: int
    begins: bool = False
    named: int = 0
    doubtful: bool = False


def sniff(file: TextFile, expected: Sequence[str] = (), asked: str | None = None) -> list[Dialect]:
    """The dialects under which the rows of the file agree on their number of cells, the best first.

    expected: names that the header must have; asked: the delimiter that the user names.
    """
    lines = _sample(file)
    skip = 0
    if lines and (told := _SEP.match(lines[0])):
        skip, lines = 1, lines[1:]
        asked = asked or told[1]
        why = "the first line, sep=, says so"
    elif asked:
        why = "as asked for"
    if asked:
        return [replace(_with_quoting(file, Dialect(asked, why=why), lines), skip=skip)]
    suffixes = [suffix.lower() for suffix in file.path.suffixes]
    if lines and (most := max(map(lines[0].count, DELIMITERS))) > 10 * MOST_COLUMNS:  # it takes long to try them all
        refuse_wide(most, file.path)
    preferred = "\t" if {".tsv", ".tab"} & {*suffixes} else "|" if ".psv" in suffixes else ","
    trials = [trial for sign in DELIMITERS if (trial := _trial(lines, sign, expected)).width > 1]
    trials.sort(key=lambda trial: _rank(trial, preferred), reverse=True)
    if trials:
        refuse_wide(trials[0].width, file.path)
    # sentences hold commas too: a first line without any is the header of one column, unless it is a title
    likely = [_with_quoting(file, Dialect(t.delimiter, why=_told(t)), lines) for t in trials if t.begins]
    return likely or [_one_column(lines)]


def _rank(trial: _Trial, preferred: str) -> tuple[object, ...]:
    whole = trial.share == 1.0 and trial.delimiter == preferred and not trial.doubtful
    return (trial.named, whole, trial.share - 0.5 * trial.doubtful, trial.delimiter == preferred, trial.width)


def _told(trial: _Trial) -> str:
    who = "all" if trial.share == 1.0 else f"{trial.share:.0%}" if trial.share < 0.995 else "nearly all"
    return f"{who} of the first {trial.rows} rows have {trial.width} cells"


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


def _rows(lines: list[str], dialect: Dialect) -> tuple[list[list[str]], bool]:
    """The rows that are not blank, and whether a quote broke them (other than by the end of the sample)."""
    rows: list[list[str]] = []
    reader = dialect.reader(lines)
    try:
        for row in reader:
            if any(row):
                rows.append(row)
    except csv.Error as error:
        return rows, "unexpected end" not in str(error)
    return rows, False


def _trial(lines: list[str], delimiter: str, expected: Sequence[str]) -> _Trial:
    rows, broken = _rows(lines, Dialect(delimiter))
    if any(map(_goes_on, lines)):
        ways = [Dialect(delimiter), Dialect(delimiter, escape="always", continued=True)]
        rows, broken = _rows(lines, max(ways, key=lambda way: _agreement(lines, way)))
    if broken or not rows:
        plain, _ = _rows(lines, Dialect(delimiter, quoting=False))
        rows = plain if delimiter == "\t" or not rows else rows
    widths = [len(row) for row in rows]
    if not widths:
        return _Trial(delimiter, 0.0, 0, 0)
    width, times = Counter(widths).most_common(1)[0]
    first = title_rows(list(enumerate(rows[:_LOOKED_AT])), expected)
    begins = len(rows[first]) > 1
    names = [cell.strip().removeprefix("\ufeff") for cell in rows[first]]
    usual = width > 1 and find_header(rows[first : first + 1]).present and any(map(is_usual_name, names))
    named = 2 if width > 1 and {*expected} & {*names} else int(usual)
    spaces = sum(cell.startswith(" ") and cell[1:2] != '"' for row in rows if len(row) == width for cell in row[1:])
    beside = (pair for row in rows if len(row) == width for pair in itertools.pairwise(row))
    numbers = sum(left[-1:].isdigit() and right[:1].isdigit() for left, right in beside)
    doubtful = max(spaces, numbers) >= 0.9 * max(1, times * (width - 1))
    return _Trial(delimiter, times / len(widths), width, len(widths), begins, named, doubtful)


def _one_column(lines: list[str]) -> Dialect:
    quoted = sum(line.startswith('"') for line in lines)
    rows, broken = _rows(lines, Dialect(","))
    if quoted and not broken and {len(row) for row in rows} == {1}:
        return Dialect(",", why="every row has one cell")
    return Dialect(_NO_DELIMITER, quoting=False, why="no delimiter cuts the rows into the same number of cells")


def _with_quoting(file: TextFile, dialect: Dialect, lines: list[str]) -> Dialect:
    if dialect.delimiter == "\t" and _quotes_are_text(file):
        return replace(dialect, quoting=False, why=f"{dialect.why}; quotation marks are part of the text")
    if _opens_behind_spaces(dialect, lines):
        spaced = replace(dialect, spaced=True, why=f"{dialect.why}; quotes stand behind a space")
        rows, broken = _rows(lines, spaced)
        if not broken and len({len(row) for row in rows}) == 1:
            return spaced
    goes_on = any(map(_goes_on, lines))
    if not goes_on and not any(sign in line for line in lines for sign in ('\\"', f"\\{dialect.delimiter}")):
        return dialect
    why = f"{dialect.why}; a backslash stands before quotation marks"
    ways = [dialect, *(replace(dialect, escape=how, why=why) for how in ("always", "inside"))]
    if goes_on:
        why = f"{dialect.why}; a backslash stands before line breaks inside of cells"
        ways.append(replace(dialect, escape="always", continued=True, why=why))
    return max(ways, key=lambda way: _agreement(lines, way))


def _agreement(lines: list[str], dialect: Dialect) -> tuple[bool, float, int]:
    """Whether no quote breaks the sample, share of rows with the commonest number of cells, rows up to the break."""
    rows, broken = _rows(lines, dialect)
    if len(lines) < _SAMPLE_LINES:  # the whole file: a quote that is open at its end never closes
        try:
            deque(dialect.reader(lines), maxlen=0)
        except csv.Error:
            broken = True
    times = Counter(map(len, rows)).most_common(1)
    share = times[0][1] / len(rows) if times else 0.0
    return not broken, 0.0 if broken else share, len(rows)


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


def first_rows(file: TextFile, dialect: Dialect, count: int = 200) -> list[tuple[int, list[str]]]:
    """Up to `count` rows that hold anything, each with the line on which it begins."""
    rows: list[tuple[int, list[str]]] = []
    with suppress(csv.Error), file.open() as stream:  # reported with its line when the whole file is read
        for line, row in numbered_rows(stream, dialect):
            if any(row):
                rows.append((line, [cell.replace("\0", "") for cell in row]))
            if len(rows) >= count:
                break
    return rows


def numbered_rows(stream: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """All rows with the lines on which they begin, blank ones too. Raises BrokenRowError."""
    for _ in range(dialect.skip):
        next(stream, None)
    reader = dialect.reader(stream)
    start = dialect.skip + 1
    try:
        for row in reader:
            yield start, row
            start = dialect.skip + reader.line_num + 1
    except csv.Error as error:
        raise BrokenRowError(str(error), start) from error
