"""Text that was once read in the wrong encoding and saved so: 'Ã©' for 'é'. Finds it, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit, Warned

_WINDOWS = bytes(byte for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)).decode("cp1252")
_TAIL = rf"[\x{{80}}-\x{{bf}}{_WINDOWS}]"  # what cp1252 and Latin-1 show for the second byte of UTF-8 and those behind
_CYRILLIC_TAIL = "[" + re.escape(bytes(byte for byte in range(0x80, 0xC0) if byte != 0x98).decode("cp1251")) + "]"
_SIGNS = (
    rf"(?:^|[^A-ZÀ-Þ])(?:[ÂÃ]{_TAIL})",  # a capital before it: the end of 'SÃO…', and no fault
    rf"â[€\x{{80}}]{_TAIL}",
    rf"ð[Ÿ\x{{9f}}]{_TAIL}",
    "ï»¿",
    rf"(?:[ÄÅÎÏÐÑ\x{{d7}}ØÙ]{_TAIL}){{2}}",
    rf"(?:[à-ï]{_TAIL}{_TAIL}){{2}}",
    rf"(?:[\x{{420}}\x{{421}}]{_CYRILLIC_TAIL}){{3}}",  # Cyrillic that was read as cp1251
    "√[©§∂º±®°¢]",  # and what a Mac made of it
)
_PATTERN = "|".join(_SIGNS)
_PYTHON = re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda sign: re.escape(chr(int(sign[1], 16))), _PATTERN))


def mojibake_rows(texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rows (from 0) whose text shows UTF-8 that was read as cp1252, Latin-1, cp1251 or Mac Roman."""
    return np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring_regex(texts, _PATTERN), False)))


def first_mojibake(texts: Iterable[str]) -> str | None:
    """The first such place, as "'Ã©' (perhaps 'é')"; None where there is none."""
    for text in texts:
        found = _PYTHON.search(text)
        if found:
            return describe(text)
    return None


def describe(text: str) -> str:
    """The place in a text that has one: "'Ã©' (perhaps 'é')"."""
    found = _PYTHON.search(text)
    if not found:
        return repr(text[:40])
    for encoding in ("cp1252", "latin-1", "cp1251", "mac_roman"):
        for start in (found.start(), found.start() + 1):
            for end in range(found.end(), found.end() + 3):
                try:
                    meant = text[start:end].encode(encoding).decode("utf-8")
                except UnicodeError:
                    continue
                if len(meant) < len(text[start:end]) and meant.strip():
                    shown = text[start:end].lstrip() if text[start] == meant[0] else text[start:end]
                    return f"{shown!r} (perhaps {meant.strip()!r})"
    return repr(found[0])


def warn(table: pa.Table, key: str, column: str, place: Callable[[int], Problem], emit: Emit) -> None:
    """Say how many cells of the column `key` were once read in a wrong encoding; the source calls it `column`."""
    if key not in table.column_names or not pa.types.is_string(table.schema.field(key).type):
        return
    found = mojibake_rows(table.column(key))
    if found.size:
        first = int(found[0])
        shown = describe(table.column(key)[first].as_py())
        where = str(place(first)).removesuffix(": ")
        message = f"{found.size} rows of column {column!r} hold text that was once read in a wrong encoding, such as"
        emit(Warned("wrong encoding", f"{message} {shown} ({where}). {FIX}"))


FIX = "Write the data again from where it came from, as UTF-8; the model would learn these signs as they are."
