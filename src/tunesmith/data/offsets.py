"""Entities as characters of a text, in the many forms in which they are written, and as tags of its words."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tunesmith.data.splitting import Places
from tunesmith.data.tags import OUTSIDE

_STARTS = ("start", "startoffset", "begin", "beginoffset", "from", "charstart", "startchar", "startindex", "startidx",
           "startposition", "offset", "startpos", "beginchar")  # fmt: skip
_ENDS = (
    "end",
    "endoffset",
    "stop",
    "to",
    "charend",
    "endchar",
    "endindex",
    "endidx",
    "endposition",
    "finish",
    "endpos",
)
_LENGTHS = ("length", "len")
_TYPES = ("label", "labels", "entitygroup", "entitytype", "type", "entity", "tag", "class", "category", "name", "ner",
          "labelname", "value")  # fmt: skip
_TEXTS = ("text", "surface", "word", "mention", "surfaceform", "coveredtext", "string", "quote")
_LISTS = ("entities", "spans", "annotations", "labels", "label", "ents", "result")
_SPACE = re.compile(r"\s")


class CharSpan(NamedTuple):
    """Characters `start` up to `end`, which is not of it; `text`: what they are said to be."""

    start: int
    end: int
    type: str
    text: str | None = None


@dataclass
class Aligned:
    """Tags in BIO of the words of a text; faults: what can not be meant; notes: (what was done, to which), where
    something else than what is written is learned."""

    tags: list[str]
    faults: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


WIDENED = "spans that cut through a word are widened to whole words"
OVERLAPPING = "of spans that overlap the longest is kept"


def looks_like(cell: object) -> bool:
    """Whether a cell can only be spans of characters."""
    listed = _listed(cell)
    return bool(listed) and all(_is_span(one) for one in listed or ())


def holds_others(cell: object) -> bool:
    """Whether it is a list in which objects or lists stand, which can be no tags."""
    return any(isinstance(one, Mapping | list | tuple) for one in _listed(cell) or ())


def is_empty(cell: object) -> bool:
    """Whether it is a list of no spans."""
    return _listed(cell) == []


def spans_in(cell: object) -> list[CharSpan] | None:
    """The spans of a cell; None where there is nothing. Raises ValueError with what is none."""
    if cell is None or (isinstance(cell, float) and cell != cell) or (isinstance(cell, str) and not cell.strip()):
        return None
    listed = _listed(cell)
    if listed is None:
        raise ValueError(f"{str(cell)[:60]!r} is no list of spans")
    return [_span(one) for one in listed]


def align(text: str, spans: Iterable[CharSpan], places: Places) -> Aligned:
    """`spans` of `text` as tags of its words, which are at `places`. Spaces at the ends of a span are not of it."""
    found = Aligned([OUTSIDE] * len(places))
    kept: list[tuple[int, int, CharSpan]] = []
    for span in spans:
        if fault := _fault(text, span):
            found.faults.append(fault)
            continue
        words = [at for at, (start, end) in enumerate(places) if start < span.end and span.start < end]
        if not words:
            found.faults.append(f"the span {span.start}:{span.end} ({span.type}) holds no word")
            continue
        inside = text[span.start : span.end].strip()
        whole = text[places[words[0]][0] : places[words[-1]][1]]
        if inside != whole:
            found.notes.append((WIDENED, f"{inside!r} to {whole!r}"))
        kept.append((words[0], words[-1] + 1, span))
    kept.sort(key=lambda one: (one[0] - one[1], one[0]))
    for start, end, span in kept:
        if any(tag != OUTSIDE for tag in found.tags[start:end]):
            found.notes.append((OVERLAPPING, f"not {text[span.start : span.end]!r} ({span.type})"))
            continue
        found.tags[start:end] = [f"B-{span.type}", *[f"I-{span.type}"] * (end - start - 1)]
    return found


def _fault(text: str, span: CharSpan) -> str | None:
    told = f"the span {span.start}:{span.end} ({span.type})"
    if span.start < 0 or span.end > len(text):
        return f"{told} lies outside of its text of {len(text)} characters{_other_unit(text, span)}"
    if span.end <= span.start:
        return f"{told} ends where or before it begins"
    there = text[span.start : span.end]
    if not there.strip():
        return f"{told} holds nothing but spaces"
    if span.text is not None and _bare(span.text) != _bare(there):
        return f"{told} is {there[:60]!r}, and is said to be {span.text[:60]!r}{_other_unit(text, span)}"
    return None


def _other_unit(text: str, span: CharSpan) -> str:
    """How the offsets of a span that do not fit can be meant, as far as that can be told."""
    if span.text is None:
        return ""
    for name, code, size in (("bytes of UTF-8", "utf-8", 1), ("units of UTF-16", "utf-16-le", 2)):
        if text.encode(code)[span.start * size : span.end * size] == span.text.encode(code):
            return f"; the offsets fit as {name}: count characters"
    near = text.find(span.text)
    return f"; it stands at {near}" if near >= 0 else ""


def _bare(text: str) -> str:
    return _SPACE.sub("", text)


def _listed(cell: Any) -> list[Any] | None:
    """The list in a cell: itself, as JSON or Python write it, or under a key that is usual for it."""
    if isinstance(cell, str):
        text = cell.strip()
        if not text.startswith(("[", "{")):
            return None
        try:
            cell = json.loads(text)
        except ValueError:
            try:
                cell = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return None
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, Mapping):
        named = [cell[key] for key in cell if _simple(key) in _LISTS and isinstance(cell[key], list | tuple)]
        return list(named[0]) if len(named) == 1 and not _is_span(cell) else None
    return list(cell) if isinstance(cell, list | tuple) else None


def _is_span(one: Any) -> bool:
    if isinstance(one, Mapping):
        names = {_simple(key) for key, value in one.items() if value is not None}
        return bool(names & {*_ENDS, *_LENGTHS}) and bool(names & set(_TYPES))
    if not isinstance(one, list | tuple) or len(one) != 3:
        return False
    return sum(_whole(part) is not None for part in one) == 2 and any(
        isinstance(part, str) for part in (one[0], one[2])
    )


def _span(one: Any) -> CharSpan:
    told = f"{str(one)[:80]!r}"
    if isinstance(one, list | tuple) and len(one) == 3:
        start, end, kind = one if isinstance(one[2], str) else (*one[1:], one[0])
        text = None
    elif isinstance(one, Mapping):
        found = {_simple(key): value for key, value in one.items() if value is not None}
        start = _first(found, _STARTS, 0)
        end = _first(found, _ENDS, None)
        length = _whole(_first(found, _LENGTHS, None))
        if end is None and length is not None and _whole(start) is not None:
            end = int(start) + length
        kind, text = _first(found, _TYPES, None), _first(found, _TEXTS, None)
    else:
        raise ValueError(f"{told} is no span: expected a start, an end and a label")
    if isinstance(kind, list | tuple):
        if len(kind) != 1:
            raise ValueError(f"the span {told} has {len(kind)} labels, and one is expected")
        kind = kind[0]
    begin, stop = _whole(start), _whole(end)
    if begin is None or stop is None:
        raise ValueError(f"the span {told} has no {'start' if begin is None else 'end'} that is a whole number")
    if kind is None or not str(kind).strip():
        raise ValueError(f"the span {told} has no label")
    return CharSpan(begin, stop, str(kind).strip(), text if isinstance(text, str) and text != kind else None)


def _first(found: Mapping[str, Any], names: Sequence[str], default: Any) -> Any:
    return next((found[name] for name in names if name in found), default)


def _simple(key: object) -> str:
    return re.sub(r"[^a-z]", "", str(key).lower())


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else None
