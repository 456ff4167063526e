"""Words as tokens: which token speaks for each word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.engine.encoded import padded
from tunesmith.engine.tokens import EncodedRows, encode_texts
from tunesmith.models.guard import tokens
from tunesmith.models.types import Tokenizer

_CHUNK = 2_000
_WHOLE = 10_000_000
"""Tokens of a row, above which it is cut after all."""


@dataclass(kw_only=True)
class EncodedWords(EncodedRows):
    """Rows with an answer for each word, at the first of its tokens. Rows of more than `limit` tokens go through the
    network in windows that overlap, and each word is answered in the window that has most around it.

    `firsts` int64 [answers]: the place of that token in its row. `special`: tokens before the first of a text, and
    behind its last.
    """

    firsts: np.ndarray
    limit: int
    special: tuple[int, int] = (0, 0)

    @property
    def longest(self) -> int:
        return min(super().longest, self.limit)

    def with_targets(self, targets: Sequence[np.ndarray], row_ids: np.ndarray) -> Self:  # type: ignore[override]
        """Of each row one for every word; those of words of which nothing is read are left out."""
        assert self.answers is not None
        read = [row[:count] for row, count in zip(targets, self.answers, strict=True)]
        return super().with_targets(np.concatenate([np.zeros(0, np.int64), *read]), row_ids)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """Also 'answers' int64 [answers]: where they are in a table of all tokens [rows or windows x longest]."""
        assert self.answers is not None
        lines, places = list[np.ndarray](), list[np.ndarray]()
        for position in positions:
            row = self.ids[self.offsets[position] : self.offsets[position + 1]]
            firsts = self.firsts[self.places(np.array([position]))]
            before, behind = self.special
            spans = windows(len(row), self.limit, before, behind)
            chosen = _window_of(firsts, spans)
            starts = np.array([start for start, _ in spans], dtype=np.int64)
            within = np.where(firsts < before, firsts, firsts - starts[chosen] + before)
            places.append(np.stack([len(lines) + chosen, within]))
            ends = (row[:before], row[len(row) - behind :])
            lines += [np.concatenate([ends[0], row[start:end], ends[1]]) for start, end in spans]
        ids, mask = padded(lines, self.pad_token_id)
        line, within = np.concatenate(places, axis=1)
        return {
            "input_ids": ids, "attention_mask": mask,
            "answers": torch.from_numpy((line * ids.shape[1] + within).astype(np.int64)),
        }  # fmt: skip


def windows(size: int, limit: int, before: int = 0, behind: int = 0) -> list[tuple[int, int]]:
    """Which tokens of a row of `size` are read together, without the special ones at its ends: all, or, of a row that
    is longer than `limit`, windows that overlap by a quarter."""
    first, last, room = before, size - behind, limit - before - behind
    if size <= limit or room < 4:
        return [(first, last)]
    step = room - room // 4
    count = -(-(last - first - room) // step) + 1
    starts = [min(first + number * step, last - room) for number in range(count)]
    return [(start, start + room) for start in starts]


def _window_of(firsts: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """The window of each token that has most on both its sides; the ends of the row are as good as any distance."""
    if len(spans) == 1:
        return np.zeros(len(firsts), dtype=np.int64)
    far = spans[-1][1]
    reach = np.stack([
        np.minimum(firsts - start if at else far, end - 1 - firsts if at + 1 < len(spans) else far)
        for at, (start, end) in enumerate(spans)
    ])  # fmt: skip
    inside = np.stack([(firsts < end) & ((firsts >= start) | (at == 0)) for at, (start, end) in enumerate(spans)])
    return np.where(inside, reach, -1).argmax(0).astype(np.int64)


def encode_words(
    words: Sequence[Sequence[str]], tokenizer: Tokenizer, limit: int, folder: Path,
    check: Callable[[], None] = lambda: None,
) -> EncodedWords:  # fmt: skip
    """Rows of words, whole, below `folder`; see `EncodedWords` for `limit`. Raises ModelError as `with_words` does."""
    texts = Dataset.from_dict({"text": [joined(row) for row in words]})
    return with_words(encode_texts(texts, tokenizer, _WHOLE, folder, check), words, tokenizer, limit, check)


def joined(words: Sequence[str]) -> str:
    """Words as one text."""
    return " ".join(words)


def with_words(
    rows: EncodedRows, words: Sequence[Sequence[str]], tokenizer: Tokenizer, limit: int,
    check: Callable[[], None] = lambda: None,
) -> EncodedWords:  # fmt: skip
    """`rows` are the tokens of `joined` words. Raises ModelError for a tokenizer that does not say which letters a
    token is made of."""
    if not tokenizer.is_fast:
        raise ModelError(
            "The tokenizer of this model does not say which letters its tokens are made of, so that words can not be "
            "told apart.", "Choose a model with a tokenizer.json.",
        )  # fmt: skip
    counts: list[int] = []
    firsts: list[np.ndarray] = []
    for start in range(0, len(words), _CHUNK):
        check()
        chunk = words[start : start + _CHUNK]
        found = tokens(
            tokenizer, [joined(row) for row in chunk], truncation=False, padding=False,
            return_attention_mask=False, return_offsets_mapping=True, verbose=False,
        )["offset_mapping"]  # fmt: skip
        for row, offsets in zip(chunk, found, strict=True):
            places = _firsts(row, np.asarray(offsets, dtype=np.int64).reshape(-1, 2))
            counts.append(len(places))
            firsts.append(places)
    return EncodedWords(
        ids=rows.ids, types=rows.types, offsets=rows.offsets, pad_token_id=rows.pad_token_id, unread=rows.unread,
        cut=rows.cut, answers=np.array(counts, dtype=np.int64),
        firsts=np.concatenate([np.zeros(0, np.int64), *firsts]).astype(np.int64), limit=limit,
        special=_special(tokenizer),
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


def _special(tokenizer: Tokenizer) -> tuple[int, int]:
    """Tokens that stand before a text, and behind it."""
    found = tokens(tokenizer, ["a"], truncation=False, padding=False, return_offsets_mapping=True, verbose=False)
    real = [start < end for start, end in found["offset_mapping"][0]]
    return real.index(True), real[::-1].index(True)
