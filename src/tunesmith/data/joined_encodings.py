"""UTF-16 and an encoding of single bytes joined in one file, as one program's `>>` leaves them. Knows bytes only."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.repair import lines

_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){8}|(?:\x00[\x20-\x7e]){8}")
_NARROW = re.compile(rb"[\t\n\r\x20-\x7e]{64}")
"""Read as UTF-16 these would be Chinese, chosen by accident letter for letter."""
_FIX = "Save both parts as UTF-8, then join them."


def holds_utf16(head: bytes) -> bool:
    """Whether there is text in UTF-16 somewhere in these bytes."""
    return _WIDE.search(head) is not None


def refuse_joined_utf16(name: str, open_file: Callable[[], BinaryIO]) -> None:
    """Raises DataError, with the line, where UTF-16 begins in a file that is not UTF-16 as a whole."""
    with closing(open_file()) as file:
        for number, line in enumerate(lines(file), 1):
            if holds_utf16(line):
                message = "two encodings in one file: from here on it is UTF-16, before it is not"
                raise DataError(Problem(message, name, line=number), fix=_FIX)


def refuse_joined_bytes(name: str, open_file: Callable[[], BinaryIO]) -> None:
    """Raises DataError, with the place, where text of one byte a letter stands in UTF-16."""
    before, place = b"", 0
    with closing(open_file()) as file:
        while chunk := file.read(1 << 20):
            if found := _NARROW.search(before + chunk):
                start = place - len(before) + found.start() + 1
                shown = found[0][:30].decode().strip()
                message = f"two encodings in one file: UTF-16, and from byte {start:,} on ({shown!r}) another"
                raise DataError(Problem(message, name), fix=_FIX)
            before, place = chunk[-64:], place + len(chunk)
