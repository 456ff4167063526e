"""Single cells as values: is it a number, what does a label look like. Knows no tables."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable
from typing import Any

_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+$")
_NUMPY_ITEM = re.compile(r"'[^']*'|\"[^\"]*\"|[-+.\w]+")
_NUMPY_LIST = re.compile(rf"\[\s*({_NUMPY_ITEM.pattern})(\s+({_NUMPY_ITEM.pattern}))+\s*\]$")
_WHOLE = re.compile(r"([-+]?\d+)\.0+$")
NO_NUMBER = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})


def is_number(cell: str) -> bool:
    """Whether the cell is written as one number (decimal comma allowed)."""
    return bool(_NUMBER.match(cell.strip()))


def commas_mislead(cells: Iterable[str]) -> bool:
    """Whether commas may part thousands: every cell that has one reads both as '1,234' and as 1.234."""
    with_comma = [cell.strip() for cell in cells if "," in cell]
    return bool(with_comma) and all(_THOUSANDS.match(cell) for cell in with_comma)


def to_number(value: Any) -> float | None:
    """The number in a cell; None where the cell says that there is none ('', 'NA', NaN).

    Raises ValueError for words and for infinity.
    """
    if value is None:
        return None
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in NO_NUMBER:
            return None
        if "," in word and "." not in word:
            word = word.replace(",", ".", 1)
        number = float(word.replace("_", "x"))  # Python alone reads 1_000 as a number
    else:
        number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError("infinite")
    return number


def to_label(value: Any) -> str | None:
    """A label as a stripped string: 1.0 becomes '1', True becomes 'True', '' and NaN become None."""
    if value is None:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    return str(value).strip() or None


def whole(label: str) -> str:
    """'1.0' as '1'; anything else unchanged."""
    match = _WHOLE.match(label)
    return match.group(1) if match else label


def to_labels(value: Any, separator: str | None) -> list[str] | None:
    """A cell as a sorted list of distinct labels; None if the cell is empty.

    Lists, '["a", "b"]' and 'a|b' (with separator '|') are understood. Raises ValueError for a cell
    that begins as a list and does not end as one.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if text.startswith("[") and text.endswith("]"):
            value = parse_list(text)
        elif separator:
            value = text.split(separator)
        else:
            value = [text]
    elif not isinstance(value, Iterable):
        value = [value]
    found = {label for part in value if (label := to_label(part)) is not None}
    return sort_labels(found)


def parse_list(text: str) -> list[Any]:
    """The list that a cell holds as JSON, Python or numpy wrote it. Raises ValueError."""
    if _NUMPY_LIST.match(text):  # Python would join neighbouring strings to one
        return [part.strip("'\"") for part in _NUMPY_ITEM.findall(text)]
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            inner = text[1:-1].strip()
            if any(sign in inner for sign in "\"'[]{}"):
                raise ValueError("not a list") from None
            value = [part.strip() for part in inner.split(",")] if inner else []
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Sorted, by value if all are numbers ('2' before '10'), else by letters."""
    known = list(labels)
    if known and all(_NUMBER.match(label) and "," not in label for label in known):
        return sorted(known, key=lambda label: (float(label), label))
    return sorted(known)
