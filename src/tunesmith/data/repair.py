"""Lines of bytes, and those that are not UTF-8 rewritten so that they are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

WESTERN = ("cp1252", "cp1250")
_HIGH = bytes(range(0x80, 0x100))


class Repaired(io.RawIOBase):
    """A binary file that should be UTF-8, its other bytes rewritten line by line."""

    def __init__(self, file: BinaryIO, other: str | None):
        self._file, self._other, self._rest = file, other, memoryview(b"")
        self._lines = lines(file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            line = next(self._lines, None)
            if line is None:
                return 0
            self._rest = memoryview(_repaired(line, self._other))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends: \\n, \\r\\n, or a lone \\r."""
    for line in file:
        if line.find(b"\r", 0, -2) >= 0:
            yield from line.splitlines(keepends=True)
        else:
            yield line


def _repaired(line: bytes, other: str | None) -> bytes:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        if other is None:
            return line.decode("utf-8", "replace").encode()
        if mostly_bad(line):
            return line.decode(other, "replace").encode()
        return _in_places(line, other if other in WESTERN else "ascii").encode()  # only what is not UTF-8
    return line


def _in_places(line: bytes, other: str) -> str:
    parts = []
    while line:
        try:
            parts.append(line.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            parts += [line[: error.start].decode("utf-8"), line[error.start : error.end].decode(other, "replace")]
            line = line[error.end :]
    return "".join(parts)


def mostly_bad(line: bytes) -> bool:
    """Whether at most half of what is not ASCII in the line is UTF-8, as two-byte encodings have such pairs too."""
    valid = line.decode("utf-8", "ignore").encode()
    return 2 * high_bytes(valid) <= high_bytes(line)


def high_bytes(text: bytes) -> int:
    return len(text) - len(text.translate(None, delete=_HIGH))
