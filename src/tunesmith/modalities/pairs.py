"""Pairs of texts that belong together: queries and documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.pairs import PairData
from tunesmith.data.types import Columns
from tunesmith.engine.modality import Modality
from tunesmith.engine.pairs import EncodedPairs, encode_pairs
from tunesmith.models.bundle import Bundle


class Pairs(PairData, Modality):
    in_tokens: ClassVar[bool] = True
    cheap: ClassVar[str | None] = "bm25"
    size_name: ClassVar[str | None] = "characters"

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedPairs:
        return encode_pairs(rows, bundle, -1, folder, check=check)

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {"text": [], "text_pair": []}
        problems: list[Problem] = []
        for number, item in enumerate(items, 1):
            sides = _sides(item, (*columns.inputs[:2], "")[:2])
            if sides is None:
                told = f"expected a text, or a pair of texts ({' and '.join(columns.inputs[:2])})"
                problems.append(Problem(told, row=number))
                continue
            found["text"].append(sides[0])
            found["text_pair"].append(sides[1])
        if problems:
            raise DataError(problems, 'Give texts, or pairs of them: [("query", "document")].')
        return found

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        return Dataset.from_dict({
            role: ["" if text is None else str(text) for text in rows[name][:]]
            for role, name in zip(self.roles, columns.inputs, strict=False) if name in rows.column_names
        })  # fmt: skip

    def blanks(self, inputs: Mapping[str, Sequence[Any]]) -> list[int]:
        return [at for at, text in enumerate(inputs["text"]) if not str(text).strip()]

    def words(self, rows: Dataset) -> list[str] | None:
        return [str(text) for text in rows["text"][:]]

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        return Dataset.from_dict({"text": list(texts), "text_pair": list(texts)})

    def shown(self, rows: Dataset) -> list[str]:
        if "text_pair" not in rows.column_names:
            return list(rows["text"][:])
        return [" ⟷ ".join(pair) for pair in zip(rows["text"][:], rows["text_pair"][:], strict=True)]

    def sizes(self, rows: Dataset) -> np.ndarray:
        return np.array([len(one) for one in self.shown(rows)], dtype=float)


def _sides(item: object, names: Sequence[str]) -> tuple[str, str] | None:
    """The two texts of what is asked, the second empty where there is one alone; None for what is none."""
    if isinstance(item, str):
        return item, ""
    if isinstance(item, Mapping):
        cells = [item.get(name) for name in names]
        if isinstance(cells[0], str) and (cells[1] is None or isinstance(cells[1], str)):
            return cells[0], cells[1] or ""
        return None
    if isinstance(item, list | tuple) and len(item) in (2, 3) and all(isinstance(one, str) for one in item):
        return item[0], item[1]
    return None
