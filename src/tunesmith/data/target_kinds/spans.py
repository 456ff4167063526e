"""A tag for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.data import offsets
from tunesmith.data.profile import Profile, simple
from tunesmith.data.splitting import places_of
from tunesmith.data.tag_suspects import suspects
from tunesmith.data.tags import STRAY, TAG_NAMES, as_bio, is_tag, items_of, scheme_of, spans_of, stray
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.types import Columns
from tunesmith.data.values import looks_listed, parse_list

_ODD = "a tag without the B- or I- that the others have is learned as it is"
_LOOKED_AT = 500
_SHOWN = 3


class Spans(TargetKind):
    """Tags of words in any scheme, kept as BIO; or characters of a text with a label, as tags of its words."""

    def claims(self, profile: Profile) -> float:
        name = simple(profile.name)
        named = 1.0 - 0.01 * TAG_NAMES.index(name) if name in TAG_NAMES else 0.0
        if _by_offsets(profile):
            return 13.0 + named
        rows = list(_rows(profile))
        mostly = 0.5 if named and profile.kind == "list" else 0.9  # the others are told when they are read
        if not rows or len(rows) < mostly * min(len(profile.cells), _LOOKED_AT):
            return 0.0
        tags = {tag for row in rows for tag in row}
        if all(map(is_tag, tags)):
            return 10.0 + named
        return named if profile.kind == "list" else 0.0

    def why(self, profile: Profile) -> str:
        if _by_offsets(profile):
            return "characters of a text with a label, as tags of its words"
        scheme = scheme_of(list(_rows(profile)))
        if scheme is None:
            return "a tag for each word, which is of that word alone"
        return f"a tag for each word, in {scheme}" + ("" if scheme == "BIO" else ", read as BIO")

    def labels(self, profile: Profile) -> set[str]:
        if not _by_offsets(profile):
            return {tag for row in _rows(profile) for tag in row}
        found: set[str] = set()
        for cell in profile.cells[:_LOOKED_AT]:
            with suppress(ValueError):
                found.update(span.type for span in offsets.spans_in(cell) or ())
        return found

    def odd(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns,
        place: Callable[[int, str], Problem],
    ) -> list[str]:  # fmt: skip
        counts, told, entities = Counter[str](), dict[str, list[str]](), 0
        schemed = scheme_of([_items(cell) for cell in column.to_pylist() if not offsets.looks_like(cell)]) is not None
        read: list[tuple[int, list[str], list[str]]] = []
        for row, (cell, text) in enumerate(zip(column.to_pylist(), inputs[0].to_pylist(), strict=True)):
            with suppress(ValueError):
                if (by_offsets := _aligned(cell, text, columns)) is not None:
                    notes = by_offsets.notes
                    words = [text[start:end] for start, end in places_of(text, columns.splitting)]
                    read.append((row, words, by_offsets.tags))
                else:
                    tags = items_of(cell) or []
                    read.append((row, items_of(text) or [], as_bio(tags)))
                    notes = [(STRAY, f"at word {at + 1}") for at in stray(tags)]
                    if schemed:
                        notes += [(_ODD, f"{tag!r} at word {at + 1}") for at, tag in enumerate(tags) if not is_tag(tag)]
                    entities += len(spans_of(as_bio(tags)))
                for what, which in notes:
                    counts[what] += 1
                    if counts[what] <= _SHOWN:
                        told.setdefault(what, []).append(str(place(row, which)))
        if 2 * counts[STRAY] >= entities:  # it is how IOB1 is written
            told.pop(STRAY, None)
        said = [f"{counts[what]:,} times {what}, such as {'; '.join(examples)}" for what, examples in told.items()]
        return [*said, *_suspected(read, place)]

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        names, faults = dict(columns.names), list[tuple[int, str]]()
        words = inputs[0].to_pylist() if inputs else [None] * len(column)
        found: list[list[str] | None] = []
        for row, (cell, of) in enumerate(zip(column.to_pylist(), words, strict=True)):
            try:
                if (by_offsets := _aligned(cell, of, columns)) is not None:
                    found.append(by_offsets.tags)
                    faults += [(row, fault) for fault in by_offsets.faults]
                    continue
                tags = items_of(cell, "tag")
                found.append(None if tags is None else as_bio(_named(tags, names)))
                count, given = len(_items(of)), len(tags or ())
                told_elsewhere = count == 0 and not _is_empty_list(of)
                if count != given and (tags is not None or _is_list(cell)) and not told_elsewhere:
                    faults.append((row, f"{count} words, and {given} tags"))
            except ValueError as error:
                found.append(None)
                faults.append((row, str(error)))
        return pa.array(found, self.arrow), faults


def _suspected(
    read: Sequence[tuple[int, list[str], list[str]]], place: Callable[[int, str], Problem]
) -> list[str]:  # fmt: skip
    """Tags that are likely wrong, with their places."""
    fit = [one for one in read if len(one[1]) == len(one[2])]
    found = suspects([words for _, words, _ in fit], [tags for _, _, tags in fit])
    shown = [
        place(fit[one.row][0], f"{one.words!r} is {one.given or 'not tagged'}, and {one.usual} in {one.times} places")
        for one in found[:_SHOWN]
    ]
    told = "; ".join(map(str, shown))
    return [f"{len(found):,} places are tagged otherwise than the same words nearly always: {told}"] if found else []


def _aligned(cell: object, text: object, columns: Columns) -> offsets.Aligned | None:
    """The tags of a text whose entities are told by their characters; None where the cell tells tags of words. Raises
    ValueError."""
    raw = isinstance(text, str) and not looks_listed(text.strip())
    spans = offsets.looks_like(cell) or offsets.is_empty(cell) or offsets.holds_others(cell)
    if not (raw and columns.splitting and spans):
        if offsets.looks_like(cell):
            raise ValueError("spans of characters stand beside a list of words; give the text they are of")
        return None
    assert isinstance(text, str)
    found = offsets.spans_in(cell) or []
    names = dict(columns.names)
    if names:
        found = [span._replace(type=names.get(span.type, span.type)) for span in found]
    return offsets.align(text, found, places_of(text, columns.splitting))


def _by_offsets(profile: Profile) -> bool:
    """Whether the cells tell characters of a text."""
    some = [cell for cell in profile.cells[:_LOOKED_AT] if not offsets.is_empty(cell)]
    mostly = 0.5 if simple(profile.name) in TAG_NAMES else 0.9  # the others are told when they are read
    return bool(some) and sum(map(offsets.looks_like, some)) >= mostly * len(some)


def _named(tags: list[str], names: dict[str, str]) -> list[str]:
    if not names:
        return tags
    if unknown := next((tag for tag in tags if tag not in names and tag not in names.values()), None):
        raise ValueError(f"{unknown[:60]!r} is none of the tags that label_names names")
    return [names.get(tag, tag) for tag in tags]


def _is_empty_list(cell: object) -> bool:
    return _is_list(cell) and len(parse_list(cell.strip()) if isinstance(cell, str) else cell) == 0  # type: ignore[arg-type]


def _is_list(cell: object) -> bool:
    return isinstance(cell, list | tuple) or (isinstance(cell, str) and looks_listed(cell.strip()))


def _items(cell: object) -> list[str]:
    """[] of what is told elsewhere."""
    try:
        return items_of(cell) or []
    except ValueError:
        return []


def _rows(profile: Profile) -> Iterator[list[str]]:
    """The tags of the cells that can be read."""
    for cell in profile.cells[:_LOOKED_AT]:
        if row := _items(cell):
            yield row
