"""Workbooks (Excel, OpenDocument): which sheet, which row holds the names, and cells as texts."""

from __future__ import annotations

import datetime
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit
from tunesmith.data import delimited
from tunesmith.data.arrowfile import ArrowWriter
from tunesmith.data.header import find_layout
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.limits import MOST_UNPACKED, refuse_wide
from tunesmith.data.part import Hints, Part, released_on_failure
from tunesmith.data.percent import Places, as_percent, column_number, percent_cells
from tunesmith.data.textrows import finish_rows

WORKBOOK_SUFFIXES = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
_MOST_BYTES = 1 << 30  # unpacked
_SMALL = 64 << 20
_LOOKED_AT = 200
_MOST_CELLS = 20_000_000  # that a sheet reaches over, empty ones among them: under a gigabyte
_SPARSEST = 50
_MOST_MERGED = 100_000
_PLACE = re.compile(rb'<(?:\w+:)?c [^<>]{0,200}?\br="([A-Z]{1,8})(\d{1,12})"')
_ROW = re.compile(rb"(?=<table:table-row\b)")
_CELL = re.compile(rb"<table:table-cell\b[^<>]*\bvalue-type=[^<>]*>")
_SPACES = re.compile(rb'\btext:c="\d{6}')
_REPEATED, _ROWS = re.compile(rb'columns-repeated="(\d{1,12})"'), re.compile(rb'rows-repeated="(\d{1,12})"')

_FAULTS = (
    zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, KeyError, ValueError, RuntimeError,
)  # fmt: skip
"""What the libraries raise for a damaged file."""

Row = tuple[int, list[str]]


def read_workbook(path: Path, split: str, cache_dir: Path, emit: Emit, hints: Hints) -> list[Part]:
    """One sheet as a Part, or one each for sheets that are called train, validation and test.

    Raises DataError for a workbook that can not be read, and for a sheet that is not there or holds no rows.
    """
    book = Book(_open(path), path)
    with released_on_failure() as parts:
        for name, part in _chosen(book, emit, hints, split).items():
            with ArrowWriter(cache_dir) as writer:
                parts.append(_read_sheet(book, name, part, writer, emit, hints))
    return parts


@dataclass
class Book:
    """An open workbook; each sheet is taken apart once."""

    file: Any
    path: Path
    sheets: dict[str, Any] = field(default_factory=dict)
    percents: dict[str, Places] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the sheets that hold cells: others hold charts and macros, which can not be read."""
        from python_calamine import SheetTypeEnum

        return [str(one.name) for one in self.file.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]

    def sheet(self, name: str) -> Any:
        """Raises DataError where it is damaged."""
        if name not in self.sheets:
            with _readable(self.path, Exception):
                self.sheets[name] = self.file.get_sheet_by_name(name)
        return self.sheets[name]

    def percent(self, name: str) -> Places:
        """The cells of the sheet that are shown as percent. Raises DataError where the file is damaged."""
        if name not in self.percents:
            with _readable(self.path, *_FAULTS):
                self.percents[name] = percent_cells(self.path, name)
        return self.percents[name]


def _open(path: Path) -> Any:
    from python_calamine import CalamineError, PasswordError

    if not path.stat().st_size:
        raise DataError(Problem("the file is empty", str(path)), fix="Give one that has rows in it.")
    _refuse_bomb(path)
    with _readable(path, CalamineError, OSError, ValueError):
        try:
            return _by_name_or_content(path)
        except PasswordError as error:
            problem = Problem("the workbook is protected by a password", str(path))
            raise DataError(problem, fix="Save a copy without one.") from error


def _by_name_or_content(path: Path) -> Any:
    """The workbook, whose name may be that of another kind of workbook."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        return CalamineWorkbook.from_path(str(path))
    except CalamineError as error:
        try:
            with path.open("rb") as file:
                return CalamineWorkbook.from_filelike(file)
        except CalamineError:
            raise error from None


@contextmanager
def _readable(path: Path, *faults: type[Exception]) -> Iterator[None]:
    """Raises DataError for these faults, and for a panic of the library, which is no Exception."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, faults) and type(error).__name__ != "PanicException":
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = Problem(f"this is not a readable workbook ({reason})", str(path))
        fix = "Open it in Excel or LibreOffice and save it again, as .xlsx or as CSV (UTF-8)."
        raise DataError(problem, fix) from (error if isinstance(error, faults) else None)


def _refuse_bomb(path: Path) -> None:
    """Raises DataError for a file that unpacks to more than any table of texts."""
    if not zipfile.is_zipfile(path):
        return
    with _readable(path, *_FAULTS), zipfile.ZipFile(path) as packed:
        size = sum(one.file_size for one in packed.infolist())
        _refuse_sparse(packed, path)
    if size > _MOST_BYTES or (size > _SMALL and size > MOST_UNPACKED * path.stat().st_size):
        problem = Problem(f"the workbook unpacks to {size / 2**20:,.0f} MB, which is no table of texts", str(path))
        raise DataError(problem, fix="Save the sheet as CSV (UTF-8), and give that file.")


def _refuse_sparse(packed: zipfile.ZipFile, path: Path) -> None:
    """Raises DataError for a sheet with a cell so far off that all the empty ones before it would fill the memory:
    sheets are read as full tables."""
    for one in packed.infolist():
        excel = one.filename.startswith("xl/worksheets/") and one.filename.endswith(".xml")
        if not excel and one.filename != "content.xml":
            continue
        with packed.open(one) as sheet:
            width, height, cells = _reach(sheet) if excel else _reach_repeated(sheet)
        if width * height > max(_MOST_CELLS, _SPARSEST * cells):
            message = f"a sheet of {height:,} rows and {width:,} columns holds {cells:,} cells only"
            fix = "Delete the cells far off from the table, or save the sheet as CSV (UTF-8)."
            raise DataError(Problem(message, str(path)), fix)


def _reach(sheet: IO[bytes]) -> tuple[int, int, int]:
    """Rightmost column, lowest row and number of the cells in the XML of a sheet of Excel."""
    columns: set[bytes] = {b""}
    height = cells = 0
    for piece in _pieces(sheet):
        found = _PLACE.findall(piece)
        columns |= {letters for letters, _ in found}
        height = max(height, *(int(row) for _, row in found), 0)
        cells += len(found)
    return max(column_number(letters.decode()) + 1 for letters in columns), height, cells


def _reach_repeated(sheet: IO[bytes]) -> tuple[int, int, int]:
    """The same of OpenDocument, which says how often a row or a cell is repeated. A cell without a value that is
    repeated counts for nothing: the widths and heights of sheets end with such."""
    width = height = cells = 0
    for piece in _pieces(sheet):
        if _SPACES.search(piece):
            raise ValueError("a cell holds spaces without end")
        for row in _ROW.split(piece):
            filled = [int(found[1]) if (found := _REPEATED.search(cell)) else 1 for cell in _CELL.findall(row)]
            cells += len(filled)
            times = _ROWS.search(row)
            if filled:
                width = max(width, sum(filled))
                height += int(times[1]) if times else 1
    return width, height, cells


def _pieces(sheet: IO[bytes]) -> Iterator[bytes]:
    """What is in the file, some megabytes at a time, cut where a tag ends. No more than it may hold."""
    rest, size = b"", 0
    while size <= _MOST_BYTES and (chunk := sheet.read(1 << 22)):
        size += len(chunk)
        chunk = rest + chunk
        end = chunk.rfind(b"<")
        yield chunk[:end] if end > 0 else chunk
        rest = chunk[end:] if end > 0 and len(chunk) - end < 1 << 16 else b""
    yield rest


def _chosen(book: Book, emit: Emit, hints: Hints, split: str) -> dict[str, str]:
    """Names of the sheets to read, each with the part that it is."""
    names, asked, path = book.names, hints.options.sheet, book.path
    if asked is not None:
        match = next((name for name in names if name.casefold() == asked.casefold()), None)
        if match is None:
            problem = Problem(f"there is no sheet {asked!r}", str(path))
            raise DataError(problem, fix=f"Sheets: {', '.join(map(repr, names[:20]))}.")
        return {match: split}
    shown = {str(one.name) for one in book.file.sheets_metadata if str(one.visible).endswith(".Visible")}
    seen = [name for name in names if name in shown] or names
    heights = {name: int(book.sheet(name).height) for name in seen}
    filled = [name for name, height in heights.items() if height > 1]
    parts = {name: SPLIT_WORDS[name.lower()] for name in filled if name.lower() in SPLIT_WORDS}
    if "train" in parts.values() and len(set(parts.values())) == len(parts) > 1:
        emit(Decided("sheet", list(parts), f"{path.name}: sheets with these names"))
        return parts
    if not filled:
        raise DataError(Problem("no sheet of this workbook holds rows", str(path)), fix="Give one that has rows in it.")
    wanted = set(hints.names)
    heads = {name: itertools.islice(_rows(book, name), 20) for name in filled if wanted}
    named = [name for name in heads if any(wanted <= {cell.strip() for cell in row} for _, row in heads[name])]
    fitting = named or filled
    best = max(fitting, key=lambda name: heights[name])
    if len(names) > 1:
        others = ", ".join(f"{name!r} ({heights[name]} rows)" for name in filled if name != best) or "none with rows"
        why = "it has the columns asked for" if fitting != filled else f"it has the most rows ({heights[best]})"
        emit(Decided("sheet", best, f"{path.name}: {why}; others: {others}; --sheet names another"))
    return {best: split}


def _rows(book: Book, name: str) -> Iterator[Row]:
    """The rows that hold anything, with their numbers in the sheet; a cell merged over several rows is in each."""
    sheet = book.sheet(name)
    first, left = sheet.start or (0, 0)
    last = first + int(sheet.height)
    ranges = list(dict.fromkeys(getattr(sheet, "merged_cell_ranges", None) or []))
    if len(ranges) > _MOST_MERGED:
        problem = Problem(f"{len(ranges):,} groups of cells are merged", str(book.path))
        raise DataError(problem, fix="Save the sheet as CSV (UTF-8).")
    merged = {
        (row, top[1]): top for top, end in ranges
        if top[1] == end[1] for row in range(top[0] + 1, min(end[0], last) + 1)
    }  # fmt: skip
    values: dict[tuple[int, int], str] = {}
    starts = set(merged.values())
    percent = book.percent(name)
    for number, row in enumerate(sheet.iter_rows(), first):
        cells = [_text(cell) for cell in row]
        for column in percent.get(number, ()):
            cell = row[column - left] if 0 <= column - left < len(row) else None
            if isinstance(cell, int | float) and not isinstance(cell, bool):
                cells[column - left] = as_percent(cell)
        if merged:
            for column, cell in enumerate(cells):
                place = (number, column + left)
                if place in starts:
                    values[place] = cell
                elif place in merged and not cell:
                    cells[column] = values.get(merged[place], "")
        if any(cell.strip() for cell in cells):
            yield number + 1, cells


def _text(cell: object) -> str:
    """A cell as people see it: 5.0 is 5, dates are ISO. (0.39 shown as 39 % is told by its style, in `_rows`.)"""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    return "" if cell is None else str(cell)


def _read_sheet(book: Book, name: str, split: str, writer: ArrowWriter, emit: Emit, hints: Hints) -> Part:
    source = f"{book.path} ({name})" if len(book.names) > 1 else str(book.path)
    header_row = hints.options.header_row
    head = list(itertools.islice(_rows(book, name), max(_LOOKED_AT, header_row or 0)))
    refuse_wide(max((len(row) for _, row in head), default=0), book.path)
    width = max((place for _, row in head for place, cell in enumerate(row, 1) if cell.strip()), default=0)
    head = [(line, row[:width]) for line, row in head]
    layout = find_layout(head, source, expected=hints.names, header=hints.header, header_row=header_row)
    outcome = delimited.write_rows(_cut(_rows(book, name), width), layout, source, writer)
    if outcome.problems:
        raise DataError(outcome.problems, fix="Give every row of the sheet the columns of its header.")
    return finish_rows(layout, outcome, split, source, writer, emit)


def _cut(rows: Iterator[Row], width: int) -> Iterator[Row]:
    """The rows without blank cells to the right of the table."""
    for line, row in rows:
        yield line, row[:width] if not any(cell.strip() for cell in row[width:]) else row
