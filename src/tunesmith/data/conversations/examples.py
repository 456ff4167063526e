"""The examples of one source: a list that lives on disk, and where each came from."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import Problem
from tunesmith.core.files import unnamed_file
from tunesmith.data.conversations.formats import Form, Format
from tunesmith.data.conversations.shape import Example
from tunesmith.data.ledger import Ledger


class Rows(Sequence[Example]):
    """Examples as JSON in a nameless file that is mapped into memory; each is parsed when it is asked for."""

    def __init__(self, data: mmap.mmap | bytes, ends: npt.NDArray[np.int64]):
        self._data = data
        self._ends = ends

    def __len__(self) -> int:
        return int(self._ends.size)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]  # IndexError, and counting from the end
        start = int(self._ends[number - 1]) if number else 0
        example: Example = json.loads(self._data[start : int(self._ends[number])].decode("utf-8", "surrogatepass"))
        return example


class RowWriter:
    """Collects examples into `Rows`."""

    def __init__(self, folder: Path | None = None):
        self._file = unnamed_file(folder)
        self._ends: list[int] = []
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, example: Example) -> None:
        record = json.dumps(example, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._file.write(record)
        self._hash.update(record + b"\n")
        self._size += len(record)
        self._ends.append(self._size)

    def finish(self) -> tuple[Rows, str]:
        """The rows, and the sha256 of their content."""
        ends = np.asarray(self._ends, dtype=np.int64)
        with self._file as file:
            file.flush()
            # the map keeps the file alive after it is closed
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._size else b""
        return Rows(data, ends), self._hash.hexdigest()


@dataclass
class Examples:
    """All examples of one source, in internal form, in their order.

    **Usage**:
    examples = read_examples("chats.jsonl", emit=ignore)
    examples[0]["messages"]; len(examples); examples.form        # 'chat'

    detected: the format and its columns. fingerprint: sha256 of the content. ledger: what became of each
    input row; `example["row"] - 1` is its id there. problems: rows that could not be understood (only with
    `check=False`). lines: the line of the file on which each input row starts, where files have lines.
    starts, parts: the id of the first row of each file, and whether it is for 'train', 'validation' or 'test'.
    ids: the input row of each example, from 0. groups: the group of each example, where one was asked for.
    """

    rows: Sequence[Example]
    detected: Format
    files: list[str]
    fingerprint: str
    ledger: Ledger
    problems: list[Problem] = field(default_factory=list)
    lines: npt.NDArray[np.int64] | None = None
    starts: list[int] = field(default_factory=lambda: [0])
    parts: list[str] = field(default_factory=lambda: ["train"])
    ids: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    groups: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Example:
        return self.rows[place]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.rows)

    @property
    def form(self) -> Form:
        return self.detected.form

    @property
    def format(self) -> str:
        return self.detected.name

    def problem(self, row: int, message: str) -> Problem:
        """A Problem that names the place of input row `row` (from 1): file, row in it, line."""
        return place(self.files, self.starts, self.lines, row - 1, message)


def in_order(problems: Sequence[Problem], files: Sequence[str]) -> list[Problem]:
    """The problems by file and row."""
    numbers = {name: number for number, name in enumerate(files)}
    return sorted(problems, key=lambda problem: (numbers[str(problem.file)], problem.row or 0))


def place(
    files: Sequence[str],
    starts: Sequence[int],
    lines: Sequence[int] | npt.NDArray[np.int64] | None,
    row: int,
    message: str,
) -> Problem:
    """The Problem of input row `row` (from 0, over all files)."""
    number = int(np.searchsorted(starts, row, side="right")) - 1
    line = int(lines[row]) if lines is not None else None
    return Problem(message, files[number], row=row - starts[number] + 1, line=line or None)
