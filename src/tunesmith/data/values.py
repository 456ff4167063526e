"""Single cells as labels and lists of labels. Knows no tables."""

from __future__ import annotations

import ast
import csv
import json
import math
import re
from collections.abc import Iterable

_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$")
_NUMPY_ITEM = re.compile(r"'[^']*'|\"[^\"]*\"|[-+.\w]+")
_NUMPY_LIST = re.compile(rf"\[\s*({_NUMPY_ITEM.pattern})(\s+({_NUMPY_ITEM.pattern}))+\s*\]$")
_WHOLE = re.compile(r"([-+]?\d+)\.0+$")
_WRAPPED = re.compile(
    r"(?:frozenset|set|tuple|list|array|Index|Series|deque|dict_keys|dict_values|odict_keys|Counter)?\(\s*([\[{(].*[\]})])\s*(?:,\s*dtype=[^)]*)?\)",
    re.DOTALL,
)
_EMPTY = re.compile(r"(?:frozenset|set|tuple|list|dict|Counter)?\(\s*(?:\{\}|\[\]|\(\))?\s*\)|\{\s*\}")
_ANGLED = re.compile(r"(?:<[^<>\s]+>)+")  # as sites of questions and answers write tags: <python><csv>
_HASHED = re.compile(r"#[^\s#]+(?:[\s,]+#[^\s#]+)*")
_OPENING = {"[": "]", "{": "}", "(": ")"}


def to_label(value: object) -> str | None:
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


def to_labels(value: object, separator: str | None) -> list[str] | None:
    """A cell as a sorted list of distinct labels; None if the cell is empty.

    Lists, '["a", "b"]', "{'a', 'b'}" and 'a|b' (with separator '|') are understood. Raises ValueError for a cell
    that begins as a list and does not end as one.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        value = parse_list(text) if looks_listed(text) else text.split(separator) if separator else [text]
    elif not isinstance(value, Iterable):
        value = [value]
    found = {label for part in value if (label := to_label(part)) is not None}
    return sort_labels(found)


def looks_listed(text: str) -> bool:
    """Whether the cell is written as a list, a tuple or a set: '[a, b]', "('a',)", "{'a', 'b'}", 'set()'."""
    if _EMPTY.fullmatch(text):
        return True
    if text[:1] in ("[", "{"):
        return text.endswith(_OPENING[text[0]])
    if text[:1] == "(":
        return text.endswith(")") and any(sign in text for sign in "\"',")
    return any(pattern.fullmatch(text) for pattern in (_WRAPPED, _ANGLED, _HASHED))


def is_tagged(text: str, several: bool = False) -> bool:
    """Whether the cell is tags in a row, '<python><csv>' or '#sun #sea'; `several`: two and more."""
    found = _ANGLED.fullmatch(text) or _HASHED.fullmatch(text)
    return found is not None and (not several or "><" in text or text.count("#") > 1)


def parse_list(text: str) -> list[object]:
    """The list, tuple or set that a cell holds as JSON, Python, numpy or a database wrote it. Raises ValueError."""
    if _EMPTY.fullmatch(text):
        return []
    if is_tagged(text):
        return re.findall(r"<([^<>]+)>", text) if text[0] == "<" else re.split(r"[\s,]+", text)
    if (wrapped := _WRAPPED.fullmatch(text)) is not None and text[:1] not in _OPENING:
        text = wrapped[1]
    if _NUMPY_LIST.match(text):  # Python would join neighbouring strings to one
        return [part.strip("'\"") for part in _NUMPY_ITEM.findall(text)]
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
            inner = text[1:-1].strip()
            broken = any(sign in inner for sign in "[]{}'") or text[:1] == "("
            if broken or ('"' in inner and text[0] != "{"):
                raise ValueError(f"{text[:60]!r} is not a list of labels") from None
            if '"' in inner:  # a database puts quotes around some: {sport,"home and garden"}
                value = next(csv.reader([inner], skipinitialspace=True))
            else:
                value = [part.strip() for part in inner.split(",")] if inner else []
    if isinstance(value, tuple | set | frozenset):
        value = list(value)
    if not isinstance(value, list):
        raise ValueError(f"{text[:60]!r} is not a list of labels")
    return value


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Sorted, by value if all are numbers ('2' before '10'), else by letters."""
    known = list(labels)
    if known and all(_NUMBER.match(label) and "," not in label for label in known):
        return sorted(known, key=lambda label: (float(label), label))
    return sorted(known)
