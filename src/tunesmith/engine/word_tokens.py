"""Words as tokens: which token speaks for each word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models.guard import tokens
from tunesmith.models.types import Tokenizer

_CHUNK = 2_000


@dataclass(kw_only=True)
class EncodedWords(EncodedRows):
    """Rows with an answer for each word that is read, at the first of its tokens.

    `firsts` int64 [answers]: the place of that token in its row.
    """

    firsts: np.ndarray

    def with_targets(self, targets: Sequence[np.ndarray], row_ids: np.ndarray) -> Self:  # type: ignore[override]
        """Of each row one for every word; those of words that are not read are left out."""
        assert self.answers is not None
        read = [row[:count] for row, count in zip(targets, self.answers, strict=True)]
        return super().with_targets(np.concatenate([np.zeros(0, np.int64), *read]), row_ids)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """Also 'answers' int64 [answers]: where they are in a table of all tokens [rows x longest]."""
        batch = super().inputs(positions)
        assert self.answers is not None
        longest = int(batch["attention_mask"].shape[1])
        rows = np.repeat(np.arange(len(positions)), self.answers[positions])
        places = rows * longest + self.firsts[self.places(positions)]
        return {**batch, "answers": torch.from_numpy(places.astype(np.int64))}


def joined(words: Sequence[str]) -> str:
    """Words as one text."""
    return " ".join(words)


def with_words(
    rows: EncodedRows, words: Sequence[Sequence[str]], tokenizer: Tokenizer, check: Callable[[], None] = lambda: None
) -> EncodedWords:
    """`rows` are the tokens of `joined` words. Raises ModelError for a tokenizer that does not say which letters a
    token is made of."""
    if not tokenizer.is_fast:
        raise ModelError(
            "The tokenizer of this model does not say which letters its tokens are made of, so that words can not be "
            "told apart.", "Choose a model with a tokenizer.json.",
        )  # fmt: skip
    limit = int(rows.lengths.max(initial=1))
    counts: list[int] = []
    firsts: list[np.ndarray] = []
    for start in range(0, len(words), _CHUNK):
        check()
        chunk = words[start : start + _CHUNK]
        found = tokens(
            tokenizer, [joined(row) for row in chunk], truncation=True, max_length=limit, padding=False,
            return_attention_mask=False, return_offsets_mapping=True, verbose=False,
        )["offset_mapping"]  # fmt: skip
        for row, offsets in zip(chunk, found, strict=True):
            places = _firsts(row, np.asarray(offsets, dtype=np.int64).reshape(-1, 2))
            counts.append(len(places))
            firsts.append(places)
    return EncodedWords(
        ids=rows.ids, types=rows.types, offsets=rows.offsets, pad_token_id=rows.pad_token_id, unread=rows.unread,
        cut=rows.cut, answers=np.array(counts, dtype=np.int64),
        firsts=np.concatenate([np.zeros(0, np.int64), *firsts]).astype(np.int64),
    )  # fmt: skip


def _firsts(words: Sequence[str], offsets: np.ndarray) -> np.ndarray:
    """The place of the first token of each word that is read. `offsets` int64 [tokens, 2]: the letters of each token,
    none of those that are not of the text. A word of which no token is made is answered at the one before."""
    begins = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    real = np.flatnonzero(offsets[:, 0] < offsets[:, 1])
    if not len(real):
        return np.zeros(0, dtype=np.int64)
    of = np.searchsorted(begins, offsets[real, 1] - 1, side="right") - 1  # a token may have the space before it
    known, at = np.unique(of, return_index=True)
    places = np.full(int(known[-1]) + 1, -1, dtype=np.int64)
    places[known] = real[at]
    places[0] = max(0, int(places[0]))
    return np.maximum.accumulate(places)
