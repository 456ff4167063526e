"""Rows of two or three texts each as tokens: every text once, however many rows it stands in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.events import Emit, ignore
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.tokens import EncodedRows, encode_rows, encode_texts
from tunesmith.models.bundle import Bundle

ROLES = ("text", "text_pair", "text_negative")


@dataclass(kw_only=True)
class EncodedPairs(EncodedItems):
    """`texts`: the different texts. `sides` int64 [n, 2 or 3]: which text stands on each side of a row; -1: none.
    `words`: the texts themselves."""

    unit: ClassVar[str] = "tokens"
    texts: EncodedRows
    sides: np.ndarray
    words: Sequence[str]

    def __len__(self) -> int:
        return len(self.sides)

    @property
    def lengths(self) -> np.ndarray:
        return self._of_sides(self.texts.lengths).sum(axis=1)

    @property
    def whole_lengths(self) -> np.ndarray:
        """Of the longest text of each row."""
        return self._of_sides(self.texts.whole_lengths).max(axis=1)

    @property
    def longest(self) -> int:
        return int(self.texts.lengths.max(initial=0))

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return (*self.texts.content, self.sides)

    def _of_sides(self, lengths: np.ndarray) -> Any:
        return lengths[self.sides] * (self.sides >= 0)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """The texts of these rows, each once, and 'sides' int64 [b, sides] among them."""
        return self.of_texts(self.sides[positions])

    def of_texts(self, sides: np.ndarray) -> dict[str, Tensor]:
        """The same for any sides, int64 [b, k]."""
        known, places = np.unique(sides, return_inverse=True)
        places = places.reshape(sides.shape)
        if known[0] < 0:
            known, places = known[1:], places - 1
        batch = self.texts.inputs(known)
        return {**batch, "sides": torch.from_numpy(places.astype(np.int64))}


def encode_pairs(
    rows: Dataset, bundle: Bundle, asked_length: int | None, folder: Path, emit: Emit = ignore,
    check: Callable[[], None] = lambda: None, prompts: tuple[str, str] = ("", ""),
) -> EncodedPairs:  # fmt: skip
    """Rows with the columns 'text' and, where there are any, 'text_pair' and 'text_negative'. `prompts`: what is put
    before queries and before documents. `asked_length`: as `engine.tokens.encode_rows` has it; a negative one: that of
    the model. Raises OptionError."""
    roles = [role for role in ROLES if role in rows.column_names]
    columns = [rows[role][:] for role in roles]
    if "text_negative" in roles and not any(columns[-1]):
        roles, columns = roles[:-1], columns[:-1]
    index: dict[str, int] = {}
    sides = np.full((len(rows), max(2, len(roles))), -1, dtype=np.int64)
    for side, cells in enumerate(columns):
        prompt = prompts[0] if side == 0 else prompts[1]
        for row, text in enumerate(cells):
            if text:
                sides[row, side] = index.setdefault(prompt + text, len(index))
    if not index:
        index[""] = 0
    words = list(index)
    texts = Dataset.from_dict({"text": words})
    if asked_length is not None and asked_length < 0:
        encoded = encode_texts(texts, bundle.tokenizer, bundle.max_length, folder, check)
    else:
        encoded = encode_rows(texts, bundle, asked_length, folder, emit, check)
    cut = np.flatnonzero(np.isin(sides, encoded.cut).any(axis=1))
    return EncodedPairs(texts=encoded, sides=sides, words=words, cut=cut)
