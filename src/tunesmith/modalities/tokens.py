"""Sentences as words, which the data has told apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data import conll, labels, offsets, text_hashes, token_rows
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.modality import Cells, Reasons
from tunesmith.data.part import Part
from tunesmith.data.profile import Profile, simple
from tunesmith.data.splitting import Splitting, between_spaces, places_of, rule_of
from tunesmith.data.tags import WORD_NAMES, is_tag, items_of
from tunesmith.data.types import Columns, ReadOptions
from tunesmith.data.values import looks_listed
from tunesmith.engine.modality import Modality
from tunesmith.engine.word_tokens import EncodedWords, encode_words, joined
from tunesmith.models.bundle import Bundle

_LOOKED_AT = 500


class Tokens(Modality):
    name: ClassVar[str] = "tokens"
    roles: ClassVar[tuple[str, ...]] = ("text",)
    noun: ClassVar[str] = "sentence"
    usual_task: ClassVar[str] = "token-classification"
    flag: ClassVar[str] = "--text"
    formats: ClassVar[frozenset[str]] = conll.SUFFIXES
    kinds: ClassVar[tuple[str, ...] | None] = ("spans",)
    in_tokens: ClassVar[bool] = True
    cheap: ClassVar[str | None] = "word_tags"
    size_name: ClassVar[str | None] = "words"

    def __init__(self, splitting: Splitting = "") -> None:
        self.splitting = splitting
        """How a text is told apart into words."""

    def claims(self, profile: Profile) -> float:
        if profile.kind != "list" or not any(map(len, profile.cells)) or _share_of_tags(profile) > 0.5:
            return 0.0
        return 1.0 + (simple(profile.name) in WORD_NAMES)

    def choose(
        self, profiles: Sequence[Profile], target: Sequence[str], source: str, reasons: Reasons
    ) -> tuple[str, ...]:
        if any(self.claims(profile) for profile in profiles):
            return super().choose(profiles, target, source, reasons)
        written = [p for p in profiles if p.kind == "string" and p.words > 1 and _share_of_tags(p) < 0.5]
        written.sort(key=lambda one: -one.characters * (4 if simple(one.name) in WORD_NAMES else 1))
        if not written:
            raise self.no_column(profiles, source)
        reasons[self.roles[0]] = (written[0].name, "its words, between spaces or written as a list")
        return (written[0].name,)

    def meaning(self, columns: Columns, known: Mapping[str, Profile], reasons: Reasons) -> Columns:
        cells = known[columns.inputs[0]].cells
        target = known[columns.target[0]].cells if columns.target[0] in known else []
        splitting: Splitting
        if any(map(offsets.looks_like, target[:_LOOKED_AT])):
            splitting = "signs"
            why = "our own rule: letters and digits that stand together, and every other sign alone"
            reasons[self.roles[0]] = (columns.inputs[0], "the text that the spans are of")
        elif known[columns.inputs[0]].kind == "list":
            splitting = rule_of(_read(cell)[0] for cell in cells[:_LOOKED_AT])
            why = "as the data has them; other texts are told apart by the rule that is most like it"
        else:
            return columns
        reasons["words"] = (splitting, why)
        return replace(columns, splitting=splitting)

    def of_columns(self, columns: Columns) -> Tokens:
        return Tokens(columns.splitting)

    def arrange(self, part: Part, *, asked: bool) -> None:
        token_rows.group(part, asked=asked)

    def reads(self, path: Path) -> bool:
        return conll.is_conll(path)

    def tables(self, path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
        return conll.read(path, options, emit)

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        rows: list[list[str]] = []
        faults: list[tuple[int, str]] = []
        for row, cell in enumerate(column.to_pylist()):
            words, fault = _read(cell, self.splitting)
            rows.append(words)
            faults += [(row, fault)] if fault else []
        columns = {role: pa.array(map(joined, rows), pa.string()), "tokens": pa.array(rows, pa.list_(pa.string()))}
        return Cells(columns, np.array([not row for row in rows]), np.zeros(len(rows), dtype=bool), faults)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        return find_duplicates(table, ["text"], threshold)

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        if "text" not in table.column_names:
            table = pa.table({"text": [joined(row) for row in table.column("tokens").to_pylist()]})
        return text_hashes.of_texts(table.select(["text"]))

    def lengths(self, table: pa.Table) -> Mapping[str, Any]:
        return labels.text_lengths(table.column("text"))

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedWords:
        return encode_words(rows["tokens"][:], bundle.tokenizer, limit, folder, check)

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        rows, problems = list[_Words](), list[Problem]()
        name = columns.inputs[0]
        for number, item in enumerate(items, 1):
            if isinstance(item, Mapping) and name not in item:
                problems.append(Problem(f"the row has no {name!r}", row=number, column=name))
                continue
            cell = item[name] if isinstance(item, Mapping) else item
            if isinstance(cell, tuple) and len(cell) == 3 and isinstance(cell[0], list):  # of `from_columns`
                rows.append(_Words(*cell))
                continue
            listed = isinstance(item, Mapping) and not columns.splitting
            words, fault = _given(cell, "" if listed else columns.splitting or "words")
            rows.append(words)
            problems += [Problem(f"expected words: {fault}", row=number)] if fault else []
        if problems:
            raise DataError(problems, 'Give a text, or its words: ["Ada", "lives", "in", "Turin"].')
        return _columns(rows)

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        """Also 'given', the text of each row as it stands there, and 'places', flat: the first character of each word,
        and the one behind its last."""
        return Dataset.from_dict(_columns([_given(cell, columns.splitting)[0] for cell in rows[columns.inputs[0]][:]]))

    def blanks(self, inputs: Mapping[str, Sequence[object]]) -> list[int]:
        return [at for at, words in enumerate(inputs["tokens"]) if not words]

    def words(self, rows: Dataset) -> list[str]:
        return self.shown(rows)

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        return Dataset.from_dict({"tokens": [_given(text, self.splitting or "words")[0].tokens for text in texts]})

    def shown(self, rows: Dataset) -> list[str]:
        return [joined(row) for row in rows["tokens"][:]]

    def sizes(self, rows: Dataset) -> np.ndarray:
        return np.array([len(row) for row in rows["tokens"][:]], dtype=float)


class _Words(NamedTuple):
    """A row that is asked about: its words, the text they are of, and where they stand in it."""

    tokens: list[str]
    given: str
    places: list[int]


def _columns(rows: Sequence[_Words]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in _Words._fields}


def _given(cell: object, splitting: Splitting) -> tuple[_Words, str | None]:
    """A cell as words with their places, and what is wrong with it. The text of a list: its words, a space between."""
    words, fault = _read(cell, splitting)
    if isinstance(cell, str) and not looks_listed(cell.strip()):
        places = places_of(cell, splitting) if splitting else between_spaces(cell)
        return _Words(words, cell, [at for place in places for at in place]), fault
    ends = list(itertools.accumulate((len(word) + 1 for word in words), initial=0))
    flat = [at for start, word in zip(ends, words, strict=False) for at in (start, start + len(word))]
    return _Words(words, joined(words), flat), fault


def _read(cell: object, splitting: Splitting = "") -> tuple[list[str], str | None]:
    """The words of a cell, and what is wrong with it."""
    if splitting and isinstance(cell, str) and not looks_listed(cell.strip()):
        words = [cell[start:end] for start, end in places_of(cell, splitting)]
    else:
        try:
            words = items_of(cell) or []
        except ValueError as error:
            return [], str(error)
    if any("\0" in word for word in words):
        return [], "the cell holds a NUL character (a zero byte)"
    return words, None


def _share_of_tags(profile: Profile) -> float:
    words = [word for cell in profile.cells[:200] for word in _read(cell)[0]]
    return sum(map(is_tag, words)) / len(words) if words else 0.0
