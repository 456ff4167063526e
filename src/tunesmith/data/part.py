"""The rows of one input as a table on disk, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.data.arrowfile import ArrowWriter, remove
from tunesmith.data.modality import DataModality
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.texts import TextData
from tunesmith.data.types import ReadOptions

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class LeftOut:
    """A row of a file that is no row of data: the line on which it starts, and why."""

    line: int
    reason: str


@dataclass
class Part:
    """The rows of one input, all columns as they are, in a memory-mapped table.

    lines: the file line on which each row starts (text formats); row_files: the file of each row (a
    folder of text files); header: False if the columns are only numbered; left_out: rows of the file that
    are not in the table; repaired: rows (from 0) with bytes that were not of the encoding.
    """

    split: str
    name: str
    table: pa.Table
    path: Path
    lines: npt.NDArray[np.int64] | None = None
    row_files: Sequence[str] | None = None
    header: bool = True
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    repaired: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    folder: Path = Path()
    """Where relative paths in its cells begin."""
    labelled: bool = False
    """Whether its targets are labels whatever they look like: names of folders."""
    corpus: Path | None = None
    """A file of further documents among which those of its queries are looked for."""
    made_of: npt.NDArray[np.int64] | None = None
    """The row (from 0) of the input that each row was made of, where one became several; the others are of the input
    then."""

    def __post_init__(self) -> None:
        self.rows: int = self.table.num_rows

    def release(self) -> None:
        """Drop the table and its file; where the rows came from is still known."""
        self.table = pa.table({name: [] for name in self.table.column_names})
        remove(self.path)

    def keep_rows(self, table: pa.Table, firsts: npt.NDArray[np.int64]) -> None:
        """Put a table in the place of its own, each row of which begins at one of `firsts` of its rows."""
        writer = ArrowWriter(self.path.parent)
        writer.write(table)
        remove(self.path)
        self.table, self.path, self.rows = writer.finish(), writer.path, writer.rows
        self.lines = None if self.lines is None else self.lines[firsts]
        self.repaired = np.zeros(0, dtype=np.int64)

    def location(self, row: int) -> dict[str, Any]:
        """Where the row (from 0) came from: file, data row from 1, line from 1 or None."""
        if row >= self.rows:
            return {"file": self.name, "row": None, "line": self.left_out[row - self.rows].line}
        row = self.origin(row)
        if self.row_files is not None:
            return {"file": self.row_files[row], "row": 1, "line": None}
        line = int(self.lines[row]) if self.lines is not None else None
        return {"file": self.name, "row": row + 1, "line": line}

    def origin(self, row: int) -> int:
        """The row of the input (from 0)."""
        return row if self.made_of is None else int(self.made_of[row])

    def problem(self, row: int, message: str, column: str | None = None) -> Problem:
        """A Problem that names the place of the row (from 0)."""
        return Problem(message, column=column, **self.location(row))


@contextmanager
def released_on_failure() -> Iterator[list[Part]]:
    """A list for parts that are read one after another; where one fails, the files of the others go."""
    parts: list[Part] = []
    try:
        yield parts
    except BaseException:
        for part in parts:
            part.release()
        raise


@dataclass(frozen=True)
class Hints:
    """What the caller knows of a table: names that prove a header, whether there is one, how it is to be read."""

    names: tuple[str, ...] = ()
    header: bool | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    modalities: tuple[DataModality, ...] = (TextData(),)
    """What its files may hold, where each is one input."""
    kinds: tuple[TargetKind, ...] = ()
    """Kinds of target that may be written in several columns (`TargetKind.gather`), which are called `target`."""
    target: tuple[str, ...] = ()
    sure: bool = False
    """Whether the target can be nothing else."""

    def gathered(self, table: pa.Table) -> pa.Table:
        for kind in self.kinds:
            table = kind.gather(table, self.target, self.sure)
        return table

    arranged_by: tuple[DataModality, ...] = ()
    """What its rows may be made of."""


def is_frame(value: object) -> TypeGuard[pandas.DataFrame]:
    """Whether it is a DataFrame, by what it can do: there are others than those of pandas."""
    return hasattr(value, "iloc") and hasattr(value, "columns")


def rows_of_lines(starts: npt.NDArray[np.int64], lines: Sequence[int]) -> npt.NDArray[np.int64]:
    """The rows (from 0) that the lines belong to, by the lines on which rows start."""
    rows = np.unique(np.searchsorted(starts, np.asarray(lines, dtype=np.int64), side="right") - 1)
    return rows[rows >= 0].astype(np.int64)
