"""Text of others where it could do harm: on a terminal, which obeys control characters, and in a spreadsheet, which
obeys formulas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# Control characters of both sets but line feed and tab, marks that turn the direction of writing, line separators
# that split a line, and halves of characters, which no stream can encode.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with every character that would steer a terminal as an escape that can be read, such as \\x1b."""
    return _UNSEEN.sub(lambda found: _escape(found[0]), text)


def _escape(letter: str) -> str:
    code = ord(letter)
    if letter == "\r":
        return "\\r"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shortened(text: str, most: int, sign: str = "...") -> str:
    """`text`, cut with a sign that it was where it has more than so many letters."""
    return text if len(text) <= most else text[: most - len(sign)] + sign


def visible_within(value: Any) -> Any:
    """A value of dicts, lists and text with all its text, keys too, made `visible`."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, PurePath):
        return visible(str(value))
    if isinstance(value, Mapping):
        return {visible_within(name): visible_within(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(visible_within, value)) if type(value) in (list, tuple) else value
    return value


_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?\s*%?")
# Of text after + - @ a spreadsheet runs calls, pipes to programs, references to sheets, and sums; not "@anna hello".
_RUNS = re.compile(r"\w\s*\(|\w\s*\||['\w]!['$\w]|^[\d\s.,%$A-Z:]*[\dA-Z][\s)]*[+\-*/^&=<>]")


# Letters of double width, which spreadsheets in East Asia take for the narrow ones.
_WIDE = str.maketrans("\uff1d\uff0b\uff0d\uff20", "=+-@")
_BEFORE = frozenset("\n \xa0\uff1d\uff0b\uff0d\uff20")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the cell instead of showing it. Numbers with a sign, and words, are none."""
    if text.startswith(("=", "\t", "\r")):
        return True
    text = text.lstrip("\n \xa0").translate(_WIDE) if text[:1] in _BEFORE else text  # some programs cut these
    if text.startswith("="):
        return True
    return text.startswith(("+", "-", "@")) and not _NUMBER.fullmatch(text.strip()) and bool(_RUNS.search(text[1:]))


def quoted_formula(value: object) -> object:
    """The value of a cell of CSV; text that a spreadsheet would run gets an apostrophe before it, as OWASP advises
    against CSV injection."""
    return f"'{value}" if isinstance(value, str) and is_formula(value) else value
