"""How much a file may hold: counted while it is read, so that no file, however small on disk, fills the memory or
never ends. Knows nothing of encodings or rows."""

from __future__ import annotations

import gzip
import io
import os
import stat
from pathlib import Path
from typing import IO, BinaryIO, cast

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.files import open_regular

LONGEST_LINE = 64 << 20
"""Bytes of one line. A cell may hold 10 MB; what is far longer is no row."""
LONGEST_DOCUMENT = 512 << 20
"""Bytes of a JSON document that is written as one line."""
MOST_COLUMNS = 10_000
MOST_UNPACKED = 200
"""How many times its packed size a file may hold. Text packs to a tenth, a log perhaps to a fiftieth."""
_SMALL = 64 << 20  # bytes that no ratio is asked of
_BUFFER = 1 << 18


def open_counted(path: Path, packed: bool) -> BinaryIO:
    """The bytes of a file, unpacked where it is gz. Reading raises DataError beyond the limits, and for no file."""
    refuse_special(path)
    source = open_regular(path)
    size = os.fstat(source.fileno()).st_size
    content = cast(IO[bytes], gzip.GzipFile(fileobj=source)) if packed else source
    return io.BufferedReader(_Counted(path, content, source, size if packed else None), _BUFFER)


def refuse_special(path: Path) -> None:
    """Raises DataError for a pipe, device or socket, which may never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        problem = Problem("this is a pipe, a device or a socket, and no file", str(path))
        raise DataError(problem, fix="Write what comes from there to a file first, and give that file.")


def refuse_wide(columns: int, path: Path | str) -> None:
    """Raises DataError for more columns than any table of texts has."""
    if columns > MOST_COLUMNS:
        message = f"a row has {columns:,} cells; at most {MOST_COLUMNS:,} columns are read"
        fix = "Give a file with the columns of text and labels only (`cut`, or a few lines of pandas)."
        raise DataError(Problem(message, str(path), line=1), fix)


class _Counted(io.RawIOBase):
    def __init__(self, path: Path, content: IO[bytes], source: IO[bytes], packed: int | None):
        self._path, self._content, self._source, self._packed = path, content, source, packed
        suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
        self._longest = LONGEST_DOCUMENT if ".json" in suffixes else LONGEST_LINE
        self._line, self._of_line, self._size = 1, 0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._content.read(len(buffer))
        self._count(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _count(self, chunk: bytes) -> None:
        self._size += len(chunk)
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._of_line = len(chunk) - end - 1 if end >= 0 else self._of_line + len(chunk)
        self._line += chunk.count(b"\n")
        if self._of_line > self._longest:
            message = f"this line holds more than {self._longest >> 20:,} MB"
            fix = "Write one row a line (CSV or JSONL), and shorten what is far too long for a model to read."
            raise DataError(Problem(message, str(self._path), line=self._line), fix)
        if self._packed is not None and self._size > max(_SMALL, MOST_UNPACKED * self._packed):
            message = f"it unpacks to more than {MOST_UNPACKED} times its size, as a trap would"
            fix = "If you trust it, unpack it yourself (gunzip) and give the file that comes out."
            raise DataError(Problem(message, str(self._path)), fix)

    def close(self) -> None:
        if not self.closed:
            self._content.close()
            self._source.close()
        super().close()
