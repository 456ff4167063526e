"""Rows as a network reads them, whatever they are: batches, what each row costs, what is learned of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.augment import Pictured


@dataclass(kw_only=True)
class EncodedItems(ABC):
    """n rows with m answers: one each, or as many as `answers` says, which come row by row. `targets` [m] or
    [m, outputs]; `row_ids` int64 [n]; `features` float32 [m, hidden], what the head reads, where the method trains on
    that and no row is read by the body again; `cut` int64: positions of the rows that are not read to their end."""

    targets: np.ndarray | None = None
    row_ids: np.ndarray | None = None
    features: np.ndarray | None = None
    cut: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    answers: np.ndarray | None = None
    """How many answers each row has, int64 [n]; None: one."""

    unit: ClassVar[str]
    """What `lengths` counts."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """What each row costs, int64 [n]."""

    @property
    def longest(self) -> int:
        """The most that the network reads at once."""
        return int(self.lengths.max())

    @property
    def training_lengths(self) -> np.ndarray:
        """What each row costs in a step of training, int64 [n]."""
        return self.lengths

    @property
    def compared(self) -> bool:
        """Whether what is learned of a row depends on the others of its batch."""
        return False

    @property
    def whole_lengths(self) -> np.ndarray:
        """What each row would cost if it were not cut, int64 [n]."""
        return self.lengths

    @property
    @abstractmethod
    def content(self) -> tuple[np.ndarray, ...]:
        """All that the network reads, for a digest of it."""

    @property
    def answer_count(self) -> int:
        """m."""
        return len(self) if self.answers is None else int(self.answers.sum())

    def counts(self, positions: np.ndarray) -> np.ndarray | None:
        """Answers of the rows at `positions`, int64 [b]; None: one each."""
        return None if self.answers is None else self.answers[positions]

    def places(self, positions: np.ndarray) -> np.ndarray:
        """Which answers are those of the rows at `positions`, one row after another, int64."""
        if self.answers is None:
            return positions
        ends = np.cumsum(self.answers)
        return ranges(ends[positions] - self.answers[positions], self.answers[positions])

    def own(self, positions: np.ndarray) -> np.ndarray:
        """Of the answers of the rows at `positions`, those that a finished model gives these rows."""
        counts = self.counts(positions)
        return np.arange(len(positions) if counts is None else int(counts.sum()))

    @abstractmethod
    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """What the network is called with for the rows at `positions`, int64 [b]."""

    def with_targets(self, targets: np.ndarray, row_ids: np.ndarray) -> Self:
        return replace(self, targets=targets, row_ids=row_ids)

    def batch_targets(self, positions: np.ndarray) -> Tensor:
        """What is learned of the rows at `positions`. Asked where there are targets."""
        assert self.targets is not None
        return torch.from_numpy(np.ascontiguousarray(self.targets[self.places(positions)]))

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        """`collate`, or what is drawn in its place for a step of training: of a row, seed and epoch always the same, so
        that a run that is gone on with sees what it would have seen."""
        return self.collate(positions)

    def preview(self, positions: np.ndarray, seed: int, epochs: int) -> list[list[Pictured]]:
        """What a training makes of some rows, to be looked at: for each of them the picture as it is and as it is in
        each of the first epochs. Empty where nothing is changed, or nothing can be seen."""
        return []

    def collate(self, positions: np.ndarray) -> dict[str, Tensor]:
        """One batch: `inputs`, or the features, with 'targets' where there are any."""
        if self.features is None:
            batch = self.inputs(positions)
        else:
            batch = {"features": torch.from_numpy(np.ascontiguousarray(self.features[self.places(positions)]))}
        if self.targets is not None:
            batch["targets"] = self.batch_targets(positions)
        return batch


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... for each of `counts`, one after another, int64."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)


class Flat:
    """Rows of tokens one after the other, of which row i begins at `offsets[i]`, int64 [n + 1]."""

    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [n]."""
        return np.diff(self.offsets)


def padded(rows: Sequence[np.ndarray | Sequence[int]], fill: int = 0, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Rows of numbers as one tensor, and where they are no padding; both int64 [n, longest]."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), fill, dtype=np.int64)
    mask = np.zeros_like(ids)
    for line, row in enumerate(rows):
        place = slice(longest - len(row), None) if left else slice(len(row))
        ids[line, place], mask[line, place] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
