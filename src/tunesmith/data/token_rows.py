"""Tables with a word a row: the rows of a sentence become one, with lists of words and tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError
from tunesmith.data.part import Part
from tunesmith.data.profile import simple
from tunesmith.data.tags import OUTSIDE, WORD_NAMES, is_tag

_SENTENCE_NAMES = ("sentence", "sentenceid", "sentid", "sent", "sentencenumber", "sentenceidx", "sentenceno",
                   "docid", "documentid", "textid", "exampleid", "sid")  # fmt: skip
_LOOKED_AT = 2_000
_SHOWN = 1_000


def group(part: Part, *, asked: bool) -> None:
    """Make a row of each sentence of a part with a word a row.

    asked: whether nothing else than words can be meant, so that a number of sentences is enough to tell. A sentence
    ends where its number changes (an empty cell goes on with the one above), or behind an empty row or line.
    """
    table, lines = part.table, part.lines
    names = table.column_names
    texts = [name for name in names if pa.types.is_string(table.schema.field(name).type)]
    words = _words(table, texts)
    tags = next((name for name in texts if name != words and _holds_tags(table, name)), None)
    number = next((name for name in names if name != words and simple(name).replace("#", "").strip("_ ")
                   .replace("_", "").replace(" ", "") in _SENTENCE_NAMES), None)  # fmt: skip
    if words is None or (tags is None and not (asked and number)):
        return
    blank = np.array([not str(cell or "").strip() for cell in table.column(words).to_pylist()])
    borders = _borders(lines, None if number is None else table.column(number).to_pylist(), blank)
    if borders is None:
        return
    if number is not None and tags is not None:
        cells = table.column(tags).to_pylist()
        bare = [int(row) for row in np.flatnonzero(blank) if str(cells[row] or "").strip()]
        if bare:
            problems = [part.problem(row, f"a tag ({cells[row]}) without a word", words) for row in bare[:_SHOWN]]
            raise DataError(problems, "Write a word and its tag into each row, or remove these rows.")
    kept = np.flatnonzero(~blank)
    starts = np.flatnonzero(np.diff(borders[kept], prepend=-1))
    ends = np.append(starts[1:], len(kept))
    columns = {
        name: pa.array([cells[start:end] for start, end in zip(starts, ends, strict=True)])
        for name in names if name != number
        for cells in [[_cell(cell) for cell in table.column(name).take(pa.array(kept)).to_pylist()]]
    }  # fmt: skip
    how = f"by {number!r}" if number is not None else "by empty rows"
    part.notes.append(f"a word a row: {len(kept):,} words in {len(starts):,} sentences, told apart {how}")
    part.keep_rows(pa.table(columns), kept[starts])


def _cell(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _words(table: pa.Table, texts: Sequence[str]) -> str | None:
    """The column that is called like one of words, and holds one in each cell."""
    named = [name for name in texts if simple(name) in WORD_NAMES]
    for name in named:
        if name in texts:
            cells = [str(cell).strip() for cell in table.column(name).slice(0, _LOOKED_AT).to_pylist() if cell]
            if cells and sum(len(cell.split()) <= 1 for cell in cells) >= 0.99 * len(cells):
                return name
    return None


def _holds_tags(table: pa.Table, name: str) -> bool:
    cells = {str(cell).strip() for cell in table.column(name).slice(0, _LOOKED_AT).to_pylist() if cell} - {""}
    return cells > {OUTSIDE} and all(map(is_tag, cells))


def _borders(
    lines: npt.NDArray[np.int64] | None, numbers: list[object] | None, blank: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64] | None:
    """The sentence of each row, ascending; None where nothing says where one ends."""
    if numbers is not None:
        changes, last = np.zeros(len(blank), dtype=bool), None
        for row, cell in enumerate(numbers):
            if cell is not None and str(cell).strip() and cell == cell and cell != last:
                changes[row], last = True, cell
        return np.cumsum(changes)
    gaps = np.zeros(len(blank), dtype=bool)
    gaps[1:] = blank[:-1]
    if lines is not None:
        gaps[1:] |= np.diff(lines) > 1
    return np.cumsum(gaps) if gaps.any() else None
