"""Entities that are tagged one way in nearly all places and another way in a few: likely mistakes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from tunesmith.data.tags import OUTSIDE, spans_of

_TIMES = 5
"""Places from which on a way to tag is a habit."""
_SHARE = 0.9
"""Share of all places that are tagged this way, from which on the others are suspected."""
_LONGEST = 6
_ROWS = 20_000


class Suspect(NamedTuple):
    """`words` at `row` (from 0) are tagged `given` ('' where not at all), and `usual` at `times` other places."""

    row: int
    words: str
    given: str
    usual: str
    times: int


def suspects(rows: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> list[Suspect]:
    """Those in some rows, of at most 20,000 of which anything is said; the most usual ones first."""
    places: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    known: set[tuple[str, ...]] = set()
    rows, tags = rows[:_ROWS], tags[:_ROWS]
    for row, (words, given) in enumerate(zip(rows, tags, strict=True)):
        for start, end, kind in spans_of(given):
            if end - start <= _LONGEST:
                known.add(tuple(words[start:end]))
                places[tuple(words[start:end])].append((row, kind))
    longest = max(map(len, known), default=0)
    for row, (words, given) in enumerate(zip(rows, tags, strict=True)):
        for size in range(1, longest + 1):
            for at in range(len(words) - size + 1):
                some = tuple(words[at : at + size])
                if some in known and all(tag == OUTSIDE for tag in given[at : at + size]):
                    places[some].append((row, ""))
    found: list[Suspect] = []
    for some, where in places.items():
        usual, times = Counter(kind for _, kind in where).most_common(1)[0]
        if usual and times >= _TIMES and _SHARE * len(where) <= times < len(where):
            told = " ".join(some)
            found += [Suspect(row, told, kind, usual, times) for row, kind in where if kind != usual]
    return sorted(found, key=lambda one: -one.times)
