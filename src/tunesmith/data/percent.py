"""Which cells of a workbook are shown as percent: the file holds 0.39 and a style, people see 39 %. Knows the XML of
Excel (.xlsx, .xlsm) and OpenDocument; .xls and .xlsb keep their styles where they are not read."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from xml.parsers import expat

Places = Mapping[int, frozenset[int]]
"""Row of the sheet -> its columns, both from 0."""

_BUILT_IN = frozenset({9, 10})  # 0% and 0.00%
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.')  # signs of a format that stand beside the number and do not scale it
_LETTERS = re.compile(r"[A-Z]+")
Attributes = dict[str, str]


def percent_cells(path: Path, sheet: str) -> Places:
    """The cells of the sheet that are shown as percent; none for a workbook whose styles can not be read.

    Raises BadZipFile or ExpatError for a damaged file, and ValueError for one that declares entities.
    """
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as packed:
        names = set(packed.namelist())
        if "content.xml" in names:
            with packed.open("content.xml") as content:
                if not _holds(content, b'value-type="percentage"'):
                    return {}
            with packed.open("content.xml") as content:
                return _of_opendocument(content, sheet)
        file = _file_of(packed, sheet) if {"xl/styles.xml", "xl/workbook.xml"} <= names else ""
        styles = _styles(packed) if file in names else frozenset()
        if not styles:
            return {}
        with packed.open(file) as content:
            return _of_excel(content, styles)


def as_percent(value: float) -> str:
    """0.39 as '39 %'."""
    return f"{value * 100:.15g} %"


def _holds(content: IO[bytes], word: bytes) -> bool:
    rest = b""
    while chunk := content.read(1 << 20):
        if word in rest + chunk:
            return True
        rest = chunk[-len(word) :]
    return False


def _walk(content: IO[bytes], begin: Callable[[str, Attributes], None], end: Callable[[str], None]) -> None:
    """Calls with each tag (without its namespace) that begins or ends."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, given: begin(tag.rpartition(":")[2], given)
    parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities, as no workbook does")

    parser.EntityDeclHandler = refuse
    parser.ParseFile(content)


def _styles(packed: zipfile.ZipFile) -> frozenset[int]:
    """Numbers of the cell styles of Excel whose format scales by a hundred."""
    formats = set(_BUILT_IN)
    found: list[int] = []
    inside: list[str] = []  # the tags that are open

    def end(tag: str) -> None:
        inside.pop()

    def begin(tag: str, given: Attributes) -> None:
        if tag == "numFmt" and "%" in _LITERAL.sub("", given.get("formatCode", "")):
            formats.add(int(given["numFmtId"]))
        elif tag == "xf" and inside[-1:] == ["cellXfs"]:
            found.append(int(given.get("numFmtId", 0)))
        inside.append(tag)

    with packed.open("xl/styles.xml") as content:
        _walk(content, begin, end)
    return frozenset(number for number, kind in enumerate(found) if kind in formats)


def _file_of(packed: zipfile.ZipFile, sheet: str) -> str:
    """The file in the archive that holds this sheet; '' where it is not said."""
    ids: dict[str, str] = {}
    files: dict[str, str] = {}

    def sheet_id(tag: str, given: Attributes) -> None:
        if tag == "sheet" and given.get("name") == sheet:
            ids[sheet] = next((value for name, value in given.items() if name.endswith(":id")), "")

    def target(tag: str, given: Attributes) -> None:
        if tag == "Relationship":
            files[given.get("Id", "")] = given.get("Target", "")

    for name, begin in (("xl/workbook.xml", sheet_id), ("xl/_rels/workbook.xml.rels", target)):
        with packed.open(name) as content:
            _walk(content, begin, lambda tag: None)
    return posixpath.normpath(posixpath.join("/xl", files.get(ids.get(sheet, ""), "")))[1:]


def _of_excel(content: IO[bytes], styles: frozenset[int]) -> Places:
    found: dict[int, frozenset[int]] = {}
    alike: dict[frozenset[int], frozenset[int]] = {}
    row, column, columns = -1, -1, set[int]()

    def begin(tag: str, given: Attributes) -> None:
        nonlocal row, column
        if tag == "row":
            row, column = int(given.get("r", row + 2)) - 1, -1
            columns.clear()
        elif tag == "c":
            letters = _LETTERS.match(given.get("r", ""))
            column = column_number(letters[0]) if letters else column + 1
            if int(given.get("s", 0)) in styles:
                columns.add(column)

    def end(tag: str) -> None:
        if tag == "row" and columns:
            found[row] = alike.setdefault(frozenset(columns), frozenset(columns))

    _walk(content, begin, end)
    return found


def column_number(letters: str) -> int:
    """From 0: 'A' is 0, 'AB' is 27."""
    place = 0
    for letter in letters:
        place = 26 * place + ord(letter) - 64
    return place - 1


def _of_opendocument(content: IO[bytes], sheet: str) -> Places:
    found: dict[int, frozenset[int]] = {}
    inside, row, column, times, columns = False, 0, 0, 1, set[int]()

    def begin(tag: str, given: Attributes) -> None:
        nonlocal inside, row, column, times
        if tag == "table":
            inside, row = given.get("table:name") == sheet, 0
        elif tag == "table-row":
            column, times = 0, int(given.get("table:number-rows-repeated", 1))
            columns.clear()
        elif tag in ("table-cell", "covered-table-cell"):
            wide = int(given.get("table:number-columns-repeated", 1))
            if inside and given.get("office:value-type") == "percentage":
                columns.update(range(column, column + wide))
            column += wide

    def end(tag: str) -> None:
        nonlocal row
        if tag == "table-row":
            if inside and columns:
                found.update(dict.fromkeys(range(row, row + times), frozenset(columns)))
            row += times

    _walk(content, begin, end)
    return found
