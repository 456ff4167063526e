"""Sequences of tokens of which some are learned: on disk however many there are, padded or packed in a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.files import append_bytes, new_in_place, own_folder
from tunesmith.engine.batching import pack
from tunesmith.engine.encoded import Flat, padded

PACK_LENGTH = 512
"""Length that sequences are packed to, unless one is longer."""
_WAITING = 1_000_000
"""Tokens that are held before they are written."""


class Encoded(Protocol):
    """One sequence."""

    @property
    def ids(self) -> np.ndarray:
        """int32 [n]"""

    @property
    def learned(self) -> np.ndarray:
        """bool [n]: whether the token is learned."""


@dataclass
class SequenceRows(Flat):
    """`ids` int32 [tokens], `learned` uint8 [tokens], `offsets` int64 [n + 1], `row_ids` int64 [n].

    With `sources` int64 [n], the first so many tokens of each sequence are read by an encoder, the
    rest by a decoder that starts from `start_token_id`.
    """

    ids: np.ndarray
    learned: np.ndarray
    offsets: np.ndarray
    row_ids: np.ndarray
    pad_token_id: int
    sources: np.ndarray | None = None
    start_token_id: int = 0

    @property
    def learned_counts(self) -> np.ndarray:
        """Learned tokens of each sequence that have something before them, int64 [n]."""
        counted = np.add.reduceat(np.append(self.learned, 0).astype(np.int64), self.offsets[:-1])
        if self.sources is not None:
            return counted
        return counted - self.learned[self.offsets[:-1]].astype(np.int64)

    def collate(self, positions: np.ndarray, *, packed: bool = False) -> dict[str, Tensor]:
        """A batch for `LanguageModel`, with 'owners' int64: which of `positions` each learned token belongs to."""
        if self.sources is not None:
            return self._collate_pairs(positions)
        lengths = self.lengths[positions]
        if not packed:
            return self._lay(positions, [[i] for i in range(len(positions))])
        return self._lay(positions, pack(lengths, max(PACK_LENGTH, int(lengths.max()))), packed=True)

    def _lay(self, positions: np.ndarray, bins: list[list[int]], *, packed: bool = False) -> dict[str, Tensor]:
        """Sequences one after the other in each bin; positions restart, and none sees another."""
        width = max(int(self.lengths[positions[some]].sum()) for some in bins)
        ids = np.full((len(bins), width), self.pad_token_id, dtype=np.int64)
        places = np.zeros((len(bins), width), dtype=np.int64)
        segments = np.full((len(bins), width), -1, dtype=np.int64)
        predicting, labels, owners = [], [], []
        for line, some in enumerate(bins):
            at = 0
            for number in some:
                start, end = self.offsets[positions[number]], self.offsets[positions[number] + 1]
                size = int(end - start)
                ids[line, at : at + size] = self.ids[start:end]
                places[line, at : at + size] = np.arange(size)
                segments[line, at : at + size] = number
                learned = np.flatnonzero(self.learned[start + 1 : end])  # the first token has nothing before it
                predicting.append(line * width + at + learned)
                labels.append(self.ids[start + 1 + learned].astype(np.int64))
                owners.append(np.full(len(learned), number, dtype=np.int64))
                at += size
        batch = {
            "input_ids": torch.from_numpy(ids),
            "positions": torch.from_numpy(np.concatenate(predicting)),
            "labels": torch.from_numpy(np.concatenate(labels)),
            "owners": torch.from_numpy(np.concatenate(owners)),
        }
        if not packed:
            return batch | {"attention_mask": torch.from_numpy((segments >= 0).astype(np.int64))}
        same = segments[:, :, None] == segments[:, None, :]
        causal = np.tril(np.ones((width, width), dtype=bool))
        allowed = torch.from_numpy((same & causal)[:, None])  # bool [bins, 1, width, width]
        return batch | {"attention_mask": allowed, "position_ids": torch.from_numpy(places)}

    def _collate_pairs(self, positions: np.ndarray) -> dict[str, Tensor]:
        assert self.sources is not None
        starts, ends = self.offsets[positions], self.offsets[positions + 1]
        middles = starts + self.sources[positions]
        parts = list(zip(middles, ends, strict=True))
        targets = [self.ids[middle:end] for middle, end in parts]
        learned = [np.flatnonzero(self.learned[middle:end]) for middle, end in parts]
        sources = [self.ids[start:middle] for start, middle in zip(starts, middles, strict=True)]
        ids, mask = padded(sources, self.pad_token_id)
        before, given = padded([np.r_[self.start_token_id, target[:-1]] for target in targets], self.pad_token_id)
        predicting = [line * before.shape[1] + places for line, places in enumerate(learned)]
        labels = [target[places] for target, places in zip(targets, learned, strict=True)]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "decoder_input_ids": before,
            "decoder_attention_mask": given,
            "positions": torch.from_numpy(np.concatenate(predicting)),
            "labels": torch.from_numpy(np.concatenate(labels).astype(np.int64)),
            "owners": torch.from_numpy(np.repeat(np.arange(len(learned)), [len(places) for places in learned])),
        }


class SequenceWriter:
    """Writes sequences to a folder as they come; `close` gives them back as `SequenceRows`.

    No file stays open between calls, so that it can be left at any time.
    """

    def __init__(self, folder: Path):
        self._folder = own_folder(folder)
        self._waiting: list[Encoded] = []
        self._waiting_tokens = 0
        self._lengths: list[int] = []
        self._row_ids: list[int] = []
        self._sources: list[int] = []
        for path in self._paths:
            new_in_place(path).close()

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self._folder / "ids.bin", self._folder / "learned.bin"

    def add(self, sequence: Encoded, row_id: int, source: int = 0) -> None:
        self._waiting.append(sequence)
        self._waiting_tokens += len(sequence.ids)
        self._lengths.append(len(sequence.ids))
        self._row_ids.append(row_id)
        self._sources.append(source)
        if self._waiting_tokens > _WAITING:
            self._write()

    def _write(self) -> None:
        ids, learned = self._paths
        with append_bytes(ids) as file:
            file.writelines(np.ascontiguousarray(one.ids, dtype=np.int32).data for one in self._waiting)
        with append_bytes(learned) as file:
            file.writelines(np.ascontiguousarray(one.learned, dtype=np.uint8).data for one in self._waiting)
        self._waiting, self._waiting_tokens = [], 0

    def close(self, pad_token_id: int, *, pairs: bool = False, start_token_id: int = 0) -> SequenceRows:
        self._write()
        ids, learned = self._paths
        offsets = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        return SequenceRows(
            ids=np.memmap(ids, dtype=np.int32, mode="r"),
            learned=np.memmap(learned, dtype=np.uint8, mode="r"),
            offsets=offsets,
            row_ids=np.asarray(self._row_ids, dtype=np.int64),
            pad_token_id=pad_token_id,
            sources=np.asarray(self._sources, dtype=np.int64) if pairs else None,
            start_token_id=start_token_id,
        )


def windows(ids: np.ndarray, limit: int) -> Iterable[np.ndarray]:
    """A long text in consecutive pieces of at most `limit` tokens, none lost."""
    return (ids[start : start + limit] for start in range(0, len(ids), limit))
