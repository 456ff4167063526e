"""Lists of words and of their tags: how they are written in a cell, and which words belong together.

Tags are kept as BIO (IOB2): B-PER begins an entity, I-PER goes on with it, O is none. BILOU, BIOES and IOB1 say the
same in other letters. A tag without such a letter (NOUN) is of its word alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tunesmith.data.values import looks_listed, parse_list, whole

OUTSIDE = "O"
_TAG = re.compile(r"([BIMLEUS])-(.+)")
_BEGIN, _END = frozenset("BUS"), frozenset("LEUS")
STRAY = "an I- goes on with no entity; it is read as if it were B-"
TAG_NAMES = ("tags", "ner_tags", "tag", "ner", "labels", "label", "bio", "iob", "entities", "spans", "ents",
             "annotations", "pos_tags", "pos")  # fmt: skip
WORD_NAMES = ("tokens", "words", "token", "word", "text", "sentence")


class Span(NamedTuple):
    """Words `start` up to `end`, which is not of it."""

    start: int
    end: int
    type: str


def surface(words: Sequence[str], span: Span) -> str:
    """The words of an entity, in any case of their letters."""
    return " ".join(words[span.start : span.end]).casefold()


def items_of(cell: object, what: str = "word") -> list[str] | None:
    """The words or tags (`what`) in a cell: a list, a list as JSON or Python writes it, or words between spaces. None
    where there is nothing. Raises ValueError for what is no list of them."""
    if isinstance(cell, str):
        text = cell.strip()
        found: Sequence[object] = parse_list(text) if looks_listed(text) else text.split()
    elif cell is None or isinstance(cell, float):
        return None
    elif hasattr(cell, "tolist"):
        found = cell.tolist()
    elif isinstance(cell, list | tuple):
        found = cell
    else:
        raise ValueError(f"{str(cell)[:60]!r} is no list")
    for at, one in enumerate(found, 1):
        if one is None or (isinstance(one, str) and not one.strip()):
            raise ValueError(f"an empty {what} stands in the list, at place {at} of {len(found)}")
        if not isinstance(one, str | int):
            raise ValueError(f"{str(one)[:60]!r} stands in the list, and is no {what}")
    return [one if isinstance(one, str) else whole(str(one)) for one in found] or None


def is_tag(word: str) -> bool:
    """Whether it can only be a tag: O, or a type behind its letter."""
    return word == OUTSIDE or _TAG.fullmatch(word) is not None


def as_bio(tags: Iterable[str]) -> list[str]:
    """The tags of a row, of any scheme, in BIO."""
    found: list[str] = []
    running: str | None = None
    for tag in tags:
        match = _TAG.fullmatch(tag)
        if match is None:
            running = None
            found.append(tag)
            continue
        letter, kind = match.groups()
        found.append(f"{'B' if letter in _BEGIN or kind != running else 'I'}-{kind}")
        running = None if letter in _END else kind
    return found


def scheme_of(rows: Sequence[Sequence[str]]) -> str | None:
    """Which scheme the tags of some rows are written in; None: none, each is of its word alone."""
    letters = {match[1] for tags in rows for tag in tags if (match := _TAG.fullmatch(tag))}
    if not letters:
        return None
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S"}:
        return "BIOES"
    begun = sum(len(stray(tags)) for tags in rows)
    return "BIO" if 2 * begun < sum(len(spans_of(as_bio(tags))) for tags in rows) or not begun else "IOB1"


def stray(tags: Sequence[str]) -> list[int]:
    """The words whose I- goes on with nothing. In IOB1 entities begin so, but those right behind one of their type."""
    matches = [_TAG.fullmatch(tag) for tag in tags]
    before = [None, *matches][: len(matches)]
    return [
        at for at, (match, last) in enumerate(zip(matches, before, strict=True))
        if match and match[1] == "I" and (last is None or last[2] != match[2] or last[1] in _END)
    ]  # fmt: skip


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The entities of a row in BIO. I- of another type than the word before begins one, as conlleval counts."""
    found: list[Span] = []
    for at, tag in enumerate(tags):
        match = _TAG.fullmatch(tag)
        last = found[-1] if found else None
        if match is None:
            if tag != OUTSIDE:
                found.append(Span(at, at + 1, tag))
        elif match[1] == "I" and last and last.end == at and last.type == match[2] and _TAG.fullmatch(tags[at - 1]):
            found[-1] = last._replace(end=at + 1)
        else:
            found.append(Span(at, at + 1, match[2]))
    return found


def may_follow(names: Sequence[str]) -> list[list[bool]]:
    """Of each tag in BIO, which tags may stand after it; in the last line, which may stand first."""
    return [[_follows(before, after) for after in names] for before in [*names, OUTSIDE]]


def _follows(before: str, after: str) -> bool:
    match, last = _TAG.fullmatch(after), _TAG.fullmatch(before)
    return match is None or match[1] != "I" or (last is not None and last[2] == match[2])
