"""Rows as a network reads them, whatever they are: batches, what each row costs, what is learned of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor


@dataclass(kw_only=True)
class EncodedItems(ABC):
    """n rows. `targets` [n] or [n, outputs]; `row_ids` int64 [n]; `features` float32 [n, hidden], what the head reads,
    where the method trains on that and no row is read by the body again; `cut` int64: positions of the rows that are
    not read to their end."""

    targets: np.ndarray | None = None
    row_ids: np.ndarray | None = None
    features: np.ndarray | None = None
    cut: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    unit: ClassVar[str]
    """What `lengths` counts."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """What each row costs, int64 [n]."""

    @property
    def whole_lengths(self) -> np.ndarray:
        """What each row would cost if it were not cut, int64 [n]."""
        return self.lengths

    @property
    @abstractmethod
    def content(self) -> tuple[np.ndarray, ...]:
        """All that the network reads, for a digest of it."""

    @abstractmethod
    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """What the network is called with for the rows at `positions`, int64 [b]."""

    def with_targets(self, targets: np.ndarray, row_ids: np.ndarray) -> Self:
        return replace(self, targets=targets, row_ids=row_ids)

    def collate(self, positions: np.ndarray) -> dict[str, Tensor]:
        """One batch: `inputs`, or the features, with 'targets' where there are any."""
        if self.features is None:
            batch = self.inputs(positions)
        else:
            batch = {"features": torch.from_numpy(np.ascontiguousarray(self.features[positions]))}
        if self.targets is not None:
            batch["targets"] = torch.from_numpy(np.ascontiguousarray(self.targets[positions]))
        return batch
