"""A tag for each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tunesmith.data.profile import Profile, simple
from tunesmith.data.tags import TAG_NAMES, as_bio, is_tag, items_of, scheme_of
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.types import Columns

_LOOKED_AT = 500


class Spans(TargetKind):
    def claims(self, profile: Profile) -> float:
        rows = list(_rows(profile))
        if not rows or len(rows) < 0.9 * min(len(profile.cells), _LOOKED_AT):
            return 0.0
        tags = {tag for row in rows for tag in row}
        name = simple(profile.name)
        named = 1.0 - 0.01 * TAG_NAMES.index(name) if name in TAG_NAMES else 0.0
        if all(map(is_tag, tags)):
            return 10.0 + named
        return named if profile.kind == "list" else 0.0

    def why(self, profile: Profile) -> str:
        scheme = scheme_of(list(_rows(profile)))
        if scheme is None:
            return "a tag for each word, which is of that word alone"
        return f"a tag for each word, in {scheme}" + ("" if scheme == "BIO" else ", read as BIO")

    def labels(self, profile: Profile) -> set[str]:
        return {tag for row in _rows(profile) for tag in row}

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        names, faults = dict(columns.names), list[tuple[int, str]]()
        words = inputs[0].to_pylist() if inputs else [None] * len(column)
        found: list[list[str] | None] = []
        for row, (cell, of) in enumerate(zip(column.to_pylist(), words, strict=True)):
            try:
                tags = items_of(cell)
                found.append(None if tags is None else as_bio(_named(tags, names)))
                if tags is not None and (count := len(_items(of))) and count != len(tags):
                    faults.append((row, f"{count} words, and {len(tags)} tags"))
            except ValueError as error:
                found.append(None)
                faults.append((row, str(error)))
        return pa.array(found, self.arrow), faults


def _named(tags: list[str], names: dict[str, str]) -> list[str]:
    if not names:
        return tags
    if unknown := next((tag for tag in tags if tag not in names and tag not in names.values()), None):
        raise ValueError(f"{unknown[:60]!r} is none of the tags that label_names names")
    return [names.get(tag, tag) for tag in tags]


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
