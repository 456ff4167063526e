"""How things look on a terminal: tables, colour, wrapped lines. Without any in a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import IO

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def colours(stream: IO[str] | None = None) -> bool:
    """Whether `stream` (standard output) takes colour: a terminal that is not asked to do without.

    NO_COLOR as on no-color.org: set and not empty.
    """
    out = stream or sys.stdout
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and out is not None and out.isatty()


def paint(text: str, *styles: str, stream: IO[str] | None = None) -> str:
    """`text` in colour where `stream` takes some."""
    if not text or not colours(stream):
        return text
    return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def width(stream: IO[str] | None = None) -> int | None:
    """Columns of the terminal; None in a pipe, where a line may be as long as it is."""
    out = stream or sys.stdout
    return shutil.get_terminal_size().columns if out is not None and out.isatty() else None


def entry(name: str, text: str, *styles: str, indent: int = 9) -> str:
    """A name and what is said of it, wrapped behind the name on a terminal; in a pipe it stays one line."""
    lines = text.splitlines() or [""]
    if columns := width():
        room = max(20, columns - indent)
        lines = [part for line in lines for part in textwrap.wrap(line, room, break_on_hyphens=False) or [""]]
    first, *rest = lines
    return "\n".join([f"{paint(name.ljust(indent), *styles)}{first}", *(" " * indent + line for line in rest)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned by spaces: readable on a terminal, in a pipe and in a mail."""
    widths = [max(len(str(row[i])) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
