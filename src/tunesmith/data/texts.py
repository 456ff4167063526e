"""Texts, and pairs of texts, as data: how they are found, read and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data import labels, mojibake, text_hashes, textfile
from tunesmith.data.delimited import CELL_LIMIT
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.modality import Cells, DataModality, Flags, Reasons
from tunesmith.data.nothing import nothing_in_text
from tunesmith.data.profile import Profile, simple
from tunesmith.data.types import ReadOptions

_LONGEST_WORD = 24
"""Characters of the longest word for nothing; longer cells are texts."""
_PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("text", "text_pair"),
    ("premise", "hypothesis"), ("question1", "question2"), ("question", "answer"), ("question", "sentence"),
    ("question", "passage"), ("question", "context"), ("query", "passage"), ("query", "document"),
    ("query", "answer"), ("anchor", "positive"),
)  # fmt: skip


class TextData(DataModality):
    name: ClassVar[str] = "text"
    roles: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    noun: ClassVar[str] = "text"
    usual_task: ClassVar[str] = "text-classification"
    parts: ClassVar[tuple[str, ...]] = ("text", "second text")
    flag: ClassVar[str] = "--text"
    joins: ClassVar[bool] = True
    suffixes: ClassVar[frozenset[str]] = frozenset({".txt"})

    def claims(self, profile: Profile) -> float:
        if profile.kind != "string" or profile.numeric > 0.5 or (profile.useless and not profile.text_name):
            return 0.0
        if not profile.cells or (profile.target_rank and not profile.text_name and profile.words < 3):
            return 0.0
        different = profile.distinct / len(profile.cells)
        if different < 0.02 and not profile.text_name:
            return 0.0
        natural = min(profile.characters, 2_000) * different * (1.0 if profile.words >= 2 else 0.2)
        return natural * (4.0 if profile.text_name else 1.0)

    def choose(
        self, profiles: Sequence[Profile], target: Sequence[str], source: str, reasons: Reasons
    ) -> tuple[str, ...]:
        scores = {profile.name: self.claims(profile) for profile in profiles}
        ranked = sorted((p for p in profiles if scores[p.name] > 0), key=lambda p: -scores[p.name])
        if not ranked and (named := [p for p in profiles if p.text_name]):
            reasons["text"] = (named[0].name, "the name is usual for it")
            return (named[0].name,)
        if not ranked:
            raise self.no_column(profiles, source)
        pair = _pair(ranked)
        if pair:
            reasons["text"] = (f"{pair[0]} + {pair[1]}", pair[2])
            return pair[:2]
        best = ranked[0]
        if len(target) == 1 and not best.text_name:
            about = [p for p in ranked if _free_text(p) and simple(target[0]).startswith(f"{simple(p.name)}_")]
            if about:
                best = max(about, key=lambda p: len(p.name))
                reasons["text"] = (best.name, f"the name of {target[0]!r} begins with its name")
                return (best.name,)
        usual = ", and the name is usual for it" if best.text_name else ""
        reasons["text"] = (best.name, f"its texts are {best.characters:.0f} characters long on average{usual}")
        return (best.name,)

    def file_cell(self, path: Path, options: ReadOptions) -> str:
        return textfile.read_text(path, options)

    def refuse(self, table: pa.Table, source: str) -> None:
        """Columns of lists, objects or bytes."""
        problems = []
        for name in table.column_names:
            column = table.column(name)
            held = "lists" if pa.types.is_list(column.type) else "objects"
            if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
                cell = next((str(value) for value in column[:1000].to_pylist() if value is not None), "nothing")
                what = f"this column holds {held}, such as {cell[:60]}, and no text"
                problems.append(Problem(what, source, column=name))
        if problems:
            raise DataError(problems, fix="Write a text into each cell, with spaces between its words.")

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        texts = as_text(column)
        blank = is_blank(texts)
        return Cells({role: texts}, blank, _worded(texts, blank), _faults(texts))

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        return find_duplicates(table, self._names(table), threshold)

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        return text_hashes.of_texts(table.select(self._names(table)))

    def lengths(self, table: pa.Table) -> Mapping[str, Any]:
        return labels.text_lengths(table.column("text"))

    def warn(self, table: pa.Table, names: Sequence[str], place: Callable[[int], Problem], emit: Emit) -> None:
        for role, name in zip(self.roles, names, strict=False):
            mojibake.warn(table, role, name, place, emit)

    def _names(self, table: pa.Table) -> list[str]:
        return [role for role in self.roles if role in table.column_names]


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """A column as an Arrow string array; numbers and the like as Python writes them."""
    array = column.combine_chunks()
    if pa.types.is_string(array.type):
        return array
    return pa.array([None if cell is None else str(cell) for cell in array.to_pylist()], type=pa.string())


def is_blank(texts: pa.Array) -> Flags:
    """bool [n]: nothing but white space."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return np.asarray(pc.fill_null(pc.equal(trimmed, ""), True))


def _worded(texts: pa.Array, blank: Flags) -> Flags:
    """Cells that hold but a word for nothing."""
    short = np.asarray(pc.fill_null(pc.less(pc.utf8_length(texts), _LONGEST_WORD), False)) & ~blank
    for row in np.flatnonzero(short):
        short[row] = nothing_in_text(texts[int(row)].as_py())
    return short


def _faults(texts: pa.Array) -> list[tuple[int, str]]:
    nul = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(texts, "\0"), False)))
    faults = [(int(row), "the cell holds a NUL character (a zero byte)") for row in nul]
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > CELL_LIMIT:
        big = np.flatnonzero(np.asarray(pc.fill_null(pc.utf8_length(texts), 0)) > CELL_LIMIT)
        faults += [(int(row), f"this cell holds more than {CELL_LIMIT:,} characters (10 MB)") for row in big]
    return faults


def _pair(ranked: Sequence[Profile]) -> tuple[str, str, str] | None:
    """Two text columns that belong together, and why."""
    names = {simple(profile.name): profile for profile in ranked}
    for first, second in _PAIRS:
        if first in names and second in names and _free_text(names[second]):
            return names[first].name, names[second].name, "the names say that the two texts belong together"
    free = [profile for profile in ranked if _free_text(profile)]
    if len(free) != 2 or any(profile.text_name for profile in free):
        return None
    left, right = sorted(free, key=lambda profile: profile.position)
    alike = max(left.characters, right.characters) <= 2.5 * min(left.characters, right.characters)
    unnamed = re.fullmatch(r"column_\d+", left.name) is not None
    related = re.sub(r"[\d_]+$|_[ab]$", "", left.name) == re.sub(r"[\d_]+$|_[ab]$", "", right.name)
    if alike and (unnamed or related):
        return left.name, right.name, "two columns of free text of similar length"
    return None


def _free_text(profile: Profile) -> bool:
    return profile.words >= 2.5 and profile.distinct > 0.3 * len(profile.cells) and not profile.target_rank
