"""Sentences as words, which the data has told apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data import conll, labels, text_hashes
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.modality import Cells, Reasons
from tunesmith.data.profile import Profile, simple
from tunesmith.data.tags import WORD_NAMES, is_tag, items_of
from tunesmith.data.types import Columns, ReadOptions
from tunesmith.engine.modality import Modality
from tunesmith.engine.tokens import encode_texts
from tunesmith.engine.word_tokens import EncodedWords, joined, with_words
from tunesmith.models.bundle import Bundle

_WORD = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
"""Of a text that nobody has told apart: words, with what stands within them, and signs."""


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

    def claims(self, profile: Profile) -> float:
        if profile.kind != "list" or _share_of_tags(profile) > 0.5:
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

    def reads(self, path: Path) -> bool:
        return conll.is_conll(path)

    def tables(self, path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
        return conll.read(path, options, emit)

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        rows: list[list[str]] = []
        faults: list[tuple[int, str]] = []
        for row, cell in enumerate(column.to_pylist()):
            words, fault = _read(cell)
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
        words = rows["tokens"][:]
        texts = Dataset.from_dict({"text": [joined(row) for row in words]})
        encoded = encode_texts(texts, bundle.tokenizer, limit, folder, check)
        return with_words(encoded, words, bundle.tokenizer, check)

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        rows: list[list[str]] = []
        problems: list[Problem] = []
        name = columns.inputs[0]
        for number, item in enumerate(items, 1):
            if isinstance(item, Mapping) and name not in item:
                problems.append(Problem(f"the row has no {name!r}", row=number, column=name))
                continue
            cell = item[name] if isinstance(item, Mapping) else item
            if isinstance(cell, str) and not isinstance(item, Mapping):
                rows.append(_WORD.findall(cell))
                continue
            words, fault = _read(cell)
            rows.append(words)
            problems += [Problem(f"expected words: {fault}", row=number)] if fault else []
        if problems:
            raise DataError(problems, 'Give a text, or its words: ["Ada", "lives", "in", "Turin"].')
        return {"tokens": rows}

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        return Dataset.from_dict({"tokens": [_read(cell)[0] for cell in rows[columns.inputs[0]][:]]})

    def blanks(self, inputs: Mapping[str, Sequence[object]]) -> list[int]:
        return [at for at, words in enumerate(inputs["tokens"]) if not words]

    def words(self, rows: Dataset) -> list[str]:
        return self.shown(rows)

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        return Dataset.from_dict({"tokens": [_WORD.findall(text) for text in texts]})

    def shown(self, rows: Dataset) -> list[str]:
        return [joined(row) for row in rows["tokens"][:]]

    def sizes(self, rows: Dataset) -> np.ndarray:
        return np.array([len(row) for row in rows["tokens"][:]], dtype=float)


def _read(cell: object) -> tuple[list[str], str | None]:
    """The words of a cell, and what is wrong with it."""
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
