"""Files in columns, a word a line, as CoNLL's tasks have them: the word first, its tag last, an empty line behind each
sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit
from tunesmith.data.arrowfile import BATCH_ROWS
from tunesmith.data.tags import OUTSIDE, is_tag
from tunesmith.data.textfile import read_text
from tunesmith.data.types import ReadOptions

SUFFIXES = frozenset({".conll", ".conll03", ".conll2003", ".bio", ".iob", ".iob2", ".bioes", ".bilou"})
_PERHAPS = frozenset({".txt", ".tsv", ".data", ".dat", ".annotated"})
_DOCUMENT = "-DOCSTART-"
_HEAD = 64 * 1024
_MOST_PROBLEMS = 1_000


def is_conll(path: Path) -> bool:
    """By its suffix, or of files that may be anything by their first lines: all end with a tag, and some are empty."""
    suffix = path.suffix.lower()
    if suffix not in _PERHAPS:
        return suffix in SUFFIXES
    with path.open("rb") as file:
        head = file.read(_HEAD)
    lines = head.decode("latin-1").splitlines()
    lines = lines[:-1] if len(head) == _HEAD else lines
    cells = [line.split() for line in lines if line.strip() and _DOCUMENT not in line and not line.startswith("# ")]
    last = {row[-1] for row in cells if len(row) > 1}
    return (
        len(cells) < len(lines) and all(len(row) > 1 for row in cells)
        and last > {OUTSIDE} and all(map(is_tag, last))
    )  # fmt: skip


def read(path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
    """A row a sentence: 'tokens' and, where lines have more than a word, 'tags'. Raises DataError with every line that
    has another number of columns than the others."""
    lines = read_text(path, options).split("\n")
    tabs = sum("\t" in line for line in lines) > sum(" " in line.strip() and "\t" not in line for line in lines)
    rows = [_cells(line, tabs) for line in lines]
    widths = Counter(len(cells) for line, cells in zip(lines, rows, strict=True) if cells and _DOCUMENT not in line)
    if not widths:
        raise DataError(Problem("the file holds no words", str(path)))
    width = widths.most_common(1)[0][0]
    word = 1 if width > 2 and _numbered(rows) else 0
    comments, problems = 0, []
    found: list[tuple[list[str], list[str]]] = []
    words: list[str] = []
    tags: list[str] = []
    for number, (line, cells) in enumerate(zip([*lines, ""], [*rows, []], strict=True), 1):
        if not cells or cells[0] == _DOCUMENT:
            if words:
                found.append((words, tags))
            words, tags = [], []
        elif line.startswith("#") and not words and (len(cells) != width or (line[1:2] == " " and not tabs)):
            comments += 1
        elif len(cells) != width:
            what = f"{len(cells)} column{'s' * (len(cells) > 1)}, where the other lines have {width}"
            problems.append(Problem(what, str(path), line=number))
        else:
            words.append(cells[word])
            tags.append(cells[-1])
    if problems:
        raise DataError(problems[:_MOST_PROBLEMS], fix="Write a word and its tag into each line, between them a tab.")
    told = f"a word a line, {width} columns: the word in column {word + 1}"
    told += f", its tag in column {width}" if width > 1 else ", no tags"
    emit(Decided("layout", "columns", told + (f"; {comments} comments are left out" if comments else "")))
    for start in range(0, max(1, len(found)), BATCH_ROWS):
        some = found[start : start + BATCH_ROWS]
        columns = {"tokens": pa.array([row[0] for row in some], pa.list_(pa.string()))}
        if width > 1:
            columns["tags"] = pa.array([row[1] for row in some], pa.list_(pa.string()))
        yield pa.table(columns)


def _cells(line: str, tabs: bool) -> list[str]:
    if not line.strip():
        return []
    return [cell.strip() for cell in line.rstrip("\t ").split("\t")] if tabs and "\t" in line else line.split()


def _numbered(rows: list[list[str]]) -> bool:
    """Whether the first column numbers the words of a sentence."""
    first = [cells[0] for cells in rows if cells]
    return first[:2] == ["1", "2"] and all(re.fullmatch(r"\d+([-.]\d+)?", cell) for cell in first[:1000])
