"""Questions and their contexts as tokens: a context that is too long for the network is read in windows that overlap,
so that none of it is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.core.files import new_file, own_folder
from tunesmith.engine.encoded import EncodedItems, padded, ranges
from tunesmith.models.guard import tokens
from tunesmith.models.types import Tokenizer

_CHUNK = 200
"""Questions that are told apart at once; each may have a long context."""
OVERLAP = 1 / 3
"""Share of a window that stands in the next one too: an answer of up to so many tokens is whole in one of them."""
QUESTION_SHARE = 1 / 2
"""Most of a window that a question may fill."""
NULL, OUTSIDE = -1, -2
"""In place of where a token begins in its context: the token that stands for 'no answer', and all other tokens that no
answer may begin or end at."""


@dataclass
class EncodedQuestions(EncodedItems):
    """n questions in w windows: those of question i are `windows[i]` up to `windows[i + 1]`, int64 [n + 1].

    `ids` int32 [tokens], `types` uint8 [tokens] or None, `offsets` int64 [w + 1]: where the tokens of each window
    begin. `characters` int32 [tokens, 2]: the characters of the context that a token is made of, from and up to; `NULL`
    and `OUTSIDE` for others. `targets`: of each question the places of its answers, int64 [answers, 2].
    """

    unit: ClassVar[str] = "tokens"
    ids: np.ndarray
    types: np.ndarray | None
    offsets: np.ndarray
    windows: np.ndarray
    characters: np.ndarray
    pad_token_id: int
    drawn: int | None = None
    """Most windows of a question in a training step; None: all."""

    def __len__(self) -> int:
        return len(self.windows) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of all windows of each question, int64 [n]."""
        return self.offsets[self.windows[1:]] - self.offsets[self.windows[:-1]]

    @property
    def longest(self) -> int:
        return int(np.diff(self.offsets).max(initial=1))

    @property
    def whole_lengths(self) -> np.ndarray:
        """Tokens of the longest window of each question, int64 [n]: of a context in several nothing is left out."""
        return np.minimum(self.lengths, self.longest)

    @property
    def training_lengths(self) -> np.ndarray:
        """Tokens of the windows of a training step, int64 [n]."""
        counts = np.diff(self.windows)
        return self.lengths if self.drawn is None else -(-self.lengths * np.minimum(counts, self.drawn) // counts)

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return self.ids, self.offsets, self.windows

    def counts(self, positions: np.ndarray) -> np.ndarray | None:
        return None

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        starts = self.windows[positions]
        return self._batch([np.arange(*pair) for pair in zip(starts, self.windows[positions + 1], strict=True)])

    def with_targets(self, targets: Any, row_ids: np.ndarray) -> Self:
        return replace(self, targets=targets, row_ids=row_ids)

    def batch_targets(self, positions: np.ndarray) -> Tensor:
        """bool [rows, windows, tokens, 2]: where an answer begins, and where it ends, in each of the windows; at the
        token for 'no answer' where the window has none whole."""
        starts = self.windows[positions]
        chosen = [np.arange(*pair) for pair in zip(starts, self.windows[positions + 1], strict=True)]
        return self._marks(positions, chosen)

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        """Of a question with many windows `drawn` of them: one with an answer, where there is one, others by chance."""
        chosen = [self._drawn(int(at), np.random.default_rng([seed, epoch, int(at)])) for at in positions]
        return {**self._batch(chosen), "targets": self._marks(positions, chosen)}

    def _drawn(self, at: int, chance: np.random.Generator) -> np.ndarray:
        every = np.arange(self.windows[at], self.windows[at + 1])
        if self.drawn is None or len(every) <= self.drawn:
            return every
        held = np.array([bool(self._held(int(window), at)) for window in every])
        with_answer, others = chance.permutation(every[held]), chance.permutation(every[~held])
        first = with_answer[: max(1, self.drawn // 2)]
        return np.sort(np.concatenate([first, others[: self.drawn - len(first)]]))

    def _batch(self, chosen: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """'input_ids' and the like int64 [windows, longest], 'places' float32 [windows, longest, 2], and 'windows'
        int64 [rows, most]: which of them are those of each row, -1 for none."""
        every = np.concatenate(chosen)
        spans = list(zip(self.offsets[every], self.offsets[every + 1], strict=True))
        ids, mask = padded([self.ids[start:end] for start, end in spans], self.pad_token_id)
        places = np.full((*ids.shape, 2), float(OUTSIDE), dtype=np.float32)
        for line, (start, end) in enumerate(spans):
            places[line, : end - start] = self.characters[start:end]
        counts = np.array([len(one) for one in chosen], dtype=np.int64)
        which = np.full((len(chosen), int(counts.max())), -1, dtype=np.int64)
        which[np.repeat(np.arange(len(chosen)), counts), ranges(np.zeros_like(counts), counts)] = np.arange(len(every))
        batch = {
            "input_ids": ids, "attention_mask": mask, "places": torch.from_numpy(places),
            "windows": torch.from_numpy(which),
        }  # fmt: skip
        if self.types is not None:
            batch["token_type_ids"], _ = padded([self.types[start:end] for start, end in spans])
        return batch

    def _marks(self, positions: np.ndarray, chosen: Sequence[np.ndarray]) -> Tensor:
        every = np.concatenate(chosen)
        longest = int((self.offsets[every + 1] - self.offsets[every]).max())
        marks = np.zeros((len(chosen), max(map(len, chosen)), longest, 2), dtype=bool)
        for row, (at, some) in enumerate(zip(positions, chosen, strict=True)):
            for line, window in enumerate(some):
                null = int(np.argmax(self._of(int(window))[:, 0] == NULL))
                for start, end in self._held(int(window), int(at)) or [(null, null)]:
                    marks[row, line, start, 0] = marks[row, line, end, 1] = True
        return torch.from_numpy(marks)

    def _of(self, window: int) -> np.ndarray:
        found: np.ndarray = self.characters[self.offsets[window] : self.offsets[window + 1]]
        return found

    def _held(self, window: int, at: int) -> list[tuple[int, int]]:
        """First and last token of each answer to question `at` that is whole in the window."""
        assert self.targets is not None
        places = self._of(window)
        inside = np.flatnonzero(places[:, 0] >= 0)
        if not len(inside):
            return []
        starts, ends = places[inside, 0], places[inside, 1]
        found = []
        for start, end in self.targets[at]:
            if starts[0] <= start and end <= ends[-1]:
                first = int(np.searchsorted(ends, start, side="right"))
                last = int(np.searchsorted(starts, end, side="left")) - 1
                if first <= last:
                    found.append((int(inside[first]), int(inside[last])))
        return found

    def unheld(self, positions: np.ndarray) -> np.ndarray:
        """Those of the positions whose question has answers, and none that is whole in a window."""
        assert self.targets is not None
        return np.array([
            at for at in positions
            if len(self.targets[at])
            and not any(self._held(window, int(at)) for window in range(self.windows[at], self.windows[at + 1]))
        ], dtype=np.int64)  # fmt: skip


def encode_questions(
    rows: Dataset, tokenizer: Tokenizer, limit: int, folder: Path, check: Callable[[], None] = lambda: None
) -> EncodedQuestions:
    """Tokenize the columns 'question' and 'context' into windows of at most `limit` tokens; files go into `folder`.
    Questions of more than half a window are cut, and listed in `cut`. Raises ModelError for a tokenizer that does not
    say which characters a token is made of."""
    if not tokenizer.is_fast:
        raise ModelError(
            "The tokenizer of this model does not say which characters its tokens are made of, so that answers can not "
            "be found in their contexts.", "Choose a model with a tokenizer.json.",
        )  # fmt: skip
    own_folder(folder)
    most = max(4, int(limit * QUESTION_SHARE))
    sizes: list[int] = []
    windows: list[int] = []
    cut: list[int] = []
    names = ("ids.bin", "types.bin", "places.bin")
    with (
        new_file(folder / names[0], durable=False) as ids_file,
        new_file(folder / names[1], durable=False) as types_file,
        new_file(folder / names[2], durable=False) as places_file,
    ):
        for start in range(0, len(rows), _CHUNK):
            check()
            chunk = rows[start : start + _CHUNK]
            questions, long = _questions(tokenizer, chunk["question"], most)
            cut += [start + at for at in long]
            room = limit - most - 4  # of the context at least
            found = tokens(
                tokenizer, questions, chunk["context"], truncation="only_second", max_length=limit,
                stride=max(0, min(int(limit * OVERLAP), room - 1)), return_overflowing_tokens=True,
                return_offsets_mapping=True, padding=False, return_attention_mask=False, verbose=False,
            )  # fmt: skip
            for number, ids in enumerate(found["input_ids"]):
                ids_file.write(np.asarray(ids, dtype=np.int32).data)
                if "token_type_ids" in found:
                    types_file.write(np.asarray(found["token_type_ids"][number], dtype=np.uint8).data)
                places_file.write(_places(found, number, ids, tokenizer).data)
                sizes.append(len(ids))
            windows += np.bincount(found["overflow_to_sample_mapping"], minlength=len(questions)).tolist()
    kinds = folder / names[1]
    return EncodedQuestions(
        ids=np.memmap(folder / names[0], dtype=np.int32, mode="r"),
        types=np.memmap(kinds, dtype=np.uint8, mode="r") if kinds.stat().st_size else None,
        characters=np.memmap(folder / names[2], dtype=np.int32, mode="r").reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        windows=np.concatenate([[0], np.cumsum(windows)]).astype(np.int64),
        pad_token_id=tokenizer.pad_token_id,
        cut=np.array(cut, dtype=np.int64),
    )


def _questions(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> tuple[list[str], list[int]]:
    """The questions, cut behind `most` tokens, and which of them were."""
    found = tokens(
        tokenizer, list(texts), add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False,
        verbose=False,
    )["offset_mapping"]  # fmt: skip
    kept, long = [], []
    for at, (text, offsets) in enumerate(zip(texts, found, strict=True)):
        text = text.strip()
        if len(offsets) > most:
            text = text[: offsets[most - 1][1]]
            long.append(at)
        kept.append(text)
    return kept, long


def _places(found: Any, number: int, ids: Sequence[int], tokenizer: Tokenizer) -> np.ndarray:
    """int32 [tokens, 2]."""
    of = np.array([-1 if one is None else one for one in found.sequence_ids(number)])
    places = np.asarray(found["offset_mapping"][number], dtype=np.int32).reshape(-1, 2).copy()
    places[of != 1] = OUTSIDE
    places[(of == 1) & (places[:, 0] >= places[:, 1])] = OUTSIDE  # tokens of nothing
    first = tokenizer.cls_token_id
    null = list(ids).index(first) if first is not None and first in ids else 0
    places[null] = NULL
    return places
